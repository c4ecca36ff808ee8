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
	kind kind
	n    int
	of   prometheus.Counter
}

// kind is what queries that count alike have in common.
type kind struct {
	order     *order
	zone      int // as in Info
	transport Transport
	rcode     uint16
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
	now := kind{zone: info.zone, transport: t, rcode: info.RCode}
	if z != nil {
		now.order = z.order
	}
	if c.n == 0 || c.kind != now {
		m.settle(c)
		c.kind, c.of = now, m.counter(&now, z.nameOf(info.zone))
	}
	c.n++
}

// settle puts what was counted where it can be seen.
func (m *metrics) settle(c *count) {
	if c.n > 0 {
		c.of.Add(float64(c.n))
		c.n = 0
	}
}

// counter is the one for a kind of queries.
func (m *metrics) counter(k *kind, zone string) prometheus.Counter {
	tally := m.tallies.Load()
	if tally.order != k.order {
		tally = newTallies(k.order)
		m.tallies.Store(tally) // two workers may both do this: the counters behind are the same
	}
	cell := &tally.cells[(k.zone*transports+int(k.transport))*rcodeSlots+int(k.rcode)]
	if counter := cell.Load(); counter != nil {
		return *counter
	}
	counter := m.queries.WithLabelValues(zoneLabel(zone), k.transport.String(), rcodeName(k.rcode))
	cell.Store(&counter)
	return counter
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
