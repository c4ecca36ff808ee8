package dns

import (
	"strings"
	"sync/atomic"

	"github.com/meridian-edge/meridian/internal/netio"
	"github.com/prometheus/client_golang/prometheus"
)

// rcodeSlots are the response codes that can be sent, and a slot for one nobody thought of.
const rcodeSlots = rcodeBadCook + 1

// metrics are the room's series. Labels come from the configuration and from small enums only.
type metrics struct {
	queries   *prometheus.CounterVec // zone, proto, rcode
	dropped   [reasons]prometheus.Counter
	truncated [transports]prometheus.Counter
	panics    prometheus.Counter
	sockets   netio.Sockets

	// tallies hold the counters of zones by number, so that a packet costs no label lookup.
	tallies atomic.Pointer[tallies]
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		queries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "meridian_dns_queries_total", Help: "Queries answered, by zone (\"-\": none of ours), transport and response code.",
		}, []string{"zone", "proto", "rcode"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "meridian_dns_panics_total", Help: "Answers that failed on a bug and became SERVFAIL.",
		}),
	}
	dropped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_dns_dropped_total", Help: "Packets that got no reply, by reason.",
	}, []string{"reason"})
	truncated := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_dns_truncated_total", Help: "Replies sent with TC because the answer did not fit, by transport.",
	}, []string{"proto"})
	for r := Malformed; r < reasons; r++ {
		m.dropped[r] = dropped.WithLabelValues(r.String())
	}
	for t := range Transport(transports) {
		m.truncated[t] = truncated.WithLabelValues(t.String())
	}
	if reg != nil {
		reg.MustRegister(m.queries, m.panics, dropped, truncated, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "meridian_dns_socket_drops_total", Help: "Datagrams that the kernel dropped because the buffer of a UDP socket was full.",
		}, func() float64 { return float64(m.sockets.Drops()) }))
	}
	m.tallies.Store(newTallies(nil))
	return m
}

// tallies are the query counters of the generations that have the same zones, resolved when they are first needed. With many zones they are
// large: a zone that changes must not cost new ones.
type tallies struct {
	order *order
	cells []atomic.Pointer[prometheus.Counter] // by zone, transport, response code
}

func newTallies(o *order) *tallies {
	zones := 1
	if o != nil {
		zones += o.zones
	}
	return &tallies{order: o, cells: make([]atomic.Pointer[prometheus.Counter], zones*transports*rcodeSlots)}
}

// count is what a worker has counted and not settled: queries of one kind. Most come one after the other, and a counter that all share
// costs more than they do.
type count struct {
	of *prometheus.Counter
	n  int
}

// settle puts what was counted where it can be seen.
func (m *metrics) settle(c *count) {
	if c.n > 0 {
		(*c.of).Add(float64(c.n))
		c.n = 0
	}
}

// note counts one packet. The caller settles.
func (m *metrics) note(c *count, z *Zones, t Transport, info *Info) {
	if info.Dropped != NotDropped {
		m.dropped[info.Dropped].Inc()
		return
	}
	if info.Truncated {
		m.truncated[t].Inc()
	}
	var now *order
	if z != nil {
		now = z.order
	}
	tally := m.tallies.Load()
	if tally.order != now {
		tally = newTallies(now)
		m.tallies.Store(tally) // two workers may both do this: the counters behind are the same
	}
	cell := &tally.cells[(info.zone*transports+int(t))*rcodeSlots+int(info.RCode)]
	counter := cell.Load()
	if counter == nil {
		made := m.queries.WithLabelValues(zoneLabel(info.Zone), t.String(), rcodeName(info.RCode))
		counter = &made
		cell.Store(counter)
	}
	if counter != c.of {
		m.settle(c)
		c.of = counter
	}
	c.n++
}

// zoneLabel is the zone as operators write it.
func zoneLabel(name string) string {
	switch name {
	case "":
		return "-"
	case ".":
		return name
	}
	return strings.TrimSuffix(name, ".")
}
