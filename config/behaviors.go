package config

import (
	"slices"
	"strings"
	"time"
)

// behaviors decodes those of a distribution, or makes the one that a distribution without any gets.
func (d *document) behaviors(dist object, origins []Origin) []Behavior {
	names := make([]string, len(origins))
	for i, o := range origins {
		names[i] = o.Name
	}
	c, found := dist.get("behaviors")
	if !found {
		if !dist.absent("behaviors") || len(names) == 0 {
			return nil
		}
		if len(names) > 1 {
			dist.missing("behaviors").hint("with several origins, behaviors say which path goes to which")
		}
		return []Behavior{{Path: "*", Origin: names[0], Cache: defaultCachePolicy(), Line: dist.key.Line}}
	}
	items, ok := c.items()
	if ok && len(items) == 0 {
		c.errorf("must not be empty").hint(`remove the key, or add {path: "*"}`)
	}
	list := make([]Behavior, 0, len(items))
	sure := !dist.unsure("origins") && len(names) > 0
	for _, item := range items {
		list = append(list, d.behavior(item, names, sure))
	}
	return list
}

// behavior decodes one. sure says that origins are all the names there are.
func (d *document) behavior(c cursor, origins []string, sure bool) Behavior {
	b := Behavior{Methods: []string{"GET", "HEAD", "OPTIONS"}, Cache: defaultCachePolicy(), Line: c.n.Line}
	o := c.object("path", "origin", "methods", "cache", "compress", "redirect_to_https")
	o.need("path")
	set(o, "path", &b.Path, cursor.pathPattern)
	switch origin, found := o.get("origin"); {
	case found:
		name, ok := origin.text()
		if ok && sure && !slices.Contains(origins, name) {
			origin.dangling("origin", name, origins)
		}
		b.Origin = name
	case len(origins) == 1:
		b.Origin = origins[0]
	case sure && o.absent("origin"):
		o.missing("origin").hint("the distribution has several: %s", strings.Join(origins, ", "))
	}
	set(o, "methods", &b.Methods, cursor.methods)
	set(o, "cache", &b.Cache, cursor.cachePolicy)
	o.boolean("compress", &b.Compress)
	o.boolean("redirect_to_https", &b.RedirectToHTTPS)
	return b
}

// pathPattern reads a pattern with * and ?.
func (c cursor) pathPattern() (string, bool) {
	s, ok := c.text()
	if ok && strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		c.errorf("%s is not a path pattern", c.shown()).hint("percent-encode characters that no url path may contain")
		return "", false
	}
	return s, ok
}

// methods reads "all", which is nil, or a list.
func (c cursor) methods() ([]string, bool) {
	if c.single() {
		s, ok := c.scalar()
		if ok && s != "all" {
			c.errorf("%s is neither a list nor the word all", c.shown()).hint("write it as [GET, HEAD]")
		}
		return nil, ok
	}
	items, ok := c.items()
	if ok && len(items) == 0 {
		c.errorf("must not be empty").hint("for every method write: all")
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		m, ok := item.method()
		if ok && slices.Contains(list, m) {
			item.errorf("%s is listed twice", item.shown())
		}
		list = append(list, m)
	}
	return list, true
}

// method reads one method. Methods are case-sensitive tokens (RFC 9110 §9.1).
func (c cursor) method() (string, bool) {
	s, ok := c.text()
	if !ok {
		return "", false
	}
	upper := strings.ToUpper(s)
	switch {
	case !isToken(s):
		c.errorf("%s is not a method", c.shown())
	case upper == "CONNECT" || upper == "TRACE":
		c.errorf("%s is never passed on", c.shown()).hint("CONNECT would open a tunnel, TRACE would show headers to scripts")
	case s != upper:
		m := c.errorf("%s is not in upper case", c.shown())
		if !c.secret() {
			m.hint("did you mean %q?", upper)
		}
	default:
		return s, true
	}
	return "", false
}

// isToken is RFC 9110 §5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r > '~' || !isAlnum(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

