package edge

import (
	"net/http"

	"github.com/meridian-edge/meridian/healthcheck"
	"github.com/meridian-edge/meridian/proxy/origin"
)

// observer returns who hears how requests to a pool's endpoints end: its passive health, when it has that.
func (s *snapshot) observer(pool string) origin.Observer {
	if w := s.plan.Watch(pool); w != nil {
		return passive{w}
	}
	return nil
}

// passive puts the proxy's results into the words of health.
type passive struct{ watch *healthcheck.Watch }

// Attempted implements origin.Observer.
func (p passive) Attempted(endpoint, status int) {
	outcome := healthcheck.Good
	switch {
	case status == 0, status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		outcome = healthcheck.GatewayError
	case status >= http.StatusInternalServerError:
		outcome = healthcheck.ServerError
	}
	p.watch.Saw(endpoint, outcome)
}
