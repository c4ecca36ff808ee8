package transport

import (
	"container/list"
	"net/netip"
	"sync"
)

// table bounds the connections of one transport: in all and for each peer. When it is full the connection that has gone longest
// without a query makes room, so that idle or dawdling clients cannot keep others out (D11). It holds nothing for peers without
// connections.
type table struct {
	total, perPeer int
	metrics        *kindMetrics

	mu    sync.Mutex // guards the fields below and the entries' fields
	order *list.List // of *entry, the longest without a query first
	peers map[netip.Addr]int
}

// entry is a connection's place in the table.
type entry struct {
	table *table
	peer  netip.Addr    // what it counts for; zero: a proxy that has not said yet for whom
	at    *list.Element // nil: no longer in the table
	shut  func()        // closes the connection; nil: it can not be closed yet
}

func newTable(total, perPeer int, m *kindMetrics) *table {
	return &table{total: total, perPeer: perPeer, metrics: m, order: list.New(), peers: map[netip.Addr]int{}}
}

// add enters a connection, or returns nil when its peer has too many. The zero address counts for nobody. shut closes the connection
// if it has to make room, and must not block.
func (t *table) add(addr netip.Addr, shut func()) *entry {
	e := &entry{table: t, peer: peerKey(addr), shut: shut}
	t.mu.Lock()
	if !t.enter(e.peer) {
		t.mu.Unlock()
		t.metrics.closed[closedPeer].Inc()
		return nil
	}
	var victim func()
	if t.order.Len() >= t.total {
		oldest := t.order.Front().Value.(*entry)
		victim = oldest.shut
		t.drop(oldest)
		t.metrics.closed[closedEvicted].Inc()
	}
	e.at = t.order.PushBack(e)
	t.metrics.open.Set(float64(t.order.Len()))
	t.mu.Unlock()
	if victim != nil {
		victim() // its goroutine meets an error and leaves
	}
	return e
}

// enter counts one more connection of a peer, if it may have one. It needs mu.
func (t *table) enter(peer netip.Addr) bool {
	if !peer.IsValid() {
		return true
	}
	if t.peers[peer] >= t.perPeer {
		return false
	}
	t.peers[peer]++
	return true
}

// identify says whose connection it is that a proxy made; false: that peer has too many.
func (e *entry) identify(addr netip.Addr) bool {
	t, peer := e.table, peerKey(addr)
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.at == nil {
		return true // evicted: it will find out
	}
	if !t.enter(peer) {
		return false
	}
	e.peer = peer
	return true
}

// closable tells how to close a connection that was entered before it was there. It is closed at once if it has made room
// meanwhile.
func (e *entry) closable(shut func()) {
	e.table.mu.Lock()
	e.shut = shut
	gone := e.at == nil
	e.table.mu.Unlock()
	if gone {
		shut()
	}
}

// touch notes that a query was answered.
func (e *entry) touch() {
	e.table.mu.Lock()
	defer e.table.mu.Unlock()
	if e.at != nil {
		e.table.order.MoveToBack(e.at)
	}
}

// remove takes a connection out when it has ended.
func (e *entry) remove(reason closeReason) {
	t := e.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.at == nil {
		return // evicted, and counted then
	}
	t.drop(e)
	t.metrics.open.Set(float64(t.order.Len()))
	t.metrics.closed[reason].Inc()
}

// drop needs mu.
func (t *table) drop(e *entry) {
	t.order.Remove(e.at)
	e.at = nil
	if !e.peer.IsValid() {
		return
	}
	if t.peers[e.peer]--; t.peers[e.peer] == 0 {
		delete(t.peers, e.peer)
	}
}

// peerKey is what counts as one peer: an IPv4 address, or a /64 of IPv6, whose addresses one host can have all.
func peerKey(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}
