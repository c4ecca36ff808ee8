package yamldoc

import (
	"net/netip"
	"strconv"
	"strings"
)

// AddrPort returns IP:port with a port from lowest to 65535. An IPv4 address inside IPv6 becomes the plain one.
func (c Cursor) AddrPort(lowest int) (netip.AddrPort, bool) {
	s, ok := c.Text()
	if !ok {
		return netip.AddrPort{}, false
	}
	host, port, ok := c.SplitPort(s, lowest)
	if !ok {
		return netip.AddrPort{}, false
	}
	addr, err := netip.ParseAddr(host)
	if err == nil {
		return netip.AddrPortFrom(addr.Unmap(), port), true
	}
	m := c.Errorf("%s has no valid IP address before the port", c.Shown())
	switch {
	case c.Secret():
	case host == "":
		m.Hint("for every address of this host write 0.0.0.0:%d or [::]:%d", port, port)
	case host == "localhost":
		m.Hint("did you mean \"127.0.0.1:%d\"?", port)
	case IsHostName(host):
		m.Hint("a name cannot stand here, only an IP address")
	}
	return netip.AddrPort{}, false
}

// SplitPort splits s, which is the text of the value or a part of it, into host and port, and checks the port. The brackets of an IPv6 address are removed.
func (c Cursor) SplitPort(s string, lowest int) (host string, port uint16, ok bool) {
	i := strings.LastIndexByte(s, ':')
	bare := strings.Count(s, ":") > 1 && s[0] != '['
	if i < 0 || s[len(s)-1] == ']' || bare {
		m := c.Errorf("%s has no port", c.Shown())
		switch {
		case c.Secret():
		case bare:
			m.Hint("an IPv6 address with a port is written [2001:db8::1]:443")
		default:
			m.Hint("write it as %s:PORT", c.Unquoted())
		}
		return "", 0, false
	}
	host = s[:i]
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	n, err := strconv.Atoi(s[i+1:])
	switch {
	case !isDigits(s[i+1:]):
		c.Errorf("%s has no port number after the colon", c.Shown())
	case err != nil || n < lowest || n > 65535:
		if c.Secret() {
			c.Errorf("%s: the port is out of range, %d to 65535", c.Shown(), lowest)
		} else {
			c.Errorf("port %s is out of range, %d to 65535", s[i+1:], lowest)
		}
	default:
		return host, uint16(n), true
	}
	return "", 0, false
}

// DialAddress returns IP:port of something to connect to.
func (c Cursor) DialAddress() (netip.AddrPort, bool) {
	a, ok := c.AddrPort(1)
	if ok && !Dialable(a.Addr()) {
		c.Errorf("%s is not an address one can connect to", c.Shown())
		return netip.AddrPort{}, false
	}
	return a, ok
}

// Dialable says whether one can connect to an address: it is neither unspecified nor of a group.
func Dialable(a netip.Addr) bool { return !a.IsUnspecified() && !a.IsMulticast() }

// IsHostName accepts DNS names in the letters of host names (RFC 1123 §2.1), and the underscore that is common inside
// networks.
func IsHostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool {
				return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
			}) {
			return false
		}
	}
	return true
}

// Prefix returns a network, or an address as the network of that address alone.
func (c Cursor) Prefix() (netip.Prefix, bool) {
	s, ok := c.Text()
	if !ok {
		return netip.Prefix{}, false
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		c.Errorf("%s is not a network", c.Shown()).Hint("write it as 192.0.2.0/24 or 2001:db8::/32")
	case p != p.Masked():
		m := c.Errorf("%s has bits set behind its prefix length", c.Shown())
		if !c.Secret() {
			m.Hint("did you mean %q?", p.Masked())
		}
	default:
		return p, true
	}
	return netip.Prefix{}, false
}

// ServerAddress returns IP:port of a server to ask, which may be written without its port.
func (c Cursor) ServerAddress(port uint16) (netip.AddrPort, bool) {
	s, ok := c.Text()
	if !ok {
		return netip.AddrPort{}, false
	}
	at, err := netip.ParseAddrPort(s)
	if a, bare := netip.ParseAddr(s); bare == nil {
		at, err = netip.AddrPortFrom(a, port), nil
	}
	if err != nil || !Dialable(at.Addr()) || at.Port() == 0 {
		c.Errorf("%s is not the address of a server", c.Shown()).Hint("write it as 192.0.2.53 or 192.0.2.53:%d", port)
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), true
}

// Prefixes returns a list of networks, of which one that is wrong is the zero Prefix.
func (c Cursor) Prefixes() ([]netip.Prefix, bool) {
	items, ok := c.Items()
	list := make([]netip.Prefix, 0, len(items))
	for _, item := range items {
		p, _ := item.Prefix()
		list = append(list, p) // an invalid one keeps the positions of the others
	}
	return list, ok
}
