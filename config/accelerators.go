package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-edge/meridian/internal/yamldoc"
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
	for _, e := range top.Named("accelerators") {
		a, checks := d.accelerator(e)
		list, inline = append(list, a), append(inline, checks...)
	}
	return list, inline
}

func (d *document) accelerator(c cursor) (Accelerator, []Check) {
	a := Accelerator{Name: c.Key(), Affinity: "none", Line: c.KeyLine()}
	o := c.Object("affinity", "listeners", "groups")
	o.Enum("affinity", &a.Affinity, "none", "source-ip")
	if l, found := o.Need("listeners"); found {
		a.Listeners = d.acceleratorListeners(l)
	}
	groups, found := o.Need("groups")
	if !found {
		return a, nil
	}
	items, ok := groups.Items()
	if ok && len(items) == 0 {
		groups.Errorf("an accelerator needs at least one group")
	}
	var inline []Check
	regions := make(map[string]int)
	sure := !o.Unsure("listeners") // ports can be checked against the listeners
	for _, item := range items {
		g, check, at := d.group(item)
		if line := regions[g.Region]; line > 0 && g.Region != "" {
			region, _ := at.Get("region")
			region.Errorf("the group of this region is in line %d", line).Hint("an accelerator has one group for each region")
		}
		regions[g.Region] = item.Line()
		if sure {
			d.checkPorts(at, g, a.Listeners)
		}
		a.Groups, inline = append(a.Groups, g), append(inline, check...)
	}
	return a, inline
}

func (d *document) acceleratorListeners(c cursor) []AcceleratorListener {
	items, ok := c.Items()
	if ok && len(items) == 0 {
		c.Errorf("an accelerator needs at least one listener")
	}
	var list []AcceleratorListener
	for _, item := range items {
		var l AcceleratorListener
		o := item.Object("protocol", "address", "ports")
		for _, key := range []string{"protocol", "address", "ports"} {
			o.Need(key)
		}
		o.Enum("protocol", &l.Protocol, "tcp", "udp")
		yamldoc.Set(o, "address", &l.Address, readAddress)
		yamldoc.Set(o, "ports", &l.Ports, readPortRanges)
		list = append(list, l)
	}
	return list
}

// readAddress reads an IP address without a port.
func readAddress(c cursor) (netip.Addr, bool) {
	s, ok := c.Text()
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		m := c.Errorf("%s is not an IP address", c.Shown())
		if _, err := netip.ParseAddrPort(s); err == nil {
			m.Hint("without a port: it stands in ports")
		}
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

func readPortRanges(c cursor) ([]PortRange, bool) {
	items, ok := c.Items()
	switch {
	case ok && len(items) == 0:
		c.Errorf("must not be empty")
	case len(items) > maxPortRanges:
		c.Errorf("a listener has at most %d port ranges, not %d", maxPortRanges, len(items))
	}
	list := make([]PortRange, 0, len(items))
	for _, item := range items {
		r, _ := readPortRange(item)
		list = append(list, r)
	}
	return list, ok
}

func readPortRange(c cursor) (PortRange, bool) {
	s, ok := c.Scalar()
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
		c.Errorf("%s is not a range of ports", c.Shown()).Hint("write it as 443 or 7000-7010")
	case !fromOK || !toOK:
		c.Errorf("%s is out of range, 1 to 65535", c.Unquoted())
	case from > to:
		c.Errorf("%s ends before it begins", c.Shown())
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
	o := c.Object("region", "dial", "check", "endpoints", "passive")
	o.Need("region")
	o.Text("region", &g.Region)
	o.Number("dial", &g.Dial, 0, fullDial)
	var inline []Check
	if check, found := o.Get("check"); found {
		if check.Single() {
			g.Check, _ = check.Text()
		} else {
			k := d.check(check, check.Path())
			k.Inline = true
			inline, g.Check = []Check{k}, k.Name
		}
	}
	endpoints, found := o.Need("endpoints")
	if !found {
		return g, inline, o
	}
	items, ok := endpoints.Items()
	if ok && len(items) == 0 {
		endpoints.Errorf("a group needs at least one endpoint")
	}
	for _, item := range items {
		g.Endpoints = append(g.Endpoints, d.groupEndpoint(item))
	}
	readPassive(o, &g.Passive, len(g.Endpoints))
	return g, inline, o
}

func (d *document) groupEndpoint(c cursor) GroupEndpoint {
	e := GroupEndpoint{Weight: defaultWeight}
	o := c.Object("address", "weight", "ports")
	if address, found := o.Need("address"); found {
		a, ok := readAddress(address)
		if ok && !yamldoc.Dialable(a) {
			address.Errorf("%s is not an address one can connect to", address.Shown())
			a = netip.Addr{}
		}
		e.Address = a
	}
	o.Integer("weight", &e.Weight, 0, 255)
	ports, found := o.Get("ports")
	if !found {
		return e
	}
	entries, _ := ports.Entries()
	e.Ports = make(map[uint16]uint16, len(entries))
	for _, p := range entries {
		from, ok := parsePort(p.Key())
		if !ok || !isDigits(p.Key()) {
			p.KeyError("is not a port, 1 to 65535")
		}
		if to, toOK := p.Integer(1, 65535); ok && toOK {
			e.Ports[from] = uint16(to)
		}
	}
	return e
}

// checkPorts checks a group's port maps against the listeners of its accelerator: a mapped port is one that a listener has, and
// leads outside all of them, as Global Accelerator's port overrides; and no endpoint is a listener itself (attack row L04).
func (d *document) checkPorts(group object, g Group, listeners []AcceleratorListener) {
	endpoints, found := group.Get("endpoints")
	if !found {
		return
	}
	for i, e := range g.Endpoints {
		item := endpoints.Item(i)
		for from, to := range e.Ports {
			portOverride(item, from, to, listeners)
		}
		if l, loops := loopsTo(e, listeners); loops && item.Clean() {
			item.Errorf("a port that is not mapped would be forwarded to the accelerator's own %s listener", l.Protocol).
				Hint("choose another address, or map every port under ports")
		}
	}
}

// portOverride checks one pair of an endpoint's port map; c is the endpoint.
func portOverride(c cursor, from, to uint16, listeners []AcceleratorListener) {
	at := c
	if ports, ok := c.Step("ports"); ok {
		at = ports
	}
	if pair, ok := at.Step(strconv.Itoa(int(from))); ok { // not when it is written with leading zeros
		at = pair
	}
	if !slices.ContainsFunc(listeners, func(l AcceleratorListener) bool { return l.has(from) }) {
		at.KeyError("no listener of this accelerator has this port")
	}
	if slices.ContainsFunc(listeners, func(l AcceleratorListener) bool { return l.has(to) }) {
		at.Errorf("the endpoint's port is inside a listener's own range").
			Hint("an endpoint's port must differ from every port of the accelerator")
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
