package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

const (
	maxResolvers = 8  // more are never reached within the time of one question
	maxSources   = 16 // of one pool
)

func (d *document) resolvers(top object) []netip.AddrPort {
	c, found := top.Get("resolvers")
	if !found {
		return nil
	}
	items, ok := c.Items()
	if ok && (len(items) == 0 || len(items) > maxResolvers) {
		c.Errorf("must be 1 to %d addresses", maxResolvers)
	}
	list := make([]netip.AddrPort, 0, len(items))
	for _, item := range items {
		s, ok := item.Text()
		if !ok {
			continue
		}
		at, err := netip.ParseAddrPort(s)
		if addr, bare := netip.ParseAddr(s); bare == nil {
			at, err = netip.AddrPortFrom(addr, 53), nil
		}
		if err != nil || !yamldoc.Dialable(at.Addr()) || at.Port() == 0 {
			item.Errorf("%s is not the address of a resolver", item.Shown()).Hint("write it as 192.0.2.53 or 192.0.2.53:53")
			continue
		}
		list = append(list, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
	}
	return list
}

// discovery reads the sources of a pool.
func (d *document) discovery(o object, p *Pool) {
	p.MaxVanish = 50
	o.Number("max_vanish", &p.MaxVanish, 0, 100)
	p.VanishLooks = 5
	o.Integer("vanish_looks", &p.VanishLooks, 1, 1000)
	c, found := o.Get("discover")
	if !found {
		if !o.Unsure("discover") {
			o.Refuse("only a pool with discover loses endpoints by itself", "max_vanish", "vanish_looks")
		}
		return
	}
	items, ok := c.Items()
	if ok && (len(items) == 0 || len(items) > maxSources) {
		c.Errorf("must be 1 to %d sources", maxSources)
	}
	seen := make(map[string]int)
	for _, item := range items {
		s := readDiscovery(item)
		if key := s.Source(); item.Clean() {
			if line := seen[key]; line > 0 {
				item.Errorf("this source is in this pool already, in line %d", line)
			}
			seen[key] = item.Line()
		}
		p.Discover = append(p.Discover, s)
	}
}

func readDiscovery(c cursor) Discovery {
	s := Discovery{Weight: 1, Line: c.Line()}
	o := c.Object("dns", "type", "file", "url", "interval", "min_interval", "max_interval", "region", "weight")
	o.Text("region", &s.Region)
	o.Integer("weight", &s.Weight, 0, 255)
	switch given := o.Given("dns", "file", "url"); {
	case len(given) == 1:
		s.Kind = given[0]
	case len(given) > 1:
		second, _ := o.Get(given[1])
		second.KeyError("a source has one of dns, file, url")
		return s
	default:
		if o.Absent("dns") && o.Absent("file") && o.Absent("url") {
			o.Missing("dns").Hint("a source has one of dns, file, url")
		}
		return s
	}
	if s.Kind == "dns" {
		readDNSSource(o, &s)
		return s
	}
	o.Refuse("only a dns source has this", "type", "min_interval", "max_interval")
	s.Interval = 30 * time.Second
	if s.Kind == "file" {
		s.Interval = 5 * time.Second
	}
	o.Duration("interval", &s.Interval, time.Second, day)
	o.File("file", &s.Path)
	if u, found := o.Get("url"); found {
		s.URL = readSourceURL(u)
	}
	return s
}

func readDNSSource(o object, s *Discovery) {
	s.Type, s.MinInterval, s.MaxInterval = "a", 5*time.Second, time.Hour
	o.Enum("type", &s.Type, "a", "srv")
	o.Refuse("a name is asked for again by its TTL", "interval")
	lo := o.Duration("min_interval", &s.MinInterval, time.Second, day)
	hi := o.Duration("max_interval", &s.MaxInterval, time.Second, day)
	if !o.Has("min_interval") {
		s.MinInterval = min(s.MinInterval, s.MaxInterval)
	}
	if s.MinInterval > s.MaxInterval {
		if c, found := o.Get("max_interval"); found && hi {
			c.Errorf("%s is below min_interval", c.Shown())
		} else if c, found := o.Get("min_interval"); found && lo {
			c.Errorf("%s is above max_interval", c.Shown())
		}
	}
	c, _ := o.Get("dns")
	name, ok := c.Text()
	if !ok || o.Unsure("type") {
		return
	}
	if s.Type == "a" {
		if name, s.Port, ok = c.SplitPort(name, 1); !ok {
			return
		}
	} else if strings.Contains(name, ":") {
		c.Errorf("%s has a port, but SRV records bring their own", c.Shown()).Hint("write it as _http._tcp.example.org")
		return
	}
	if !yamldoc.IsHostName(name) || looksLikeIPv4(strings.TrimSuffix(name, ".")) {
		c.Errorf("%s is not a name to look up", c.Shown()).Hint("addresses go under endpoints")
		return
	}
	s.Name = strings.ToLower(strings.TrimSuffix(name, "."))
}

func readSourceURL(c cursor) string {
	s, ok := c.Text()
	if !ok {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "" {
		c.Errorf("%s is not a url to fetch endpoints from", c.Shown()).Hint("write it as https://HOST/PATH")
		return ""
	}
	return s
}

// Source is what the configuration calls the source, such as "dns srv _http._tcp.example.org"; passwords in a url are left out.
func (d *Discovery) Source() string {
	switch {
	case d.Kind == "file":
		return "file " + d.Path
	case d.Kind == "url":
		if u, err := url.Parse(d.URL); err == nil {
			return "url " + u.Redacted()
		}
		return "url"
	case d.Type == "srv":
		return "dns srv " + d.Name
	default:
		return "dns " + joinHostPort(d.Name, d.Port)
	}
}

// ParseEndpoint reads IP:port or name:port as the address of a pool's endpoint is read, with the defaults of everything else.
func ParseEndpoint(s string) (Endpoint, error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return Endpoint{}, errors.New("has no port")
	}
	port, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || port == 0 {
		return Endpoint{}, fmt.Errorf("port %q is out of range, 1 to 65535", s[i+1:])
	}
	host := s[:i]
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	} else if strings.Contains(host, ":") {
		return Endpoint{}, errors.New("has no brackets around its IPv6 address")
	}
	e := Endpoint{Weight: 1}
	addr, err := netip.ParseAddr(host)
	switch {
	case err == nil && !yamldoc.Dialable(addr):
		return Endpoint{}, errors.New("is not an address one can connect to")
	case err == nil:
		e.Address = netip.AddrPortFrom(addr.Unmap(), uint16(port))
		e.ID = e.Address.String()
	case !yamldoc.IsHostName(host) || looksLikeIPv4(host):
		return Endpoint{}, errors.New("has neither an IP address nor a host name")
	default:
		e.Host, e.Port = strings.ToLower(strings.TrimSuffix(host, ".")), uint16(port)
		e.ID = joinHostPort(e.Host, e.Port)
	}
	return e, nil
}
