package healthcheck

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/steer"
)

// Plan is the checks of one configuration, resolved to slots. It is immutable and part of a snapshot.
type Plan struct {
	pools  map[string][]steer.Slot
	checks map[string]steer.Slot
	groups map[string][][]steer.Slot

	names   map[steer.Slot][]string  // sorted names of the checks that use a slot
	targets map[steer.Slot]*planned  // what is to be probed
	members []plannedMember          // the endpoints of pools and accelerators
	judged  map[scope]config.Passive // pools and groups whose endpoints are judged by the requests they serve
	watches map[scope]*Watch
	regions map[string][]string // of the groups of accelerators

	inForce map[string]config.Check // by name: what decides
	edits   []*edit                 // what is to decide when it has proven itself
}

// plannedMember is an endpoint of a pool or accelerator, and the check it depends on.
type plannedMember struct {
	slot, check steer.Slot // check may be steer.Always
}

// planned is one probe and how often it is made.
type planned struct {
	slot     steer.Slot // never an inverted one
	hash     uint64     // of the key: its phase
	ask      ask
	settings settings
	names    []string // of the checks that use the result, inverted ones included; sorted
	shadow   bool     // it is only tried
}

// settings is what may change without changing the verdict.
type settings struct {
	interval, timeout time.Duration
	rules             rules
}

// newRules reads how a check counts.
func newRules(c *config.Check) rules {
	r := rules{rise: cmp.Or(max(c.Rise, 0), defaultRise), fall: cmp.Or(max(c.Fall, 0), defaultFall)}
	if n := c.Count; n != nil {
		r.rise, r.fall, r.ok = max(n.Up, 1), max(n.Down, 1), max(n.OK, 1)
	}
	if h := c.HoldDown; h != nil {
		r.hold = hold{least: h.Min, most: h.Max, halfLife: h.HalfLife}
	}
	return r
}

// NewPlan resolves every check of a configuration: at each endpoint of the pools and accelerator groups that use it, and at
// its own target when it has one, even if nothing uses it. It allocates slots on the board and does nothing else.
//
// Checks that ask the same of the same endpoint share one probe; the one with the shortest interval decides interval,
// timeout, rise and fall for all of them. An accelerator's endpoint is probed at the port its first TCP
// listener leads to, or its first UDP listener for a probe over UDP.
//
// A check whose question differs from that of the applied plan (see Board.Edits) is planned as it was, and tried beside it.
func NewPlan(cfg *config.Config, board *Board) *Plan {
	b := planner{
		board:  board,
		byName: map[string]*config.Check{},
		plan: &Plan{
			pools: map[string][]steer.Slot{}, checks: map[string]steer.Slot{}, groups: map[string][][]steer.Slot{},
			names: map[steer.Slot][]string{}, targets: map[steer.Slot]*planned{},
			judged: map[scope]config.Passive{}, watches: map[scope]*Watch{}, regions: map[string][]string{}, inForce: map[string]config.Check{},
		},
	}
	decide, waiting := make([]config.Check, len(cfg.Checks)), make([]*edit, len(cfg.Checks))
	for i := range cfg.Checks {
		decide[i], waiting[i] = b.inForce(&cfg.Checks[i])
		b.byName[decide[i].Name] = &decide[i]
		b.plan.inForce[decide[i].Name] = decide[i]
	}
	b.named(decide)
	b.pools(cfg.Pools)
	for i := range cfg.Accelerators {
		b.accelerator(&cfg.Accelerators[i])
	}
	for slot, names := range b.plan.names {
		slices.Sort(names)
		b.plan.names[slot] = slices.Compact(names)
	}
	for _, t := range b.plan.targets {
		slices.Sort(t.names)
		t.names = slices.Compact(t.names)
	}
	for i, e := range waiting {
		if e != nil {
			b.trial(cfg, &cfg.Checks[i], e)
		}
	}
	return b.plan
}

// Endpoint returns the slot of the i-th endpoint of a pool, steer.Always when the pool is not known. The slot follows the
// pool's check when there is one; beyond it, the operator's word about the endpoint and what its requests came to count.
func (p *Plan) Endpoint(pool string, i int) steer.Slot { return at(p.pools[pool], i) }

// Check returns the slot of a check with a target of its own or of a calculated one, for DNS answers. It is steer.Always for
// "", for a name that is not known, and for a check that is probed only at the endpoints of pools.
func (p *Plan) Check(name string) steer.Slot {
	if slot, found := p.checks[name]; found {
		return slot
	}
	return steer.Always
}

