package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	maxPortRanges = 10  // of a listener, as in Global Accelerator
	fullDial      = 100 // percent
	defaultWeight = 128 // of a group's endpoint
)

// accelerators also returns the checks written in place.
func (d *document) accelerators(top object) ([]Accelerator, []Check) {
	var list []Accelerator
	var inline []Check
	for _, e := range top.named("accelerators") {
		a, checks := d.accelerator(e)
		list, inline = append(list, a), append(inline, checks...)
	}
	return list, inline
}

func (d *document) accelerator(c cursor) (Accelerator, []Check) {
	a := Accelerator{Name: c.key.Value, Affinity: "none", Line: c.key.Line}
	o := c.object("affinity", "listeners", "groups")
	o.enum("affinity", &a.Affinity, "none", "source-ip")
	if l, found := o.need("listeners"); found {
		a.Listeners = d.acceleratorListeners(l)
	}
	groups, found := o.need("groups")
	if !found {
		return a, nil
	}
	items, ok := groups.items()
	if ok && len(items) == 0 {
		groups.errorf("an accelerator needs at least one group")
	}
	var inline []Check
	regions := make(map[string]int)
	sure := !o.unsure("listeners") // ports can be checked against the listeners
	for _, item := range items {
		g, check, at := d.group(item)
		if line := regions[g.Region]; line > 0 && g.Region != "" {
			region, _ := at.get("region")
			region.errorf("the group of this region is in line %d", line).hint("an accelerator has one group for each region")
		}
		regions[g.Region] = item.n.Line
		if sure {
			d.checkPorts(at, g, a.Listeners)
		}
		a.Groups, inline = append(a.Groups, g), append(inline, check...)
	}
	return a, inline
}

func (d *document) acceleratorListeners(c cursor) []AcceleratorListener {
	items, ok := c.items()
	if ok && len(items) == 0 {
		c.errorf("an accelerator needs at least one listener")
	}
	var list []AcceleratorListener
	for _, item := range items {
		var l AcceleratorListener
		o := item.object("protocol", "address", "ports")
		for _, key := range []string{"protocol", "address", "ports"} {
			o.need(key)
		}
		o.enum("protocol", &l.Protocol, "tcp", "udp")
		set(o, "address", &l.Address, cursor.address)
		set(o, "ports", &l.Ports, cursor.portRanges)
		list = append(list, l)
	}
	return list
}

// address reads an IP address without a port.
func (c cursor) address() (netip.Addr, bool) {
	s, ok := c.text()
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		m := c.errorf("%s is not an IP address", c.shown())
		if _, err := netip.ParseAddrPort(s); err == nil {
			m.hint("without a port: it stands in ports")
		}
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

func (c cursor) portRanges() ([]PortRange, bool) {
	items, ok := c.items()
	switch {
	case ok && len(items) == 0:
		c.errorf("must not be empty")
	case len(items) > maxPortRanges:
		c.errorf("a listener has at most %d port ranges, not %d", maxPortRanges, len(items))
	}
	list := make([]PortRange, 0, len(items))
	for _, item := range items {
		r, _ := item.portRange()
		list = append(list, r)
	}
	return list, ok
}

func (c cursor) portRange() (PortRange, bool) {
	s, ok := c.scalar()
	if !ok {
		return PortRange{}, false
	}
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	from, fromOK := parsePort(low)
	to, toOK := parsePort(high)
	switch {
	case !isDigits(low) || !isDigits(high):
		c.errorf("%s is not a range of ports", c.shown()).hint("write it as 443 or 7000-7010")
	case !fromOK || !toOK:
		c.errorf("%s is out of range, 1 to 65535", c.unquoted())
	case from > to:
		c.errorf("%s ends before it begins", c.shown())
	default:
		return PortRange{from, to}, true
	}
	return PortRange{}, false
}

func parsePort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0
}

