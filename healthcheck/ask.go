package healthcheck

import (
	"fmt"
	"hash/fnv"
	"net"
	"strings"

	"github.com/meridian-edge/meridian/config"
)

// ask is what a probe asks of which address. It is immutable.
type ask struct {
	kind     string // http, https, tcp; any other is never probed and stays unknown
	endpoint string // host:port
	host     string // as configured; empty: the endpoint
	path     string // escaped, with the leading slash
	expect   []config.StatusRange
	verify   bool
}

// everyGoodStatus is what Route 53 accepts: every 2xx and 3xx.
var everyGoodStatus = config.StatusRange{From: 200, To: 399}

func newAsk(c *config.Check, endpoint string) ask {
	a := ask{kind: c.Type, endpoint: endpoint}
	if !a.web() {
		return a
	}
	a.host = escape(c.Host)
	a.path = escape(c.Path)
	if !strings.HasPrefix(a.path, "/") {
		a.path = "/" + a.path
	}
	a.expect = c.Expect
	if len(a.expect) == 0 {
		a.expect = []config.StatusRange{everyGoodStatus}
	}
	a.verify = c.Verify && c.Type == "https"
	return a
}

func (a *ask) web() bool { return a.kind == "http" || a.kind == "https" }

// probed reports whether there is a probe of this kind.
func (a *ask) probed() bool { return a.web() || a.kind == "tcp" }

// fingerprint says what is asked in a few printable characters; different questions have different ones.
func (a *ask) fingerprint() string {
	if !a.web() {
		return a.kind
	}
	text := a.kind + " " + a.path
	if a.host != "" {
		text += " host=" + a.host
	}
	if len(a.expect) != 1 || a.expect[0] != everyGoodStatus {
		text += " expect=" + statuses(a.expect)
	}
	if a.verify {
		text += " verify"
	}
	if len(text) <= maxCheckText {
		return text
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return fmt.Sprintf("%s... #%016x", text[:maxCheckText], h.Sum64())
}

// wants reports whether a status counts as success.
func (a *ask) wants(status int) bool {
	for _, r := range a.expect {
		if r.From <= status && status <= r.To {
			return true
		}
	}
	return false
}

// hostField is the value of the Host field: as configured, or the endpoint without the scheme's own port (RFC 9110 section
// 7.2, RFC 3986 section 3.2.3).
func (a *ask) hostField() string {
	if a.host != "" {
		return a.host
	}
	if a.kind == "https" {
		return strings.TrimSuffix(a.endpoint, ":443")
	}
	return strings.TrimSuffix(a.endpoint, ":80")
}

// serverName is the name for SNI and verification; crypto/tls sends no SNI for an address, but verifies it.
func (a *ask) serverName() string {
	name := a.host
	if name == "" {
		name = a.endpoint
	}
	if host, _, err := net.SplitHostPort(name); err == nil {
		return host
	}
	return strings.Trim(name, "[]")
}

// request is the whole request head.
func (a *ask) request() []byte {
	return []byte("GET " + a.path + " HTTP/1.1\r\nHost: " + a.hostField() +
		"\r\nUser-Agent: " + userAgent + "\r\nAccept: */*\r\nConnection: close\r\n\r\n")
}

const userAgent = "Meridian-Health-Check/1"

// statuses writes ranges as they are configured: 200-299,304.
func statuses(ranges []config.StatusRange) string {
	var b strings.Builder
	for i, r := range ranges {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%d", r.From)
		if r.To != r.From {
			fmt.Fprintf(&b, "-%d", r.To)
		}
	}
	return b.String()
}

// escape percent-encodes what may not stand in a request target, so that no configured text can end the line it is in.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
