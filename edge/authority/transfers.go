package authority

import (
	"context"
	"maps"
	"net/netip"
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
			k.look(ctx)
		case <-health.C:
			if now := k.epoch(); now != epoch {
				epoch = now
				k.mu.Lock()
				b := k.current
				k.mu.Unlock()
				if b != nil {
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

// look serves zone files that have changed.
func (k *Keeper) look(ctx context.Context) {
	k.installing.Lock()
	defer k.installing.Unlock()
	k.mu.Lock()
	old := k.current
	k.mu.Unlock()
	if old == nil || old.files.none() {
		return
	}
	next := &Build{cfg: old.cfg, deps: old.deps, seen: map[string]*transfer.Change{}}
	err := next.read(old)
	changed, same := next.files.changes(old.files)
	switch {
	case err != nil:
		k.log.Error("zone files not read, the last good zones keep serving", "error", err)
		return
	case same && len(changed) == 0:
		return
	case same && len(changed) <= fewChanges:
		k.compileSome(next, changed)
	default:
		if next, err = k.Build(old.cfg, old.deps); err != nil {
			k.log.Error("zone files not served, the last good zones keep serving", "error", err)
			return
		}
	}
	k.log.Info("zone files loaded", "changed", len(changed), "zones", len(next.files.byName))
	k.install(ctx, next)
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
