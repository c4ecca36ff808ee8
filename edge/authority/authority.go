// Package authority brings together what the zones of a node are made of: the configuration, zone files, transfers, dynamic
// updates, and the hosts that aliases point at.
//
//	keeper := authority.New(authority.Options{StateDir: dir, Lookup: resolve, Log: log, Registerer: reg})
//	build, err := keeper.Build(cfg, deps) // reads files and compiles; changes nothing
//	keeper.Install(ctx, build)            // from here on its zones serve
//	go keeper.Run(ctx)
//
// Between two installs zones go on changing one at a time: a secondary is transferred, an update comes in, a file is written.
// Each time the one zone is compiled and all others are shared. A Keeper is safe for concurrent use.
package authority

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/dns/transfer"
	"github.com/meridian-edge/meridian/dns/zone"
)

// Lookup resolves a host: its addresses of both families, and for how long they are good. It asks others and may block.
type Lookup func(ctx context.Context, host string) ([]netip.Addr, time.Duration, error)

// Options are what a Keeper works with.
type Options struct {
	StateDir   string        // where transferred zones and updates are kept; empty: nowhere, and updates are refused
	Lookup     Lookup        // for aliases to hosts; nil: they are never resolved
	Epoch      func() uint64 // of health: it changes when any answer may; nil: never
	Watch      time.Duration // how often zone files are looked at; 0: every 2 s, below 0: never
	Log        *slog.Logger  // nil: nothing is logged
	Registerer prometheus.Registerer

	// Dial connects to other servers of zones; nil: a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Keeper holds the zones of a node. It outlives reloads.
type Keeper struct {
	options Options
	log     *slog.Logger
	metrics *metrics
	store   *transfer.Store
	hosts   *hosts
	live    atomic.Pointer[dns.Zones]

	installing sync.Mutex // one Install or look at the files at a time

	mu sync.Mutex // guards the fields below, and every swap of live

	current  *Build
	overlays map[string]*transfer.Change // what the store says of its zones, by name
}

// New makes a keeper without zones. It panics when o.Registerer already has the metrics of another one.
func New(o Options) *Keeper {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{options: o, log: o.Log, overlays: map[string]*transfer.Change{}, metrics: newMetrics(o.Registerer)}
	dir := ""
	if o.StateDir != "" {
		dir = filepath.Join(o.StateDir, "zones")
	}
	k.store = transfer.New(transfer.Options{Dir: dir, Publish: k.publish, Dial: o.Dial, Log: o.Log, Registerer: o.Registerer})
	k.hosts = newHosts(o.Lookup, o.Log)
	return k
}

// Zones are those that serve now; nil before the first Install. It implements dns.Source.
func (k *Keeper) Zones() *dns.Zones { return k.live.Load() }

// Messages takes transfers, updates and what is signed.
func (k *Keeper) Messages() dns.Messages { return k.store }

// Build is the next generation of zones, not in service yet.
type Build struct {
	cfg   *config.Config
	deps  dns.Deps // without Data and Previous
	plans map[string]*plan
	order []string
	files *files
	zones *dns.Zones
	seen  map[string]*transfer.Change // the overlays it was compiled with
}

// Zones are the compiled zones.
func (b *Build) Zones() *dns.Zones { return b.zones }

// Errors are the zones that cannot be served as they are written; the others are not touched by that.
func (b *Build) Errors() []error {
	errs := b.files.errors()
	for _, e := range b.zones.Errors() {
		errs = append(errs, e)
	}
	return errs
}

// plan is what is to happen with one zone.
type plan struct {
	zone    *config.Zone
	file    bool // its records are those of a file, at least some
	mixed   bool // there are records of the configuration
	held    bool // the store has it: it is transferred, told about or updated
	foreign bool // all of it comes from its primaries
}

// Build reads the files that changed and compiles. It fails on mistakes of the configuration; what is wrong with a single file is in
// Errors. deps are those of dns.Compile without Data, Hosts and Previous.
func (k *Keeper) Build(cfg *config.Config, deps dns.Deps) (*Build, error) {
	k.mu.Lock()
	previous := k.current
	overlays := maps.Clone(k.overlays)
	k.mu.Unlock()
	b := &Build{cfg: cfg, deps: deps, seen: overlays}
	if err := b.read(previous); err != nil {
		return nil, err
	}
	b.deps.Hosts, b.deps.Previous = k.hosts.answer, k.live.Load()
	b.deps.Data = b.data(overlays)
	var err error
	if b.zones, err = dns.Compile(cfg, b.deps); err != nil {
		return nil, fmt.Errorf("zones: %w", err)
	}
	b.deps.Previous, b.deps.Data = nil, nil // or every generation would hold the one before
	return b, nil
}

// read reads the files and plans the zones.
func (b *Build) read(previous *Build) (err error) {
	var before *files
	if previous != nil {
		before = previous.files
	}
	if b.files, err = readFiles(b.cfg, before); err != nil {
		return err
	}
	b.plans = make(map[string]*plan, len(b.cfg.Zones)+len(b.files.folder))
	for i := range b.cfg.Zones {
		b.plan(&b.cfg.Zones[i])
	}
	for i := range b.files.folder {
		if z := &b.files.folder[i]; b.plans[z.Name] == nil {
			b.plan(z)
		}
	}
	return nil
}

func (b *Build) plan(z *config.Zone) {
	p := &plan{zone: z, file: z.File != "", mixed: len(z.Records) > 0 || z.File == "" && len(z.Primaries) == 0, foreign: len(z.Primaries) > 0}
	p.held = p.foreign || len(z.Notify) > 0 || z.Update != nil || len(z.Transfer.To) > 0 || len(z.Transfer.Keys) > 0
	b.plans[z.Name] = p
	b.order = append(b.order, z.Name)
}

// data is what zones are made of besides the configuration.
func (b *Build) data(overlays map[string]*transfer.Change) map[string]*zone.Data {
	data := make(map[string]*zone.Data, len(b.order))
	for _, name := range b.order {
		if d, has := b.dataOf(name, overlays[name]); has {
			data[name] = d
		}
	}
	for name, c := range overlays {
		if b.plans[name] == nil && !c.Gone { // a member of a catalog
			data[name] = c.Data
		}
	}
	return data
}

// dataOf is the data of one zone; has is false for one that consists of the configuration alone.
func (b *Build) dataOf(name string, c *transfer.Change) (d *zone.Data, has bool) {
	p := b.plans[name]
	switch {
	case p == nil:
		return c.Data, true
	case p.foreign:
		if c == nil {
			return nil, true // it is ours, and not there yet
		}
		return c.Data, true
	case p.file && (!p.held || c == nil):
		return b.files.get(name), true
	case p.file && !p.mixed:
		return c.Data, true
	case c == nil || c.Data == nil:
		return nil, false
	}
	d, err := lay(b.files.get(name), c)
	if err != nil {
		return b.files.get(name), p.file // what cannot be laid over is left out; lay fails on nothing that was published
	}
	return d, true
}

// lay puts what updates have done over the records of a file, which may be nil, with the serial that secondaries are told.
func lay(base *zone.Data, c *transfer.Change) (*zone.Data, error) {
	b := zone.NewBuilder(c.Data.Origin())
	gone := make(map[string]bool, len(c.Removed))
	for _, r := range c.Removed {
		gone[recordKey(&r)] = true
	}
	add := func(r zone.Record) error {
		if r.Type == typeSOA || gone[recordKey(&r)] {
			return nil
		}
		return b.Add(r)
	}
	for r := range base.Records() {
		if err := add(r); err != nil {
			return nil, err
		}
	}
	clear(gone) // what was removed and added again is there
	for _, r := range c.Added {
		if err := add(r); err != nil {
			return nil, err
		}
	}
	soa := c.Data.Find(c.Data.Origin(), typeSOA)
	if err := b.Add(zone.Record{Name: soa.Name, Type: typeSOA, TTL: soa.TTL, RData: soa.First()}); err != nil {
		return nil, err
	}
	return b.Build()
}

const typeSOA = 6

func recordKey(r *zone.Record) string {
	return string(r.Name) + string([]byte{byte(r.Type >> 8), byte(r.Type)}) + string(r.RData)
}

// Install puts a build in service and makes everything follow it: transfers, notifications, hosts. It cannot fail; what goes wrong is
// logged.
func (k *Keeper) Install(ctx context.Context, b *Build) {
	k.installing.Lock()
	defer k.installing.Unlock()
	k.install(ctx, b)
}

func (k *Keeper) install(ctx context.Context, b *Build) {
	k.mu.Lock()
	live := b.zones
	for name, c := range k.overlays {
		if b.seen[name] != c { // it changed while the build was made
			live = k.replaced(live, b, name, c)
		}
	}
	k.current = b
	k.live.Store(live)
	k.mu.Unlock()
	for _, err := range b.Errors() {
		k.log.Error("zone not served as it is written", "error", err)
	}
	k.metrics.installed(b, live)
	k.hosts.want(b.cfg)
	if dir := k.options.StateDir; dir != "" && b.held() {
		if err := os.MkdirAll(filepath.Join(dir, "zones"), 0o700); err != nil {
			k.log.Error("transferred zones and updates cannot be kept", "error", err)
		}
	}
	if err := k.store.Apply(ctx, b.transfers()); err != nil {
		k.log.Error("zones are not transferred as configured", "error", err)
	}
	k.forget(b)
	k.offer(b, true)
}

// replaced compiles one zone anew; c is what the store says of it, nil for nothing. k.mu is held.
func (k *Keeper) replaced(live *dns.Zones, b *Build, name string, c *transfer.Change) *dns.Zones {
	var next *dns.Zones
	var err error
	d, has := b.dataOf(name, c)
	switch {
	case c != nil && c.Gone && b.plans[name] == nil:
		next, err = live.Without(name)
	case !has:
		return live
	default:
		next, err = live.With(name, d)
	}
	if err != nil {
		k.log.Error("zone not served as it is now", "zone", name, "error", err)
		return live
	}
	return next
}

// publish takes what the store says in: it is called for one zone at a time, before a change is acknowledged.
func (k *Keeper) publish(changes []transfer.Change) {
	k.mu.Lock()
	defer k.mu.Unlock()
	live := k.live.Load()
	for i := range changes {
		c := &changes[i]
		name := zone.NameText(c.Name)
		k.overlays[name] = c
		if k.current != nil {
			live = k.replaced(live, k.current, name, c)
		}
		if c.Gone {
			delete(k.overlays, name)
		}
	}
	if k.current != nil {
		k.live.Store(live)
	}
}

// forget lets go of what the store said of zones that it has no more.
func (k *Keeper) forget(b *Build) {
	held := k.store.Data()
	k.mu.Lock()
	defer k.mu.Unlock()
	for name := range k.overlays {
		w, err := zone.ParseName(name)
		if _, has := held[string(w)]; err != nil || !has {
			delete(k.overlays, name)
		}
	}
	_ = b
}

// Close ends transfers and notifications. The zones go on being answered.
func (k *Keeper) Close() { k.store.Close() }

// ErrFiles is wrapped by the error of a validation that found mistakes in zone files.
var ErrFiles = errors.New("zone files have mistakes")
