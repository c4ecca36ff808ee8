package authority

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/dns/transfer"
	"github.com/meridian-edge/meridian/dns/transfer/tsig"
	"github.com/meridian-edge/meridian/dns/zone"
)

// held reports whether the store has anything to do.
func (b *Build) held() bool {
	for _, p := range b.plans {
		if p.held {
			return true
		}
	}
	return false
}

// transfers is the store's part of a configuration.
func (b *Build) transfers() transfer.Config {
	var c transfer.Config
	for i := range b.cfg.DNS.Keys {
		key := &b.cfg.DNS.Keys[i]
		c.Keys = append(c.Keys, tsig.Key{Name: key.Name, Algorithm: key.Algorithm, Secret: key.Secret.Reveal()})
	}
	for _, name := range b.order {
		p := b.plans[name]
		if !p.held {
			continue
		}
		z := transfer.Zone{
			Name: name, Primaries: peers(p.zone.Primaries), Notify: peers(p.zone.Notify), Catalog: p.zone.Catalog,
			Transfer: rules(p.zone.Transfer.To, p.zone.Transfer.Keys), JournalBytes: int(p.zone.Journal),
			MinRefresh: p.zone.RefreshMin, MaxRefresh: p.zone.RefreshMax,
		}
		if u := p.zone.Update; u != nil {
			for _, r := range rules(u.From, u.Keys) {
				g := transfer.Grant{Rule: r, Names: u.Names}
				for _, t := range u.Types {
					if typ, err := dns.ParseType(t); err == nil { // the configuration knows no other
						g.Types = append(g.Types, typ)
					}
				}
				z.Update = append(z.Update, g)
			}
		}
		if p.file && !p.mixed {
			if z.Base = b.files.get(name); z.Base == nil {
				continue // there has never been a good version
			}
		}
		c.Zones = append(c.Zones, z)
	}
	return c
}

func peers(list []config.Peer) []transfer.Peer {
	var out []transfer.Peer
	for _, p := range list {
		out = append(out, transfer.Peer{Addr: p.Address, Key: p.Key})
	}
	return out
}

// rules let in whoever holds one of the keys and is in one of the networks, as far as these are given.
func rules(networks []netip.Prefix, keys []string) []transfer.Rule {
	var out []transfer.Rule
	for _, key := range keys {
		out = append(out, transfer.Rule{Prefixes: networks, Key: key})
	}
	if len(keys) == 0 && len(networks) > 0 {
		out = []transfer.Rule{{Prefixes: networks}}
	}
	return out
}

// offer hands the store the view that plain secondaries are to have of zones that have records in the configuration: what a client that
// nothing is known of gets, now. Without all, only of those whose answers may change by themselves.
func (k *Keeper) offer(b *Build, all bool) {
	var only config.Config
	deps := b.deps
	data := map[string]*zone.Data{}
	deps.Data = data
	for i := range b.cfg.Zones {
		z := &b.cfg.Zones[i]
		p := b.plans[z.Name]
		if !p.held || !p.mixed || p.foreign || !all && !b.zones.Steered(z.Name) {
			continue
		}
		only.Zones = append(only.Zones, *z)
		if p.file {
			data[z.Name] = b.files.get(z.Name)
		}
	}
	if len(only.Zones) == 0 {
		return
	}
	// Updates are not in this view: the store lays them over it itself.
	cfg := *b.cfg
	cfg.Zones = only.Zones
	view, err := dns.Compile(&cfg, deps)
	if err != nil {
		k.log.Error("no view of zones for their secondaries", "error", err)
		return
	}
	for i := range only.Zones {
		name := only.Zones[i].Name
		data, err := view.Flatten(name, &dns.Client{})
		if err == nil {
			err = k.store.Offer(name, data)
		}
		if err != nil {
			k.log.Error("no view of a zone for its secondaries", "zone", name, "error", err)
		}
	}
}

// Run looks at zone files, health and hosts until ctx is done, and then returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.hosts.run(ctx)
	}()
	defer func() { <-done }()
	every := k.options.Watch
	if every == 0 {
		every = 2 * time.Second
	}
	var looks <-chan time.Time
	if every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		looks = t.C
	}
	health := time.NewTicker(time.Second)
	defer health.Stop()
	epoch := k.epoch()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-looks:
			if _, err := k.Look(ctx); err != nil {
				k.log.Error("zone files not served, the last good zones keep serving", "error", err)
			}
		case <-health.C:
			if now := k.epoch(); now != epoch {
				epoch = now
				if b := k.serving(); b != nil {
					k.offer(b, false)
				}
			}
		}
	}
}

