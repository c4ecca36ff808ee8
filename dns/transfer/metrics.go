package transfer

import "github.com/prometheus/client_golang/prometheus"

// metrics are the room's series.
type metrics struct {
	transfers *prometheus.CounterVec // direction, kind, result
	bytes     *prometheus.CounterVec // direction
	active    *prometheus.GaugeVec   // direction
	notifies  *prometheus.CounterVec // direction, result
	updates   *prometheus.CounterVec // result
	tsig      *prometheus.CounterVec // error
	expired   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		transfers: vec("meridian_dns_transfers_total", "Zone transfers, by direction, kind (axfr, ixfr, soa: nothing was new) and result.", "direction", "kind", "result"),
		bytes:     vec("meridian_dns_transfer_bytes_total", "Octets of zone transfers, by direction.", "direction"),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "meridian_dns_transfers_active", Help: "Zone transfers under way, by direction.",
		}, []string{"direction"}),
		notifies: vec("meridian_dns_notifies_total", "NOTIFY messages, by direction and result.", "direction", "result"),
		updates:  vec("meridian_dns_updates_total", "Dynamic updates, by result.", "result"),
		tsig:     vec("meridian_dns_tsig_errors_total", "Messages whose TSIG was not accepted, by error.", "error"),
		expired: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_dns_zones_expired", Help: "Secondary zones that are expired now.",
		}),
	}
	for _, direction := range []string{"in", "out"} {
		m.active.WithLabelValues(direction)
		m.bytes.WithLabelValues(direction)
		m.notifies.WithLabelValues(direction, "ok")
		for _, kind := range []string{"axfr", "ixfr"} {
			m.transfers.WithLabelValues(direction, kind, "ok")
		}
	}
	m.updates.WithLabelValues("noerror") // a counter that is there before it counts lets rates see the first one
	for _, e := range []string{"badsig", "badkey", "badtime"} {
		m.tsig.WithLabelValues(e)
	}
	if reg != nil {
		reg.MustRegister(m.transfers, m.bytes, m.active, m.notifies, m.updates, m.tsig, m.expired)
	}
	return m
}
