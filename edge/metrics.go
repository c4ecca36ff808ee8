package edge

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are the node's own.
type metrics struct {
	generation prometheus.Gauge
	successful prometheus.Gauge
	lastTime   prometheus.Gauge
	reloads    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, version string, n *Node) *metrics {
	m := &metrics{
		generation: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_config_generation", Help: "Generation of the configuration that serves, counted from the start of the process.",
		}),
		successful: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_config_last_reload_successful", Help: "1 when the last configuration was put in service, 0 when it was refused.",
		}),
		lastTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_config_last_reload_success_timestamp_seconds", Help: "When a configuration was last put in service.",
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_config_reloads_total", Help: "Configurations tried, by result.",
		}, []string{"result"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "meridian_build_info", Help: "What is running; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision(), "goversion": runtime.Version()},
	})
	info.Set(1)
	draining := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "meridian_draining", Help: "1 while the node finishes its work before it stops.",
	}, func() float64 {
		if n.draining.Load() {
			return 1
		}
		return 0
	})
	reg.MustRegister(m.generation, m.successful, m.lastTime, m.reloads, info, draining,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) reloaded(s *snapshot) {
	m.generation.Set(float64(s.generation))
	m.successful.Set(1)
	m.lastTime.Set(float64(s.loaded.UnixMilli()) / 1000)
	m.reloads.WithLabelValues("loaded").Inc()
}

func (m *metrics) refused() {
	m.successful.Set(0)
	m.reloads.WithLabelValues("refused").Inc()
}

// revision is the commit the binary was built from, when the build knew it.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return ""
}

// newPlacesMetrics registers what is known of the place database.
func newPlacesMetrics(reg prometheus.Registerer) (built *prometheus.GaugeVec, reloads *prometheus.CounterVec) {
	built = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "meridian_geo_database_built_timestamp_seconds", Help: "When the data of the place database that serves was made.",
	}, []string{"source"})
	reloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_geo_reloads_total", Help: "Changed place databases, by result: loaded, or refused as damaged.",
	}, []string{"result"})
	for _, result := range []string{"loaded", "refused"} {
		reloads.WithLabelValues(result)
	}
	reg.MustRegister(built, reloads)
	return built, reloads
}
