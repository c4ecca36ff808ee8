package cache

import "github.com/prometheus/client_golang/prometheus"

// metrics are what a store counts. Labels are small enumerations.
type metrics struct {
	requests  [outcomeCount]prometheus.Counter
	evictions prometheus.Counter
	fills     *prometheus.CounterVec
	purged    prometheus.Counter
}

// The results of a fill.
const (
	fillStored      = "stored"       // a new object
	fillRevalidated = "revalidated"  // 304
	fillNotStored   = "not_stored"   // a response that is not storable, or was purged meanwhile
	fillTruncated   = "truncated"    // the body ended early
	fillError       = "origin_error" // no response, or a server error for which a stale response stood in
)

// newMetrics makes the metrics of s and registers them, unless r is nil.
func newMetrics(s *Store, r prometheus.Registerer) *metrics {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_cache_requests_total", Help: "Requests by the way the cache answered them.",
	}, []string{"outcome"})
	m := &metrics{
		evictions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_cache_evictions_total", Help: "Objects removed to make room for others.",
		}),
		fills: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_cache_fills_total", Help: "Fetches that could have been stored, by their result.",
		}, []string{"result"}),
		purged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_cache_purged_objects_total", Help: "Objects removed by purges and by unsafe requests.",
		}),
	}
	for o := range m.requests {
		m.requests[o] = requests.WithLabelValues(Outcome(o).String())
	}
	for _, result := range [...]string{fillStored, fillRevalidated, fillNotStored, fillTruncated, fillError} {
		m.fills.WithLabelValues(result)
	}
	if r == nil {
		return m
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	r.MustRegister(requests, m.evictions, m.fills, m.purged,
		gauge("meridian_cache_objects", "Objects stored.", func() float64 { return float64(s.objects.Load()) }),
		gauge("meridian_cache_bytes", "Bytes resident: stored, growing, and evicted but still being read.",
			func() float64 { return float64(s.memory.Used()) }),
		gauge("meridian_cache_limit_bytes", "Bytes that may be resident.", func() float64 { return float64(s.memory.Limit()) }),
		gauge("meridian_cache_fills_in_flight", "Fetches under way for the store.", func() float64 { return float64(s.flying.Load()) }),
	)
	return m
}
