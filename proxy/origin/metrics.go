package origin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/steer"
)

// metrics are what this room counts.
type metrics struct {
	attempts    *prometheus.CounterVec
	retries     *prometheus.CounterVec
	connections prometheus.Gauge
	connects    prometheus.Histogram
	picks       *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_origin_attempts_total",
			Help: "Requests to endpoints, by outcome: response, or the code of the fault.",
		}, []string{"outcome"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_origin_retries_total",
			Help: "Further attempts: free (the request had not left), paid (from the retry budget), denied (the budget was empty).",
		}, []string{"kind"}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_origin_connections",
			Help: "Open connections to origins.",
		}),
		connects: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "meridian_origin_connect_duration_seconds",
			Help:    "Time to open a connection to an origin, TLS included.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
	}
	m.picks = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_origin_picks_total",
		Help: "Requests whose first choice of an endpoint had another cause than the policy alone: spill (the one whose turn it was is full), " +
			"panic (health is ignored), sticky (it served the client before), fail_open (nothing is healthy).",
	}, []string{"pool", "cause"})
	for _, kind := range []string{"free", "paid", "denied"} {
		m.retries.WithLabelValues(kind)
	}
	if r != nil {
		r.MustRegister(m.attempts, m.retries, m.connections, m.connects, m.picks)
	}
	return m
}

// causes are the values of a label.
var causes = [...]struct {
	bit  steer.Cause
	name string
}{{steer.Spilled, "spill"}, {steer.Panicked, "panic"}, {steer.Stuck, "sticky"}}

// expect makes the series of a pool, so that a cause that has not come up is 0 and not absent.
func (m *metrics) expect(pool string) {
	m.picks.WithLabelValues(pool, "fail_open")
	for _, c := range causes {
		m.picks.WithLabelValues(pool, c.name)
	}
}

// steered counts what led to the first choice of a request.
func (m *metrics) steered(pool string, p *steer.Pick) {
	if p.LastResort && p.Causes&steer.Panicked == 0 {
		m.picks.WithLabelValues(pool, "fail_open").Inc()
	}
	if p.Causes == 0 {
		return
	}
	for _, c := range causes {
		if p.Causes&c.bit != 0 {
			m.picks.WithLabelValues(pool, c.name).Inc()
		}
	}
}

func (m *metrics) connected(took time.Duration) { m.connects.Observe(took.Seconds()) }
