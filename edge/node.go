// Package edge is one running node: it owns the sockets and every long-lived part, builds a snapshot of each configuration
// and swaps it in.
//
//	node, err := edge.New(edge.Options{Config: cfg, Log: log})
//	err = node.Run(ctx) // serves until ctx is done, then drains
//
// A configuration passes four steps: build (pure: routes, zones, checks), prepare (open what may fail: sockets), one atomic
// swap, settle (start and stop what follows from it; cannot fail). Whatever goes wrong before the swap leaves the old
// generation serving. A Node is safe for concurrent use.
package edge

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/healthcheck"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy"
)

// Options say what a node runs and where it reports.
type Options struct {
	Config *config.Config // required
	Path   string         // configuration file, read again by Reload; empty: Reload fails
	Watch  time.Duration  // how often the file is looked at for a change; 0: every 2 s, below 0: never
	// WatchPlaces is how often the place database is looked at for a change; 0: every 30 s, below 0: never.
	WatchPlaces time.Duration
	Log         *slog.Logger // nil: nothing is logged
	AccessLog   io.Writer    // nil: where the configuration says
	Version     string       // for meridian_build_info and the admin API
}

// Node is one running edge.
type Node struct {
	options Options
	log     *slog.Logger
	organs  *organs
	metrics *metrics
	started time.Time

	snapshot atomic.Pointer[snapshot]
	draining atomic.Bool
	ready    chan struct{}
	killed   chan struct{}
	kill     sync.Once
	found    chan struct{} // has room for one: endpoints of pools may have changed

	reloading sync.Mutex                // held while the file is read and put in service, so that reloads keep their order
	seen      atomic.Pointer[fileStamp] // of the file when it was last read

	mu        sync.Mutex // guards the fields below: one configuration at a time
	listeners map[string]*listener
	run       *runGroup // nil until Run
	lastError error     // of the last reload

	retiring sync.WaitGroup // listeners that finish their work after a reload took them away
}

