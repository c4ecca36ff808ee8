package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

func (d *document) pools(top object) []Pool {
	var list []Pool
	for _, e := range top.Named("pools") {
		list = append(list, d.pool(e))
	}
	return list
}

func (d *document) pool(c cursor) Pool {
	p := Pool{Name: c.Key(), Policy: "simple"}
	o := c.Object("policy", "check", "endpoints", "discover", "max_vanish", "vanish_looks", "passive",
		"hash", "slow_start", "sticky", "panic", "min_healthy", "max_outstanding")
	o.Enum("policy", &p.Policy, "simple", "weighted", "failover", "latency", "round-robin", "least-outstanding", "hash", "least-latency")
	o.Text("check", &p.Check)
	readBalance(o, &p)
	d.discovery(o, &p)
	endpoints, found := o.Get("endpoints")
	if !found {
		if o.Absent("endpoints") && o.Absent("discover") {
			o.Missing("endpoints")
		}
		return p
	}
	items, ok := endpoints.Items()
	if ok && len(items) == 0 && !o.Has("discover") {
		endpoints.Errorf("a pool needs at least one endpoint")
	}
	seen := make(map[string]int)
	for _, item := range items {
		e, eo := d.endpoint(item)
		if line := seen[e.ID]; line > 0 && e.ID != "" {
			a, _ := eo.Get("address")
			a.Errorf("%s is already in this pool, in line %d", a.Shown(), line)
		}
		seen[e.ID] = item.Line()
		if p.Policy != "failover" && !o.Unsure("policy") {
			eo.Refuse("only a pool with policy failover has roles", "role")
		}
		p.Endpoints = append(p.Endpoints, e)
	}
	if at, written := o.Get("min_healthy"); written && len(p.Discover) == 0 && p.MinHealthy > len(p.Endpoints) && at.Clean() {
		at.Errorf("%s is more than the pool's %d endpoints", at.Unquoted(), len(p.Endpoints))
	}
	readPassive(o, &p.Passive, len(p.Endpoints))
	return p
}

func (d *document) endpoint(c cursor) (Endpoint, object) {
	e := Endpoint{Weight: 1}
	o := c.Object("address", "region", "weight", "role", "capacity")
	if a, found := o.Need("address"); found {
		readHostPort(a, &e)
	}
	o.Text("region", &e.Region)
	o.Integer("weight", &e.Weight, 0, 255)
	o.Enum("role", &e.Role, "primary", "secondary")
	o.Integer("capacity", &e.Capacity, 1, maxCapacity)
	return e, o
}

// readHostPort reads IP:port or name:port into e.
func readHostPort(c cursor, e *Endpoint) {
	s, ok := c.Text()
	if !ok {
		return
	}
	host, port, ok := c.SplitPort(s, 1)
	if ok && endpointHost(c, e, host, port) {
		e.ID = s
	}
}

// endpointHost fills in where e is dialled. It reports hosts that are neither an address nor a name.
func endpointHost(c cursor, e *Endpoint, host string, port uint16) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		if !yamldoc.Dialable(addr) {
			c.Errorf("%s is not an address one can connect to", c.Shown())
			return false
		}
		e.Address = netip.AddrPortFrom(addr.Unmap(), port)
		return true
	}
	if !yamldoc.IsHostName(host) || looksLikeIPv4(host) {
		c.Errorf("%s has neither an IP address nor a host name", c.Shown())
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