// Group returns the slot of an endpoint of an accelerator's group, steer.Always when the group is not known.
func (p *Plan) Group(accelerator string, group, endpoint int) steer.Slot {
	groups := p.groups[accelerator]
	if group < 0 || group >= len(groups) {
		return steer.Always
	}
	return at(groups[group], endpoint)
}

func at(slots []steer.Slot, i int) steer.Slot {
	if i < 0 || i >= len(slots) {
		return steer.Always
	}
	return slots[i]
}

// planner fills a Plan.
type planner struct {
	board  *Board
	byName map[string]*config.Check
	plan   *Plan
	within string // sets the verdicts of a trial apart from those in force, where only the patience differs
}

// named resolves the checks that stand for themselves, the calculated ones last because they count the others.
func (b *planner) named(checks []config.Check) {
	for i := range checks {
		if c := &checks[i]; c.Type != "calculated" && standsAlone(c) {
			b.plan.checks[c.Name] = b.probed(c, "")
		}
	}
	calculated := map[string]steer.Slot{}
	for i := range checks {
		if c := &checks[i]; c.Type == "calculated" {
			calculated[c.Name] = b.calculated(c)
		}
	}
	for name, slot := range calculated { // only now: a calculated check cannot count another, which config refuses anyway
		b.plan.checks[name] = slot
	}
}

// standsAlone reports whether a check means something without an endpoint: it has an address, or sends no probe.
func standsAlone(c *config.Check) bool { return c.Target.IsValid() || c.Disabled || c.Type == "manual" }

func (b *planner) calculated(c *config.Check) steer.Slot {
	if c.Disabled {
		return b.disabled(c, "")
	}
	children := make([]steer.Slot, len(c.Of))
	for i, name := range c.Of {
		children[i] = b.plan.Check(name)
	}
	slot := b.board.calculatedSlot(c.AtLeast, children, c.Inverted)
	b.plan.names[slot] = append(b.plan.names[slot], c.Name)
	return slot
}

// pools resolves the checks of pools. A slot that only discovered endpoints have must be proven.
func (b *planner) pools(pools []config.Pool) {
	written := map[steer.Slot]bool{}
	for _, p := range pools {
		for i := range p.Endpoints {
			under := b.slot(p.Check, endpointText(&p.Endpoints[i]))
			written[under] = written[under] || !p.Endpoints[i].Discovered
		}
	}
	for slot, is := range written {
		if !is {
			b.board.prove(slot)
		}
	}
	for i := range pools { // after the proving: an endpoint's own slot follows that of its check
		p := &pools[i]
		slots := make([]steer.Slot, len(p.Endpoints))
		for j := range p.Endpoints {
			slots[j] = b.member(scope{pool: true, name: p.Name}, p.Check, endpointText(&p.Endpoints[j]))
		}
		b.plan.pools[p.Name] = slots
		b.watch(scope{pool: true, name: p.Name}, &p.Passive, slots)
	}
}

func (b *planner) accelerator(a *config.Accelerator) {
	groups := make([][]steer.Slot, len(a.Groups))
	for i, g := range a.Groups {
		in := scope{name: a.Name, group: g.Region}
		groups[i] = make([]steer.Slot, len(g.Endpoints))
		port := probePort(a.Listeners, b.byName[g.Check])
		for j, e := range g.Endpoints {
			groups[i][j] = b.member(in, g.Check, groupEndpointText(&e, port))
		}
		b.watch(in, &g.Passive, groups[i])
		b.plan.regions[a.Name] = append(b.plan.regions[a.Name], g.Region)
	}
	b.plan.groups[a.Name] = groups
}

// probePort is the listener port whose way to an endpoint a probe takes: the first of the probe's own protocol, and without
// one the first of the other.
func probePort(listeners []config.AcceleratorListener, c *config.Check) uint16 {
	protocols := []string{"tcp", "udp"}
	if c != nil && (c.Type == "udp" || c.Type == "dns") {
		slices.Reverse(protocols)
	}
	for _, protocol := range protocols {
		for _, l := range listeners {
			if l.Protocol == protocol && len(l.Ports) > 0 {
				return l.Ports[0].From
			}
		}
	}
	return 0
}

