// Package cache stores responses and decides when a stored one may answer: RFC 9111 for a shared cache, in memory and on a disk.
//
//	store := cache.New(cache.Options{Memory: 256 << 20, Node: "eu1", Log: log})
//	defer store.Close()
//	resp, result, err := store.Serve(ctx, &cache.Request{Site: "web", Head: &x.Head, Canon: &x.Canon, Policy: policy}, origin)
//
// # What is stored
//
// Final responses to GET with explicit freshness (s-maxage, max-age, Expires; of CDN-Cache-Control before all others) or, with a
// heuristically cacheable status or public, where the policy or Last-Modified gives one. Never: 206, 304 and 416, private and no-store,
// Set-Cookie, Vary: *, and responses to Authorization without public, s-maxage or must-revalidate. Small objects are stored whole, large ones
// in slices that are fetched as they are wanted; ranges are cut from both.
//
// # Choices where the RFC leaves one
//
//   - A client's Cache-Control: no-cache, max-age, min-fresh and max-stale do not count unless the policy honours them (attack row C17):
//     a flood of them would be a flood at the origin. no-store is honoured by not storing, only-if-cached by answering from the store or
//     with 504.
//   - Malformed and repeated directives get their most restrictive reading. Fields that private and no-cache name are not stored, and go to
//     the client whose request was sent.
//   - A targeted field is passed on (RFC 9213 §3). One that is empty or no dictionary is as if it were absent.
//   - What was never fresh is served stale only where the response itself says so, not by the policy's windows.
//   - A guess at freshness (RFC 9111 §4.2.2) is not made for requests with Cookie or Authorization.
//   - Accept-Encoding is compared and forwarded as the set of known codings it accepts; Accept-Language is compared by weight, and fields
//     that are not known without the whitespace around commas (RFC 9111 §4.1). docs/cache.md lists every choice.
//   - A 304 without a validator is about the one response it was asked about (RFC 9111 §4.3.4 leaves it out).
//   - s-maxage, must-revalidate and proxy-revalidate forbid stale answers (RFC 9111 §4.2.4), also where the same response
//     allows stale-while-revalidate.
//   - Trailers of stored responses are dropped (RFC 9111 §3.1 allows it).
//   - If-Match and If-Unmodified-Since are for the origin (RFC 9111 §4.3.2): such requests pass through.
//   - The profile cloudfront has the TTL arithmetic of that service, keeps errors, keeps Vary out of the key, sends what lets an origin choose
//     only if it is keyed, and is not invalidated by unsafe methods.
//
// # One fetch for each key
//
// The first request for an absent object starts a fill that does not end with it. Others wait for its head and then read the
// growing object, each at its own pace. A fill whose response may not be shared is handed to the first request, and the waiting
// ones are released at once to fetch for themselves; the key is remembered for some seconds, so that its requests do not queue. Those who
// wait are so many at most and wait for so long at most; then they get what is stored and stale, if that is allowed, or fetch for themselves.
// An object of unknown length that outgrows the limit stops being joinable and storable; its readers still get every byte: the
// blocks nobody has left to read are dropped, and the fill waits for the slowest of those readers instead of growing.
// A fill that ends early is dropped, and its readers get an error after the bytes that came.
//
// # Two tiers
//
// What is being filled, validated or read is an entry in a group, of Go structures. A small response that nobody uses is at rest: a record
// without pointers in a page (packed, Store.rest), from which a fresh hit is answered as it lies. With a disk (Options.Disk) everything goes there
// too, in the background; Store.recall brings it back.
//
// Everything exported is safe for concurrent use unless it says otherwise. Fills end by themselves when their origin does;
// Close cancels them and waits.
package cache

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/disk"
	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/cache/key"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/cache/quota"
	"github.com/meridian-edge/meridian/cache/reply"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Options configures a Store.
type Options struct {
	Memory     int64                 // bytes of objects, heads and keys that may be resident; 0 or less: nothing is stored
	Node       string                // this cache's name in Cache-Status; see Store.Node
	Registerer prometheus.Registerer // nil: metrics are counted and not exported
	Log        *slog.Logger          // nil: discarded
	Disk       *disk.Tier            // what is stored goes there too; nil: it does not. Its owner runs and closes it, after the Store
	Purges     *purge.Book           // nil: one of its own, forgotten with the process
	// TagFields are the response fields that hold tags, lower case. nil: surrogate-key and cache-tag.
	TagFields []string
}

// Request is one request as the cache sees it. It is valid for the call only; the cache clones what it keeps.
type Request struct {
	Site   string              // distribution name: tenants never share entries
	Head   *httpwire.Head      // the client's head after the proxy's receive phase; its fields are what would be forwarded
	Canon  *httpwire.Canonical // what is keyed
	Policy *config.CachePolicy // nil: as Off
	Encode encode.Ask          // the coding the client gets, if the response may be encoded
}

