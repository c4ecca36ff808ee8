// Package origin sends requests to origins: it keeps the upstream connections, tries the candidates of a policy tree one
// after the other, and decides what may be tried again.
//
//	transport := origin.NewTransport(origin.Options{Log: log, Registerer: registry})
//	response, report, err := transport.Do(ctx, target, request)
//	...
//	defer response.Body.Close()
//
// A Transport is an organ: it outlives reloads. A Target belongs to one snapshot and never changes. Both are safe for
// concurrent use; a Request and a response body belong to one goroutine at a time.
//
// # Retries
//
// Do retries only before it returns, that is before anything reached the client. A request that certainly never left (the
// dial failed, or the connection broke before a byte was written) goes to the next candidate whatever its method, as long as
// nothing of its body was read. A request that left is tried again only when it is safe (GET, HEAD, OPTIONS) and the retry
// budget allows it; so are responses with status 502, 503 and 504. Another Target.Attempts bounds the endpoints asked. When a
// connection that had been idle turns out to be dead, its endpoint gets one more chance on a fresh connection.
//
// # Load
//
// Steering is pure; what changes with every request is kept here and handed to it (see Client): how many requests are outstanding at
// each endpoint, how long it takes to answer, and whose turn it is in a pool. An endpoint that is at its limit is passed over.
//
// # The border to net/http
//
// HTTP/1.1 upstream is spoken by net/http's Transport, which sorts the fields of a request by name, keeps their case, and
// canonicalises the names of a response. Two of its habits are not acceptable in a proxy and are prevented here: it replays requests
// on its own, outside any budget; and it takes what lies behind the end of one response for the response to the next request.
// Every connection is therefore watched by a strict reader of response framing (see guard), which also refuses what net/http
// would tolerate: Transfer-Encoding beside Content-Length, repeated Content-Length, bare LF, folded lines (attack row S30).
//
// # Where connections may go
//
// An address written in the configuration is the operator's word and is dialled. A name is resolved at every dial, and what
// it resolves to is checked then (attack rows P02, P03): link-local, metadata, unspecified and multicast addresses are
// refused; loopback and private ones are allowed, because that is where most origins are.
package origin

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

// Options configure a Transport. The zero value is usable.
type Options struct {
	Log        *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: nothing is registered
	// DialContext opens TCP connections in place of net.Dialer; it gets the address as configured, and nothing it does is
	// vetted. nil: a net.Dialer that applies the rules of the package comment.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	Resolver    *net.Resolver // for names of endpoints; nil: Go's own
}

// Target is one origin of a snapshot. Nothing may write to it once Do has seen it.
type Target struct {
	Name      string       // of the pool; the retry budget is kept by it
	Endpoints []Endpoint   // the leaves of Tree index it
	Tree      *steer.Tree  // must be set
	Health    steer.Health // nil: everything is up
	From      geo.Point    // where the edge is
	Observer  Observer     // hears how attempts end; nil: nobody does

	HostHeader     string        // names the origin in TLS; the Host that is sent is Request.Host
	ServerName     string        // SNI and name to verify; empty: the host of HostHeader, or the endpoint's name or address
	SkipVerify     bool          // accept any certificate
	ConnectTimeout time.Duration // for the TCP connection; 0: 1 s
	ReadTimeout    time.Duration // to the head of the response, and between bytes of its body; 0: 15 s
	MaxConns       int           // requests in flight to one endpoint; 0: 256
	MaxOutstanding int           // as MaxConns, for endpoints without a Capacity, when that is less; 0: MaxConns
	Attempts       int           // endpoints asked for one request; 0: 3
	RetryPercent   float64       // retries of requests that left, as a share of all; 0: 10
}

// Observer hears how requests to endpoints end, so that health can follow. Its method must not block and is called from many
// goroutines.
type Observer interface {
	// Attempted is called with the index of an endpoint, once its response has ended (status) or it has failed (status 0): a response
	// that the endpoint breaks off after its head is a failure, and one that the client does not want to the end is none.
	// What is not the endpoint's doing is not told: a client that went away, a limit of this edge, or an idle connection
	// that the endpoint had every right to close.
	Attempted(endpoint, status int)
}

