package tap

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the room's series. There is one set of them, shared by all that is made here.
type Metrics struct {
	lines, frames   prometheus.Counter // queued
	lost, lostFrame prometheus.Counter
	connected       prometheus.Gauge
}

// NewMetrics makes the metrics. reg may be nil: they are kept and not registered then. It panics when reg already has them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_dns_tap_events_total", Help: "Queries queued for a log, after sampling, by log.",
	}, []string{"log"})
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_dns_tap_dropped_total", Help: "Queries missing from a log because its queue was full or it could not be written, by log.",
	}, []string{"log"})
	m := &Metrics{
		lines: events.WithLabelValues("lines"), frames: events.WithLabelValues("dnstap"),
		lost: dropped.WithLabelValues("lines"), lostFrame: dropped.WithLabelValues("dnstap"),
		connected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_dnstap_connected", Help: "1 while a reader of dnstap is connected.",
		}),
	}
	if reg != nil {
		reg.MustRegister(events, dropped, m.connected)
	}
	return m
}
