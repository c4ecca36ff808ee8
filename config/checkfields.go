package config

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config/zones"
	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// Limits of what a probe sends and looks for.
const (
	maxCheckSearch  = 255 // bytes (as Route 53)
	maxCheckPayload = 1024
	maxCheckHeaders = 16
	maxCheckHeader  = 1024 // bytes of a value
	maxCheckALPN    = 8
)

// checkField is a key that only some types of checks have.
type checkField struct {
	key   string
	types []string
	read  func(o object, k *Check)
}

// refusal says why a type does not have the key.
func (f *checkField) refusal(kind string) string {
	calculating := slices.Contains(f.types, "calculated")
	if kind == "calculated" || kind == "manual" && !calculating {
		return noProbe(kind)
	}
	list := strings.Join(f.types, ", ")
	if i := strings.LastIndex(list, ", "); i >= 0 {
		list = list[:i] + " or " + list[i+2:]
	}
	return "only a check of type " + list + " has this"
}

// checkFields are in the order in which they are read: at_least counts what of names.
func checkFields() []checkField {
	web := []string{"http", "https", "h2"}
	return []checkField{
		{"preset", []string{"http", "https", "tcp"}, func(o object, k *Check) { o.Enum("preset", &k.Preset, "route53") }},
		{"host", []string{"http", "https", "h2", "tls", "grpc"}, func(o object, k *Check) { yamldoc.Set(o, "host", &k.Host, readAuthority) }},
		{"path", web, func(o object, k *Check) {
			k.Path = "/"
			yamldoc.Set(o, "path", &k.Path, readRequestPath)
		}},
		{"method", web, func(o object, k *Check) {
			k.Method = "GET"
			o.Enum("method", &k.Method, "GET", "HEAD")
		}},
		{"headers", web, func(o object, k *Check) { yamldoc.Set(o, "headers", &k.Headers, readCheckHeaders) }},
		{"search", web, func(o object, k *Check) { yamldoc.Set(o, "search", &k.Search, readSearch) }},
		{"expect", append(web, "tcp", "tls", "udp"), readExpect},
		{"send", []string{"tcp", "tls", "udp", "agent"}, func(o object, k *Check) {
			if k.Type == "udp" {
				o.Need("send") // there is no connection that could succeed
			}
			yamldoc.Set(o, "send", &k.Send, readPayload)
		}},
		{"tls", []string{"h2", "grpc"}, func(o object, k *Check) {
			k.TLS = k.Type == "h2"
			o.Boolean("tls", &k.TLS)
		}},
		{"verify", []string{"https", "h2", "tls", "grpc"}, func(o object, k *Check) { o.Boolean("verify", &k.Verify) }},
		{"alpn", []string{"tls"}, func(o object, k *Check) { yamldoc.Set(o, "alpn", &k.ALPN, readALPN) }},
		{"min_days", []string{"tls"}, func(o object, k *Check) { o.Integer("min_days", &k.MinDays, 0, 3650) }},
		{"service", []string{"grpc"}, func(o object, k *Check) { yamldoc.Set(o, "service", &k.Service, readService) }},
		{"query", []string{"dns"}, readQuery},
		{"of", []string{"calculated"}, readOf},
		{"at_least", []string{"calculated"}, func(o object, k *Check) {
			o.Need("at_least")
			// One more than there are checks is Route 53's way to say "never healthy".
			o.Integer("at_least", &k.AtLeast, 0, len(k.Of)+1)
		}},
	}
}

