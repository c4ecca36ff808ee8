package discover

import "github.com/prometheus/client_golang/prometheus"

// metrics are the room's own.
type metrics struct {
	endpoints *prometheus.GaugeVec
	held      *prometheus.GaugeVec
	good      *prometheus.GaugeVec
	old       *prometheus.GaugeVec
	looks     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		endpoints: gauge("meridian_discovery_endpoints", "Endpoints that the sources of a pool named, those that are held included.", "pool"),
		held:      gauge("meridian_discovery_held", "Endpoints of a pool that its sources no longer name and that are kept until that is confirmed.", "pool"),
		good:      gauge("meridian_discovery_last_success_timestamp_seconds", "When a source last named endpoints: the age of the set that is in use.", "pool", "source"),
		old:       gauge("meridian_discovery_old_sources", "Sources of a pool whose endpoints are in use and were last named more than a day ago.", "pool"),
		looks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_discovery_looks_total", Help: "Looks at sources of endpoints, by result.",
		}, []string{"pool", "kind", "result"}),
	}
	if reg != nil {
		reg.MustRegister(m.endpoints, m.held, m.good, m.old, m.looks)
	}
	return m
}

// show sets the gauges of a pool.
func (m *metrics) show(name string, p *pool) {
	held, old := 0, 0
	for _, f := range p.feeds {
		held += f.held
		if f.old {
			old++
		}
	}
	m.old.WithLabelValues(name).Set(float64(old))
	m.endpoints.WithLabelValues(name).Set(float64(len(merge(nil, p.feeds))))
	m.held.WithLabelValues(name).Set(float64(held))
}

// forget drops the series of a source that is gone, and of its pool when that is gone too.
func (m *metrics) forget(f *feed, poolToo bool) {
	m.good.DeleteLabelValues(f.key.pool, f.name)
	if poolToo {
		m.endpoints.DeleteLabelValues(f.key.pool)
		m.held.DeleteLabelValues(f.key.pool)
		m.old.DeleteLabelValues(f.key.pool)
		m.looks.DeletePartialMatch(prometheus.Labels{"pool": f.key.pool})
	}
}
