package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

// env is what zones refer to outside themselves. What a zone asks it is noted with the zone, so that the next generation can tell
// whether it would be told the same.
type env struct {
	cfg   *config.Config
	deps  Deps
	zones map[string]*config.Zone

	mu sync.Mutex // held while Deps.Slot and Deps.Endpoint are called
}

func newEnv(cfg *config.Config, d Deps) *env {
	e := &env{cfg: cfg, deps: d, zones: make(map[string]*config.Zone, len(cfg.Zones))}
	for i := range cfg.Zones {
		if z := &cfg.Zones[i]; e.zones[z.Name] == nil {
			e.zones[z.Name] = z
		}
	}
	return e
}

// factKind is what kind of thing a zone has looked up.
type factKind uint8

const (
	factSlot        factKind = iota // of a check
	factRegion                      // its place
	factPool                        // endpoints, policy and slots
	factEdge                        // addresses, and what listens for https
	factAccelerator                 // addresses
)

// use is a fact that a zone was compiled with.
type use struct {
	kind        factKind
	name, value string
}

// fact puts a fact into words that are equal when the fact is.
func (e *env) fact(kind factKind, name string) string {
	switch kind {
	case factSlot:
		return fmt.Sprint(e.slot(name))
	case factRegion:
		point, found := e.deps.Regions[name]
		return fmt.Sprint(point, found)
	case factPool:
		policy, endpoints, found := e.pool(name)
		return fmt.Sprint(policy, endpoints, found)
	case factEdge:
		return fmt.Sprint(e.addresses(), e.cfg.Listeners.HTTPS)
	default:
		return fmt.Sprint(e.accelerator(name))
	}
}

// use notes that the zone depends on a fact.
func (b *builder) use(kind factKind, name string) {
	if !slices.ContainsFunc(b.u.uses, func(u use) bool { return u.kind == kind && u.name == name }) {
		b.u.uses = append(b.u.uses, use{kind, name, b.env.fact(kind, name)})
	}
}

func (e *env) slot(check string) steer.Slot {
	if check == "" || e.deps.Slot == nil {
		return steer.Always
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.deps.Slot(check)
}

func (e *env) endpointSlot(p *config.Pool, i int) steer.Slot {
	if e.deps.Endpoint == nil {
		return e.slot(p.Check)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.deps.Endpoint(p.Name, i)
}

// poolEndpoint is an endpoint of a pool as far as DNS goes.
type poolEndpoint struct {
	id     string
	addr   netip.Addr
	host   string // in place of addr
	region string
	point  geo.Point
	weight int
	role   string
	slot   steer.Slot
}

// pool returns a pool's policy and endpoints.
func (e *env) pool(name string) (policy string, endpoints []poolEndpoint, found bool) {
	at := slices.IndexFunc(e.cfg.Pools, func(p config.Pool) bool { return p.Name == name })
	if at < 0 {
		return "", nil, false
	}
	p := &e.cfg.Pools[at]
	for i := range p.Endpoints {
		from := &p.Endpoints[i]
		endpoints = append(endpoints, poolEndpoint{
			id: from.ID, addr: from.Address.Addr().Unmap(), host: from.Host, region: from.Region, point: e.deps.Regions[from.Region],
			weight: from.Weight, role: from.Role, slot: e.endpointSlot(p, i),
		})
	}
	return p.Policy, endpoints, true
}

// addresses are where clients reach this edge.
func (e *env) addresses() []netip.Addr {
	if len(e.cfg.Edge.Addresses) > 0 {
		return e.cfg.Edge.Addresses
	}
	var list []netip.Addr
	for _, group := range [][]netip.AddrPort{e.cfg.Listeners.HTTPS, e.cfg.Listeners.HTTP} {
		for _, l := range group {
			if a := l.Addr().Unmap(); !a.IsUnspecified() && !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list
}

// accelerator returns the addresses an accelerator listens on, nil when there is no such accelerator.
func (e *env) accelerator(name string) []netip.Addr {
	at := slices.IndexFunc(e.cfg.Accelerators, func(a config.Accelerator) bool { return a.Name == name })
	if at < 0 {
		return nil
	}
	list := []netip.Addr{}
	for _, l := range e.cfg.Accelerators[at].Listeners {
		if a := l.Address.Unmap(); !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}
