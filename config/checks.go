package config

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	defaultInterval = 10 * time.Second
	defaultTimeout  = 2 * time.Second
	defaultRise     = 2
	defaultFall     = 3
)

func (d *document) checks(top object) []Check {
	var list []Check
	for _, e := range top.named("checks") {
		list = append(list, d.check(e, e.key.Value))
	}
	return list
}

// check decodes one check, named or inline.
func (d *document) check(c cursor, name string) Check {
	o := c.object("type", "target", "host", "path", "expect", "interval", "timeout", "rise", "fall", "inverted", "disabled",
		"verify", "of", "at_least")
	k := Check{
		Name: name, Expect: []StatusRange{{200, 399}}, Interval: defaultInterval, Rise: defaultRise, Fall: defaultFall,
	}
	if c, found := o.need("type"); found {
		k.Type, _ = c.checkType()
	}
	set(o, "target", &k.Target, cursor.dialAddress)
	set(o, "host", &k.Host, cursor.authority)
	set(o, "path", &k.Path, cursor.requestPath)
	set(o, "expect", &k.Expect, cursor.statuses)
	o.timing(&k)
	o.integer("rise", &k.Rise, 1, 1000)
	o.integer("fall", &k.Fall, 1, 1000)
	o.boolean("inverted", &k.Inverted)
	o.boolean("disabled", &k.Disabled)
	o.boolean("verify", &k.Verify)
	o.kindRules(&k)
	return k
}

// checkType tells types that a later version serves from those nobody knows.
func (c cursor) checkType() (string, bool) {
	s, ok := c.scalar()
	if ok && slices.Contains([]string{"h2", "grpc", "tls", "udp", "dns", "agent", "manual"}, s) {
		c.errorf("type %s is not supported by this version", c.shown()).hint("supported: http, https, tcp, calculated")
		return "", false
	}
	return c.enum("http", "https", "tcp", "calculated")
}

// timing reads interval and timeout. A probe must be over before the next begins.
func (o object) timing(k *Check) {
	const shortest = 10 * time.Millisecond
	intervalGiven := o.has("interval")
	intervalOK := o.duration("interval", &k.Interval, shortest, day)
	k.Timeout = min(defaultTimeout, k.Interval/2)
	if !o.duration("timeout", &k.Timeout, time.Millisecond, day) || intervalGiven && !intervalOK {
		return
	}
	if k.Timeout >= k.Interval {
		c, _ := o.get("timeout")
		m := c.errorf("%s is not below the interval of %s", c.shown(), formatDuration(k.Interval))
		if interval, found := o.get("interval"); found && interval.secret() {
			m.Message = c.shown() + " is not below the interval"
		}
	}
}

// kindRules reads what only one type has and refuses what its type cannot use.
func (o object) kindRules(k *Check) {
	const (
		onlyHTTP       = "only a check of type http or https has this"
		onlyHTTPS      = "only a check of type https has this"
		onlyCalculated = "only a check of type calculated has this"
		notCalculated  = "a calculated check sends no probe of its own, so it does not have this"
	)
	switch k.Type {
	case "http", "https":
		if k.Path == "" {
			k.Path = "/"
		}
		if k.Type == "http" {
			o.refuse(onlyHTTPS, "verify")
		}
		o.refuse(onlyCalculated, "of", "at_least")
	case "tcp":
		k.Expect = nil
		o.refuse(onlyHTTP, "path", "host", "expect")
		o.refuse(onlyHTTPS, "verify")
		o.refuse(onlyCalculated, "of", "at_least")
	case "calculated":
		k.Expect = nil
		o.refuse(notCalculated, "target", "host", "path", "expect", "interval", "timeout", "rise", "fall", "verify")
		o.calculated(k)
	}
}

func (o object) calculated(k *Check) {
	if c, found := o.need("of"); found {
		items, ok := c.items()
		if ok && len(items) == 0 {
			c.errorf("must name at least one check")
		}
		for _, item := range items {
			name, ok := item.text()
			if ok && slices.Contains(k.Of, name) {
				item.errorf("%s is listed twice", item.shown())
			}
			k.Of = append(k.Of, name)
		}
	}
	o.need("at_least")
	// One more than there are checks is Route 53's way to say "never healthy".
	o.integer("at_least", &k.AtLeast, 0, len(k.Of)+1)
}

// authority reads a Host field: a name or an address, with or without a port.
func (c cursor) authority() (string, bool) {
	s, ok := c.text()
	if ok && strings.ContainsFunc(s, func(r rune) bool {
		return r > '~' || !strings.ContainsRune("-._:[]", r) && !isAlnum(r)
	}) {
		c.errorf("%s is not a host", c.shown()).hint("write it as www.example.org or www.example.org:8080")
		return "", false
	}
	return s, ok
}

func isAlnum(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// requestPath reads the target of a probe: a path, with or without a query (RFC 9112 §3.2.1).
func (c cursor) requestPath() (string, bool) {
	s, ok := c.text()
	if !ok {
		return "", false
	}
	if s[0] != '/' || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		m := c.errorf("%s is not a request path", c.shown())
		if !c.secret() && s[0] != '/' {
			m.hint("it starts with a slash")
		}
		return "", false
	}
	return s, true
}

// statuses reads 200, 200-399, 2xx or a list of them.
func (c cursor) statuses() ([]StatusRange, bool) {
	items := []cursor{c}
	if !c.single() {
		var ok bool
		if items, ok = c.items(); !ok {
			return nil, false
		}
	}
	var list []StatusRange
	for _, item := range items {
		s, ok := item.scalar()
		if !ok {
			return nil, false
		}
		r, ok := parseStatuses(s)
		if !ok {
			item.errorf("%s is not an HTTP status", item.shown()).hint("write it as 200, 200-399 or 2xx")
			return nil, false
		}
		list = append(list, r)
	}
	return list, true
}

func parseStatuses(s string) (StatusRange, bool) {
	if class, found := strings.CutSuffix(s, "xx"); found {
		s = class + "00-" + class + "99"
	}
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	from, err := strconv.Atoi(low)
	to, err2 := strconv.Atoi(high)
	ok := err == nil && err2 == nil && isDigits(low+high) && from >= 100 && from <= to && to <= 599
	return StatusRange{from, to}, ok
}
