package rules

import (
	"strings"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Codings is a set of content codings.
type Codings uint8

// The codings that are told apart; every other counts as not accepted.
const (
	Brotli Codings = 1 << iota
	Gzip
	Zstd

	AllCodings = Brotli | Gzip | Zstd
)

// codingNames are the spellings of each set, in one order.
var codingNames = [AllCodings + 1]string{
	"identity", "br", "gzip", "br, gzip", "zstd", "br, zstd", "gzip, zstd", "br, gzip, zstd",
}

// String is the Accept-Encoding value that accepts a set: `br, gzip`, or `identity` for none.
func (c Codings) String() string { return codingNames[c&AllCodings] }

// Accepted reads Accept-Encoding (RFC 9110 §12.5.3): which of the known codings have a weight above 0. present is false when there is no
// such field: anything is acceptable then, but nothing was asked for.
func Accepted(fields httpwire.Fields) (set Codings, present bool) {
	first := -1
	for i := range fields {
		if fields[i].ID != httpwire.AcceptEncoding {
			continue
		}
		if first >= 0 {
			return accepted(fields)
		}
		first = i
	}
	if first < 0 {
		return 0, false
	}
	// What browsers and tools send, without reading it again and again.
	switch fields[first].Value {
	case "gzip, deflate, br, zstd":
		return AllCodings, true
	case "gzip, deflate, br", "gzip, br", "br, gzip":
		return Brotli | Gzip, true
	case "gzip, deflate", "gzip":
		return Gzip, true
	case "identity":
		return 0, true
	}
	return accepted(fields)
}

// accepted is Accepted for every value.
func accepted(fields httpwire.Fields) (set Codings, present bool) {
	var named, star Codings
	for i := range fields {
		if fields[i].ID != httpwire.AcceptEncoding {
			continue
		}
		present = true
		for rest, more := fields[i].Value, true; more; {
			var member string
			member, rest, more = strings.Cut(rest, ",")
			name, weight, _ := strings.Cut(member, ";")
			name = httpwire.TrimOWS(name)
			var c Codings
			switch {
			case strings.EqualFold(name, "br"):
				c = Brotli
			case strings.EqualFold(name, "gzip"), strings.EqualFold(name, "x-gzip"): // RFC 9110 §8.4.1.3
				c = Gzip
			case strings.EqualFold(name, "zstd"):
				c = Zstd
			case name == "*" && !zero(weight):
				star = AllCodings
				continue
			default:
				continue
			}
			if named |= c; zero(weight) {
				set &^= c
			} else {
				set |= c
			}
		}
	}
	return set | star&^named, present
}

// zero reports whether a weight is 0 (RFC 9110 §12.4.2): q=0, q=0.0, q=0.000. One that is malformed is not.
func zero(weight string) bool {
	if weight == "" {
		return false
	}
	name, value, found := strings.Cut(httpwire.TrimOWS(weight), "=")
	if !found || !strings.EqualFold(httpwire.TrimOWS(name), "q") {
		return false
	}
	value = httpwire.TrimOWS(value)
	return value == "0" || strings.HasPrefix(value, "0.") && strings.Trim(value[2:], "0") == ""
}

// AppendCodings appends Accept-Encoding as the store reads and forwards it: the accepted ones of known, in one order and without
// weights. So many spellings are at most nine (attack row R15).
func AppendCodings(dst []byte, fields httpwire.Fields, known Codings) ([]byte, bool) {
	set, present := Accepted(fields)
	if !present {
		return dst, false
	}
	return append(dst, (set & known).String()...), true
}
