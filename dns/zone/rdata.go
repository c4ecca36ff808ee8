package zone

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// data turns the text of a record's data into wire form, in the parser's scratch space. The common types are read here; all
// others, and these under test, by miekg/dns: two lanes, one truth.
func (p *parser) data(typ uint16, t []token, origin []byte) (data []byte, bad, remedy string) {
	if len(t) == 0 && typ != mdns.TypeAPL { // an address prefix list may be empty (RFC 3123 section 4)
		return nil, "record has no data", ""
	}
	if len(t) > 0 && !t[0].quoted && string(t[0].text) == `\#` {
		return p.generic(typ, t[1:])
	}
	for i := range t {
		if bad := checkEscapes(t[i].text); bad != "" {
			return nil, bad, ""
		}
	}
	if !p.onlySlow {
		out, handled, bad := fast(p.rdata[:0], typ, t, origin)
		if p.rdata = out; handled {
			if bad == "" && len(out) > 65535 {
				bad = "data is longer than 65,535 octets"
			}
			return out, bad, fastRemedy(typ)
		}
	}
	return p.codec(typ, t, origin)
}

func checkEscapes(text []byte) (bad string) {
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		_, n := unescape(text[i:])
		if n == 0 {
			return badEscape
		}
		i += n - 1
	}
	return ""
}

// generic reads data in the form for unknown types, which any type may use (RFC 3597 section 5). Data of a type that is known
// must be valid for it.
func (p *parser) generic(typ uint16, t []token) (data []byte, bad, remedy string) {
	remedy = `as in \# 4 c0000201: the length in octets, then that many in hexadecimal`
	if len(t) == 0 {
		return nil, "length is missing", remedy
	}
	want, ok := parseUint(t[0].text, 65535)
	if !ok {
		return nil, "length " + strconv.Quote(string(clip(t[0].text))) + " is not a number up to 65535", remedy
	}
	var digits []byte
	for _, t := range t[1:] {
		digits = append(digits, t.text...)
	}
	out, err := hex.AppendDecode(p.rdata[:0], digits)
	if p.rdata = out; err != nil {
		return nil, "data is not hexadecimal", remedy
	}
	if uint64(len(out)) != want {
		return nil, "length says " + strconv.FormatUint(want, 10) + " octets, there are " + strconv.Itoa(len(out)), remedy
	}
	if !valid(typ, out) {
		return nil, "octets are not valid data for this type", ""
	}
	return out, "", ""
}

// fast reads the data of common types behind dst. handled is false for the others.
func fast(dst []byte, typ uint16, t []token, origin []byte) (out []byte, handled bool, bad string) {
	switch typ {
	case dnswire.TypeA, dnswire.TypeAAAA:
		dst, bad = address(dst, typ, t)
	case dnswire.TypeNS, dnswire.TypeCNAME, mdns.TypePTR, mdns.TypeDNAME:
		dst, bad = fields(dst, "n", t, origin)
	case dnswire.TypeMX:
		dst, bad = fields(dst, "2n", t, origin)
	case dnswire.TypeSRV:
		dst, bad = fields(dst, "222n", t, origin)
	case dnswire.TypeSOA:
		dst, bad = fields(dst, "nn4ssss", t, origin)
	case mdns.TypeTXT, mdns.TypeSPF, mdns.TypeNINFO, mdns.TypeAVC, mdns.TypeRESINFO:
		dst, bad = strings255(dst, t)
	case dnswire.TypeHINFO: // miekg/dns would make two strings of one, at its first blank
		if dst, bad = strings255(dst, t); len(t) != 2 {
			bad = "data has " + strconv.Itoa(len(t)) + " strings, not 2"
		}
	default:
		return dst, false, ""
	}
	return dst, true, bad
}

