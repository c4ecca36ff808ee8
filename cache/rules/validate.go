package rules

import (
	"strings"
	"time"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// HasValidator reports whether a stored response could be confirmed by the origin (RFC 9111 §4.3.1).
func HasValidator(fields httpwire.Fields) bool {
	if v, ok := fields.Get(httpwire.ETag); ok && validTag(v) {
		return true
	}
	v, ok := fields.Get(httpwire.LastModified)
	return ok && validDate(v)
}

func validDate(v string) bool {
	_, ok := ParseDate(v, time.Time{}.AddDate(2000, 0, 0))
	return ok
}

// AddValidators makes head conditional on a stored response (RFC 9111 §4.3.1).
func AddValidators(head *httpwire.Fields, stored httpwire.Fields) {
	if v, ok := stored.Get(httpwire.ETag); ok && validTag(v) {
		head.Add(httpwire.IfNoneMatch, v)
	}
	if v, ok := stored.Get(httpwire.LastModified); ok && validDate(v) {
		head.Add(httpwire.IfModifiedSince, v)
	}
}

// Confirms reports whether a 304 with these fields speaks of this stored response (RFC 9111 §4.3.4): a strong validator identifies
// what has the same one, a weak one what has an equal one. A 304 without a validator speaks of the one it was asked about.
func Confirms(notModified, stored httpwire.Fields) bool {
	if tag, ok := notModified.Get(httpwire.ETag); ok {
		own, _ := stored.Get(httpwire.ETag)
		if isStrong(tag) {
			return strongEqual(tag, own)
		}
		return weakEqual(tag, own)
	}
	if date, ok := notModified.Get(httpwire.LastModified); ok {
		own, _ := stored.Get(httpwire.LastModified)
		return own == date
	}
	return true
}

// Describes reports whether the 200 response to HEAD is about a stored response to GET (RFC 9111 §4.3.5): it has the same validators,
// length and coding, as far as it has any. Another coding is another representation, and its name must not be put on the stored bytes.
func Describes(head httpwire.Fields, headLength int64, stored httpwire.Fields, length int64) bool {
	for _, id := range [...]httpwire.ID{httpwire.ETag, httpwire.LastModified, httpwire.ContentEncoding} {
		v, ok := head.Get(id)
		own, has := stored.Get(id)
		if ok && (!has || own != v) {
			return false
		}
	}
	return headLength < 0 || length < 0 || headLength == length
}

// NotModified reports whether a conditional request is answered 304 from a stored 200 (RFC 9111 §4.3.2, RFC 9110 §13.2.2):
// If-None-Match decides when it is there, If-Modified-Since otherwise.
func NotModified(request, stored httpwire.Fields, received time.Time) bool {
	if request.Has(httpwire.IfNoneMatch) {
		tag, _ := stored.Get(httpwire.ETag)
		for line := range request.Values(httpwire.IfNoneMatch) {
			if matchesTag(line, tag) {
				return true
			}
		}
		return false
	}
	v, ok := request.Joined(httpwire.IfModifiedSince) // more than one is no date, and ignored (RFC 9110 §13.1.3)
	if !ok {
		return false
	}
	since, ok := ParseDate(v, received)
	if !ok {
		return false
	}
	modified := received.Truncate(time.Second)
	for _, id := range [...]httpwire.ID{httpwire.LastModified, httpwire.Date} {
		if v, ok := stored.Get(id); ok {
			if t, ok := ParseDate(v, received); ok {
				modified = t
				break
			}
		}
	}
	return !modified.After(since)
}

// matchesTag looks for tag in an If-None-Match line, by weak comparison. A line that is malformed matches nothing after the fault.
func matchesTag(line, tag string) bool {
	line = httpwire.TrimOWS(line)
	if line == "*" {
		return true
	}
	line = strings.TrimLeft(line, ", \t") // empty members of a list (RFC 9110 §5.6.1)
	for line != "" {
		n := tagLen(line)
		if n == 0 {
			return false
		}
		if weakEqual(line[:n], tag) {
			return true
		}
		line = strings.TrimLeft(line[n:], " \t")
		if line != "" && line[0] != ',' {
			return false
		}
		line = strings.TrimLeft(line, ", \t")
	}
	return false
}

// tagLen is the length of the entity-tag at the start of s, 0 when there is none (RFC 9110 §8.8.3).
func tagLen(s string) int {
	i := 0
	if strings.HasPrefix(s, "W/") {
		i = 2
	}
	if i >= len(s) || s[i] != '"' {
		return 0
	}
	for i++; i < len(s); i++ {
		if s[i] == '"' {
			return i + 1
		}
		if s[i] <= ' ' || s[i] == 0x7f {
			return 0
		}
	}
	return 0
}

func validTag(s string) bool { return s != "" && tagLen(s) == len(s) }

func isStrong(tag string) bool { return validTag(tag) && tag[0] == '"' }

// weakEqual is the weak comparison of RFC 9110 §8.8.3.2.
func weakEqual(a, b string) bool {
	return validTag(a) && validTag(b) && strings.TrimPrefix(a, "W/") == strings.TrimPrefix(b, "W/")
}

// strongEqual is the strong comparison.
func strongEqual(a, b string) bool { return isStrong(a) && a == b }
