package edge

import (
	"fmt"
	"io"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/edge/discover"
	"github.com/meridian-edge/meridian/healthcheck"
	"github.com/meridian-edge/meridian/proxy"
	"github.com/meridian-edge/meridian/proxy/origin"
	"github.com/meridian-edge/meridian/proxy/std"
)

// organs are the parts that live longer than a configuration. Snapshots point at them, never the other way round.
type organs struct {
	registry *prometheus.Registry
	board    *healthcheck.Board
	checker  *healthcheck.Checker
	cache    *cache.Store
	origin   *origin.Transport
	dns      *dns.Server
	http     *proxy.Metrics
	fronts   *std.Metrics
	access   *proxy.AccessLog // nil: off
	places   *placesOrgan
	discover *discover.Watcher
	closers  []io.Closer // what close closes, in order
}

func newOrgans(o Options, registry *prometheus.Registry, n *Node) (*organs, error) {
	cfg := o.Config
	a := &organs{registry: registry, board: healthcheck.NewBoard()}
	a.checker = healthcheck.NewChecker(healthcheck.Options{Board: a.board, Log: o.Log, Registerer: registry})
	a.cache = cache.New(cache.Options{Memory: cfg.Cache.Memory, Node: proxy.Token(cfg.Edge.Name), Log: o.Log, Registerer: registry})
	a.origin = origin.NewTransport(origin.Options{Log: o.Log, Registerer: registry})
	a.dns = dns.NewServer(dns.Options{Source: n, Limits: cfg.Limits, Log: o.Log, Registerer: registry})
	a.http = proxy.NewMetrics(registry)
	a.fronts = std.NewMetrics(registry)
	a.places = newPlaces(o.Log, registry)
	a.discover = discover.New(discover.Options{Log: o.Log, Registerer: registry, Changed: n.noteFound})
	out, err := accessOutput(o)
	if err != nil {
		return nil, err
	}
	if out != nil {
		a.access = proxy.NewAccessLog(out, o.Log, a.http)
		if c, ok := out.(io.Closer); ok && out != os.Stdout {
			a.closers = append(a.closers, c)
		}
	}
	return a, nil
}

// accessOutput opens where access log lines go; nil is nowhere.
func accessOutput(o Options) (io.Writer, error) {
	if o.AccessLog != nil {
		return struct{ io.Writer }{o.AccessLog}, nil // the caller's to close
	}
	switch path := o.Config.Log.Access; path {
	case "off":
		return nil, nil
	case "", "stdout":
		return os.Stdout, nil
	default:
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return nil, fmt.Errorf("open access log: %w", err)
		}
		return f, nil
	}
}

func (a *organs) close() {
	a.origin.Close()
	a.cache.Close()
	for _, c := range a.closers {
		_ = c.Close()
	}
}