const (
	defaultStaleIfError  = time.Hour
	cloudFrontDefaultTTL = day
	cloudFrontMaxTTL     = year
	longestTTL           = 10 * year
)

func defaultCachePolicy() CachePolicy {
	return CachePolicy{Profile: "rfc9111", KeyQuery: KeyPart{All: true}, StaleIfError: defaultStaleIfError}
}

// cachePolicy reads off, on or a mapping.
func (c cursor) cachePolicy() (CachePolicy, bool) {
	p := defaultCachePolicy()
	if c.single() {
		on, ok := c.plainSwitch()
		if !ok {
			c.errorf("%s is neither on, off nor a mapping", c.shown())
			return p, false
		}
		p.Off = !on
		return p, true
	}
	o := c.object("profile", "min_ttl", "default_ttl", "max_ttl", "key", "stale_if_error", "stale_while_revalidate")
	o.enum("profile", &p.Profile, "rfc9111", "cloudfront")
	o.ttls(&p)
	o.duration("stale_if_error", &p.StaleIfError, 0, longestTTL)
	o.duration("stale_while_revalidate", &p.StaleWhileRevalidate, 0, longestTTL)
	if key, found := o.get("key"); found {
		ko := key.object("query", "headers")
		set(ko, "query", &p.KeyQuery, cursor.queryKey)
		set(ko, "headers", &p.KeyHeaders, cursor.headerNames)
	}
	return p, o.ok
}

// ttls reads the three bounds. In the cloudfront profile those not given follow AWS, kept in order with those given.
func (o object) ttls(p *CachePolicy) {
	minOK := o.duration("min_ttl", &p.MinTTL, 0, longestTTL)
	defaultOK := o.duration("default_ttl", &p.DefaultTTL, 0, longestTTL)
	maxOK := o.duration("max_ttl", &p.MaxTTL, 0, longestTTL)
	limited := maxOK && p.MaxTTL > 0
	switch {
	case limited && minOK && p.MinTTL > p.MaxTTL:
		c, _ := o.get("min_ttl")
		c.errorf("%s is above max_ttl", c.shown())
	case limited && defaultOK && p.DefaultTTL > p.MaxTTL:
		c, _ := o.get("default_ttl")
		c.errorf("%s is above max_ttl", c.shown())
	case minOK && defaultOK && p.DefaultTTL > 0 && p.DefaultTTL < p.MinTTL:
		c, _ := o.get("default_ttl")
		c.errorf("%s is below min_ttl", c.shown())
	}
	if p.Profile != "cloudfront" {
		return
	}
	if !o.has("max_ttl") {
		p.MaxTTL = max(cloudFrontMaxTTL, p.MinTTL, p.DefaultTTL)
	}
	if !o.has("default_ttl") {
		p.DefaultTTL = max(cloudFrontDefaultTTL, p.MinTTL)
		if p.MaxTTL > 0 {
			p.DefaultTTL = min(p.DefaultTTL, p.MaxTTL)
		}
	}
}

// queryKey reads all, none or a list of parameter names.
func (c cursor) queryKey() (KeyPart, bool) {
	if c.single() {
		s, ok := c.enum("all", "none")
		return KeyPart{All: s == "all"}, ok
	}
	items, ok := c.items()
	var part KeyPart
	for _, item := range items {
		name, nameOK := item.text()
		if nameOK && slices.Contains(part.Names, name) {
			item.errorf("%s is listed twice", item.shown())
		}
		part.Names = append(part.Names, name)
	}
	return part, ok
}

func (c cursor) headerNames() ([]string, bool) {
	items, ok := c.items()
	var list []string
	for _, item := range items {
		s, nameOK := item.text()
		name := strings.ToLower(s)
		switch {
		case nameOK && !isToken(s):
			item.errorf("%s is not a field name", item.shown())
		case nameOK && slices.Contains(list, name):
			item.errorf("%s is listed twice", item.shown())
		}
		list = append(list, name)
	}
	return list, ok
}
