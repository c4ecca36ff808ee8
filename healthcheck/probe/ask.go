package probe

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/meridian-edge/meridian/config"
)

// Ask is what a probe asks of which address. It is immutable; make it with New.
type Ask struct {
	kind     string
	endpoint string // host:port; for a manual check there may be none
	name     string // of a manual check

	host    string // as configured; empty: the endpoint
	tls     bool
	verify  bool
	route53 bool // each phase has the time that Route 53 gives it

	path     string // escaped, with the leading slash
	method   string
	statuses []config.StatusRange
	headers  [][2]string
	search   string

	send, reply string
	alpn        []string
	minDays     int
	service     string
	query       query
}

// everyGoodStatus is what Route 53 accepts: every 2xx and 3xx.
var everyGoodStatus = config.StatusRange{From: 200, To: 399}

// New returns the question of a check at an endpoint, written host:port. It reads only what the check's kind has.
func New(c *config.Check, endpoint string) Ask {
	a := Ask{kind: c.Type, endpoint: endpoint, tls: c.Type == "https" || c.Type == "tls"}
	switch c.Type {
	case "http", "https":
		a.asksHTTP(c)
	case "h2":
		a.tls = c.TLS
		a.asksHTTP(c)
	case "tcp", "udp":
		a.send, a.reply = c.Send, c.Reply
	case "agent":
		a.send = c.Send
	case "tls":
		a.send, a.reply, a.alpn, a.minDays = c.Send, c.Reply, c.ALPN, c.MinDays
		a.host = escape(c.Host)
	case "grpc":
		a.tls, a.service = c.TLS, c.Service
		a.host = escape(c.Host)
	case "dns":
		a.query = newQuery(c.Query.Name, c.Query.Type, c.Query.Rcode, c.Query.Answer)
	case "manual":
		a.name = c.Name
	}
	a.verify = c.Verify && a.tls
	a.route53 = c.Preset == "route53" && (c.Type == "http" || c.Type == "https")
	return a
}

// asksHTTP reads what all versions of HTTP have.
func (a *Ask) asksHTTP(c *config.Check) {
	a.host = escape(c.Host)
	a.path = escape(c.Path)
	if !strings.HasPrefix(a.path, "/") {
		a.path = "/" + a.path
	}
	a.method = cmp.Or(c.Method, "GET")
	a.search = c.Search
	a.statuses = c.Expect
	if len(a.statuses) == 0 {
		a.statuses = []config.StatusRange{everyGoodStatus}
	}
	for _, h := range c.Headers {
		a.headers = append(a.headers, [2]string{escape(h.Name), fieldValueText(h.Value)})
	}
}

func (a *Ask) web() bool { return a.kind == "http" || a.kind == "https" || a.kind == "h2" }

// Probed reports whether there is a probe of this kind: a manual check is set by people, and a kind nobody knows never.
func (a *Ask) Probed() bool {
	switch a.kind {
	case "http", "https", "h2", "tcp", "tls", "grpc", "dns", "udp", "agent":
		return true
	}
	return false
}

func (a *Ask) network() string {
	if a.kind == "udp" || a.kind == "dns" {
		return "udp"
	}
	if a.route53 && !literal(a.endpoint) {
		return "tcp4" // Route 53 looks names up over IPv4 alone (health-checks-creating-values.html, Domain name)
	}
	return "tcp"
}

// literal reports whether an endpoint is given by its address.
func literal(endpoint string) bool {
	_, err := netip.ParseAddrPort(endpoint)
	return err == nil
}

// protocols is what is offered by ALPN (RFC 7301).
func (a *Ask) protocols() []string {
	switch a.kind {
	case "https":
		return []string{"http/1.1"}
	case "h2", "grpc":
		return []string{"h2"}
	}
	return a.alpn
}

