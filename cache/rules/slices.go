package rules

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// byDate starts a validator that is a date; an entity-tag starts with a quote.
const byDate = "m:"

// Strong is the validator that a response's bytes have and no other version's: its ETag or, where it has none, its Last-Modified, if those are
// strong (RFC 9110 §8.8.1 and §8.8.2.2); empty: it has none. Only parts with the same one may be combined (RFC 9111 §3.4). A response without
// Date has the one of its arrival.
func Strong(fields httpwire.Fields, received time.Time) string {
	if tag, ok := fields.Get(httpwire.ETag); ok {
		if isStrong(tag) {
			return tag
		}
		return ""
	}
	v, _ := fields.Get(httpwire.LastModified)
	modified, ok := ParseDate(v, received)
	if !ok {
		return ""
	}
	date := received
	if v, has := fields.Get(httpwire.Date); has {
		if date, ok = ParseDate(v, received); !ok {
			return ""
		}
	}
	if date.Sub(modified) < time.Second {
		return ""
	}
	return byDate + v
}

// Require makes head a request for the version that has this validator, which is one of Strong's (RFC 9110 §13.1.1 and §13.1.4).
func Require(head *httpwire.Fields, validator string) {
	if date, ok := strings.CutPrefix(validator, byDate); ok {
		head.Add(httpwire.IfUnmodifiedSince, date)
		return
	}
	head.Add(httpwire.IfMatch, validator)
}

// ParseContentRange reads a Content-Range field of bytes with a known length (RFC 9110 §14.4). An empty Span: no part of it (416).
func ParseContentRange(value string) (span Span, size int64, ok bool) {
	unit, rest, found := strings.Cut(value, " ")
	part, whole, slash := strings.Cut(rest, "/")
	size, sized := parsePos(whole)
	if !found || !slash || !sized || size >= maxPos || !strings.EqualFold(unit, "bytes") {
		return Span{}, 0, false
	}
	if part == "*" {
		return Span{}, size, true
	}
	first, last, found := strings.Cut(part, "-")
	start, okStart := parsePos(first)
	end, okEnd := parsePos(last)
	if !found || !okStart || !okEnd || start > end || end >= size {
		return Span{}, 0, false
	}
	return Span{start, end + 1}, size, true
}

// AppendRange appends a Range field for one range.
func AppendRange(head *httpwire.Fields, s Span) {
	head.Add(httpwire.Range, "bytes="+strconv.FormatInt(s.Start, 10)+"-"+strconv.FormatInt(s.End-1, 10))
}

// AcceptsRanges reports whether a response says that parts of it may be asked for (RFC 9110 §14.3).
func AcceptsRanges(fields httpwire.Fields) bool {
	for unit := range fields.List(httpwire.AcceptRanges) {
		if strings.EqualFold(unit, "bytes") {
			return true
		}
	}
	return false
}

// FirstWanted is the first byte that a Range field asks for, of a body of this size; -1: it is not known, and a range of the last bytes counts
// from 0. It is 0 when there is no such byte.
func FirstWanted(value string, size int64) int64 {
	known := size >= 0
	if !known {
		size = math.MaxInt64
	}
	var room [MaxRanges]Span
	spans, _, _ := ParseRanges(room[:0], value, size)
	if len(spans) == 0 || !known && spans[0].Start > maxPos {
		return 0
	}
	return spans[0].Start
}

// Key is a Variant as a string that no other has.
func (v Variant) Key() string {
	var b strings.Builder
	for i := range v {
		b.WriteString(v[i].name)
		if v[i].present {
			b.WriteString(strconv.Quote(v[i].value))
		}
		b.WriteByte(';')
	}
	return b.String()
}
