package dns

import (
	"container/list"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
)

// closeReason says why a TCP connection ended.
type closeReason uint8

const (
	closedClient    closeReason = iota // by the client
	closedIdle                         // no query came in time
	closedSlow                         // a query or a reply took too long
	closedMalformed                    // a length no query has
	closedQueries                      // enough queries on one connection
	closedEvicted                      // idle longest when room was needed
	closedPeer                         // refused: the peer has enough connections
	closedStopping

	closeReasons = 8
)

func (r closeReason) String() string {
	return [...]string{"client", "idle", "slow", "malformed", "queries", "evicted", "peer_limit", "stopping"}[r]
}

// reasonOf says why no query could be read; have is how much of one had come.
func reasonOf(ctx context.Context, err error, have int) closeReason {
	switch {
	case ctx.Err() != nil:
		return closedStopping
	case !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF):
		return closedClient
	case have > 0:
		return closedSlow
	}
	return closedIdle
}

// connTable bounds the TCP connections: in all and for each peer. When it is full the connection that has gone longest without a
// query makes room, so that idle or dawdling clients cannot keep others out (D11). It holds nothing for peers without
// connections.
type connTable struct {
	total, perPeer int
	metrics        *metrics

	mu    sync.Mutex // guards the fields below and the entries' evicted
	order *list.List // of *tcpConn, the longest without a query first
	peers map[netip.Addr]int
}

// tcpConn is a connection's entry.
type tcpConn struct {
	conn   net.Conn
	peer   netip.Addr
	at     *list.Element // nil: no longer in the table
	reason closeReason   // set by the connection's own goroutine before remove
}

func newConnTable(total, perPeer int, m *metrics) *connTable {
	return &connTable{total: total, perPeer: perPeer, metrics: m, order: list.New(), peers: map[netip.Addr]int{}}
}

// add enters a connection, or returns nil when its peer has too many.
func (t *connTable) add(conn net.Conn, addr netip.Addr) *tcpConn {
	entry := &tcpConn{conn: conn, peer: peerKey(addr)}
	t.mu.Lock()
	if t.peers[entry.peer] >= t.perPeer {
		t.mu.Unlock()
		t.metrics.closed[closedPeer].Inc()
		return nil
	}
	var victim *tcpConn
	if t.order.Len() >= t.total {
		victim = t.order.Front().Value.(*tcpConn)
		t.drop(victim)
	}
	t.peers[entry.peer]++
	entry.at = t.order.PushBack(entry)
	t.metrics.connections.Set(float64(t.order.Len()))
	t.mu.Unlock()
	if victim != nil {
		t.metrics.closed[closedEvicted].Inc()
		victim.conn.Close() // its goroutine meets an error and leaves
	}
	return entry
}

// touch notes that a query was answered.
func (t *connTable) touch(entry *tcpConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if entry.at != nil {
		t.order.MoveToBack(entry.at)
	}
}

// remove takes a connection out when it has ended.
func (t *connTable) remove(entry *tcpConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if entry.at == nil {
		return // evicted, and counted then
	}
	t.drop(entry)
	t.metrics.connections.Set(float64(t.order.Len()))
	t.metrics.closed[entry.reason].Inc()
}

// drop needs mu.
func (t *connTable) drop(entry *tcpConn) {
	t.order.Remove(entry.at)
	entry.at = nil
	if t.peers[entry.peer]--; t.peers[entry.peer] == 0 {
		delete(t.peers, entry.peer)
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
