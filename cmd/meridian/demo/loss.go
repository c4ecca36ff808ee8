package demo

import (
	"net/netip"
	"time"
)

// What can be lost.
const (
	lossOrigin = "origin"
	lossEdge   = "edge"
)

// loss follows the clients that were served by something that was killed, until each has had a good answer by another way.
// stats guards it.
type loss struct {
	kind, name string
	at         time.Time
	waiting    map[int]bool // clients that have not had one yet
	affected   int
	done       chan struct{} // closed when nobody waits any more

	switched time.Duration // from the kill to the latest of those answers
	good     int           // answers since the kill
	retried  int
	failed   int

	named     int           // DNS answers since the kill that still led to a dead edge
	lastNamed time.Duration // from the kill to the last of those queries
}

// lossResult is what a loss did to the clients.
type lossResult struct {
	Clients  int           // that were served by what was lost
	Waiting  int           // that have had no answer by another way
	Failover time.Duration // until the last one had
	Good     int           // requests since the kill, of all clients
	Retried  int           // of them
	Failed   int

	Named     int           // DNS answers since the kill that still led to the dead edge
	LastNamed time.Duration // from the kill to the last of those queries
}

func (l *loss) observe(r *sample, edge string) {
	if r.ended.Before(l.at) {
		return
	}
	if r.err != nil {
		l.failed++
		return
	}
	l.good++
	if r.attempts > 1 {
		l.retried++
	}
	now := r.origin // empty for a hit, which says nothing about origins
	if l.kind == lossEdge {
		now = edge
	}
	if now == "" || now == l.name || !l.waiting[r.client.id] {
		return
	}
	delete(l.waiting, r.client.id)
	l.switched = max(l.switched, r.ended.Sub(l.at))
	if len(l.waiting) == 0 {
		close(l.done)
	}
}

func (l *loss) observeQuery(q query, edgeAt func(netip.Addr) string) {
	if l.kind != lossEdge || q.sent.Before(l.at) {
		return
	}
	for _, a := range q.answers {
		if edgeAt(a) == l.name {
			l.named++
			l.lastNamed = max(l.lastNamed, q.sent.Sub(l.at))
		}
	}
}

func (l *loss) result() lossResult {
	return lossResult{
		Clients: l.affected, Waiting: len(l.waiting), Failover: l.switched,
		Good: l.good, Retried: l.retried, Failed: l.failed,
		Named: l.named, LastNamed: l.lastNamed,
	}
}