func readOf(o object, k *Check) {
	c, found := o.Need("of")
	if !found {
		return
	}
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

// readExpect reads statuses for the types that speak HTTP and bytes for the others.
func readExpect(o object, k *Check) {
	if k.Type == "tcp" || k.Type == "tls" || k.Type == "udp" {
		yamldoc.Set(o, "expect", &k.Reply, readPayload)
		return
	}
	k.Expect = []StatusRange{{200, 399}}
	yamldoc.Set(o, "expect", &k.Expect, readStatuses)
}

// readCheckHeaders reads name: value. Fields that say where the request ends or goes are the probe's own.
func readCheckHeaders(c cursor) ([]CheckHeader, bool) {
	entries, ok := c.Entries()
	if len(entries) > maxCheckHeaders {
		c.Errorf("%d fields are too many, at most %d", len(entries), maxCheckHeaders)
		return nil, false
	}
	list := make([]CheckHeader, 0, len(entries))
	for _, e := range entries {
		name := e.Key()
		value, valueOK := e.Text()
		same := func(h CheckHeader) bool { return strings.EqualFold(h.Name, name) }
		switch {
		case !isToken(name):
			e.KeyError("is not the name of a field")
		case strings.EqualFold(name, "host"):
			e.KeyError("is not set here").Hint("write it as the check's host")
		case slices.ContainsFunc(framingFields(), func(s string) bool { return strings.EqualFold(s, name) }):
			e.KeyError("is the probe's own")
		case slices.ContainsFunc(list, same):
			e.KeyError("is there twice, in another case")
		case !valueOK:
		case len(value) > maxCheckHeader:
			e.Errorf("%d bytes are too many, at most %d", len(value), maxCheckHeader)
		case strings.TrimSpace(value) != value:
			e.Errorf("must not begin or end with a space")
		default:
			list = append(list, CheckHeader{Name: name, Value: value})
			continue
		}
		ok = false
	}
	return list, ok
}

// framingFields belong to the connection and to the framing of a message (RFC 9110 §7.6.1, §10.1).
func framingFields() []string {
	return []string{
		"connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
		"http2-settings",
	}
}

func readSearch(c cursor) (string, bool) { return readShort(c, maxCheckSearch) }

func readService(c cursor) (string, bool) { return readShort(c, maxCheckSearch) }

func readShort(c cursor, longest int) (string, bool) {
	s, ok := c.Text()
	if ok && len(s) > longest {
		c.Errorf("%d bytes are too many, at most %d", len(s), longest)
		return "", false
	}
	return s, ok
}

// readPayload reads bytes: text with the escapes of a Go string, or hex: and hexadecimal digits.
func readPayload(c cursor) (string, bool) {
	s, ok := c.Scalar()
	if !ok {
		return "", false
	}
	digits, isHex := strings.CutPrefix(s, "hex:")
	if isHex {
		data, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
		if err != nil {
			c.Errorf("%s is not hexadecimal", c.Shown()).Hint("write bytes as hex:0d0a or hex:0d 0a")
			return "", false
		}
		s = string(data)
	} else if s, ok = unescape(s); !ok {
		c.Errorf(`%s has an escape that is not known`, c.Shown()).Hint(`write \r \n \t \\ \x00 or \u00e9, or all of it as hex:0d0a`)
		return "", false
	}
	switch {
	case s == "":
		c.Errorf("must not be empty")
	case len(s) > maxCheckPayload:
		c.Errorf("%d bytes are too many, at most %d", len(s), maxCheckPayload)
	default:
		return s, true
	}
	return "", false
}

// unescape undoes the escapes of a Go string. Quotes and line ends may stand as they are.
func unescape(s string) (string, bool) {
	var b strings.Builder
	for s != "" {
		if strings.HasPrefix(s, `\"`) || strings.HasPrefix(s, `\'`) {
			b.WriteByte(s[1])
			s = s[2:]
			continue
		}
		if s[0] != '\\' { // UnquoteChar would replace what is not UTF-8
			b.WriteByte(s[0])
			s = s[1:]
			continue
		}
		r, multibyte, rest, err := strconv.UnquoteChar(s, 0)
		if err != nil {
			return "", false
		}
		if multibyte {
			b.WriteRune(r)
		} else {
			b.WriteByte(byte(r))
		}
		s = rest
	}
	return b.String(), true
}

// readALPN reads one protocol or a list of them (RFC 7301 §3.1).
func readALPN(c cursor) ([]string, bool) {
	items := []cursor{c}
	if !c.Single() {
		var ok bool
		if items, ok = c.Items(); !ok {
			return nil, false
		}
	}
	if len(items) == 0 || len(items) > maxCheckALPN {
		c.Errorf("must name 1 to %d protocols", maxCheckALPN)
		return nil, false
	}
	var list []string
	for _, item := range items {
		s, ok := readShort(item, 255)
		if !ok {
			return nil, false
		}
		if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' }) {
			item.Errorf("%s is not a protocol", item.Shown()).Hint("such as h2 or http/1.1")
			return nil, false
		}
		list = append(list, s)
	}
	return list, true
}

// readQuery reads what a DNS check asks.
func readQuery(o object, k *Check) {
	c, found := o.Need("query")
	if !found {
		return
	}
	q := c.Object("name", "type", "rcode", "answer")
	k.Query = CheckQuery{Type: "A", Rcode: "NOERROR"}
	if name, found := q.Need("name"); found {
		k.Query.Name, _ = readQueryName(name)
	}
	yamldoc.Set(q, "type", &k.Query.Type, readQueryType)
	q.Enum("rcode", &k.Query.Rcode, "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
	if k.Query.Rcode != "NOERROR" {
		q.Refuse("only NOERROR comes with an answer", "answer")
		return
	}
	if answer, found := q.Get("answer"); found && !q.Unsure("type") {
		k.Query.Answer, _ = zones.ReadValue(answer, k.Query.Type)
	}
}

func readQueryName(c cursor) (string, bool) {
	s, ok := c.Text()
	if !ok {
		return "", false
	}
	if _, valid := dns.IsDomainName(s); !valid || strings.ContainsFunc(s, unicode.IsSpace) {
		c.Errorf("%s is not a domain name", c.Shown())
		return "", false
	}
	return dns.Fqdn(strings.ToLower(s)), true
}

// readQueryType reads a type that has records: what is only a question has no answer to compare.
func readQueryType(c cursor) (string, bool) {
	s, ok := c.Text()
	if !ok {
		return "", false
	}
	name := strings.ToUpper(s)
	if t, known := dns.StringToType[name]; known && dns.TypeToRR[t] != nil && !slices.Contains([]string{"ANY", "OPT", "TSIG", "TKEY"}, name) {
		return name, true
	}
	m := c.Errorf("%s is not a record type", c.Shown())
	if !c.Secret() {
		m.Meant(name, append(zones.RecordTypes(), "SOA"))
	}
	return "", false
}
