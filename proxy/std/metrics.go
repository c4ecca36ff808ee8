package std

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the counters of connections. All servers of a node share one; requests are counted by the router.
type Metrics struct {
	connections *prometheus.GaugeVec
	total       *prometheus.CounterVec
	refused     *prometheus.CounterVec
	panics      prometheus.Counter
}

// NewMetrics makes the metrics and registers them on r; nil registers them nowhere. It panics when they are registered already.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meridian_http_connections",
			Help: "Open client connections, by protocol.",
		}, []string{"proto"}),
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_http_connections_total",
			Help: "Client connections accepted, by protocol; those that failed their TLS handshake are not among them.",
		}, []string{"proto"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_http_connections_refused_total",
			Help: "Client connections closed at once because a limit was reached, by limit.",
		}, []string{"reason"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_http_panics_total",
			Help: "Requests that ended in a panic: each one is a bug.",
		}),
	}
	for _, proto := range []string{"h1", "h2", "h3"} {
		m.connections.WithLabelValues(proto)
		m.total.WithLabelValues(proto)
	}
	for _, reason := range []string{"total", "per_client"} {
		m.refused.WithLabelValues(reason)
	}
	if r != nil {
		r.MustRegister(m.connections, m.total, m.refused, m.panics)
	}
	return m
}

func (m *Metrics) opened(proto string) {
	m.connections.WithLabelValues(proto).Inc()
	m.total.WithLabelValues(proto).Inc()
}

func (m *Metrics) gone(proto string) { m.connections.WithLabelValues(proto).Dec() }
