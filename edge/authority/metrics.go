package authority

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/dns"
)

type metrics struct {
	zones   *prometheus.GaugeVec // by source
	records prometheus.Gauge
	faulty  prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		zones: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meridian_dns_zones", Help: "Zones of the configuration and of the folder of zone files, by where most of their records come from.",
		}, []string{"source"}),
		records: prometheus.NewGauge(prometheus.GaugeOpts{Name: "meridian_dns_records", Help: "Records in all zones when they were last put in service."}),
		faulty:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "meridian_dns_zones_faulty", Help: "Zones not served as they are written."}),
	}
	if reg != nil {
		reg.MustRegister(m.zones, m.records, m.faulty)
	}
	return m
}

func (m *metrics) installed(b *Build, live *dns.Zones) {
	count := map[string]int{"config": 0, "file": 0, "primary": 0}
	for _, p := range b.plans {
		switch {
		case p.foreign:
			count["primary"]++
		case p.file:
			count["file"]++
		default:
			count["config"]++
		}
	}
	for source, n := range count {
		m.zones.WithLabelValues(source).Set(float64(n))
	}
	m.records.Set(float64(live.Records()))
	m.faulty.Set(float64(len(b.Errors())))
}