// member resolves an endpoint: a slot of its own, which follows that of its check.
func (b *planner) member(in scope, check, endpoint string) steer.Slot {
	under := b.slot(check, endpoint)
	slot := b.board.memberSlot(in, endpoint, under)
	b.plan.members = append(b.plan.members, plannedMember{slot: slot, check: under})
	return slot
}

// watch resolves how the endpoints of a pool or group are judged by the requests they serve.
func (b *planner) watch(in scope, p *config.Passive, slots []steer.Slot) {
	if !p.On() {
		return
	}
	b.plan.judged[in] = *p
	b.plan.watches[in] = b.board.watch(p, slots)
}

// Watch returns what is to hear how requests to a pool's endpoints end; nil, which hears nothing, when the pool is not judged
// by them or is not known.
func (p *Plan) Watch(pool string) *Watch { return p.watches[scope{pool: true, name: pool}] }

// WatchGroup is Watch for a group of an accelerator, by the index of the group; its endpoints go by theirs. A connection that
// cannot be opened, or a datagram that is refused, is a GatewayError, and one that carried data a Good outcome.
func (p *Plan) WatchGroup(accelerator string, group int) *Watch {
	regions := p.regions[accelerator]
	if group < 0 || group >= len(regions) {
		return nil
	}
	return p.watches[scope{name: accelerator, group: regions[group]}]
}

// slot resolves a check by name at an endpoint.
func (b *planner) slot(check, endpoint string) steer.Slot {
	c := b.byName[check]
	switch {
	case c == nil:
		return steer.Always
	case c.Type == "calculated":
		return b.plan.Check(check)
	}
	return b.probed(c, endpoint)
}

// probed resolves a check that is not calculated; its own target goes before the endpoint.
func (b *planner) probed(c *config.Check, endpoint string) steer.Slot {
	if c.Target.IsValid() {
		endpoint = addrText(c.Target)
	}
	if host, _, err := net.SplitHostPort(endpoint); err == nil && c.Port != 0 {
		endpoint = net.JoinHostPort(host, strconv.Itoa(int(c.Port)))
	}
	if c.Disabled {
		return b.disabled(c, endpoint)
	}
	a := newAsk(c, endpoint)
	k := Key{Endpoint: endpoint, Check: a.fingerprint() + b.within}
	slot := b.board.Slot(k)
	s := newSettings(c)
	t := b.plan.targets[slot]
	if t == nil {
		t = &planned{slot: slot, hash: k.hash(), ask: a, settings: s}
		b.plan.targets[slot] = t
	}
	if s.interval < t.settings.interval {
		t.settings = s
	}
	t.names = append(t.names, c.Name)
	if c.Inverted {
		slot = b.board.Slot(Key{Endpoint: endpoint, Check: invertedPrefix + k.Check})
	}
	b.plan.names[slot] = append(b.plan.names[slot], c.Name)
	return slot
}

// disabled is the constant slot of a check that is never probed: up, or down when inverted.
func (b *planner) disabled(c *config.Check, endpoint string) steer.Slot {
	k := Key{Endpoint: endpoint, Check: disabledCheck}
	if c.Inverted {
		k.Check = invertedPrefix + disabledCheck
	}
	slot := b.board.Slot(k)
	b.plan.names[slot] = append(b.plan.names[slot], c.Name)
	return slot
}

// newSettings reads the settings of a check. Zeroes become the defaults, and a timeout that does not fit into the interval is
// halved to fit, so that probes of one endpoint never overlap.
func newSettings(c *config.Check) settings {
	s := settings{interval: c.Interval, timeout: c.Timeout, rules: newRules(c)}
	if s.interval <= 0 {
		s.interval = defaultInterval
	}
	if s.timeout <= 0 {
		s.timeout = defaultTimeout
	}
	if s.timeout >= s.interval {
		s.timeout = s.interval / 2
	}
	return s
}

// groupEndpointText is where an accelerator's probe of an endpoint goes: the way of the flows to a listener's port.
func groupEndpointText(e *config.GroupEndpoint, port uint16) string {
	if to, mapped := e.Ports[port]; mapped {
		port = to
	}
	return addrText(netip.AddrPortFrom(e.Address, port))
}

func endpointText(e *config.Endpoint) string {
	if e.Host != "" {
		return net.JoinHostPort(strings.ToLower(e.Host), strconv.Itoa(int(e.Port)))
	}
	return addrText(e.Address)
}

func addrText(a netip.AddrPort) string {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()
}
