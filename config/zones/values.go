package zones

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// readValues reads the values of a record or of an answer in their presentation form.
func readValues(c cursor, rrtype string) []string {
	items, ok := c.Items()
	if ok && len(items) == 0 {
		c.Errorf("must not be empty")
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		v, valueOK := ReadValue(item, rrtype)
		if i := slices.Index(list, v); valueOK && i >= 0 {
			item.Errorf("the same value as %s[%d]", c.Path(), i)
		}
		list = append(list, v)
	}
	if len(items) > 1 && (rrtype == "CNAME" || rrtype == "DNAME") {
		items[1].Errorf("a name has at most one %s", rrtype)
	}
	return list
}

// ReadValue reads one value, in the presentation form of its type (RFC 1035 §5.1), and returns it in miekg/dns's spelling of it.
// Names in it are absolute with or without their final dot, as in Route 53. A TXT value that does not start with a quote is one
// text, whatever it contains.
func ReadValue(c cursor, rrtype string) (string, bool) {
	s, ok := c.Scalar()
	if !ok || rrtype == "" {
		return "", false
	}
	isText := rrtype == "TXT" || rrtype == "SPF"
	if isText && !strings.HasPrefix(s, `"`) {
		return quoteText(s), true
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F }) || s == "" {
		c.Errorf("%s is not the value of a record of type %s", c.Shown(), rrtype)
		return "", false
	}
	rr := parseRecord(rrtype, s)
	if rr == nil {
		m := c.Errorf("%s is not the value of a record of type %s", c.Shown(), rrtype)
		if example := valueHint(rrtype, s); example != "" && !c.Secret() {
			m.Hint("%s", example)
		}
		return "", false
	}
	if target := targetOf(rr); target != "" && target != "." && !c.Secret() && dns.CountLabel(target) == 1 && !strings.HasSuffix(s, ".") {
		c.Warnf("the name in %s is absolute: it means %q", c.Shown(), target).Hint("write it in full, or end it with a dot")
	}
	return dataOf(rr), true
}

// parseRecord returns nil unless value is exactly one record.
func parseRecord(rrtype, value string) dns.RR {
	zp := dns.NewZoneParser(strings.NewReader(". 60 IN "+rrtype+" "+value+"\n"), ".", "")
	zp.SetIncludeAllowed(false)
	rr, ok := zp.Next()
	t, named := dns.StringToType[rrtype]
	if !named {
		t, _ = typeNumber(rrtype)
	}
	if !ok || zp.Err() != nil || rr.Header().Rrtype != t || dataOf(rr) == "" {
		return nil
	}
	if _, more := zp.Next(); more || zp.Err() != nil {
		return nil
	}
	return rr
}

// dataOf returns the presentation form of a record's data. It is empty for a value that was only a comment, which the zone parser
// takes for a record without data, and for generic data that is none or no hexadecimal.
func dataOf(rr dns.RR) string {
	generic, is := rr.(*dns.RFC3597)
	if !is {
		return strings.TrimPrefix(rr.String(), rr.Header().String())
	}
	data, err := hex.DecodeString(generic.Rdata)
	if err != nil || len(data) == 0 {
		return ""
	}
	return fmt.Sprintf(`\# %d %x`, len(data), data)
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
	if _, numbered := typeNumber(rrtype); numbered {
		return `the length and the bytes of its data, such as \# 4 c0000201 (RFC 3597 §5)`
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
