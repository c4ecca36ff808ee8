package config

import (
	"strings"
	"time"
)

const (
	minSlowStart  = 30 * time.Second // as a target group's of AWS
	maxSlowStart  = 900 * time.Second
	maxCapacity   = 1_000_000 // requests in flight
	maxEndpoints  = 256       // of a pool, as steer has them in a group
	defaultSticky = 24 * time.Hour
	maxSticky     = 7 * 24 * time.Hour
	minStickyKey  = 16 // bytes
)

// readBalance reads how a pool spreads requests beyond its policy.
func readBalance(o object, p *Pool) {
	p.Hash.By = "client"
	if at, found := o.Get("hash"); found {
		readHashKey(at, &p.Hash)
		if p.Policy != "hash" && !o.Unsure("policy") {
			o.Refuse("only a pool with policy hash has a key", "hash")
		}
	}
	if o.Duration("slow_start", &p.SlowStart, 0, maxSlowStart) && p.SlowStart > 0 && p.SlowStart < minSlowStart {
		at, _ := o.Get("slow_start")
		at.Errorf("%s is out of range, 30s to 900s, or 0 for none", at.Unquoted())
	}
	if at, found := o.Get("sticky"); found {
		p.Sticky = readSticky(at)
	}
	o.Integer("panic", &p.Panic, 0, 100)
	o.Integer("min_healthy", &p.MinHealthy, 0, maxEndpoints)
	o.Integer("max_outstanding", &p.MaxOutstanding, 0, maxCapacity)
}

func readHashKey(c cursor, k *HashKey) {
	o := c.Object("by", "name")
	o.Enum("by", &k.By, "client", "path", "header", "cookie")
	named := k.By == "header" || k.By == "cookie"
	switch {
	case o.Unsure("by"):
		return
	case !named:
		o.Refuse("a key by "+k.By+" has no name", "name")
		return
	}
	if name, found := o.Need("name"); found {
		k.Name = readToken(name, k.By)
	}
	if k.By == "header" {
		k.Name = strings.ToLower(k.Name)
	}
}

func readSticky(c cursor) *Sticky {
	s := &Sticky{TTL: defaultSticky}
	o := c.Object("cookie", "ttl", "key")
	if name, found := o.Need("cookie"); found {
		s.Cookie = readToken(name, "cookie")
	}
	o.Duration("ttl", &s.TTL, time.Second, maxSticky)
	if o.Text("key", &s.Key) && len(s.Key) < minStickyKey {
		at, _ := o.Get("key")
		at.Errorf("shorter than %d bytes", minStickyKey).Hint("a key can be guessed when it is short")
	}
	return s
}

// readToken reads the name of a header or a cookie (RFC 9110 section 5.6.2, RFC 6265 section 4.1.1).
func readToken(c cursor, what string) string {
	s, ok := c.Text()
	if ok && !isToken(s) {
		c.Errorf("%s is not the name of a %s", c.Shown(), what)
	}
	return s
}
