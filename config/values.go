package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// values reads the values of a record or of an answer in their presentation form.
func (c cursor) values(rrtype string) []string {
	items, ok := c.items()
	if ok && len(items) == 0 {
		c.errorf("must not be empty")
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		v, valueOK := item.rdata(rrtype)
		if i := slices.Index(list, v); valueOK && i >= 0 {
			item.errorf("the same value as %s[%d]", c.path, i)
		}
		list = append(list, v)
	}
	if len(items) > 1 && (rrtype == "CNAME" || rrtype == "DNAME") {
		items[1].errorf("a name has at most one %s", rrtype)
	}
	return list
}

// rdata reads one value, in the presentation form of its type (RFC 1035 §5.1), and returns it in miekg/dns's spelling of it.
// Names in it are absolute with or without their final dot, as in Route 53. A TXT value that does not start with a quote is one
// text, whatever it contains.
func (c cursor) rdata(rrtype string) (string, bool) {
	s, ok := c.scalar()
	if !ok || rrtype == "" {
		return "", false
	}
	isText := rrtype == "TXT" || rrtype == "SPF"
	if isText && !strings.HasPrefix(s, `"`) {
		return quoteText(s), true
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F }) || s == "" {
		c.errorf("%s is not the value of a record of type %s", c.shown(), rrtype)
		return "", false
	}
	rr := parseRecord(rrtype, s)
	if rr == nil {
		m := c.errorf("%s is not the value of a record of type %s", c.shown(), rrtype)
		if example := valueHint(rrtype, s); example != "" && !c.secret() {
			m.hint("%s", example)
		}
		return "", false
	}
	if target := targetOf(rr); target != "" && target != "." && !c.secret() && dns.CountLabel(target) == 1 && !strings.HasSuffix(s, ".") {
		c.warnf("the name in %s is absolute: it means %q", c.shown(), target).hint("write it in full, or end it with a dot")
	}
	return strings.TrimPrefix(rr.String(), rr.Header().String()), true
}

// parseRecord returns nil unless value is exactly one record.
func parseRecord(rrtype, value string) dns.RR {
	zp := dns.NewZoneParser(strings.NewReader(". 60 IN "+rrtype+" "+value+"\n"), ".", "")
	zp.SetIncludeAllowed(false)
	rr, ok := zp.Next()
	if !ok || zp.Err() != nil || rr.Header().Rrtype != dns.StringToType[rrtype] || isEmptyRdata(rr) {
		return nil
	}
	if _, more := zp.Next(); more || zp.Err() != nil {
		return nil
	}
	return rr
}

// isEmptyRdata catches a value that was only a comment, which the zone parser takes for a record without data.
func isEmptyRdata(rr dns.RR) bool {
	return strings.TrimPrefix(rr.String(), rr.Header().String()) == ""
}

// targetOf is the name a record points at, or "".
func targetOf(rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.CNAME:
		return rr.Target
	case *dns.DNAME:
		return rr.Target
	case *dns.NS:
		return rr.Ns
	case *dns.PTR:
		return rr.Ptr
	case *dns.MX:
		return rr.Mx
	case *dns.SRV:
		return rr.Target
	}
	return ""
}

func valueHint(rrtype, value string) string {
	switch rrtype {
	case "A":
		if strings.Contains(value, ":") {
			return "IPv6 addresses belong in a record of type AAAA"
		}
		return "an IPv4 address such as 192.0.2.1"
	case "AAAA":
		if !strings.Contains(value, ":") {
			return "IPv4 addresses belong in a record of type A"
		}
		return "an IPv6 address such as 2001:db8::1"
	case "CNAME", "NS", "PTR", "DNAME":
		return "a name such as www.example.org"
	case "MX":
		return "a preference and a name, such as 10 mail.example.org"
	case "SRV":
		return "priority, weight, port and name, such as 10 5 443 www.example.org"
	case "CAA":
		return `flags, tag and value, such as 0 issue "ca.example.org"`
	case "TXT", "SPF":
		return "close the quotes, or leave them out"
	}
	return ""
}

// quoteText writes a text as the quoted strings of a TXT record, of at most 255 bytes each (RFC 1035 §3.3).
func quoteText(s string) string {
	const longest = 255
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if i > 0 && i%longest == 0 {
			b.WriteString(`" "`)
		}
		switch ch := s[i]; {
		case ch == '"' || ch == '\\':
			b.WriteByte('\\')
			b.WriteByte(ch)
		case ch < ' ' || ch > '~':
			b.WriteString(`\` + strconv.Itoa(1000 + int(ch))[1:])
		default:
			b.WriteByte(ch)
		}
	}
	b.WriteByte('"')
	return b.String()
}
