package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

func (d *document) pools(top object) []Pool {
	var list []Pool
	for _, e := range top.named("pools") {
		list = append(list, d.pool(e))
	}
	return list
}

func (d *document) pool(c cursor) Pool {
	p := Pool{Name: c.key.Value, Policy: "simple"}
	o := c.object("policy", "check", "endpoints")
	o.enum("policy", &p.Policy, "simple", "weighted", "failover", "latency")
	o.text("check", &p.Check)
	endpoints, found := o.need("endpoints")
	if !found {
		return p
	}
	items, ok := endpoints.items()
	if ok && len(items) == 0 {
		endpoints.errorf("a pool needs at least one endpoint")
	}
	seen := make(map[string]int)
	for _, item := range items {
		e, eo := d.endpoint(item)
		if line := seen[e.ID]; line > 0 && e.ID != "" {
			a, _ := eo.get("address")
			a.errorf("%s is already in this pool, in line %d", a.shown(), line)
		}
		seen[e.ID] = item.n.Line
		if p.Policy != "failover" && !o.unsure("policy") {
			eo.refuse("only a pool with policy failover has roles", "role")
		}
		p.Endpoints = append(p.Endpoints, e)
	}
	return p
}

func (d *document) endpoint(c cursor) (Endpoint, object) {
	e := Endpoint{Weight: 1}
	o := c.object("address", "region", "weight", "role")
	if a, found := o.need("address"); found {
		a.hostPort(&e)
	}
	o.text("region", &e.Region)
	o.integer("weight", &e.Weight, 0, 255)
	o.enum("role", &e.Role, "primary", "secondary")
	return e, o
}

// hostPort reads IP:port or name:port into e.
func (c cursor) hostPort(e *Endpoint) {
	s, ok := c.text()
	if !ok {
		return
	}
	host, port, ok := c.splitPort(s, 1)
	if ok && c.endpointHost(e, host, port) {
		e.ID = s
	}
}

// endpointHost fills in where e is dialled. It reports hosts that are neither an address nor a name.
func (c cursor) endpointHost(e *Endpoint, host string, port uint16) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		if !dialable(addr) {
			c.errorf("%s is not an address one can connect to", c.shown())
			return false
		}
		e.Address = netip.AddrPortFrom(addr.Unmap(), port)
		return true
	}
	if !isHostName(host) || looksLikeIPv4(host) {
		c.errorf("%s has neither an IP address nor a host name", c.shown())
		return false
	}
	e.Host, e.Port = strings.ToLower(strings.TrimSuffix(host, ".")), port
	return true
}

// looksLikeIPv4 tells a mistyped address such as 192.0.2.300 from a name: no top-level domain is a number (RFC 1123 §2.1).
func looksLikeIPv4(host string) bool {
	return isDigits(host[strings.LastIndexByte(host, '.')+1:])
}

// joinHostPort is host:port, with brackets where IPv6 needs them.
func joinHostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
