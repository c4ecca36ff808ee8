package rules

import (
	"bytes"
	"slices"
	"strings"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// maxLanguages is how many language ranges are put in order; a field with more is compared in the order it has.
const maxLanguages = 16

// appendLanguages appends Accept-Language in one spelling and says whether there is such a field: lower case, no whitespace, sorted, a
// weight of 1 left out. Weights say what is wanted most; the order says nothing that one could rely on (RFC 9110 §12.5.4).
func appendLanguages(dst []byte, fields httpwire.Fields) ([]byte, bool) {
	var (
		room    [maxLanguages]Span
		ranges  = room[:0] // places in dst
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
			from := len(dst)
			dst = appendLanguage(dst, member)
			if many = many || len(ranges) == maxLanguages; !many {
				ranges = append(ranges, Span{int64(from), int64(len(dst))})
			}
		}
	}
	byText := func(a, b Span) int { return bytes.Compare(dst[a.Start:a.End], dst[b.Start:b.End]) }
	if many || slices.IsSortedFunc(ranges, byText) {
		return dst, present
	}
	slices.SortFunc(ranges, byText)
	var text [256]byte
	sorted := text[:0]
	for _, r := range ranges {
		if len(sorted) > 0 {
			sorted = append(sorted, ',')
		}
		sorted = append(sorted, dst[r.Start:r.End]...)
	}
	return append(dst[:start], sorted...), present
}

// appendLanguage appends a language range and its weight in lower case and without whitespace.
func appendLanguage(dst []byte, member string) []byte {
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
	if i := bytes.Index(dst[start:], []byte(";q=1")); i >= 0 {
		if rest := dst[start+i+len(";q=1"):]; len(rest) == 0 || rest[0] == '.' && len(bytes.Trim(rest[1:], "0")) == 0 {
			dst = dst[:start+i]
		}
	}
	return dst
}
