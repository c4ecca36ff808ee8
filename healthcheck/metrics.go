package healthcheck

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/healthcheck/quorum"
)

// metrics are the numbers of a checker. All labels come from the configuration or are one of a few words.
type metrics struct {
	probes      *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
	transitions *prometheus.CounterVec
	ejections   *prometheus.CounterVec
	edits       *prometheus.CounterVec
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
		ejections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_health_ejections_total",
			Help: "Endpoints of pools and groups (accelerator/region) ejected because of the requests they served, by cause.",
		}, []string{"pool", "cause"}),
	}
	m.edits = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_health_edits_total",
		Help: "Edited checks by what became of them: shadow (tried), passed, refused, accepted (by the operator).",
	}, []string{"result"})
	if reg != nil {
		reg.MustRegister(m.probes, m.seconds, m.transitions, m.ejections, m.edits, newUpCollector(board))
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
	board                *Board
	up, ordered, ejected *prometheus.Desc
	edit                 *prometheus.Desc
}

func newUpCollector(b *Board) *upCollector {
	return &upCollector{
		board: b,
		up: prometheus.NewDesc("meridian_health_up",
			"Whether a check counts an endpoint as up (1) or down (0); unknown counts as up, or as down when inverted.",
			[]string{"check", "endpoint"}, nil),
		ordered: prometheus.NewDesc("meridian_health_ordered",
			"1 for each operator's word in force, by what it is about and what it says.", []string{"target", "state"}, nil),
		ejected: prometheus.NewDesc("meridian_health_ejected",
			"Whether an endpoint of a pool, or of a group (accelerator/region), is ejected (1) because of the requests it served, or not (0).", []string{"pool", "endpoint"}, nil),
		edit: prometheus.NewDesc("meridian_health_edit_waiting",
			"1 for each edited check that does not decide, by whether it is tried (shadow) or refused.", []string{"check", "state"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (u *upCollector) Describe(out chan<- *prometheus.Desc) {
	out <- u.up
	out <- u.ordered
	out <- u.ejected
	out <- u.edit
}

// Collect implements prometheus.Collector.
func (u *upCollector) Collect(out chan<- prometheus.Metric) {
	for _, v := range u.board.Verdicts() {
		for _, name := range v.Names {
			out <- prometheus.MustNewConstMetric(u.up, prometheus.GaugeValue, oneIf(v.Up()), name, v.Key.Endpoint)
		}
	}
	for _, o := range u.board.Orders() {
		out <- prometheus.MustNewConstMetric(u.ordered, prometheus.GaugeValue, 1, o.Target, o.Force.String())
	}
	for _, e := range u.board.Edits() {
		out <- prometheus.MustNewConstMetric(u.edit, prometheus.GaugeValue, 1, e.Check, e.State.String())
	}
	for _, m := range u.board.Members() {
		if m.Judged {
			out <- prometheus.MustNewConstMetric(u.ejected, prometheus.GaugeValue, oneIf(!m.Ejected.IsZero()), scope{name: m.Scope, group: m.Group}.String(), m.Endpoint)
		}
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
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

// fleetMetrics are the numbers of a fleet. Those of the present are read when somebody asks.
type fleetMetrics struct {
	fleet    *Fleet
	received *prometheus.CounterVec

	alive, targets, voters, abstaining *prometheus.Desc
}

func newFleetMetrics(reg prometheus.Registerer, f *Fleet) *fleetMetrics {
	m := &fleetMetrics{
		fleet: f,
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_votes_received_total",
			Help: "Votes that came in from other nodes, by whether they were of use (taken) or not (refused).",
		}, []string{"result"}),
		alive: prometheus.NewDesc("meridian_health_alive",
			"Whether a check counts an endpoint as up (1) or down (0) in the eyes of the fleet; without votes as meridian_health_up.",
			[]string{"check", "endpoint"}, nil),
		targets: prometheus.NewDesc("meridian_votes_targets",
			"Targets by what the fleet's opinion about them stands on: quorum, held, dwelling, self.", []string{"basis"}, nil),
		voters: prometheus.NewDesc("meridian_votes_voters", "Nodes whose votes have not expired, this one included.", nil, nil),
		abstaining: prometheus.NewDesc("meridian_votes_abstaining",
			"Whether this node doubts itself and abstains from voting (1) or not (0).", nil, nil),
	}
	for _, result := range []string{"taken", "refused"} {
		m.received.WithLabelValues(result)
	}
	if reg != nil {
		reg.MustRegister(m.received, m)
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *fleetMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.alive, m.targets, m.voters, m.abstaining} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (m *fleetMetrics) Collect(out chan<- prometheus.Metric) {
	var basis [4]float64
	for _, o := range m.fleet.board.Opinions() {
		basis[o.Votes.Basis]++
	}
	for _, v := range m.fleet.board.Verdicts() {
		for _, name := range v.Names {
			out <- prometheus.MustNewConstMetric(m.alive, prometheus.GaugeValue, oneIf(v.Alive), name, v.Key.Endpoint)
		}
	}
	for i, n := range basis {
		out <- prometheus.MustNewConstMetric(m.targets, prometheus.GaugeValue, n, quorum.Basis(i).String())
	}
	m.fleet.mu.Lock()
	voters, doubt := m.fleet.council.Voters(time.Now()), m.fleet.doubt
	m.fleet.mu.Unlock()
	out <- prometheus.MustNewConstMetric(m.voters, prometheus.GaugeValue, float64(voters))
	out <- prometheus.MustNewConstMetric(m.abstaining, prometheus.GaugeValue, oneIf(doubt != ""))
}
