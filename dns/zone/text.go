package zone

import (
	"bytes"
	"strconv"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// ParseName turns a name in presentation form into wire form; a name that does not end with a dot is taken for absolute.
// Case is kept.
func ParseName(text string) ([]byte, error) {
	wire, bad := appendName(nil, []byte(text), []byte{0})
	if text == "@" {
		bad = "there is no origin for it to stand for"
	}
	if bad != "" {
		return nil, Problem{Name: strconv.Quote(text), Text: bad}
	}
	return wire, nil
}

// NameText is a name in presentation form, absolute, every octet that zone text gives a meaning to escaped. name must be a
// well-formed name in wire form.
func NameText(name []byte) string { return string(appendNameText(nil, name)) }

// appendName turns text into wire form behind dst; bad says what is wrong with it.
func appendName(dst, text, origin []byte) (out []byte, bad string) {
	switch {
	case len(text) == 0:
		return dst, "empty name"
	case len(text) == 1 && text[0] == '.':
		return append(dst, 0), ""
	case len(text) == 1 && text[0] == '@':
		return append(dst, origin...), ""
	}
	start, label := len(dst), len(dst)
	dst = append(dst, 0)
	for i := 0; i < len(text); {
		c, n := text[i], 1
		switch c {
		case '.':
			if bad := closeLabel(dst, label); bad != "" {
				return dst[:start], bad
			}
			label = len(dst)
			dst = append(dst, 0)
			i++
			continue
		case '\\':
			if c, n = unescape(text[i:]); n == 0 {
				return dst[:start], badEscape
			}
		}
		if dst, i = append(dst, c), i+n; len(dst)-start > dnswire.MaxName+1 {
			return dst[:start], "name is longer than 255 octets"
		}
	}
	if label != len(dst)-1 { // the text does not end with a dot
		if bad := closeLabel(dst, label); bad != "" {
			return dst[:start], bad
		}
		dst = append(dst, origin...)
	}
	if len(dst)-start > dnswire.MaxName {
		return dst[:start], "name is longer than 255 octets"
	}
	return dst, ""
}

func closeLabel(dst []byte, label int) (bad string) {
	n := len(dst) - label - 1
	switch {
	case n == 0:
		return "name has an empty label"
	case n > 63:
		return "label is longer than 63 octets"
	}
	dst[label] = byte(n)
	return ""
}

const badEscape = `bad escape: after a backslash comes one character that is no digit, or three digits up to 255`

// unescape reads the escape that text starts with (RFC 1035 section 5.1): the octet, and how long the escape is, 0 for a
// bad one.
func unescape(text []byte) (c byte, n int) {
	if len(text) < 2 {
		return 0, 0
	}
	if text[1]-'0' > 9 {
		return text[1], 2
	}
	if len(text) < 4 || text[2]-'0' > 9 || text[3]-'0' > 9 {
		return 0, 0
	}
	v := int(text[1]-'0')*100 + int(text[2]-'0')*10 + int(text[3]-'0')
	if v > 255 {
		return 0, 0
	}
	return byte(v), 4
}

func appendNameText(dst, name []byte) []byte {
	if name[0] == 0 {
		return append(dst, '.')
	}
	for name[0] != 0 {
		for _, c := range name[1:][:name[0]] {
			dst = appendOctet(dst, c, true)
		}
		dst, name = append(dst, '.'), name[1+int(name[0]):]
	}
	return dst
}

// appendOctet writes one octet of a name, or of a quoted string, so that zone text reads it back.
func appendOctet(dst []byte, c byte, inName bool) []byte {
	switch {
	case c < ' ' || c > '~' || inName && c == ' ':
		return append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case inName && bytes.IndexByte([]byte(".;()@$"), c) >= 0:
		return append(dst, '\\', c)
	}
	return append(dst, c)
}

// maxTTL is the largest TTL (RFC 2181 section 8).
const maxTTL = 1<<31 - 1

// parseSeconds reads a TTL or another span of time: seconds, or numbers with the units s, m, h, d and w as in 1h30m. ok is
// false when text is neither; a span of more than limit seconds is limit+1.
func parseSeconds(text []byte, limit uint64) (v uint64, ok bool) {
	var sum, n uint64
	digits := false
	for i, c := range text {
		if d := c - '0'; d <= 9 {
			n, digits = min(n*10+uint64(d), 1<<40), true
			continue
		}
		if !digits {
			return 0, false
		}
		switch c | 0x20 {
		case 's':
		case 'm':
			n *= 60
		case 'h':
			n *= 3600
		case 'd':
			n *= 86400
		case 'w':
			n *= 604800
		default:
			return 0, false
		}
		sum, n, digits = min(sum+n, 1<<62), 0, false
		if i == len(text)-1 {
			return min(sum, limit+1), true
		}
	}
	if !digits {
		return 0, false
	}
	return min(sum+n, limit+1), true
}

// parseUint reads a decimal number of at most limit.
func parseUint(text []byte, limit uint64) (v uint64, ok bool) {
	if len(text) == 0 || len(text) > 10 {
		return 0, false
	}
	for _, c := range text {
		if c -= '0'; c > 9 {
			return 0, false
		}
		v = v*10 + uint64(c)
	}
	return v, v <= limit
}

// parseType finds a record type by its mnemonic or as TYPE123 (RFC 3597 section 5).
func parseType(text []byte) (typ uint16, ok bool) {
	var upper [16]byte
	if len(text) > len(upper) || len(text) == 0 {
		return 0, false
	}
	for i, c := range text {
		if c-'a' < 26 {
			c &^= 0x20
		}
		upper[i] = c
	}
	word := upper[:len(text)]
	switch string(word) { // the common ones, without the map
	case "A":
		return dnswire.TypeA, true
	case "AAAA":
		return dnswire.TypeAAAA, true
	case "NS":
		return dnswire.TypeNS, true
	case "NONE", "RESERVED":
		return 0, false
	}
	if typ, ok := mdns.StringToType[string(word)]; ok {
		return typ, true
	}
	if number, found := bytes.CutPrefix(word, []byte("TYPE")); found {
		v, ok := parseUint(number, 65535)
		return uint16(v), ok
	}
	return 0, false
}

func typeName(typ uint16) string {
	if name, ok := mdns.TypeToString[typ]; ok && isData(typ) && typ != mdns.TypeReserved {
		return name
	}
	return "TYPE" + strconv.Itoa(int(typ))
}

// isData reports whether records of a type can stand in a zone: OPT and the types from 128 to 255 are for questions and for
// messages (RFC 6895 section 3.1).
func isData(typ uint16) bool { return typ != 0 && typ != dnswire.TypeOPT && (typ < 128 || typ > 255) }
