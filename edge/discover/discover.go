// Package discover finds the endpoints of pools where the configuration names a source instead of addresses: names in DNS, watched
// files, URLs.
//
//	w := discover.New(discover.Options{Log: log, Registerer: registry, Changed: rebuild})
//	filled, version := w.Fill(cfg) // cfg with what has been found so far: what a snapshot is built from
//	w.Apply(cfg)                   // after the swap: follow the sources of cfg
//	err := w.Run(ctx)              // until ctx is done
//
// A Watcher keeps the last good endpoints of each source, with Options.Dir over a restart too. A source that fails, or says that there are none, changes nothing; and a
// source that takes away more of a pool than max_vanish allows is believed only when it has said so several times.
//
// A Watcher is safe for concurrent use.
package discover

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/config"
)

// Options are what a Watcher needs. All of them may be zero.
type Options struct {
	Log        *slog.Logger          // nil: no log
	Registerer prometheus.Registerer // nil: no metrics
	// Changed is called after the endpoints of a pool have changed. It must not block, and must not call the Watcher.
	Changed func()
	// Dial connects to resolvers and to the servers of URLs; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// ResolvConf is the file that names the resolvers when the configuration does not; empty: /etc/resolv.conf.
	ResolvConf string
	// Dir is the folder in which what was found is kept over a restart (discovery.json), made when there is something to write; empty:
	// it is not kept.
	Dir string
}

// Watcher follows the sources of a configuration.
type Watcher struct {
	log     *slog.Logger
	metrics *metrics
	changed func()
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	conf    string
	dir     string
	client  *http.Client
	wake    chan struct{} // has room for one: the feeds may have changed

	mu sync.Mutex // guards the fields below and every feed

	feeds     map[feedKey]*feed
	pools     map[string]*pool
	resolvers []netip.AddrPort
	version   uint64        // of all endpoints together
	pending   int           // feeds that have not been looked at
	settled   chan struct{} // closed when pending becomes 0

	saved        map[feedKey]*savedSet // by hashed key: read from the file and not asked for yet
	savedVersion uint64                // of the endpoints in the file
	writing      uint64                // of the endpoints that are being written
	confirmed    bool                  // a source has named endpoints since the file was written
}

// feedKey tells sources apart: equal keys look at the same place, however often and whatever they make of it.
type feedKey struct{ pool, source string }

// manner is how a source is looked at. A feed whose manner changes starts anew, with the endpoints it has.
type manner struct {
	config.Discovery      // without its line
	failover         bool // the pool's policy goes by order
}

// pool is what the configuration says about the pool that feeds fill.
type pool struct {
	written   []config.Endpoint // by the configuration
	maxVanish float64
	looks     int // that must agree before more than that goes
	feeds     []*feed
}

// New returns a Watcher that follows nothing yet. It panics when the registerer already has its metrics.
func New(o Options) *Watcher {
	w := &Watcher{
		log: o.Log, metrics: newMetrics(o.Registerer), changed: o.Changed, dial: o.Dial, conf: o.ResolvConf,
		dir: o.Dir, saved: map[feedKey]*savedSet{},
		wake: make(chan struct{}, 1), feeds: map[feedKey]*feed{}, pools: map[string]*pool{}, settled: make(chan struct{}),
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if w.changed == nil {
		w.changed = func() {}
	}
	if w.dial == nil {
		w.dial = (&net.Dialer{}).DialContext
	}
	if w.conf == "" {
		w.conf = "/etc/resolv.conf"
	}
	w.client = newClient(w.dial)
	return w
}

// keyOf is the key of one source of a pool. Load sees to it that no source is in a pool twice.
func keyOf(p *config.Pool, i int) feedKey {
	return feedKey{pool: p.Name, source: p.Discover[i].Kind + " " + p.Discover[i].URL + p.Discover[i].Source()}
}

func mannerOf(p *config.Pool, i int) manner {
	m := manner{Discovery: p.Discover[i], failover: p.Policy == "failover"}
	m.Line = 0
	return m
}

// follower returns the feed of one source of a pool: the old one when it does the same, or one that starts from its endpoints. The
// caller holds mu.
func (w *Watcher) follower(p *config.Pool, i int, old *feed) *feed {
	m := mannerOf(p, i)
	if old != nil && old.manner == m {
		return old
	}
	f := &feed{key: keyOf(p, i), manner: m, name: m.Source()}
	if old != nil {
		f.set, f.latest, f.held, f.agreed, f.total, f.good = old.set, old.latest, old.held, old.agreed, old.total, old.good
	}
	if old != nil {
		f.restored, f.old = old.restored, old.old
	} else {
		w.remember(f)
	}
	f.look = w.looker(f)
	w.expect()
	return f
}

// Fill returns cfg with the endpoints that have been found added to its pools, and the version of what has been found. cfg itself
// is not changed; it is returned as it is when no pool has a source.
func (w *Watcher) Fill(cfg *config.Config) (*config.Config, uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.ContainsFunc(cfg.Pools, func(p config.Pool) bool { return len(p.Discover) > 0 }) {
		return cfg, w.version
	}
	filled := *cfg
	filled.Pools = slices.Clone(cfg.Pools)
	for i := range filled.Pools {
		p := &filled.Pools[i]
		var feeds []*feed
		for j := range p.Discover {
			if f := w.feeds[keyOf(p, j)]; f != nil {
				feeds = append(feeds, f)
			} else if s := w.remembered(keyOf(p, j)); s != nil {
				feeds = append(feeds, &feed{set: s.Endpoints})
			}
		}
		p.Endpoints = merge(p.Endpoints, feeds)
	}
	return &filled, w.version
}

// Version changes when what Fill adds has changed.
func (w *Watcher) Version() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.version
}