// Fingerprint says what is asked in a few printable characters; different questions have different ones. Header fields and
// what is sent may be secrets, so only a hash of them is in it.
func (a *Ask) Fingerprint() string {
	text := strings.Join(a.words(), " ")
	if len(text) <= maxCheckText {
		return text
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return fmt.Sprintf("%s... #%016x", text[:maxCheckText], h.Sum64())
}

func (a *Ask) words() []string {
	w := []string{a.kind}
	add := func(when bool, word string) {
		if when {
			w = append(w, word)
		}
	}
	add(a.web(), a.path)
	add(a.kind == "dns", a.query.String())
	add(a.kind == "manual", escape(a.name))
	add(a.host != "", "host="+a.host)
	add(a.web() && (len(a.statuses) != 1 || a.statuses[0] != everyGoodStatus), "expect="+statuses(a.statuses))
	add(a.method != "" && a.method != "GET", "method="+a.method)
	add(len(a.headers) > 0, "headers="+secret(a.headers...))
	add(a.search != "", "search="+strconv.QuoteToASCII(a.search))
	add(a.send != "", "send="+secret([2]string{a.send}))
	add(a.reply != "", "expect="+strconv.QuoteToASCII(a.reply))
	add(len(a.alpn) > 0, "alpn="+escape(strings.Join(a.alpn, ",")))
	add(a.minDays > 0, "min_days="+strconv.Itoa(a.minDays))
	add(a.service != "", "service="+strconv.QuoteToASCII(a.service))
	add(a.kind == "h2" && !a.tls, "cleartext")
	add(a.kind == "grpc" && a.tls, "tls")
	add(a.verify, "verify")
	add(a.route53, "route53")
	return w
}

// secret is a hash of texts that are not to be shown.
func secret(texts ...[2]string) string {
	h := sha256.New()
	for _, t := range texts {
		fmt.Fprintf(h, "%q%q", t[0], t[1])
	}
	return fmt.Sprintf("#%x", h.Sum(nil)[:8])
}

// wants reports whether a status counts as success.
func (a *Ask) wants(status int) bool {
	for _, r := range a.statuses {
		if r.From <= status && status <= r.To {
			return true
		}
	}
	return false
}

// hostField is the value of the Host field: as configured, or the endpoint without the scheme's own port (RFC 9110 section
// 7.2, RFC 3986 section 3.2.3).
func (a *Ask) hostField() string {
	if a.host != "" {
		return a.host
	}
	if a.tls {
		return strings.TrimSuffix(a.endpoint, ":443")
	}
	return strings.TrimSuffix(a.endpoint, ":80")
}

// serverName is the name for SNI and verification; crypto/tls sends no SNI for an address, but verifies it.
func (a *Ask) serverName() string {
	name := a.host
	if name == "" {
		name = a.endpoint
	}
	if host, _, err := net.SplitHostPort(name); err == nil {
		return host
	}
	return strings.Trim(name, "[]")
}

// request is the whole head of an HTTP/1.1 request. Fields of the check take the place of those that are always sent.
func (a *Ask) request() []byte {
	var b strings.Builder
	b.WriteString(a.method + " " + a.path + " HTTP/1.1\r\nHost: " + a.hostField() + "\r\n")
	for _, f := range a.fields() {
		b.WriteString(f[0] + ": " + f[1] + "\r\n")
	}
	b.WriteString("Connection: close\r\n\r\n")
	return []byte(b.String())
}

// fields are the fields of a request in every version of HTTP.
func (a *Ask) fields() [][2]string {
	var list [][2]string
	for _, f := range [][2]string{{"User-Agent", userAgent}, {"Accept", "*/*"}} {
		if !slices.ContainsFunc(a.headers, func(own [2]string) bool { return strings.EqualFold(own[0], f[0]) }) {
			list = append(list, f)
		}
	}
	return append(list, a.headers...)
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

// fieldValueText makes configured text fit to stand in one line of a head.
func fieldValueText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, s)
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