func (d *document) group(c cursor) (Group, []Check, object) {
	g := Group{Dial: fullDial}
	o := c.object("region", "dial", "check", "endpoints")
	o.need("region")
	o.text("region", &g.Region)
	o.number("dial", &g.Dial, 0, fullDial)
	var inline []Check
	if check, found := o.get("check"); found {
		if check.single() {
			g.Check, _ = check.text()
		} else {
			k := d.check(check, check.path)
			k.Inline = true
			inline, g.Check = []Check{k}, k.Name
		}
	}
	endpoints, found := o.need("endpoints")
	if !found {
		return g, inline, o
	}
	items, ok := endpoints.items()
	if ok && len(items) == 0 {
		endpoints.errorf("a group needs at least one endpoint")
	}
	for _, item := range items {
		g.Endpoints = append(g.Endpoints, d.groupEndpoint(item))
	}
	return g, inline, o
}

func (d *document) groupEndpoint(c cursor) GroupEndpoint {
	e := GroupEndpoint{Weight: defaultWeight}
	o := c.object("address", "weight", "ports")
	if address, found := o.need("address"); found {
		a, ok := address.address()
		if ok && !dialable(a) {
			address.errorf("%s is not an address one can connect to", address.shown())
			a = netip.Addr{}
		}
		e.Address = a
	}
	o.integer("weight", &e.Weight, 0, 255)
	ports, found := o.get("ports")
	if !found {
		return e
	}
	entries, _ := ports.entries()
	e.Ports = make(map[uint16]uint16, len(entries))
	for _, p := range entries {
		from, ok := parsePort(p.key.Value)
		if !ok || !isDigits(p.key.Value) {
			p.errorAt(p.key, p.path, "is not a port, 1 to 65535")
		}
		if to, toOK := p.integer(1, 65535); ok && toOK {
			e.Ports[from] = uint16(to)
		}
	}
	return e
}

// checkPorts checks a group's port maps against the listeners of its accelerator: a mapped port is one that a listener has, and
// leads outside all of them, as Global Accelerator's port overrides; and no endpoint is a listener itself (attack row L04).
func (d *document) checkPorts(group object, g Group, listeners []AcceleratorListener) {
	endpoints, found := group.get("endpoints")
	if !found {
		return
	}
	for i, e := range g.Endpoints {
		item := endpoints.item(i)
		for from, to := range e.Ports {
			item.portOverride(from, to, listeners)
		}
		if l, loops := loopsTo(e, listeners); loops && d.clean(item.path) {
			item.errorf("a port that is not mapped would be forwarded to the accelerator's own %s listener", l.Protocol).
				hint("choose another address, or map every port under ports")
		}
	}
}

// portOverride checks one pair of an endpoint's port map; c is the endpoint.
func (c cursor) portOverride(from, to uint16, listeners []AcceleratorListener) {
	at := c
	if ports, ok := c.step("ports"); ok {
		at = ports
	}
	if pair, ok := at.step(strconv.Itoa(int(from))); ok { // not when it is written with leading zeros
		at = pair
	}
	if !slices.ContainsFunc(listeners, func(l AcceleratorListener) bool { return l.has(from) }) {
		at.errorAt(at.key, at.path, "no listener of this accelerator has this port")
	}
	if slices.ContainsFunc(listeners, func(l AcceleratorListener) bool { return l.has(to) }) {
		at.errorf("the endpoint's port is inside a listener's own range").
			hint("an endpoint's port must differ from every port of the accelerator")
	}
}

// loopsTo returns a listener that one of its ports leads back to through e.
func loopsTo(e GroupEndpoint, listeners []AcceleratorListener) (AcceleratorListener, bool) {
	for _, l := range listeners {
		if !e.Address.IsValid() || l.Address != e.Address {
			continue
		}
		for _, r := range l.Ports {
			for port := int(r.From); port <= int(r.To) && port > 0; port++ {
				if _, mapped := e.Ports[uint16(port)]; !mapped {
					return l, true
				}
			}
		}
	}
	return AcceleratorListener{}, false
}

func (l AcceleratorListener) has(port uint16) bool {
	return slices.ContainsFunc(l.Ports, func(r PortRange) bool { return r.From <= port && port <= r.To })
}
