package rules

import (
	"strings"
	"time"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Span is a range of bytes, End exclusive.
type Span struct{ Start, End int64 }

// ParseRange reads a Range field with one range of bytes (RFC 9110 §14.1.2) of a body of this size. ok is false when the field
// is to be ignored: another unit, several ranges, malformed. Otherwise an empty Span means that nothing satisfies it (416).
func ParseRange(value string, size int64) (span Span, ok bool) {
	unit, set, found := strings.Cut(value, "=")
	if !found || !strings.EqualFold(unit, "bytes") {
		return Span{}, false
	}
	first, last, found := strings.Cut(strings.Trim(set, " \t"), "-")
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

// parsePos reads a position; one that is too large is past every body.
func parsePos(s string) (int64, bool) {
	const most = 1 << 62
	if s == "" {
		return 0, false
	}
	n := int64(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n = n*10 + int64(s[i]-'0'); n > most/16 {
			n = most / 16
		}
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
