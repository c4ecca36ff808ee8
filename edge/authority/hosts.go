package authority

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
)

// Bounds of how often a host is resolved, and of how many are at a time.
const (
	hostSoonest = 5 * time.Second
	hostLatest  = time.Hour
	hostTimeout = 10 * time.Second
	hostsAtOnce = 16
)

// hosts resolves the hosts that aliases point at, in the background. What was good last stays good: a host that cannot be resolved, or
// has no address any more, never blanks a name of ours.
type hosts struct {
	lookup Lookup
	log    *slog.Logger
	known  atomic.Pointer[map[string]*host]
	news   chan struct{} // has room for one: hosts have been added
}

// host is one of them. Its answer is replaced whole.
type host struct {
	name   string
	answer atomic.Pointer[dns.HostAnswer]
	next   time.Time // belongs to run
	failed bool      // likewise: it has been said
}

func newHosts(lookup Lookup, log *slog.Logger) *hosts {
	h := &hosts{lookup: lookup, log: log, news: make(chan struct{}, 1)}
	h.known.Store(&map[string]*host{})
	return h
}

// answer implements dns.Deps.Hosts.
func (h *hosts) answer(name string) dns.HostAnswer {
	if one := (*h.known.Load())[name]; one != nil {
		if a := one.answer.Load(); a != nil {
			return *a
		}
	}
	return dns.HostAnswer{}
}

// want makes the hosts of a configuration the ones that are resolved. What is known of those that stay is kept.
func (h *hosts) want(cfg *config.Config) {
	old, next := *h.known.Load(), map[string]*host{}
	add := func(a *config.Alias) {
		if a == nil || a.Host == "" || next[a.Host] != nil {
			return
		}
		if next[a.Host] = old[a.Host]; next[a.Host] == nil {
			next[a.Host] = &host{name: a.Host}
		}
	}
	for i := range cfg.Zones {
		for j := range cfg.Zones[i].Records {
			r := &cfg.Zones[i].Records[j]
			add(r.Alias)
			for n := range r.Answers {
				add(r.Answers[n].Alias)
			}
		}
	}
	h.known.Store(&next)
	select {
	case h.news <- struct{}{}:
	default:
	}
}

// run resolves until ctx is done.
func (h *hosts) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.news:
		case <-timer.C:
		}
		timer.Reset(h.round(ctx))
	}
}

// round resolves every host that is due, and returns how long there is nothing to do.
func (h *hosts) round(ctx context.Context) time.Duration {
	var wg sync.WaitGroup
	places := make(chan struct{}, hostsAtOnce)
	now, wait := time.Now(), hostLatest
	for _, one := range *h.known.Load() {
		if h.lookup == nil || now.Before(one.next) {
			continue
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			h.resolve(ctx, one)
		})
	}
	wg.Wait()
	for _, one := range *h.known.Load() {
		if h.lookup != nil {
			wait = min(wait, time.Until(one.next))
		}
	}
	return max(wait, 0)
}

func (h *hosts) resolve(ctx context.Context, one *host) {
	limit, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	addrs, ttl, err := h.lookup(limit, one.name)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil || len(addrs) == 0:
		one.next = time.Now().Add(hostSoonest)
		if !one.failed {
			h.log.Warn("host of an alias has no address; the last good ones stay", "host", one.name, "error", err)
		}
		one.failed = true
		return
	}
	if one.failed {
		h.log.Info("host of an alias has addresses again", "host", one.name)
	}
	one.failed = false
	ttl = min(max(ttl, hostSoonest), hostLatest)
	one.next = time.Now().Add(ttl)
	one.answer.Store(&dns.HostAnswer{Addrs: sorted(addrs), TTL: uint32(ttl / time.Second)})
}

// sorted copies addresses in an order that does not depend on the resolver's.
func sorted(addrs []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		i := 0
		for i < len(out) && out[i].Less(a) {
			i++
		}
		out = append(out, netip.Addr{})
		copy(out[i+1:], out[i:])
		out[i] = a
	}
	return out
}