// New builds the first generation and binds its sockets; nothing is served before Run. It fails with the mistakes of the
// configuration or the sockets that cannot be had.
func New(o Options) (*Node, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	n := &Node{
		options: o, log: o.Log, started: time.Now(), listeners: map[string]*listener{},
		ready: make(chan struct{}), killed: make(chan struct{}), found: make(chan struct{}, 1),
	}
	n.look()
	registry := prometheus.NewRegistry()
	n.metrics = newMetrics(registry, o.Version, n)
	var err error
	if n.organs, err = newOrgans(o, registry, n); err != nil {
		return nil, err
	}
	if dir := o.Config.StateDir; dir != "" {
		n.organs.keeper = healthcheck.NewKeeper(n.organs.board, dir, o.Log)
		n.organs.keeper.Load() // before the first plan asks for slots
		n.organs.discover.Load()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.install(o.Config); err != nil {
		n.organs.close()
		return nil, err
	}
	return n, nil
}

// Ready is closed when the node serves and every check has had its first result, or the time for that is up.
func (n *Node) Ready() <-chan struct{} { return n.ready }

// Config is the configuration that serves now.
func (n *Node) Config() *config.Config { return n.snapshot.Load().cfg }

// Handle serves one exchange with the current generation of routes: the fronts call it.
func (n *Node) Handle(ctx context.Context, x *httpwire.Exchange) *httpwire.Response {
	return n.snapshot.Load().router.Handle(ctx, x)
}

// Refuse answers a request that a front refused.
func (n *Node) Refuse(x *httpwire.Exchange, err *fault.Error) *httpwire.Response {
	return n.snapshot.Load().router.Refuse(x, err)
}

// Zones are the zones that serve now, or would if this is a preview.
func (n *Node) Zones() *dns.Zones {
	if live := n.organs.authority.Zones(); live != nil {
		return live
	}
	return n.snapshot.Load().zones.Zones()
}

// ExplainURL says what would happen to a request now.
func (n *Node) ExplainURL(method, url string, client netip.Addr) proxy.Explanation {
	return n.snapshot.Load().router.Explain(method, url, client)
}

// ExplainDNS says how a DNS question would be answered now.
func (n *Node) ExplainDNS(name, qtype string, client netip.Addr) (*dns.Explanation, error) {
	client = client.Unmap()
	var subnet netip.Prefix
	if client.IsValid() {
		// As Route 53's TestDNSAnswer: the question comes with the client's subnet.
		bits := 24
		if client.Is6() {
			bits = 64
		}
		subnet = netip.PrefixFrom(client, bits).Masked()
	}
	return explainDNS(n.Zones(), name, qtype, client, subnet)
}

// ExplainSubnet says how a DNS question that comes with a client subnet would be answered now.
func (n *Node) ExplainSubnet(name, qtype string, subnet netip.Prefix) (*dns.Explanation, error) {
	return explainDNS(n.Zones(), name, qtype, subnet.Addr(), subnet)
}

// settleTime is how long readiness waits for the first results of the checks.
const settleTime = 3 * time.Second

// Run serves until ctx is done, then drains: DNS first, so that resolvers go elsewhere, then the fronts, which finish what
// they have within limits.drain_timeout. It returns nil after a drain, and may be called once.
func (n *Node) Run(ctx context.Context) error {
	group := newRunGroup()
	n.mu.Lock()
	n.run = group
	group.start(n.organs.checker.Run)
	group.start(n.organs.fleet.Run)
	group.start(n.organs.discover.Run)
	if n.organs.keeper != nil {
		group.start(n.organs.keeper.Run)
	}
	if n.organs.access != nil {
		group.start(n.organs.access.Run)
	}
	group.start(n.organs.authority.Run)
	if n.organs.disk != nil {
		group.start(n.organs.disk.Run)
	}
	if n.organs.queries != nil {
		group.start(n.organs.queries.Run)
	}
	if n.organs.dnstap != nil {
		group.start(n.organs.dnstap.Run)
	}
	for _, l := range n.listeners {
		n.serve(l)
	}
	n.mu.Unlock()

	serving, stopServing := context.WithCancel(ctx)
	living, stop := context.WithCancel(context.WithoutCancel(ctx)) // a drain is life too: the watchdog goes on
	var wg sync.WaitGroup
	wg.Go(func() { n.watchFile(serving) })
	wg.Go(func() { n.watchPlaces(serving) })
	wg.Go(func() { n.watchFound(serving) })
	wg.Go(func() { n.becomeReady(serving) })
	wg.Go(func() { n.watchdog(living) })

	select {
	case <-ctx.Done():
		n.log.Info("draining", "timeout", n.Config().Limits.DrainTimeout.String())
		n.drain()
	case <-n.killed:
		n.draining.Store(true) // no configuration is taken any more
	}
	stopServing()
	stop()
	wg.Wait()
	n.closeListeners()
	group.stop()
	n.organs.close()
	n.log.Info("stopped", "uptime", time.Since(n.started).Round(time.Millisecond).String())
	return nil
}

func (n *Node) becomeReady(ctx context.Context) {
	wait, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := n.organs.discover.Settled(wait); errors.Is(err, context.DeadlineExceeded) {
		n.log.Warn("serving before every source of endpoints has been looked at", "waited", settleTime.String())
	}
	n.refill()
	if err := n.organs.checker.Settled(wait); errors.Is(err, context.DeadlineExceeded) {
		n.log.Warn("serving before every check has a result", "waited", settleTime.String())
	}
	if ctx.Err() != nil {
		return
	}
	close(n.ready)
	n.notify("READY=1")
	cfg := n.Config()
	n.log.Info("ready", "edge", cfg.Edge.Name, "region", cfg.Edge.Region, "distributions", len(cfg.Distributions),
		"zones", len(cfg.Zones), "took", time.Since(n.started).Round(time.Millisecond).String())
}

// drain stops taking work and finishes what is under way.
func (n *Node) drain() {
	n.draining.Store(true)
	n.notify("STOPPING=1")
	limit, cancel := n.grace()
	defer cancel()
	for _, kinds := range drainOrder {
		var wg sync.WaitGroup
		for _, l := range n.open() {
			if slices.Contains(kinds, l.kind) {
				wg.Go(func() { l.shutdown(limit) })
			}
		}
		wg.Wait()
	}
}

// grace is the time requests under way have to end: limits.drain_timeout, or until Kill.
func (n *Node) grace() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), n.Config().Limits.DrainTimeout)
	go func() {
		select {
		case <-n.killed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// open lists the listeners there are now.
func (n *Node) open() []*listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.listeners))
}

// Kill closes every socket at once, as a crash would. Run returns after it.
func (n *Node) Kill() {
	n.kill.Do(func() { close(n.killed) })
}

// Healthy reports whether the node takes work: what /healthz on the metrics listener answers.
func (n *Node) Healthy() bool { return !n.draining.Load() }
