package healthcheck

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/healthcheck/quorum"
)

// Opinions returns both opinions about every target that is probed, with the votes they were made of, by endpoint and check.
func (f *Fleet) Opinions() []Opinion {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	list := f.board.Opinions()
	for i := range list {
		list[i].Voices = f.council.Voices(now, quorum.Target(list[i].Key))
	}
	return list
}

// Rule returns the rule in force.
func (f *Fleet) Rule() quorum.Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.council.Rule()
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
