package config

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// distributions also returns the pools of origins that are given by url.
func (d *document) distributions(top object) ([]Distribution, []Pool) {
	var list []Distribution
	var own []Pool
	taken := make(map[string]cursor) // domain -> where it was first
	for _, e := range top.named("distributions") {
		dist, pools := d.distribution(e, taken)
		list, own = append(list, dist), append(own, pools...)
	}
	return list, own
}

func (d *document) distribution(c cursor, taken map[string]cursor) (Distribution, []Pool) {
	dist := Distribution{Name: c.key.Value}
	o := c.object("domains", "certificate", "origins", "behaviors")
	if domains, found := o.need("domains"); found {
		dist.Domains = d.domains(domains, taken)
	}
	if cert, found := o.get("certificate"); found {
		dist.Certificate = cert.certificate()
	}
	origins, pools := d.origins(o, dist.Name)
	dist.Origins = origins
	dist.Behaviors = d.behaviors(o, origins)
	return dist, pools
}

func (d *document) domains(c cursor, taken map[string]cursor) []string {
	items, ok := c.items()
	if ok && len(items) == 0 {
		c.errorf("a distribution needs at least one domain").hint(`"*" serves every host name`)
	}
	var list []string
	for _, item := range items {
		domain, ok := item.domain()
		if !ok {
			continue
		}
		if first, twice := taken[domain]; twice {
			item.errorf("%s is already served by %s in line %d", item.shown(), first.path, first.n.Line)
			continue
		}
		taken[domain] = item
		list = append(list, domain)
	}
	return list
}

// domain reads a host name, an IP address, "*.name" or "*".
func (c cursor) domain() (string, bool) {
	s, ok := c.text()
	if !ok {
		return "", false
	}
	domain := strings.ToLower(strings.TrimSuffix(s, "."))
	if a, err := netip.ParseAddr(strings.Trim(domain, "[]")); err == nil {
		if a.Is6() {
			return "[" + a.String() + "]", true // as a Host field has it (RFC 3986 §3.2.2)
		}
		return a.String(), true
	}
	if domain == "*" || isHostName(strings.TrimPrefix(domain, "*.")) {
		return domain, true
	}
	m := c.errorf("%s is not a host name", c.shown())
	switch {
	case c.secret():
	case strings.Contains(s, "//"), strings.Contains(s, ":"), strings.Contains(s, "/"):
		m.hint("without scheme, port and path")
	case strings.Contains(s, "*"):
		m.hint(`a wildcard is "*" alone or "*." at the start`)
	case strings.ContainsFunc(s, func(r rune) bool { return r > '~' }):
		m.hint("write international names in their xn-- form")
	}
	return "", false
}

func (c cursor) certificate() Certificate {
	if c.single() {
		switch s, _ := c.enum("self-signed", "acme"); s {
		case "self-signed":
			return Certificate{SelfSigned: true}
		case "acme":
			return Certificate{ACME: true}
		}
		return Certificate{}
	}
	var cert Certificate
	o := c.object("cert", "key")
	o.need("cert")
	o.need("key")
	o.file("cert", &cert.CertFile)
	o.file("key", &cert.KeyFile)
	return cert
}

func (d *document) origins(dist object, name string) ([]Origin, []Pool) {
	c, found := dist.need("origins")
	if !found {
		return nil, nil
	}
	var list []Origin
	var pools []Pool
	entries := dist.named("origins")
	if len(entries) == 0 && d.clean(c.path) {
		c.errorf("a distribution needs at least one origin")
	}
	for _, e := range entries {
		origin, pool := d.origin(e, name)
		list = append(list, origin)
		if pool != nil {
			pools = append(pools, *pool)
		}
	}
	return list, pools
}

const (
	defaultConnectTimeout = time.Second
	defaultReadTimeout    = 15 * time.Second
)

func (d *document) origin(c cursor, distribution string) (Origin, *Pool) {
	origin := Origin{Name: c.key.Value, ConnectTimeout: defaultConnectTimeout, ReadTimeout: defaultReadTimeout}
	o := c.object("pool", "url", "host_header", "connect_timeout", "read_timeout", "tls_server_name", "skip_verify")
	var own *Pool
	switch {
	case o.has("pool") && o.has("url"):
		u, _ := o.get("url")
		o.errorAt(u.key, u.path, "an origin has either a pool or a url, not both")
	case o.absent("pool") && o.absent("url"):
		o.missing("pool").hint("give the origin a pool or a url")
	}
	o.text("pool", &origin.Pool)
	set(o, "host_header", &origin.HostHeader, cursor.authority)
	o.duration("connect_timeout", &origin.ConnectTimeout, time.Millisecond, time.Hour)
	o.duration("read_timeout", &origin.ReadTimeout, time.Millisecond, day)
	if u, found := o.get("url"); found {
		if e, host, ok := u.originURL(); ok {
			own = &Pool{Name: distribution + "/" + origin.Name, Policy: "simple", Endpoints: []Endpoint{e}}
			origin.Pool = own.Name
			if e.TLS {
				origin.TLSServerName = host
			}
		}
	}
	set(o, "tls_server_name", &origin.TLSServerName, cursor.serverName)
	o.boolean("skip_verify", &origin.SkipVerify)
	if !o.unsure("url") && (own == nil || !own.Endpoints[0].TLS) {
		o.refuse("only an origin with an https url uses TLS", "tls_server_name", "skip_verify")
	}
	return origin, own
}

// originURL reads http(s)://host[:port]. It also returns the host as the name to verify.
func (c cursor) originURL() (Endpoint, string, bool) {
	s, ok := c.text()
	if !ok {
		return Endpoint{}, "", false
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		c.errorf("%s is not a url of an origin", c.shown()).hint("write it as http://HOST:PORT or https://HOST")
		return Endpoint{}, "", false
	}
	if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		c.errorf("%s has more than scheme, host and port", c.shown()).hint("the path of each request is passed on as it is")
		return Endpoint{}, "", false
	}
	port := uint64(80)
	if u.Scheme == "https" {
		port = 443
	}
	if u.Port() != "" {
		if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
			c.errorf("%s: the port is out of range, 1 to 65535", c.shown())
			return Endpoint{}, "", false
		}
	}
	e := Endpoint{Weight: 1, TLS: u.Scheme == "https", ID: joinHostPort(strings.ToLower(u.Hostname()), uint16(port))}
	if !c.endpointHost(&e, u.Hostname(), uint16(port)) {
		return Endpoint{}, "", false
	}
	return e, strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), true
}

func (c cursor) serverName() (string, bool) {
	s, ok := c.text()
	if _, err := netip.ParseAddr(s); ok && err != nil && !isHostName(s) {
		c.errorf("%s is not a host name", c.shown())
		return "", false
	}
	return strings.ToLower(s), ok
}