func fastRemedy(typ uint16) string {
	switch typ {
	case dnswire.TypeA:
		return "as in A 192.0.2.1"
	case dnswire.TypeAAAA:
		return "as in AAAA 2001:db8::1"
	case dnswire.TypeMX:
		return "as in MX 10 mail.example.org."
	case dnswire.TypeSRV:
		return "as in SRV 10 5 443 host.example.org.: priority, weight, port, target"
	case dnswire.TypeSOA:
		return "as in SOA ns1 hostmaster 1 7200 3600 1209600 3600: primary, contact, serial, refresh, retry, expire, minimum"
	case dnswire.TypeHINFO:
		return `as in HINFO "cpu" "os"`
	case mdns.TypeTXT, mdns.TypeSPF, mdns.TypeNINFO, mdns.TypeAVC, mdns.TypeRESINFO:
		return `cut it into several quoted strings of up to 255 octets, as in TXT "one" "two"`
	}
	return "as in " + typeName(typ) + " host.example.org."
}

func address(dst []byte, typ uint16, t []token) (out []byte, bad string) {
	if len(t) != 1 || t[0].quoted || len(t[0].text) > 45 {
		return dst, "data is not one address"
	}
	if typ == dnswire.TypeA {
		if out, ok := appendIPv4(dst, t[0].text); ok {
			return out, ""
		}
		return dst, strconv.Quote(string(t[0].text)) + " is not an IPv4 address"
	}
	a, err := netip.ParseAddr(string(t[0].text))
	if err != nil || !a.Is6() || a.Zone() != "" {
		return dst, strconv.Quote(string(t[0].text)) + " is not an IPv6 address"
	}
	b := a.As16()
	return append(dst, b[:]...), ""
}

// appendIPv4 reads a dotted quad without leading zeros.
func appendIPv4(dst, text []byte) ([]byte, bool) {
	n, v, digits := 0, 0, 0
	for i := 0; ; i++ {
		if i == len(text) || text[i] == '.' {
			if digits == 0 || n == 4 {
				return dst, false
			}
			dst, n, v, digits = append(dst, byte(v)), n+1, 0, 0
			if i == len(text) {
				return dst, n == 4
			}
			continue
		}
		d := text[i] - '0'
		if d > 9 || digits > 0 && v == 0 {
			return dst, false
		}
		if v, digits = v*10+int(d), digits+1; v > 255 {
			return dst, false
		}
	}
}

// fields reads data by its shape: n a name, 2 and 4 numbers of so many octets, s a span of time.
func fields(dst []byte, shape string, t []token, origin []byte) (out []byte, bad string) {
	if len(t) != len(shape) {
		return dst, "data has " + strconv.Itoa(len(t)) + " fields, not " + strconv.Itoa(len(shape))
	}
	for i, t := range t {
		if t.quoted {
			return dst, "field " + strconv.Itoa(i+1) + " is quoted"
		}
		var v uint64
		ok := true
		switch shape[i] {
		case 'n':
			if dst, bad = appendName(dst, t.text, origin); bad != "" {
				return dst, strconv.Quote(string(clip(t.text))) + ": " + bad
			}
		case '2':
			v, ok = parseUint(t.text, 65535)
			dst = binary.BigEndian.AppendUint16(dst, uint16(v))
		case '4':
			v, ok = parseUint(t.text, 1<<32-1)
			dst = binary.BigEndian.AppendUint32(dst, uint32(v))
		case 's':
			v, ok = parseSeconds(t.text, 1<<32-1)
			ok = ok && v < 1<<32
			dst = binary.BigEndian.AppendUint32(dst, uint32(v))
		}
		if !ok {
			return dst, "field " + strconv.Itoa(i+1) + ", " + strconv.Quote(string(clip(t.text))) + ", is not a number that fits"
		}
	}
	return dst, ""
}

// strings255 reads character-strings (RFC 1035 section 3.3.14). A longer one is a mistake, not something to cut silently.
func strings255(dst []byte, t []token) (out []byte, bad string) {
	for _, t := range t {
		at := len(dst)
		dst = append(dst, 0)
		for text := t.text; len(text) > 0; {
			c, n := text[0], 1
			if c == '\\' {
				c, n = unescape(text)
				if n == 0 {
					return dst, badEscape
				}
			}
			dst, text = append(dst, c), text[n:]
		}
		n := len(dst) - at - 1
		if n > 255 {
			return dst, "string has " + strconv.Itoa(n) + " octets, 255 are the most"
		}
		dst[at] = byte(n)
	}
	return dst, ""
}
