package config

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

const (
	defaultInterval = 10 * time.Second
	defaultTimeout  = 2 * time.Second
	defaultRise     = 2
	defaultFall     = 3
)

func (d *document) checks(top object) []Check {
	var list []Check
	for _, e := range top.Named("checks") {
		list = append(list, d.check(e, e.Key()))
	}
	return list
}

// check decodes one check, named or inline.
func (d *document) check(c cursor, name string) Check {
	o := c.Object("type", "target", "host", "path", "expect", "interval", "timeout", "rise", "fall", "inverted", "disabled",
		"verify", "of", "at_least", "count", "hold_down")
	k := Check{
		Name: name, Expect: []StatusRange{{200, 399}}, Interval: defaultInterval, Rise: defaultRise, Fall: defaultFall,
	}
	if c, found := o.Need("type"); found {
		k.Type, _ = readCheckType(c)
	}
	yamldoc.Set(o, "target", &k.Target, readDialAddress)
	yamldoc.Set(o, "host", &k.Host, readAuthority)
	yamldoc.Set(o, "path", &k.Path, readRequestPath)
	yamldoc.Set(o, "expect", &k.Expect, readStatuses)
	readTiming(o, &k)
	o.Integer("rise", &k.Rise, 1, 1000)
	o.Integer("fall", &k.Fall, 1, 1000)
	readDamping(o, &k)
	o.Boolean("inverted", &k.Inverted)
	o.Boolean("disabled", &k.Disabled)
	o.Boolean("verify", &k.Verify)
	kindRules(o, &k)
	return k
}

// readCheckType tells types that a later version serves from those nobody knows.
func readCheckType(c cursor) (string, bool) {
	s, ok := c.Scalar()
	if ok && slices.Contains([]string{"h2", "grpc", "tls", "udp", "dns", "agent", "manual"}, s) {
		c.Errorf("type %s is not supported by this version", c.Shown()).Hint("supported: http, https, tcp, calculated")
		return "", false
	}
	return c.Enum("http", "https", "tcp", "calculated")
}

// readTiming reads interval and timeout. A probe must be over before the next begins.
func readTiming(o object, k *Check) {
	const shortest = 10 * time.Millisecond
	intervalGiven := o.Has("interval")
	intervalOK := o.Duration("interval", &k.Interval, shortest, day)
	k.Timeout = min(defaultTimeout, k.Interval/2)
	if !o.Duration("timeout", &k.Timeout, time.Millisecond, day) || intervalGiven && !intervalOK {
		return
	}
	if k.Timeout >= k.Interval {
		c, _ := o.Get("timeout")
		if interval, found := o.Get("interval"); found && interval.Secret() {
			c.Errorf("%s is not below the interval", c.Shown())
			return
		}
		c.Errorf("%s is not below the interval of %s", c.Shown(), yamldoc.FormatDuration(k.Interval))
	}
}

// kindRules reads what only one type has and refuses what its type cannot use.
func kindRules(o object, k *Check) {
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
			o.Refuse(onlyHTTPS, "verify")
		}
		o.Refuse(onlyCalculated, "of", "at_least")
	case "tcp":
		k.Expect = nil
		o.Refuse(onlyHTTP, "path", "host", "expect")
		o.Refuse(onlyHTTPS, "verify")
		o.Refuse(onlyCalculated, "of", "at_least")
	case "calculated":
		k.Expect = nil
		o.Refuse(notCalculated, "target", "host", "path", "expect", "interval", "timeout", "rise", "fall", "verify",
			"count", "hold_down")
		readCalculated(o, k)
	}
}

func readCalculated(o object, k *Check) {
	if c, found := o.Need("of"); found {
		items, ok := c.Items()
		if ok && len(items) == 0 {
			c.Errorf("must name at least one check")
		}
		for _, item := range items {
			name, ok := item.Text()
			if ok && slices.Contains(k.Of, name) {
				item.Errorf("%s is listed twice", item.Shown())
			}
			k.Of = append(k.Of, name)
		}
	}
	o.Need("at_least")
	// One more than there are checks is Route 53's way to say "never healthy".
	o.Integer("at_least", &k.AtLeast, 0, len(k.Of)+1)
}

// readAuthority reads a Host field: a name or an address, with or without a port.
func readAuthority(c cursor) (string, bool) {
	s, ok := c.Text()
	if ok && strings.ContainsFunc(s, func(r rune) bool {
		return r > '~' || !strings.ContainsRune("-._:[]", r) && !isAlnum(r)
	}) {
		c.Errorf("%s is not a host", c.Shown()).Hint("write it as www.example.org or www.example.org:8080")
		return "", false
	}
	return s, ok
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func isAlnum(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// readRequestPath reads the target of a probe: a path, with or without a query (RFC 9112 §3.2.1).
func readRequestPath(c cursor) (string, bool) {
	s, ok := c.Text()
	if !ok {
		return "", false
	}
	if s[0] != '/' || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		m := c.Errorf("%s is not a request path", c.Shown())
		if !c.Secret() && s[0] != '/' {
			m.Hint("it starts with a slash")
		}
		return "", false
	}
	return s, true
}

// readStatuses reads 200, 200-399, 2xx or a list of them.
func readStatuses(c cursor) ([]StatusRange, bool) {
	items := []cursor{c}
	if !c.Single() {
		var ok bool
		if items, ok = c.Items(); !ok {
			return nil, false
		}
	}
	var list []StatusRange
	for _, item := range items {
		s, ok := item.Scalar()
		if !ok {
			return nil, false
		}
		r, ok := parseStatuses(s)
		if !ok {
			item.Errorf("%s is not an HTTP status", item.Shown()).Hint("write it as 200, 200-399 or 2xx")
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
