package config

import (
	"slices"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

const (
	defaultStaleIfError  = time.Hour
	cloudFrontDefaultTTL = day
	cloudFrontMaxTTL     = year
	longestTTL           = 10 * year
	defaultErrorTTL      = 10 * time.Second

	defaultHeuristicPercent = 10 // RFC 9111 §4.2.2
	defaultHeuristicMax     = day

	defaultMaxWaiters  = 20_000
	defaultWaitTimeout = 30 * time.Second
)

func defaultCachePolicy() CachePolicy {
	return CachePolicy{
		Profile: "rfc9111", KeyQuery: KeyPart{All: true}, StaleIfError: defaultStaleIfError,
		Targeted: []string{"cdn-cache-control"}, HeuristicPercent: defaultHeuristicPercent, HeuristicMax: defaultHeuristicMax,
		MaxWaiters: defaultMaxWaiters, WaitTimeout: defaultWaitTimeout,
	}
}

// readCachePolicy reads off, on or a mapping.
func readCachePolicy(c cursor) (CachePolicy, bool) {
	p := defaultCachePolicy()
	if c.Single() {
		on, ok := c.PlainSwitch()
		if !ok {
			c.Errorf("%s is neither on, off nor a mapping", c.Shown())
			return p, false
		}
		p.Off = !on
		return p, true
	}
	o := c.Object("profile", "min_ttl", "default_ttl", "max_ttl", "error_ttl", "key", "stale_if_error", "stale_while_revalidate",
		"stale_if_slow", "targeted", "heuristic_percent", "heuristic_max", "honour_request", "show_key", "max_object", "slices",
		"max_waiters", "wait_timeout", "pin")
	o.Enum("profile", &p.Profile, "rfc9111", "cloudfront")
	if p.Profile == "cloudfront" {
		p.Targeted, p.HeuristicPercent, p.KeyCookies = nil, 0, &KeyPart{}
		o.Refuse("that service does not have it", "targeted", "heuristic_percent", "heuristic_max", "honour_request")
	}
	readTTLs(o, &p)
	o.Duration("stale_if_error", &p.StaleIfError, 0, longestTTL)
	o.Duration("stale_while_revalidate", &p.StaleWhileRevalidate, 0, longestTTL)
	o.Duration("stale_if_slow", &p.StaleIfSlow, 0, time.Hour)
	yamldoc.Set(o, "targeted", &p.Targeted, readHeaderNames)
	o.Integer("heuristic_percent", &p.HeuristicPercent, 0, 100)
	o.Duration("heuristic_max", &p.HeuristicMax, 0, longestTTL)
	o.Boolean("honour_request", &p.HonourRequest)
	o.Boolean("show_key", &p.ShowKey)
	o.Size("max_object", &p.MaxObject, 1, 1<<50)
	slices := true
	o.Boolean("slices", &slices)
	p.NoSlices = !slices
	o.Integer("max_waiters", &p.MaxWaiters, 1, 1_000_000)
	o.Duration("wait_timeout", &p.WaitTimeout, time.Millisecond, time.Hour)
	o.Boolean("pin", &p.Pin)
	if key, found := o.Get("key"); found {
		readKey(key, &p)
	}
	return p, o.OK()
}

// readKey reads what of a request is in the key.
func readKey(c cursor, p *CachePolicy) {
	o := c.Object("query", "headers", "cookies", "forward")
	yamldoc.Set(o, "query", &p.KeyQuery, readKeyPart)
	yamldoc.Set(o, "headers", &p.KeyHeaders, readHeaderNames)
	var cookies KeyPart
	if yamldoc.Set(o, "cookies", &cookies, readKeyPart) {
		p.KeyCookies = &cookies
	}
	forward := "keyed"
	o.Enum("forward", &forward, "keyed", "all")
	p.ForwardAll = forward == "all"
}

// readTTLs reads the three bounds. In the cloudfront profile those not given follow AWS, kept in order with those given.
func readTTLs(o object, p *CachePolicy) {
	minOK := o.Duration("min_ttl", &p.MinTTL, 0, longestTTL)
	defaultOK := o.Duration("default_ttl", &p.DefaultTTL, 0, longestTTL)
	maxOK := o.Duration("max_ttl", &p.MaxTTL, 0, longestTTL)
	o.Duration("error_ttl", &p.ErrorTTL, 0, longestTTL)
	limited := maxOK && p.MaxTTL > 0
	switch {
	case limited && minOK && p.MinTTL > p.MaxTTL:
		c, _ := o.Get("min_ttl")
		c.Errorf("%s is above max_ttl", c.Shown())
	case limited && defaultOK && p.DefaultTTL > p.MaxTTL:
		c, _ := o.Get("default_ttl")
		c.Errorf("%s is above max_ttl", c.Shown())
	case minOK && defaultOK && p.DefaultTTL > 0 && p.DefaultTTL < p.MinTTL:
		c, _ := o.Get("default_ttl")
		c.Errorf("%s is below min_ttl", c.Shown())
	}
	if !o.Has("error_ttl") {
		p.ErrorTTL = min(defaultErrorTTL, p.DefaultTTL)
	}
	if p.Profile != "cloudfront" {
		return
	}
	if !o.Has("error_ttl") {
		p.ErrorTTL = defaultErrorTTL
	}
	if !o.Has("max_ttl") {
		p.MaxTTL = max(cloudFrontMaxTTL, p.MinTTL, p.DefaultTTL)
	}
	if !o.Has("default_ttl") {
		p.DefaultTTL = max(cloudFrontDefaultTTL, p.MinTTL)
		if p.MaxTTL > 0 {
			p.DefaultTTL = min(p.DefaultTTL, p.MaxTTL)
		}
	}
}

// readKeyPart reads all, none, a list of names, or {except: list of names}.
func readKeyPart(c cursor) (KeyPart, bool) {
	if c.Single() {
		s, ok := c.Enum("all", "none")
		return KeyPart{All: s == "all"}, ok
	}
	if len(c.Keys()) > 0 {
		part := KeyPart{All: true}
		o := c.Object("except")
		except, found := o.Need("except")
		if !found {
			return part, false
		}
		var ok bool
		part.Names, ok = readNames(except)
		return part, ok && o.OK()
	}
	names, ok := readNames(c)
	return KeyPart{Names: names}, ok
}

// readNames reads a list of names of which none is there twice.
func readNames(c cursor) ([]string, bool) {
	items, ok := c.Items()
	var names []string
	for _, item := range items {
		name, nameOK := item.Text()
		if nameOK && slices.Contains(names, name) {
			item.Errorf("%s is listed twice", item.Shown())
		}
		names = append(names, name)
	}
	return names, ok
}

func readHeaderNames(c cursor) ([]string, bool) {
	items, ok := c.Items()
	var list []string
	for _, item := range items {
		s, nameOK := item.Text()
		name := strings.ToLower(s)
		switch {
		case nameOK && !isToken(s):
			item.Errorf("%s is not a field name", item.Shown())
		case nameOK && slices.Contains(list, name):
			item.Errorf("%s is listed twice", item.Shown())
		}
		list = append(list, name)
	}
	return list, ok
}
