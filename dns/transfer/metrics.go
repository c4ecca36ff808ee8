package transfer

import "github.com/prometheus/client_golang/prometheus"

// The first parts of every name.
const (
	namespace = "meridian"
	subsystem = "dns"
)

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
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
	}
	m := &metrics{
		transfers: vec("transfers_total", "Zone transfers, by direction, kind (axfr, ixfr, soa: nothing was new) and result.", "direction", "kind", "result"),
		bytes:     vec("transfer_bytes_total", "Octets of zone transfers, by direction.", "direction"),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "transfers_active", Help: "Zone transfers under way, by direction.",
		}, []string{"direction"}),
		notifies: vec("notifies_total", "NOTIFY messages, by direction and result.", "direction", "result"),
		updates:  vec("updates_total", "Dynamic updates, by result.", "result"),
		tsig:     vec("tsig_errors_total", "Messages whose TSIG was not accepted, by error.", "error"),
		expired: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "zones_expired", Help: "Secondary zones that are expired now.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.transfers, m.bytes, m.active, m.notifies, m.updates, m.tsig, m.expired)
	}
	return m
}