// Endpoint is one server of a Target.
type Endpoint struct {
	ID   string         // for reports
	Addr netip.AddrPort // dialled when valid
	Host string         // a DNS name, resolved at every dial, when Addr is invalid
	Port uint16         // with Host
	TLS  bool
	// Capacity is how many requests in flight it can take, when that is less than MaxConns; 0: the target's limits.
	Capacity int
}

// Request is what is sent.
type Request struct {
	Head   *httpwire.Head // method and final fields: end-to-end ones only, Via and the like added; only read
	Target string         // canonical path and query, or "*"
	Host   string         // the Host field
	Body   io.Reader      // nil: none. It may be read until the response body is closed
	Length int64          // of Body; -1: unknown
	Random uint64         // the draw for random policies
	Hash   uint64         // what stays together, for policy hash
	Prefer int            // index of the endpoint that served the client before, plus one; 0: none

	// Inform is told each informational response but 100 and 101 before Do returns, perhaps by another goroutine. nil: nobody wants them.
	Inform func(status int, fields httpwire.Fields)
}

// Report says what was tried, in order.
type Report struct {
	Attempts []Attempt
}

// Attempt is one endpoint asked once.
type Attempt struct {
	Endpoint  string
	Index     int           // of the endpoint in Target.Endpoints
	Err       *fault.Error  // nil: it answered
	Status    int           // of the response; 0 with Err
	Connect   time.Duration // until a connection was there; about zero when Reused
	FirstByte time.Duration // from then until the head of the response was there; 0 with Err
	Reused    bool          // the connection had been used before
}

// Transport keeps upstream connections and retry budgets. Make one with NewTransport.
type Transport struct {
	log     *slog.Logger
	metrics *metrics
	dial    func(ctx context.Context, e Endpoint, network, address string) (net.Conn, error)
	secret  [32]byte

	mu    sync.RWMutex // guards the fields below
	peers map[peerKey]*peer
	pools map[string]*pool
}

// pool is what the targets of one name have in common.
type pool struct {
	budget *budget
	turn   atomic.Uint64 // of the next request, for policy round-robin
}

// NewTransport makes a Transport. It opens no connections.
func NewTransport(o Options) *Transport {
	t := &Transport{log: o.Log, peers: map[peerKey]*peer{}, pools: map[string]*pool{}}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.metrics = newMetrics(o.Registerer)
	t.dial = dialer(o)
	_, _ = rand.Read(t.secret[:]) // never fails (crypto/rand)
	return t
}

// Close closes idle connections; those in use are closed when their requests end. The Transport stays usable.
func (t *Transport) Close() { t.Keep(nil) }

// Keep forgets the connections of endpoints that no target names any more: idle ones are closed now, those in use when their
// requests end. It is called after a reload with the targets of the new snapshot.
func (t *Transport) Keep(targets []*Target) {
	peers, names := map[peerKey]bool{}, map[string]bool{}
	for _, target := range targets {
		names[target.Name] = true
		t.metrics.expect(target.Name)
		for i := range target.Endpoints {
			peers[keyOf(target, &target.Endpoints[i])] = true
		}
	}
	var gone []*peer
	t.mu.Lock()
	for key, p := range t.peers {
		if !peers[key] {
			gone = append(gone, p)
			delete(t.peers, key)
		}
	}
	for name := range t.pools {
		if !names[name] {
			delete(t.pools, name)
			t.metrics.picks.DeletePartialMatch(prometheus.Labels{"pool": name})
		}
	}
	t.mu.Unlock()
	for _, p := range gone {
		p.http.CloseIdleConnections()
	}
}

// peer returns the connections to an endpoint, and makes room for them on first use.
func (t *Transport) peer(target *Target, e *Endpoint) *peer {
	key := keyOf(target, e)
	t.mu.RLock()
	p := t.peers[key]
	t.mu.RUnlock()
	if p != nil {
		return p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p = t.peers[key]; p == nil {
		p = newPeer(t, key)
		t.peers[key] = p
	}
	return p
}

// pool returns what the targets of a name share.
func (t *Transport) pool(target *Target) *pool {
	t.mu.RLock()
	p := t.pools[target.Name]
	t.mu.RUnlock()
	if p != nil {
		return p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p = t.pools[target.Name]; p == nil {
		p = &pool{budget: newBudget()}
		t.pools[target.Name] = p
	}
	return p
}

// Secret is a random key that lasts as long as the Transport, and so over reloads.
func (t *Transport) Secret() []byte { return t.secret[:] }
