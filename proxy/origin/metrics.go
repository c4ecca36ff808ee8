package origin

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what this room counts.
type metrics struct {
	attempts    *prometheus.CounterVec
	retries     *prometheus.CounterVec
	connections prometheus.Gauge
	connects    prometheus.Histogram
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
	for _, kind := range []string{"free", "paid", "denied"} {
		m.retries.WithLabelValues(kind)
	}
	if r != nil {
		r.MustRegister(m.attempts, m.retries, m.connections, m.connects)
	}
	return m
}

func (m *metrics) connected(took time.Duration) { m.connects.Observe(took.Seconds()) }
