package config

import (
	"net/netip"
	"time"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

func (d *document) edge(top object) Edge {
	e := Edge{Name: d.env.Hostname}
	if e.Name == "" {
		e.Name = "meridian"
	}
	c, found := top.get("edge")
	if !found {
		return e
	}
	o := c.object("name", "region")
	o.name("name", &e.Name)
	o.text("region", &e.Region)
	return e
}

func (d *document) regions(top object) []Region {
	var list []Region
	for _, e := range top.named("regions") {
		r := Region{Name: e.key.Value}
		o := e.object("lat", "lon")
		o.need("lat")
		o.need("lon")
		o.number("lat", &r.Lat, -90, 90)
		o.number("lon", &r.Lon, -180, 180)
		list = append(list, r)
	}
	return list
}

const (
	defaultCacheMemory = 256 << 20
	minCacheMemory     = 1 << 20
	minCacheDisk       = 1 << 20
	maxSize            = 1 << 60
)

func (d *document) cache(top object) Cache {
	cache := Cache{Memory: defaultCacheMemory}
	c, found := top.get("cache")
	if !found {
		return cache
	}
	o := c.object("memory", "disk")
	o.size("memory", &cache.Memory, minCacheMemory, maxSize)
	disk, found := o.get("disk")
	if !found {
		return cache
	}
	if s, ok := disk.plainSwitch(); ok && !s { // off
		return cache
	}
	cache.Disk = &Disk{}
	do := disk.object("path", "size")
	do.need("path")
	do.need("size")
	do.file("path", &cache.Disk.Path)
	do.size("size", &cache.Disk.Size, minCacheDisk, maxSize)
	return cache
}

// plainSwitch reads on and off where they stand for a whole section. It reports nothing: other values are the section.
func (c cursor) plainSwitch() (value, ok bool) {
	text := c.n.Value
	if s, is := c.d.texts[c.n]; is {
		text = s.text
	}
	if c.n.Content != nil || c.quoted() {
		return false, false
	}
	return parseSwitch(text)
}

func (d *document) geo(top object) Geo {
	var g Geo
	if c, found := top.get("geo"); found {
		c.object("database").file("database", &g.Database)
	}
	return g
}

func (d *document) log(top object) Log {
	l := Log{Level: "info", Format: "auto", Access: "stdout"}
	c, found := top.get("log")
	if !found {
		return l
	}
	o := c.object("level", "format", "access")
	o.enum("level", &l.Level, "debug", "info", "warn", "error")
	o.enum("format", &l.Format, "auto", "text", "json")
	set(o, "access", &l.Access, func(c cursor) (string, bool) {
		if on, ok := c.plainSwitch(); ok && !on {
			return "off", true
		}
		switch s, ok := c.text(); {
		case ok && (s == "stdout" || s == "off"):
			return s, true
		case ok:
			return c.filePath()
		}
		return "", false
	})
	return l
}

func defaultLimits() Limits {
	return Limits{
		HeaderBytes: 32 << 10, HeaderFields: 100, TargetBytes: 8 << 10,
		HeaderTimeout: 10 * time.Second, IdleTimeout: 60 * time.Second, BodyBytes: 100 << 20,
		Connections: 50_000, PerClient: 256, DrainTimeout: 30 * time.Second,
		DNSTCPClients: 4096, DNSTCPPerPeer: 16,
		OriginConns: 256, OriginAttempts: 3, RetryPercent: 10,
	}
}

func (d *document) limits(top object) Limits {
	l := defaultLimits()
	c, found := top.get("limits")
	if !found {
		return l
	}
	o := c.object("header_bytes", "header_fields", "target_bytes", "header_timeout", "idle_timeout", "body_bytes",
		"connections", "per_client", "drain_timeout", "dns_tcp_clients", "dns_tcp_per_peer", "origin_conns",
		"origin_attempts", "retry_percent")
	bytes := func(key string, into *int, hi int64) {
		v := int64(*into)
		if o.size(key, &v, 1<<10, hi) {
			*into = int(v)
		}
	}
	bytes("header_bytes", &l.HeaderBytes, 1<<20)
	o.integer("header_fields", &l.HeaderFields, 1, 10_000)
	bytes("target_bytes", &l.TargetBytes, 1<<20)
	o.duration("header_timeout", &l.HeaderTimeout, 10*time.Millisecond, time.Hour)
	o.duration("idle_timeout", &l.IdleTimeout, 10*time.Millisecond, day)
	o.size("body_bytes", &l.BodyBytes, 1, maxSize)
	o.integer("connections", &l.Connections, 1, 10_000_000)
	o.integer("per_client", &l.PerClient, 1, 10_000_000)
	o.duration("drain_timeout", &l.DrainTimeout, time.Millisecond, day)
	o.integer("dns_tcp_clients", &l.DNSTCPClients, 1, 1_000_000)
	o.integer("dns_tcp_per_peer", &l.DNSTCPPerPeer, 1, 1_000_000)
	o.integer("origin_conns", &l.OriginConns, 1, 1_000_000)
	o.integer("origin_attempts", &l.OriginAttempts, 1, 100)
	o.number("retry_percent", &l.RetryPercent, 0.01, 100)
	return l
}

func (d *document) trustedProxies(top object) []netip.Prefix {
	c, found := top.get("trusted_proxies")
	if !found {
		return nil
	}
	items, _ := c.items()
	list := make([]netip.Prefix, 0, len(items))
	for _, item := range items {
		p, _ := item.prefix()
		list = append(list, p) // an invalid one keeps the positions of the others
	}
	return list
}

// prefix reads a network, or an address as the network of that address alone.
func (c cursor) prefix() (netip.Prefix, bool) {
	s, ok := c.text()
	if !ok {
		return netip.Prefix{}, false
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		c.errorf("%s is not a network", c.shown()).hint("write it as 192.0.2.0/24 or 2001:db8::/32")
	case p != p.Masked():
		m := c.errorf("%s has bits set behind its prefix length", c.shown())
		if !c.secret() {
			m.hint("did you mean %q?", p.Masked())
		}
	default:
		return p, true
	}
	return netip.Prefix{}, false
}
