package guard

import "github.com/prometheus/client_golang/prometheus"

// outcome is what became of a response above its rate.
type outcome uint8

const (
	dropped outcome = iota
	slipped
	logged

	outcomes = 3
)

func (o outcome) String() string { return [...]string{"drop", "slip", "log"}[o] }

// metrics are the room's series.
type metrics struct {
	limited [Classes][outcomes]prometheus.Counter
	cookies [cookieStates]prometheus.Counter // none for NoCookie
	capped  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{capped: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "meridian_dns_nocookie_truncated_total", Help: "Replies sent with TC because they were too long for a client without a cookie.",
	})}
	limited := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_dns_limited_total", Help: "Replies above the rate of their network, by class and by what became of them.",
	}, []string{"class", "action"})
	cookies := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_dns_cookies_total", Help: "Queries with a COOKIE option, by what it was worth.",
	}, []string{"state"})
	for c := range Class(Classes) {
		for o := range outcome(outcomes) {
			m.limited[c][o] = limited.WithLabelValues(c.String(), o.String())
		}
	}
	for s := MalformedCookie; s < cookieStates; s++ {
		m.cookies[s] = cookies.WithLabelValues(s.String())
	}
	if reg != nil {
		reg.MustRegister(limited, cookies, m.capped)
	}
	return m
}
