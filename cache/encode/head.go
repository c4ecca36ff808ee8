package encode

import (
	"strings"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Vary adds Accept-Encoding to Vary unless it is there: due on every response that could have been encoded, encoded or not.
func Vary(fields *httpwire.Fields) {
	for i := range *fields {
		if (*fields)[i].ID != httpwire.Vary {
			continue
		}
		for rest, more := (*fields)[i].Value, true; more; {
			var name string
			name, rest, more = strings.Cut(rest, ",")
			if name = httpwire.TrimOWS(name); name == "*" || strings.EqualFold(name, "Accept-Encoding") {
				return
			}
		}
	}
	fields.Add(httpwire.Vary, "Accept-Encoding")
}

// Rewrite makes a head one of the encoded body: Content-Encoding is set, a strong ETag becomes weak, and what speaks of the bytes
// of the body that was goes: Accept-Ranges and digests, Repr-Digest included, which covers the coding (RFC 9530 §3).
func Rewrite(fields *httpwire.Fields, c Coding) {
	fields.Filter(func(f *httpwire.Field) bool {
		switch f.ID {
		case httpwire.AcceptRanges:
			return false
		case httpwire.ETag:
			return weaken(f)
		case httpwire.Other:
			return !digests(f.Name)
		}
		return true
	})
	fields.Add(httpwire.ContentEncoding, c.String())
}

// Weaken makes a strong ETag weak and drops an invalid one.
func Weaken(fields *httpwire.Fields) {
	fields.Filter(func(f *httpwire.Field) bool { return f.ID != httpwire.ETag || weaken(f) })
}

// weaken reports whether f holds an entity-tag, which is weak afterwards (RFC 9110 §8.8.1).
func weaken(f *httpwire.Field) bool {
	switch {
	case strings.HasPrefix(f.Value, `W/"`):
	case strings.HasPrefix(f.Value, `"`):
		f.Value = "W/" + f.Value
	default:
		return false
	}
	opaque := f.Value[len(`W/"`):]
	return strings.IndexByte(opaque, '"') == len(opaque)-1
}

// digests names the fields that hold a digest of the body: RFC 1864, RFC 3230, RFC 9530.
func digests(name string) bool {
	switch len(name) {
	case len("Digest"):
		return strings.EqualFold(name, "Digest")
	case len("Content-MD5"): // and Repr-Digest
		return strings.EqualFold(name, "Content-MD5") || strings.EqualFold(name, "Repr-Digest")
	case len("Content-Digest"):
		return strings.EqualFold(name, "Content-Digest")
	}
	return false
}
