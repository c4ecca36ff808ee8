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
	defaultMaxFlip  = 50 // percent
)

func (d *document) checks(top object) []Check {
	var list []Check
	for _, e := range top.Named("checks") {
		list = append(list, d.check(e, e.Key()))
	}
	return list
}

// check decodes one check, named or inline. What only some types have is read when the type is known.
func (d *document) check(c cursor, name string) Check {
	fields := checkFields()
	keys := []string{"type", "target", "port", "interval", "timeout", "rise", "fall", "count", "hold_down", "inverted", "disabled", "max_flip"}
	for _, f := range fields {
		keys = append(keys, f.key)
	}
	o := c.Object(keys...)
	k := Check{Name: name, Interval: defaultInterval, Rise: defaultRise, Fall: defaultFall}
	if c, found := o.Need("type"); found {
		k.Type, _ = c.Enum(checkTypes()...)
	}
	if k.Type == "calculated" || k.Type == "manual" {
		o.Refuse(noProbe(k.Type), "target", "port", "interval", "timeout", "rise", "fall", "count", "hold_down")
	} else {
		yamldoc.Set(o, "target", &k.Target, cursor.DialAddress)
		readPort(o, &k)
	}
	for _, f := range fields {
		if slices.Contains(f.types, k.Type) {
			f.read(o, &k)
		} else if k.Type != "" {
			o.Refuse(f.refusal(k.Type), f.key)
		}
	}
	if k.Type != "calculated" && k.Type != "manual" {
		presets(o, &k)
		readTiming(o, &k)
		o.Integer("rise", &k.Rise, 1, 1000)
		o.Integer("fall", &k.Fall, 1, 1000)
		readDamping(o, &k)
	}
	o.Boolean("inverted", &k.Inverted)
	o.Boolean("disabled", &k.Disabled)
	k.MaxFlip = defaultMaxFlip
	o.Number("max_flip", &k.MaxFlip, 1, 100)
	if (k.Type == "h2" || k.Type == "grpc") && !k.TLS && !o.Unsure("tls") {
		o.Refuse("only a check over TLS has this", "verify")
	}
	if k.Method == "HEAD" {
		o.Refuse("a response to HEAD has no body", "search")
	}
	return k
}

// checkTypes are in the order in which they are suggested.
func checkTypes() []string {
	return []string{"http", "https", "h2", "tcp", "tls", "grpc", "dns", "udp", "agent", "calculated", "manual"}
}

func noProbe(kind string) string {
	return "a " + kind + " check sends no probe of its own, so it does not have this"
}

func readPort(o object, k *Check) {
	port := 0
	if o.Integer("port", &port, 1, 65535) && o.Has("target") {
		o.Refuse("the target has a port of its own", "port")
	}
	k.Port = uint16(port)
}

// presets sets what a preset decides.
func presets(o object, k *Check) {
	if k.Preset != "route53" {
		return
	}
	// The three phases of HTTP have 4 s, 2 s and 2 s; a TCP connection has 10 s.
	k.Interval, k.Rise = 30*time.Second, defaultFall
	o.Refuse("the preset sets this", "timeout")
	o.Refuse("Route 53 verifies no certificate", "verify")
}

// readTiming reads interval and timeout. A probe must be over before the next begins.
func readTiming(o object, k *Check) {
	const shortest = 10 * time.Millisecond
	if k.Preset == "route53" {
		o.Duration("interval", &k.Interval, 10*time.Second, day) // Route 53 has 10 s and 30 s
		k.Timeout = min(10*time.Second, k.Interval-time.Second)
		if k.Type != "tcp" {
			k.Timeout = 8 * time.Second
		}
		return
	}
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