// Apply follows the sources of cfg from now on: what sources in both configurations have found stays.
func (w *Watcher) Apply(cfg *config.Config) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resolvers = cfg.Resolvers
	old := w.feeds
	w.feeds, w.pools = map[feedKey]*feed{}, map[string]*pool{}
	for i := range cfg.Pools {
		c := &cfg.Pools[i]
		if len(c.Discover) == 0 {
			continue
		}
		p := &pool{written: c.Endpoints, maxVanish: c.MaxVanish, looks: cmp.Or(c.VanishLooks, holdLooks)}
		for j := range c.Discover {
			k := keyOf(c, j)
			f := w.follower(c, j, old[k])
			w.feeds[k] = f
			p.feeds = append(p.feeds, f)
		}
		w.pools[c.Name] = p
		w.metrics.show(c.Name, p)
	}
	for k, f := range old {
		if w.feeds[k] != f {
			w.looked(f)
		}
		if w.feeds[k] == nil {
			w.metrics.forget(f, w.pools[k.pool] == nil)
		}
	}
	w.nudge()
}

// expect notes that there is one more feed to wait for. The caller holds mu.
func (w *Watcher) expect() {
	if w.pending == 0 {
		w.settled = make(chan struct{})
	}
	w.pending++
}

// looked notes that nobody has to wait for a feed any longer. The caller holds mu.
func (w *Watcher) looked(f *feed) {
	if f.looked {
		return
	}
	f.looked = true
	if w.pending--; w.pending == 0 {
		close(w.settled)
	}
}

// Settled waits until every source has been looked at once, or ctx is done, whose cause it then returns. Run must be running.
func (w *Watcher) Settled(ctx context.Context) error {
	for {
		w.mu.Lock()
		pending, settled := w.pending, w.settled
		w.mu.Unlock()
		if pending == 0 {
			return nil
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (w *Watcher) nudge() {
	select {
	case w.wake <- struct{}{}:
	default: // it is about to look
	}
}

// Run follows the sources until ctx is done and returns nil when everything under way has ended. It must not be called twice at the
// same time.
func (w *Watcher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer w.client.CloseIdleConnections()
	defer wg.Wait() // they end with ctx
	wg.Go(func() { w.keep(ctx) })
	running := map[*feed]context.CancelFunc{}
	for {
		w.mu.Lock()
		for f, cancel := range running {
			if w.feeds[f.key] != f {
				cancel()
				delete(running, f)
			}
		}
		for _, f := range w.feeds {
			if running[f] == nil {
				followed, cancel := context.WithCancel(ctx)
				running[f] = cancel
				wg.Go(func() { defer cancel(); w.follow(followed, f) })
			}
		}
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		}
	}
}

// follow looks at one source again and again.
func (w *Watcher) follow(ctx context.Context, f *feed) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		limited, cancel := context.WithTimeout(ctx, lookTimeout)
		found, err := f.look(limited)
		cancel()
		if ctx.Err() != nil {
			return // whatever was found, it may be our own doing
		}
		again := w.take(f, found, err)
		timer.Reset(again + rand.N(again/10+1)) // so that a fleet does not ask in step
	}
}
