package config

import (
	"net/netip"
	"slices"
	"time"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

func (d *document) edge(top object) Edge {
	e := Edge{Name: d.hostname}
	if e.Name == "" {
		e.Name = "meridian"
	}
	c, found := top.Get("edge")
	if !found {
		return e
	}
	o := c.Object("name", "region", "addresses")
	o.Name("name", &e.Name)
	o.Text("region", &e.Region)
	if list, found := o.Get("addresses"); found {
		e.Addresses = readEdgeAddresses(list)
	}
	return e
}

// readEdgeAddresses reads the addresses that clients reach this edge at.
func readEdgeAddresses(c cursor) []netip.Addr {
	items, ok := c.Items()
	if ok && len(items) == 0 {
		c.Errorf("must not be empty").Hint("without the key they are those of the listeners")
	}
	list := make([]netip.Addr, 0, len(items))
	for _, item := range items {
		a, ok := readAddress(item)
		switch {
		case !ok:
			continue
		case !yamldoc.Dialable(a) || a.Zone() != "":
			item.Errorf("%s is not an address one can connect to", item.Shown())
		case slices.Contains(list, a):
			item.Errorf("%s is listed twice", item.Shown())
		}
		list = append(list, a)
	}
	return list
}

func (d *document) regions(top object) []Region {
	var list []Region
	for _, e := range top.Named("regions") {
		r := Region{Name: e.Key()}
		o := e.Object("lat", "lon")
		o.Need("lat")
		o.Need("lon")
		o.Number("lat", &r.Lat, -90, 90)
		o.Number("lon", &r.Lon, -180, 180)
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
	cache := Cache{Memory: defaultCacheMemory, TagFields: []string{"surrogate-key", "cache-tag"}}
	c, found := top.Get("cache")
	if !found {
		return cache
	}
	o := c.Object("memory", "tag_fields", "disk")
	o.Size("memory", &cache.Memory, minCacheMemory, maxSize)
	yamldoc.Set(o, "tag_fields", &cache.TagFields, readHeaderNames)
	disk, found := o.Get("disk")
	if !found {
		return cache
	}
	if s, ok := disk.PlainSwitch(); ok && !s { // off
		return cache
	}
	cache.Disk = &Disk{}
	do := disk.Object("path", "size")
	do.Need("path")
	do.Need("size")
	do.File("path", &cache.Disk.Path)
	do.Size("size", &cache.Disk.Size, minCacheDisk, maxSize)
	return cache
}

func (d *document) log(top object) Log {
	l := Log{Level: "info", Format: "auto", Access: "stdout"}
	c, found := top.Get("log")
	if !found {
		return l
	}
	o := c.Object("level", "format", "access")
	o.Enum("level", &l.Level, "debug", "info", "warn", "error")
	o.Enum("format", &l.Format, "auto", "text", "json")
	yamldoc.Set(o, "access", &l.Access, func(c cursor) (string, bool) {
		if on, ok := c.PlainSwitch(); ok && !on {
			return "off", true
		}
		switch s, ok := c.Text(); {
		case ok && (s == "stdout" || s == "off"):
			return s, true
		case ok:
			return c.FilePath()
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
		DNSTCPClients: 4096, DNSTCPPerPeer: 16, DNSTCPIdle: 10 * time.Second, DNSTCPQueries: 128,
		OriginConns: 256, OriginAttempts: 3, RetryPercent: 10,
	}
}

func (d *document) limits(top object) Limits {
	l := defaultLimits()
	c, found := top.Get("limits")
	if !found {
		return l
	}
	o := c.Object("header_bytes", "header_fields", "target_bytes", "header_timeout", "idle_timeout", "body_bytes",
		"connections", "per_client", "drain_timeout", "dns_tcp_clients", "dns_tcp_per_peer", "dns_tcp_idle", "dns_tcp_queries",
		"origin_conns", "origin_attempts", "retry_percent")
	bytes := func(key string, into *int, hi int64) {
		v := int64(*into)
		if o.Size(key, &v, 1<<10, hi) {
			*into = int(v)
		}
	}
	bytes("header_bytes", &l.HeaderBytes, 1<<20)
	o.Integer("header_fields", &l.HeaderFields, 1, 10_000)
	bytes("target_bytes", &l.TargetBytes, 1<<20)
	o.Duration("header_timeout", &l.HeaderTimeout, 10*time.Millisecond, time.Hour)
	o.Duration("idle_timeout", &l.IdleTimeout, 10*time.Millisecond, day)
	o.Size("body_bytes", &l.BodyBytes, 1, maxSize)
	o.Integer("connections", &l.Connections, 1, 10_000_000)
	o.Integer("per_client", &l.PerClient, 1, 10_000_000)
	o.Duration("drain_timeout", &l.DrainTimeout, time.Millisecond, day)
	o.Integer("dns_tcp_clients", &l.DNSTCPClients, 1, 1_000_000)
	o.Integer("dns_tcp_per_peer", &l.DNSTCPPerPeer, 1, 1_000_000)
	o.Duration("dns_tcp_idle", &l.DNSTCPIdle, 100*time.Millisecond, time.Hour)
	o.Integer("dns_tcp_queries", &l.DNSTCPQueries, 1, 1_000_000)
	o.Integer("origin_conns", &l.OriginConns, 1, 1_000_000)
	o.Integer("origin_attempts", &l.OriginAttempts, 1, 100)
	o.Number("retry_percent", &l.RetryPercent, 0.01, 100)
	return l
}

func (d *document) trustedProxies(top object) []netip.Prefix {
	c, found := top.Get("trusted_proxies")
	if !found {
		return nil
	}
	list, _ := c.Prefixes()
	return list
}