func (k *Keeper) epoch() uint64 {
	if k.options.Epoch == nil {
		return 0
	}
	return k.options.Epoch()
}

// Look reads the zone files that have changed and puts their zones in service, and returns how many: at least one when there are others
// than before. On an error, which is one of all the files and not of a single zone, what serves goes on serving.
func (k *Keeper) Look(ctx context.Context) (changed int, err error) {
	// At first without the lock: with thousands of files this takes a while, and must not hold up whoever has one zone to install.
	for range looksWithoutLock {
		old := k.serving()
		found, err := peek(old)
		if err != nil || found == nil {
			return 0, err
		}
		k.installing.Lock()
		if k.serving() == old {
			defer k.installing.Unlock()
			return k.take(ctx, found)
		}
		k.installing.Unlock()
	}
	k.installing.Lock()
	defer k.installing.Unlock()
	found, err := peek(k.serving())
	if err != nil || found == nil {
		return 0, err
	}
	return k.take(ctx, found)
}

// looksWithoutLock is how often a look starts again because zones have been installed meanwhile.
const looksWithoutLock = 3

// serving is the build in service; nil before the first.
func (k *Keeper) serving() *Build {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// finding is what a look has found.
type finding struct {
	next  *Build // read, not compiled
	names []string
	same  bool // there are the same zones as before
}

// peek reads what has changed of the files of a build, which may be nil. It returns nil when nothing has.
func peek(old *Build) (*finding, error) {
	if old == nil || old.files.none() && old.cfg.DNS.ZoneFiles == nil {
		return nil, nil
	}
	f := &finding{next: &Build{cfg: old.cfg, deps: old.deps, seen: map[string]*transfer.Change{}}}
	if err := f.next.read(old); err != nil {
		return nil, err
	}
	if f.names, f.same = f.next.files.changes(old.files); f.same && len(f.names) == 0 {
		return nil, nil
	}
	return f, nil
}

// take puts what was found in service. k.installing is held.
func (k *Keeper) take(ctx context.Context, f *finding) (changed int, err error) {
	if f.same && len(f.names) <= fewChanges {
		k.compileSome(f.next, f.names)
	} else if f.next, err = k.Build(f.next.cfg, f.next.deps); err != nil {
		return 0, err
	}
	k.log.Info("zone files loaded", "changed", len(f.names), "zones", len(f.next.files.byName))
	k.install(ctx, f.next)
	return max(len(f.names), 1), nil
}

// LookAt is Look for the file of one zone: however many others there are, it takes about as long as reading that one. It reports whether
// anything has changed. The error says why the file cannot be served, or that the zone has none.
func (k *Keeper) LookAt(ctx context.Context, name string) (changed bool, err error) {
	origin, err := zone.ParseName(strings.ToLower(name))
	if err != nil {
		return false, err
	}
	name = zone.NameText(origin)
	k.installing.Lock()
	defer k.installing.Unlock()
	old := k.serving()
	if old == nil || old.plans[name] == nil || !old.plans[name].file {
		return false, fmt.Errorf("zone %s has no zone file here", name)
	}
	next := &Build{cfg: old.cfg, deps: old.deps, plans: old.plans, order: old.order}
	if next.files, err = old.files.reread(old.plans[name].zone, origin); err != nil {
		return false, err
	}
	if next.files != old.files {
		k.compileSome(next, []string{name})
		k.log.Info("zone file loaded", "zone", name)
		k.install(ctx, next)
	}
	for _, err := range next.errorsOf(name) {
		return next.files != old.files, err
	}
	return next.files != old.files, nil
}

// fewChanges are compiled one by one; more of them with everything else, in parallel.
const fewChanges = 32

// compileSome compiles the zones of some files, and shares the others with those that serve.
func (k *Keeper) compileSome(b *Build, names []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b.zones = k.live.Load()
	b.seen = maps.Clone(k.overlays)
	for _, name := range names {
		b.zones = k.replaced(b.zones, b, name, k.overlays[name])
	}
}

func (f *files) none() bool { return len(f.loads) == 0 }
