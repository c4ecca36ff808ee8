package healthcheck

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the numbers of a checker. All labels come from the configuration or are one of a few words.
type metrics struct {
	probes      *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	transitions *prometheus.CounterVec
}

// newMetrics registers the metrics. A registerer that already has them is a bug of the caller, so it panics. With a nil
// registerer they are counted and never shown.
func newMetrics(reg prometheus.Registerer, board *Board) *metrics {
	m := &metrics{
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_health_probes_total",
			Help: "Probes whose result a check used, by how they ended; a probe shared by several checks counts for each.",
		}, []string{"check", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "meridian_health_probe_duration_seconds",
			Help:    "Time of a probe to the connection or to the end of the response head, or to giving up.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"check"}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_health_transitions_total",
			Help: "Changes of state, by the state that began.",
		}, []string{"check", "to"}),
	}
	if reg != nil {
		reg.MustRegister(m.probes, m.seconds, m.transitions, newUpCollector(board))
	}
	return m
}

// probed counts a probe for every check that uses its result.
func (m *metrics) probed(names []string, res result) {
	for _, name := range names {
		m.probes.WithLabelValues(name, res.kind).Inc()
		m.seconds.WithLabelValues(name).Observe(res.latency.Seconds())
	}
}

func (m *metrics) changed(v *Verdict) {
	for _, name := range v.Names {
		m.transitions.WithLabelValues(name, v.State.String()).Inc()
	}
}

// forget removes the series of checks that are configured no more.
func (m *metrics) forget(names []string) {
	for _, name := range names {
		of := prometheus.Labels{"check": name}
		m.probes.DeletePartialMatch(of)
		m.seconds.DeletePartialMatch(of)
		m.transitions.DeletePartialMatch(of)
	}
}

// upCollector reads the verdicts when it is asked, so no series outlives its verdict.
type upCollector struct {
	board *Board
	desc  *prometheus.Desc
}

func newUpCollector(b *Board) *upCollector {
	return &upCollector{board: b, desc: prometheus.NewDesc("meridian_health_up",
		"Whether a check counts an endpoint as up (1) or down (0); unknown counts as up, or as down when inverted.",
		[]string{"check", "endpoint"}, nil)}
}

// Describe implements prometheus.Collector.
func (u *upCollector) Describe(out chan<- *prometheus.Desc) { out <- u.desc }

// Collect implements prometheus.Collector.
func (u *upCollector) Collect(out chan<- prometheus.Metric) {
	for _, v := range u.board.Verdicts() {
		up := 0.0
		if v.Up() {
			up = 1
		}
		for _, name := range v.Names {
			out <- prometheus.MustNewConstMetric(u.desc, prometheus.GaugeValue, up, name, v.Key.Endpoint)
		}
	}
}

// allNames lists the names of the checks of a plan, sorted.
func (p *Plan) allNames() []string {
	var all []string
	for _, names := range p.names {
		all = append(all, names...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
