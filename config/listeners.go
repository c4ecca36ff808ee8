package config

import (
	"net/netip"
	"slices"
	"strings"
)

// maxSocketPath is the room that sun_path has, less its final zero byte (unix(7)).
const maxSocketPath = 107

func (d *document) listeners(top object) Listeners {
	var l Listeners
	c, found := top.Get("listeners")
	if !found {
		return l
	}
	o := c.Object("http", "https", "dns", "dot", "doh", "doq", "metrics", "admin")
	l.HTTP = listenOn(o, "http")
	l.HTTPS = listenOn(o, "https")
	l.DNS = listenOn(o, "dns")
	l.DoT = listenOn(o, "dot")
	l.DoH = listenOn(o, "doh")
	l.DoQ = listenOn(o, "doq")
	l.Metrics = listenOn(o, "metrics")
	if c, found := o.Get("admin"); found {
		items, _ := c.Items()
		for _, item := range items {
			path, ok := d.socket(item)
			if ok && slices.Contains(l.Admin, path) {
				item.Errorf("%s is listed twice", item.Shown())
			}
			l.Admin = append(l.Admin, path)
		}
	}
	return l
}

func listenOn(o object, key string) []netip.AddrPort {
	c, found := o.Get(key)
	if !found {
		return nil
	}
	items, _ := c.Items()
	list := make([]netip.AddrPort, 0, len(items))
	for _, item := range items {
		a, _ := item.AddrPort(0) // port 0 lets the system choose
		list = append(list, a)
	}
	return list
}

// socket reads unix:PATH and returns the absolute path.
func (d *document) socket(c cursor) (string, bool) {
	s, ok := c.Text()
	if !ok {
		return "", false
	}
	path, found := strings.CutPrefix(s, "unix:")
	if !found || path == "" {
		c.Errorf("%s is not a unix socket", c.Shown()).Hint("write it as unix:PATH: the admin API has no network listener")
		return "", false
	}
	path = d.Abs(path)
	if len(path) > maxSocketPath {
		c.Errorf("the absolute path of this socket has %d bytes; the system allows %d", len(path), maxSocketPath).
			Hint("use a shorter folder, such as one below /run")
		return "", false
	}
	return path, true
}

// socketUse is a range of ports that the node binds.
type socketUse struct {
	network string // tcp or udp
	addr    netip.Addr
	ports   PortRange
	at      []any // where in the file
}

// checkListeners reports listeners that cannot all be bound.
func (d *document) checkListeners(cfg *Config) {
	uses := socketUses(cfg)
	for i, use := range uses {
		j := slices.IndexFunc(uses[:i], use.clashes)
		if j < 0 {
			continue
		}
		first, second := d.Find(uses[j].at...), d.Find(use.at...)
		second.Errorf("%s is already taken by %s in line %d", second.Shown(), first.Path(), first.Line())
	}
}

// clashes says whether only one of both can be bound: an unspecified address takes the port of every address of its family,
// and port 0 is a different one each time.
func (u socketUse) clashes(v socketUse) bool {
	return u.network == v.network && u.addr.Is4() == v.addr.Is4() && u.ports.To != 0 &&
		u.ports.From <= v.ports.To && v.ports.From <= u.ports.To &&
		(u.addr == v.addr || u.addr.IsUnspecified() || v.addr.IsUnspecified())
}

func socketUses(cfg *Config) []socketUse {
	var list []socketUse
	add := func(network, key string, addrs []netip.AddrPort) {
		for i, a := range addrs {
			if a.IsValid() {
				list = append(list, socketUse{network, a.Addr(), PortRange{a.Port(), a.Port()}, []any{"listeners", key, i}})
			}
		}
	}
	add("tcp", "http", cfg.Listeners.HTTP)
	add("tcp", "https", cfg.Listeners.HTTPS)
	add("udp", "https", cfg.Listeners.HTTPS) // HTTP/3
	add("udp", "dns", cfg.Listeners.DNS)
	add("tcp", "dns", cfg.Listeners.DNS)
	add("tcp", "dot", cfg.Listeners.DoT)
	add("tcp", "doh", cfg.Listeners.DoH)
	add("udp", "doh", cfg.Listeners.DoH) // HTTP/3
	add("udp", "doq", cfg.Listeners.DoQ)
	add("tcp", "metrics", cfg.Listeners.Metrics)
	for _, a := range cfg.Accelerators {
		for i, l := range a.Listeners {
			list = append(list, l.uses("accelerators", a.Name, "listeners", i, "ports")...)
		}
	}
	return list
}

// uses are the binds of one listener, whose port ranges stand at a place in the file.
func (l AcceleratorListener) uses(at ...any) []socketUse {
	var list []socketUse
	for j, ports := range l.Ports {
		if l.Address.IsValid() && ports.To != 0 {
			list = append(list, socketUse{l.Protocol, l.Address, ports, slices.Concat(at, []any{j})})
		}
	}
	return list
}
