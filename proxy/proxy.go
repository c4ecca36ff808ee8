// Package proxy is the HTTP edge: it routes a request to a distribution and a behavior, lets the cache answer it or fetches
// it from an origin, and makes the one response that the front writes.
//
//	router, err := proxy.Build(cfg, proxy.Deps{Cache: store, Origin: transport, Health: board.Reach(), ...})
//	response := router.Handle(ctx, exchange)
//
// A request goes once through six phases, and their names are the words of the log: receive (canonical form, limits, loops),
// route (distribution and behavior), admit (method, scheme, server name), fetch (cache, then origin), deliver (response
// fields) and log (when the last byte is out). A Router is one immutable generation of routes; it points at organs and owns
// nothing. It is safe for concurrent use.
package proxy

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy/origin"
	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

// Deps are the organs a Router points at, and the opinions its decisions are based on. Cache, Origin, Health and Metrics
// must be set.
type Deps struct {
	Cache  *cache.Store
	Origin *origin.Transport
	Health steer.Health                               // what this edge can reach
	Slot   func(pool string, endpoint int) steer.Slot // nil: endpoints have no checks
	// Observer returns who hears how requests to a pool's endpoints end; nil, and nil from it: nobody.
	Observer func(pool string) origin.Observer
	Regions  map[string]geo.Point
	Log      *AccessLog // nil: no access log
	Metrics  *Metrics
}

// Router is one generation of routes.
type Router struct {
	node    string // this edge, as a token for Via and CDN-Loop
	trusted []netip.Prefix
	limits  config.Limits
	hosts   hosts
	sites   []*site
	targets []*origin.Target
	deps    Deps
}

// site is a distribution ready to serve.
type site struct {
	name      string
	behaviors []behavior
	errors    []config.ErrorObject
}

// behavior is a config.Behavior with its origin resolved.
type behavior struct {
	*config.Behavior
	pattern pattern
	target  *origin.Target
	spread  *spread
	methods string // for Allow; empty: every method
}

// Build makes a Router of a configuration. It does no I/O and starts nothing.
func Build(cfg *config.Config, d Deps) (*Router, error) {
	r := &Router{node: Token(cfg.Edge.Name), trusted: cfg.TrustedProxies, limits: cfg.Limits, deps: d}
	r.hosts.init()
	trees := map[string]*steer.Tree{}
	for i := range cfg.Pools {
		tree, err := compilePool(&cfg.Pools[i], d)
		if err != nil {
			return nil, fmt.Errorf("pool %q: %w", cfg.Pools[i].Name, err)
		}
		trees[cfg.Pools[i].Name] = tree
	}
	for i := range cfg.Distributions {
		dist := &cfg.Distributions[i]
		s, err := r.buildSite(cfg, dist, trees)
		if err != nil {
			return nil, fmt.Errorf("distribution %q: %w", dist.Name, err)
		}
		r.sites = append(r.sites, s)
		for _, domain := range dist.Domains {
			r.hosts.add(domain, s)
		}
	}
	return r, nil
}

func compilePool(p *config.Pool, d Deps) (*steer.Tree, error) {
	policy, err := steer.ParsePolicy(p.Policy)
	if err != nil {
		return nil, err
	}
	if len(p.Endpoints) == 0 && len(p.Discover) > 0 { // nothing has been found yet: a group in which nobody applies
		return steer.Compile(&steer.Group{Name: "pool " + p.Name, Policy: steer.CIDR, Members: []steer.Member{{ID: "none"}}})
	}
	g := &steer.Group{Name: "pool " + p.Name, Policy: policy, Members: make([]steer.Member, len(p.Endpoints)),
		SlowStart: p.SlowStart, Panic: p.Panic, MinHealthy: p.MinHealthy, MaxOutstanding: p.MaxOutstanding,
		Measured: true} // the edge is who connects
	for i := range p.Endpoints {
		e := &p.Endpoints[i]
		m := steer.Member{ID: e.ID, Slot: steer.Always, Leaf: i, Weight: uint8(e.Weight), Capacity: e.Capacity, Point: d.Regions[e.Region]}
		if d.Slot != nil {
			m.Slot = d.Slot(p.Name, i)
		}
		g.Members[i] = m
	}
	if policy == steer.Failover { // steer tries members as listed
		slices.SortStableFunc(g.Members, func(a, b steer.Member) int {
			return cmp.Compare(roleRank(p.Endpoints[a.Leaf].Role), roleRank(p.Endpoints[b.Leaf].Role))
		})
	}
	return steer.Compile(g)
}

// roleRank orders the roles of a failover pool; endpoints without one keep the order of the file.
func roleRank(role string) int {
	switch role {
	case "primary":
		return -1
	case "secondary":
		return 1
	}
	return 0
}

