package encode

import "github.com/prometheus/client_golang/prometheus"

// metrics are what an Encoders counts.
type metrics struct {
	responses [codingCount]prometheus.Counter
	runs      [codingCount]prometheus.Counter
	input     [codingCount]prometheus.Counter
	output    [codingCount]prometheus.Counter
	refused   prometheus.Counter
}

// newMetrics makes the metrics of e and registers them, unless r is nil.
func newMetrics(e *Encoders, r prometheus.Registerer) *metrics {
	vec := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"coding"})
	}
	responses := vec("meridian_encode_responses_total", "Responses of behaviors with compression, by the coding they went out in.")
	runs := vec("meridian_encode_runs_total", "Bodies that the edge began to encode.")
	input := vec("meridian_encode_input_bytes_total", "Bytes that were encoded.")
	output := vec("meridian_encode_output_bytes_total", "Bytes that came of encoding.")
	m := &metrics{refused: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "meridian_encode_refused_total", Help: "Bodies not encoded because too many were being encoded.",
	})}
	for c := range codingCount {
		m.responses[c] = responses.WithLabelValues(c.String())
		if c != Identity {
			m.runs[c], m.input[c], m.output[c] = runs.WithLabelValues(c.String()), input.WithLabelValues(c.String()), output.WithLabelValues(c.String())
		}
	}
	if r == nil {
		return m
	}
	r.MustRegister(responses, runs, input, output, m.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "meridian_encode_active", Help: "Bodies being encoded now.",
	}, func() float64 { return float64(e.active.Load()) }))
	return m
}

// Count counts one response that went out in coding c.
func (e *Encoders) Count(c Coding) { e.metrics.responses[c].Inc() }
