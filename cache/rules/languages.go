package rules

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// maxLanguages is how many language ranges are put in order; a field with more is compared in the order it has.
const maxLanguages = 16

// language is one range of an Accept-Language field.
type language struct {
	start, end int // of its text, in the buffer
	weight     int // thousandths
}

// appendLanguages appends Accept-Language in one spelling and says whether there is such a field: lower case, no whitespace, by falling
// weight, those of one weight by name, a weight of 1 left out. Weights say what is wanted most and the order says nothing that one
// could rely on (RFC 9110 §12.5.4).
func appendLanguages(dst []byte, fields httpwire.Fields) ([]byte, bool) {
	var (
		room    [maxLanguages]language
		ranges  = room[:0]
		start   = len(dst)
		present bool
		many    bool
	)
	for i := range fields {
		if fields[i].ID != httpwire.AcceptLanguage {
			continue
		}
		present = true
		for rest, more := fields[i].Value, true; more; {
			var member string
			if member, rest, more = strings.Cut(rest, ","); httpwire.TrimOWS(member) == "" {
				continue
			}
			if len(dst) > start {
				dst = append(dst, ',')
			}
			l := language{start: len(dst)}
			dst, l.weight = appendLanguage(dst, member)
			l.end = len(dst)
			if many = many || len(ranges) == maxLanguages; !many {
				ranges = append(ranges, l)
			}
		}
	}
	if many || len(ranges) < 2 {
		return dst, present
	}
	byWeight := func(a, b language) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), bytes.Compare(dst[a.start:a.end], dst[b.start:b.end]))
	}
	if slices.IsSortedFunc(ranges, byWeight) {
		return dst, present
	}
	slices.SortFunc(ranges, byWeight)
	var text [256]byte
	sorted := text[:0]
	for _, l := range ranges {
		if len(sorted) > 0 {
			sorted = append(sorted, ',')
		}
		sorted = append(sorted, dst[l.start:l.end]...)
	}
	return append(dst[:start], sorted...), present
}

// appendLanguage appends a language range and its weight in lower case and without whitespace, and returns the weight.
func appendLanguage(dst []byte, member string) ([]byte, int) {
	start := len(dst)
	for i := range len(member) {
		switch c := member[i]; {
		case c == ' ' || c == '\t':
		case c >= 'A' && c <= 'Z':
			dst = append(dst, c|0x20)
		default:
			dst = append(dst, c)
		}
	}
	i := bytes.Index(dst[start:], []byte(";q="))
	if i < 0 {
		return dst, 1000
	}
	weight, ok := parseWeight(dst[start+i+len(";q="):])
	if ok && weight == 1000 {
		dst = dst[:start+i]
	}
	return dst, weight
}

// parseWeight reads a qvalue in thousandths (RFC 9110 §12.4.2). One that is none comes last.
func parseWeight(s []byte) (weight int, ok bool) {
	if len(s) == 0 || len(s) > len("0.000") || s[0] != '0' && s[0] != '1' || len(s) > 1 && s[1] != '.' {
		return -1, false
	}
	weight = int(s[0]-'0') * 1000
	for i, unit := 2, 100; i < len(s); i, unit = i+1, unit/10 {
		if s[i] < '0' || s[i] > '9' {
			return -1, false
		}
		weight += int(s[i]-'0') * unit
	}
	if weight > 1000 {
		return -1, false
	}
	return weight, true
}