// keyed is what of a request is keyed. Its policy must not be nil.
func (r *Request) keyed() key.Request {
	return key.Request{Site: r.Site, Head: r.Head, Canon: r.Canon, Policy: r.Policy}
}

// Origin gets a response from behind the cache. It must be safe for concurrent use: a fill that outlives its request may
// still run when the next one starts.
type Origin interface {
	// Fetch sends head and returns the response with a streaming body. The callee may keep head, which is a detached clone
	// when the fill outlives the request. It must honour ctx until the body is closed. The response must not be nil when the
	// error is.
	Fetch(ctx context.Context, head *httpwire.Head) (*httpwire.Response, error)
}

// Store holds responses. Make one with New, and Close it.
type Store struct {
	node    string
	log     *slog.Logger
	metrics *metrics
	seed    maphash.Seed
	shards  [shardCount]shard
	passes  *lru.Cache[string, pass] // keys whose responses were not shareable a moment ago
	book    *purge.Book
	disk    *disk.Tier                   // nil: there is none
	purged  *lru.Cache[string, []string] // tags of what purges removed lately, by key: for Explain alone

	tagFields atomic.Pointer[[]string]
	encoders  *encode.Encoders
	maker     *body.Maker // of responses in other codings
	scratch   sync.Pool   // of *[]byte
	epoch     time.Time   // of the times in records
	replies   reply.Maker
	streams   sync.Map // *slice.Window of what is cut into slices, by their key

	memory *quota.Ledger[*tenant]

	objects atomic.Int64
	flying  atomic.Int64 // fills in flight

	mu sync.Mutex // guards the fields below

	closed bool
	fills  map[*fill]struct{}
	wg     sync.WaitGroup // fills; Add only with mu held and closed false
}

// New makes an empty Store. It panics when the registerer already has a store's metrics.
func New(o Options) *Store {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{node: o.Node, log: o.Log, seed: maphash.MakeSeed(), fills: make(map[*fill]struct{}),
		encoders: encode.New(o.Registerer), disk: o.Disk}
	s.epoch = time.Now()
	s.replies.Epoch = s.epoch
	s.maker = body.NewMaker(s.encoders, s.log)
	s.memory = s.newMemory(o.Memory)
	for i := range s.shards {
		s.shards[i].number, s.shards[i].store = i, s
		s.shards[i].groups = make(map[string]*group)
		s.shards[i].recalling = make(map[string]*recalled)
		s.shards[i].extra = make(map[string]map[*group]struct{})
	}
	var err error
	if s.passes, err = lru.New[string, pass](maxPasses); err != nil {
		panic("BUG: " + err.Error())
	}
	if s.purged, err = lru.New[string, []string](maxPurged); err != nil {
		panic("BUG: " + err.Error())
	}
	if o.TagFields == nil {
		o.TagFields = []string{"surrogate-key", "cache-tag"}
	}
	s.SetTagFields(o.TagFields)
	if s.book = o.Purges; s.book == nil {
		s.book, _ = purge.Open(purge.Options{}) // without a folder nothing can fail
	}
	s.metrics = newMetrics(s, o.Registerer)
	return s
}

// Node is the name given in Options.
func (s *Store) Node() string { return s.node }

// Encoders are what the store encodes with, for responses that do not come out of it.
func (s *Store) Encoders() *encode.Encoders { return s.encoders }

// Close cancels the fills in flight and waits for them. Requests served later pass through unstored; hits go on.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	for f := range s.fills {
		f.cancel()
	}
	s.mu.Unlock()
	s.maker.Close()
	s.wg.Wait()
}

// SetMemory changes the ceiling, in bytes, and evicts down to it at once. Objects that are being read or filled at that moment
// leave as they end. 0 or less: nothing is stored from now on.
func (s *Store) SetMemory(bytes int64) {
	s.memory.SetLimit(bytes)
	s.unpin()
	s.memory.Settle()
}

// SetTagFields changes Options.TagFields. It is heeded for responses that come from then on.
func (s *Store) SetTagFields(names []string) { s.tagFields.Store(&names) }

// Stats is a momentary view of a Store.
type Stats struct {
	Objects int64 // stored and complete; every variant counts
	Bytes   int64 // resident: bodies, heads and keys, growing objects, and evicted objects still being read
	Fills   int64 // fetches in flight for the store
}

// Stats counts what is stored and what is under way.
func (s *Store) Stats() Stats {
	return Stats{Objects: s.objects.Load(), Bytes: s.memory.Used(), Fills: s.flying.Load()}
}

// maxObject is the largest body that is stored: an eighth of memory, at least 1 MiB, never more than there is.
func (s *Store) maxObject() int64 {
	limit := s.memory.Limit()
	return min(limit, max(limit/8, minObjectLimit))
}