func (r *Router) buildSite(cfg *config.Config, dist *config.Distribution, trees map[string]*steer.Tree) (*site, error) {
	targets, spreads := map[string]*origin.Target{}, map[string]*spread{}
	for i := range dist.Origins {
		o := &dist.Origins[i]
		pool, ok := cfg.Pool(o.Pool)
		tree := trees[o.Pool]
		if !ok || tree == nil {
			return nil, fmt.Errorf("origin %q: no pool %q", o.Name, o.Pool)
		}
		t := r.buildTarget(cfg, o, pool, tree)
		targets[o.Name], spreads[o.Name] = t, newSpread(pool, r.deps.Origin.Secret())
		r.targets = append(r.targets, t)
	}
	s := &site{name: dist.Name, errors: dist.Errors}
	for i := range dist.Behaviors {
		b := &dist.Behaviors[i]
		t := targets[b.Origin]
		if t == nil {
			return nil, fmt.Errorf("behavior %q: no origin %q", b.Path, b.Origin)
		}
		s.behaviors = append(s.behaviors, behavior{
			Behavior: b, pattern: compilePattern(b.Path), target: t, spread: spreads[b.Origin], methods: strings.Join(b.Methods, ", "),
		})
	}
	return s, nil
}

func (r *Router) buildTarget(cfg *config.Config, o *config.Origin, pool *config.Pool, tree *steer.Tree) *origin.Target {
	t := &origin.Target{
		Name: pool.Name, Tree: tree, Health: r.deps.Health, From: r.deps.Regions[cfg.Edge.Region],
		HostHeader: o.HostHeader, ServerName: o.TLSServerName, SkipVerify: o.SkipVerify,
		ConnectTimeout: o.ConnectTimeout, ReadTimeout: o.ReadTimeout,
		MaxConns: cfg.Limits.OriginConns, MaxOutstanding: pool.MaxOutstanding, Attempts: cfg.Limits.OriginAttempts, RetryPercent: cfg.Limits.RetryPercent,
	}
	if r.deps.Observer != nil {
		t.Observer = r.deps.Observer(pool.Name)
	}
	for i := range pool.Endpoints {
		e := &pool.Endpoints[i]
		t.Endpoints = append(t.Endpoints, origin.Endpoint{
			ID: e.ID, Addr: e.Address, Host: e.Host, Port: e.Port, TLS: e.TLS, Capacity: e.Capacity,
		})
	}
	return t
}

// Targets are the origins of this generation, for origin.Transport.Keep.
func (r *Router) Targets() []*origin.Target { return r.targets }

// Handle serves one exchange. It always returns a response; the front writes it and calls its Done.
func (r *Router) Handle(ctx context.Context, x *httpwire.Exchange) *httpwire.Response {
	t := &transaction{router: r, x: x, client: x.Peer.Addr()}
	r.deps.Metrics.inFlight.Inc()
	finished := false
	defer func() {
		if !finished { // a panic: the front recovers and asks Refuse, which counts for itself
			r.deps.Metrics.inFlight.Dec()
		}
	}()
	response, err := t.run(ctx)
	if err != nil {
		t.fault = fault.As(err)
		response = r.refuse(x, t.fault, t.behavior)
	}
	response.Done = t.done(response)
	finished = true
	return response
}

// transaction is the state of one request on its way through the phases.
type transaction struct {
	router   *Router
	x        *httpwire.Exchange
	client   netip.Addr // who asks, behind trusted proxies
	site     *site      // nil until routed
	behavior *behavior
	result   cache.Result
	cached   bool // the cache was asked
	fetch    fetch
	ask      encode.Ask    // what may be done to the response
	coding   encode.Coding // of the response, if the behavior compresses
	fault    *fault.Error
}

func (t *transaction) run(ctx context.Context) (*httpwire.Response, error) {
	if err := t.receive(); err != nil {
		return nil, err
	}
	if err := t.route(); err != nil {
		return nil, err
	}
	if response, err := t.admit(); response != nil || err != nil {
		return response, err
	}
	response, err := t.get(ctx)
	if instead := t.errorObject(ctx, response, err); instead != nil {
		response, err = instead, nil
	}
	if err != nil {
		return nil, err
	}
	t.encode(response)
	t.deliver(response)
	return response, nil
}

// get is the fetch phase: the cache answers, or asks the origin through fetch.
func (t *transaction) get(ctx context.Context) (*httpwire.Response, error) {
	t.prepareFetch()
	defer t.fetch.informNoMore()
	if t.behavior.Cache.Off {
		t.result = cache.Result{Outcome: cache.Bypass, Reason: "cache off"}
		return t.fetch.Fetch(ctx, &t.x.Head)
	}
	t.cached = true
	response, result, err := t.router.deps.Cache.Serve(ctx, t.cacheRequest(), &t.fetch)
	t.result = result
	return response, err
}

func (t *transaction) cacheRequest() *cache.Request {
	return &cache.Request{Site: t.site.name, Head: &t.x.Head, Canon: &t.x.Canon, Policy: &t.behavior.Cache, Encode: t.ask}
}
