package rules

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Span is a range of bytes, End exclusive.
type Span struct{ Start, End int64 }

// MaxRanges is how many ranges one request may ask for; a field with more is ignored (RFC 9110 §14.2, attack row R11).
const MaxRanges = 16

// ParseRanges reads a Range field (RFC 9110 §14.1.2) for a body of this size, and appends what it asks for to dst: ranges beyond the end left out,
// and if any overlap or touch each other, all sorted and those made one. ok is false when the field is to be ignored: another unit, malformed, more
// than MaxRanges. Otherwise no Spans mean that nothing satisfies it (416). tidy says that nothing was left out, sorted or made one.
func ParseRanges(dst []Span, value string, size int64) (spans []Span, tidy, ok bool) {
	unit, set, found := strings.Cut(value, "=")
	if !found || !strings.EqualFold(unit, "bytes") {
		return nil, false, false
	}
	spans, tidy = dst, true
	count := 0
	for spec := range strings.SplitSeq(set, ",") {
		if spec = httpwire.TrimOWS(spec); spec == "" { // an empty element of a list (§5.6.1)
			continue
		}
		span, ok := parseSpec(spec, size)
		if count++; !ok || count > MaxRanges {
			return nil, false, false
		}
		if span == (Span{}) {
			tidy = false
			continue
		}
		spans = append(spans, span)
	}
	if count == 0 {
		return nil, false, false
	}
	spans, whole := merge(spans)
	return spans, tidy && whole, true
}

// merge makes spans that overlap or touch one. Spans that do not keep their order (§15.3.7.2); tidy is true when that is ascending.
func merge(spans []Span) (merged []Span, tidy bool) {
	byStart := func(a, b Span) int { return cmp.Compare(a.Start, b.Start) }
	tidy = slices.IsSortedFunc(spans, byStart)
	var sorted [MaxRanges]Span
	s := sorted[:copy(sorted[:], spans)]
	slices.SortFunc(s, byStart)
	merged = s[:0]
	for _, span := range s {
		if n := len(merged); n > 0 && span.Start <= merged[n-1].End {
			merged[n-1].End = max(merged[n-1].End, span.End)
		} else {
			merged = append(merged, span)
		}
	}
	if len(merged) == len(spans) {
		return spans, tidy
	}
	return append(spans[:0], merged...), false
}

// UsesRange reports whether a Range field is one that is heeded, whatever the size of the body.
func UsesRange(value string) bool {
	var room [MaxRanges]Span
	_, _, ok := ParseRanges(room[:0], value, math.MaxInt64)
	return ok
}

// parseSpec reads one range; an empty Span: nothing of the body is in it.
func parseSpec(spec string, size int64) (span Span, ok bool) {
	first, last, found := strings.Cut(spec, "-")
	if !found {
		return Span{}, false
	}
	if first == "" { // the last n bytes
		n, ok := parsePos(last)
		if !ok {
			return Span{}, false
		}
		if n == 0 {
			return Span{}, true
		}
		return Span{max(0, size-n), size}, true
	}
	start, ok := parsePos(first)
	if !ok {
		return Span{}, false
	}
	end := size
	if last != "" {
		n, ok := parsePos(last)
		if !ok || n < start {
			return Span{}, false
		}
		end = min(n+1, size)
	}
	if start >= size {
		return Span{}, true
	}
	return Span{start, end}, true
}

// maxPos is past every body.
const maxPos = 1 << 58

// parsePos reads a position; one that is too large is maxPos.
func parsePos(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int64(s[i]-'0'), maxPos)
	}
	return n, true
}

// RangeApplies evaluates If-Range (RFC 9110 §13.1.5) against a stored response: a tag must be strong and equal, a date must be
// the Last-Modified one exactly and strong in the sense of §8.8.2.2. Without If-Range the range applies.
func RangeApplies(request, stored httpwire.Fields, now time.Time) bool {
	v, ok := request.Get(httpwire.IfRange)
	if !ok {
		return true
	}
	if validTag(v) {
		own, _ := stored.Get(httpwire.ETag)
		return strongEqual(v, own)
	}
	own, ok := stored.Get(httpwire.LastModified)
	if !ok || own != v {
		return false
	}
	modified, ok := ParseDate(own, now)
	if !ok {
		return false
	}
	d, _ := stored.Get(httpwire.Date)
	date, ok := ParseDate(d, now)
	return ok && date.Sub(modified) >= time.Second
}

// Confirming reports whether a field of a stored response goes into a 304: those that describe a body do not (RFC 9110 §15.4.5).
func Confirming(f *httpwire.Field) bool {
	switch f.ID {
	case httpwire.ContentType, httpwire.ContentEncoding, httpwire.ContentRange:
		return false
	}
	return f.ID != httpwire.Other || len(f.Name) != len("Content-Language") || !strings.EqualFold(f.Name, "Content-Language")
}
