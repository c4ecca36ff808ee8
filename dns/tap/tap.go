// Package tap tells others what a DNS server was asked and what it answered: a query log of JSON lines or of Route 53's lines, and
// dnstap over a unix socket.
//
//	metrics := tap.NewMetrics(registerer)
//	lines := tap.NewLog(file, tap.LogOptions{Format: tap.JSON, Share: 0.1, Log: log, Metrics: metrics})
//	go lines.Run(ctx)
//	lines.Observe(tap.Event{...}) // for every query
//
// Observe never waits: what does not fit into a bounded queue is dropped and counted. It allocates nothing for queries that are
// sampled out, and keeps nothing of an Event. Everything here is safe for concurrent use, except that Run is called once.
package tap

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Event is a query and what became of it. Its slices are valid only while it is being observed.
type Event struct {
	Time      time.Time
	Client    netip.AddrPort // who sent the query
	Server    netip.AddrPort // where it arrived; zero: unknown
	Transport string         // udp, tcp, dot, doh or doq
	Zone      string         // as configured, with the final dot; empty: none of ours
	Name      []byte         // of the question in wire form, lower case; empty: there was none to read
	Type      uint16
	RCode     uint16       // with the upper bits of EDNS
	Subnet    netip.Prefix // EDNS Client Subnet; zero: none
	Scope     uint8        // of the subnet in the answer
	Truncated bool
	Dropped   string // why there is no reply; empty: there is one
	Query     []byte // as received
	Reply     []byte // as sent; empty when Dropped
}

// Sampling by a random draw of its own: draws that steer an answer would pick answers, not queries.
type share uint64

// newShare takes part of the whole, between 0 and 1. 0 means all: nobody makes a log to keep it empty.
func newShare(part float64) share {
	if part <= 0 || part >= 1 {
		return math.MaxUint64
	}
	return share(part * math.MaxUint64)
}

// skips draws whether an event is left out.
func (s share) skips() bool { return s != math.MaxUint64 && rand.Uint64() > uint64(s) }
