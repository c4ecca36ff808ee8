package config

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// distributions also returns the pools of origins that are given by url.
func (d *document) distributions(top object) ([]Distribution, []Pool) {
	var list []Distribution
	var own []Pool
	taken := make(map[string]cursor) // domain -> where it was first
	for _, e := range top.Named("distributions") {
		dist, pools := d.distribution(e, taken)
		list, own = append(list, dist), append(own, pools...)
	}
	return list, own
}

func (d *document) distribution(c cursor, taken map[string]cursor) (Distribution, []Pool) {
	dist := Distribution{Name: c.Key()}
	o := c.Object("domains", "certificate", "origins", "behaviors", "errors", "cache")
	if domains, found := o.Need("domains"); found {
		dist.Domains = d.domains(domains, taken)
	}
	if cert, found := o.Get("certificate"); found {
		dist.Certificate = readCertificate(cert)
	}
	origins, pools := d.origins(o, dist.Name)
	dist.Origins = origins
	dist.Behaviors = d.behaviors(o, origins)
	readErrorObjects(o, &dist)
	if c, found := o.Get("cache"); found {
		c.Object("quota").Size("quota", &dist.Quota, 1<<20, 1<<50)
	}
	return dist, pools
}

func (d *document) domains(c cursor, taken map[string]cursor) []string {
	items, ok := c.Items()
	if ok && len(items) == 0 {
		c.Errorf("a distribution needs at least one domain").Hint(`"*" serves every host name`)
	}
	var list []string
	for _, item := range items {
		domain, ok := readDomain(item)
		if !ok {
			continue
		}
		if first, twice := taken[domain]; twice {
			item.Errorf("%s is already served by %s in line %d", item.Shown(), first.Path(), first.Line())
			continue
		}
		taken[domain] = item
		list = append(list, domain)
	}
	return list
}

// readDomain reads a host name, an IP address, "*.name" or "*".
func readDomain(c cursor) (string, bool) {
	s, ok := c.Text()
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
	if domain == "*" || yamldoc.IsHostName(strings.TrimPrefix(domain, "*.")) {
		return domain, true
	}
	m := c.Errorf("%s is not a host name", c.Shown())
	switch {
	case c.Secret():
	case strings.Contains(s, "//"), strings.Contains(s, ":"), strings.Contains(s, "/"):
		m.Hint("without scheme, port and path")
	case strings.Contains(s, "*"):
		m.Hint(`a wildcard is "*" alone or "*." at the start`)
	case strings.ContainsFunc(s, func(r rune) bool { return r > '~' }):
		m.Hint("write international names in their xn-- form")
	}
	return "", false
}

func readCertificate(c cursor) Certificate {
	if c.Single() {
		switch s, _ := c.Enum("self-signed", "acme"); s {
		case "self-signed":
			return Certificate{SelfSigned: true}
		case "acme":
			return Certificate{ACME: true}
		}
		return Certificate{}
	}
	var cert Certificate
	o := c.Object("cert", "key")
	o.Need("cert")
	o.Need("key")
	o.File("cert", &cert.CertFile)
	o.File("key", &cert.KeyFile)
	return cert
}

func (d *document) origins(dist object, name string) ([]Origin, []Pool) {
	c, found := dist.Need("origins")
	if !found {
		return nil, nil
	}
	var list []Origin
	var pools []Pool
	entries := dist.Named("origins")
	if len(entries) == 0 && c.Clean() {
		c.Errorf("a distribution needs at least one origin")
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
	origin := Origin{Name: c.Key(), ConnectTimeout: defaultConnectTimeout, ReadTimeout: defaultReadTimeout}
	o := c.Object("pool", "url", "host_header", "connect_timeout", "read_timeout", "tls_server_name", "skip_verify")
	var own *Pool
	switch {
	case o.Has("pool") && o.Has("url"):
		u, _ := o.Get("url")
		u.KeyError("an origin has either a pool or a url, not both")
	case o.Absent("pool") && o.Absent("url"):
		o.Missing("pool").Hint("give the origin a pool or a url")
	}
	o.Text("pool", &origin.Pool)
	yamldoc.Set(o, "host_header", &origin.HostHeader, readAuthority)
	o.Duration("connect_timeout", &origin.ConnectTimeout, time.Millisecond, time.Hour)
	o.Duration("read_timeout", &origin.ReadTimeout, time.Millisecond, day)
	if u, found := o.Get("url"); found {
		if e, host, ok := readOriginURL(u); ok {
			own = &Pool{Name: distribution + "/" + origin.Name, Policy: "simple", Endpoints: []Endpoint{e}}
			origin.Pool = own.Name
			if e.TLS {
				origin.TLSServerName = host
			}
		}
	}
	yamldoc.Set(o, "tls_server_name", &origin.TLSServerName, readServerName)
	o.Boolean("skip_verify", &origin.SkipVerify)
	if !o.Unsure("url") && (own == nil || !own.Endpoints[0].TLS) {
		o.Refuse("only an origin with an https url uses TLS", "tls_server_name", "skip_verify")
	}
	return origin, own
}

// readOriginURL reads http(s)://host[:port]. It also returns the host as the name to verify.
func readOriginURL(c cursor) (Endpoint, string, bool) {
	s, ok := c.Text()
	if !ok {
		return Endpoint{}, "", false
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		c.Errorf("%s is not a url of an origin", c.Shown()).Hint("write it as http://HOST:PORT or https://HOST")
		return Endpoint{}, "", false
	}
	if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.User != nil {
		c.Errorf("%s has more than scheme, host and port", c.Shown()).Hint("the path of each request is passed on as it is")
		return Endpoint{}, "", false
	}
	port := uint64(80)
	if u.Scheme == "https" {
		port = 443
	}
	if u.Port() != "" {
		if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
			c.Errorf("%s: the port is out of range, 1 to 65535", c.Shown())
			return Endpoint{}, "", false
		}
	}
	e := Endpoint{Weight: 1, TLS: u.Scheme == "https", ID: joinHostPort(strings.ToLower(u.Hostname()), uint16(port))}
	if !endpointHost(c, &e, u.Hostname(), uint16(port)) {
		return Endpoint{}, "", false
	}
	return e, strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), true
}

func readServerName(c cursor) (string, bool) {
	s, ok := c.Text()
	if _, err := netip.ParseAddr(s); ok && err != nil && !yamldoc.IsHostName(s) {
		c.Errorf("%s is not a host name", c.Shown())
		return "", false
	}
	return strings.ToLower(s), ok
}
