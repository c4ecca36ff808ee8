package httpwire

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Canonical is the one form of a request's address that is routed on, decided on, keyed on and forwarded. Two requests with
// equal Canonicals are the same request to everybody behind the front (attack rows C06, C07).
type Canonical struct {
	Host  string // lower case, no port, no final dot; IPv6 in brackets
	Port  uint16 // as given, else the scheme's default
	Path  string // starts with /, dot segments resolved, unreserved bytes decoded, escapes in upper case
	Query string // raw, without the question mark
	// HasQuery tells "/a?" from "/a": origins may.
	HasQuery bool
}

// Target is the path and query as they go into a request line.
func (c *Canonical) Target() string {
	if !c.HasQuery {
		return c.Path
	}
	return c.Path + "?" + c.Query
}

// HostPort is the authority in its canonical form: the port is left out when it is the scheme's default.
func (c *Canonical) HostPort(scheme string) string {
	if c.Port == defaultPort(scheme) {
		return c.Host
	}
	return c.Host + ":" + strconv.Itoa(int(c.Port))
}

// The reasons for refusing a target or a host.
var (
	ErrTarget = errors.New("malformed request target")
	ErrHost   = errors.New("malformed host")
)

func defaultPort(scheme string) uint16 {
	if scheme == "https" {
		return 443
	}
	return 80
}

// Canonicalize derives the canonical form of a head. It fails with ErrTarget or ErrHost. The asterisk form (OPTIONS *) has
// Path "*". It does not allocate when the head is canonical already.
func Canonicalize(h *Head) (Canonical, error) {
	var c Canonical
	target := h.Target
	if h.Method == "OPTIONS" && target == "*" {
		c.Path = "*"
	} else {
		if i := strings.IndexByte(target, '?'); i >= 0 {
			target, c.Query, c.HasQuery = target[:i], target[i+1:], true
			if !cleanQuery(c.Query) {
				return c, ErrTarget
			}
		}
		var err error
		if c.Path, err = canonicalPath(target); err != nil {
			return c, err
		}
	}
	var err error
	c.Host, c.Port, err = canonicalHost(h.Authority, defaultPort(h.Scheme))
	return c, err
}

// cleanQuery refuses bytes that RFC 3986 section 3.4 does not allow and that parsers disagree on. Bytes above 0x7f and the
// handful of delimiters browsers send raw are let through as they are.
func cleanQuery(q string) bool {
	for i := range len(q) {
		if q[i] <= ' ' || q[i] == 0x7f || q[i] == '#' {
			return false
		}
	}
	return true
}

// canonicalPath resolves and normalises a path (RFC 3986 section 6.2.2). Encoded slash, backslash, dot, semicolon and NUL
// are refused, because some origin will decode them and route elsewhere than we did. Double slashes are kept for all uses.
func canonicalPath(p string) (string, error) {
	if p == "" || p[0] != '/' {
		return "", ErrTarget
	}
	rewrite := false
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c <= ' ' || c == 0x7f || c == '\\' || c == '#':
			return "", ErrTarget
		case c == '%':
			b, ok := unhex(p, i)
			if !ok || forbiddenEscape(b) {
				return "", ErrTarget
			}
			rewrite = rewrite || unreserved(b) || p[i+1] >= 'a' || p[i+2] >= 'a'
			i += 2
		case c >= 0x80:
			rewrite = true
		case c == '.' && p[i-1] == '/':
			rewrite = true // perhaps a dot segment
		}
	}
	if !rewrite {
		return p, nil
	}
	return rewritePath(p), nil
}

// forbiddenEscape lists the bytes that must not arrive encoded: separators, control bytes and the dot.
func forbiddenEscape(b byte) bool {
	return b < ' ' || b == 0x7f || b == '/' || b == '\\' || b == '.' || b == ';'
}

func unreserved(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-' || b == '_' || b == '~' || b == '.'
}

func unhex(p string, i int) (byte, bool) {
	if i+2 >= len(p) {
		return 0, false
	}
	hi, ok1 := hexDigit(p[i+1])
	lo, ok2 := hexDigit(p[i+2])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

const upperHex = "0123456789ABCDEF"

// rewritePath decodes unreserved bytes, encodes bytes above 0x7f, writes escapes in upper case, then removes dot segments.
func rewritePath(p string) string {
	out := make([]byte, 0, len(p)+16)
	for i := 0; i < len(p); i++ {
		c := p[i]
		if c == '%' {
			c, _ = unhex(p, i)
			i += 2
			if unreserved(c) {
				out = append(out, c)
				continue
			}
		} else if c < 0x80 {
			out = append(out, c)
			continue
		}
		out = append(out, '%', upperHex[c>>4], upperHex[c&15])
	}
	return removeDotSegments(string(out))
}

// removeDotSegments is RFC 3986 section 5.2.4 for a path that starts with a slash.
func removeDotSegments(p string) string {
	out := make([]byte, 0, len(p))
	for len(p) > 0 {
		end := strings.IndexByte(p[1:], '/')
		segment := p
		if end >= 0 {
			segment = p[:end+1]
		}
		p = p[len(segment):]
		switch segment {
		case "/.":
			if p == "" {
				out = append(out, '/')
			}
		case "/..":
			for n := len(out); n > 0; {
				n--
				c := out[n]
				out = out[:n]
				if c == '/' {
					break
				}
			}
			if p == "" {
				out = append(out, '/')
			}
		default:
			out = append(out, segment...)
		}
	}
	return string(out)
}

// canonicalHost splits and normalises an authority without userinfo (RFC 9110 section 7.2, attack row S26).
func canonicalHost(a string, port uint16) (string, uint16, error) {
	host := a
	if strings.HasPrefix(a, "[") {
		end := strings.IndexByte(a, ']')
		if end < 0 {
			return "", 0, ErrHost
		}
		addr, err := netip.ParseAddr(a[1:end])
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", 0, ErrHost
		}
		host = "[" + addr.String() + "]"
		a = a[end+1:]
	} else if i := strings.IndexByte(a, ':'); i >= 0 {
		host, a = a[:i], a[i:]
	} else {
		a = ""
	}
	if a != "" {
		n, err := strconv.ParseUint(a[1:], 10, 16)
		if a[0] != ':' || err != nil || n == 0 || a[1] == '+' {
			return "", 0, ErrHost
		}
		port = uint16(n)
	}
	if strings.HasPrefix(host, "[") {
		return host, port, nil
	}
	name, err := canonicalName(host)
	return name, port, err
}

// canonicalName lowers a host name and removes one final dot. Only letters, digits, hyphen, dot and underscore pass: an
// internationalised name arrives as A-labels (RFC 9110 section 4.2.3, RFC 5891).
func canonicalName(host string) (string, error) {
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 {
		return "", ErrHost
	}
	upper, label := false, 0
	for i := range len(host) {
		switch c := host[i]; {
		case c == '.':
			if label == 0 {
				return "", ErrHost
			}
			label = -1
		case c >= 'A' && c <= 'Z':
			upper = true
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_':
		default:
			return "", ErrHost
		}
		if label++; label > 63 {
			return "", ErrHost
		}
	}
	if label == 0 {
		return "", ErrHost
	}
	if upper {
		host = strings.ToLower(host)
	}
	return host, nil
}
