package proxy

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the counters of the HTTP edge. They live as long as the node and are shared by all generations of routes.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	faults   *prometheus.CounterVec
	inFlight prometheus.Gauge
	dropped  prometheus.Counter

	prefetched *prometheus.CounterVec
}

// NewMetrics registers the metrics of the room on reg; nil registers them nowhere.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_http_requests_total",
			Help: "Requests answered, by distribution, class of status, cache outcome and version of HTTP.",
		}, []string{"distribution", "code_class", "cache", "proto"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:                        "meridian_http_request_duration_seconds",
			Help:                        "Time from the complete request head to the last byte of the response.",
			Buckets:                     []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
			NativeHistogramBucketFactor: 1.1,
		}, []string{"distribution"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_http_response_bytes_total",
			Help: "Body bytes written to clients.",
		}, []string{"distribution"}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_http_faults_total",
			Help: "Responses the edge made itself because something went wrong, by stable error code.",
		}, []string{"code"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "meridian_http_requests_in_flight",
			Help: "Requests whose response is not written yet.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_access_log_dropped_total",
			Help: "Access log lines dropped because the log could not be written fast enough.",
		}),
		prefetched: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_prefetch_urls_total",
			Help: "URLs an operator had fetched into the cache, by what came of them.",
		}, []string{"result"}),
	}
	for _, result := range [...]string{PrefetchStored, PrefetchFresh, PrefetchNotStored, PrefetchFailed} {
		m.prefetched.WithLabelValues(label(result))
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.duration, m.bytes, m.faults, m.inFlight, m.dropped, m.prefetched)
	}
	return m
}

// label makes a label value of a result's words.
func label(result string) string { return strings.ReplaceAll(result, " ", "_") }

// classes are the label values of code_class.
var classes = [...]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}

func class(status int) string {
	if status >= 100 && status < 600 {
		return classes[status/100]
	}
	return classes[0]
}

func (m *Metrics) observe(t *transaction, status int, written int64) {
	m.inFlight.Dec()
	site := t.siteName()
	m.requests.WithLabelValues(site, class(status), t.outcome(), t.x.Head.Proto.String()).Inc()
	m.duration.WithLabelValues(site).Observe(time.Since(t.x.Start).Seconds())
	m.bytes.WithLabelValues(site).Add(float64(written))
	if t.fault != nil {
		m.faults.WithLabelValues(string(t.fault.Code)).Inc()
	}
}
