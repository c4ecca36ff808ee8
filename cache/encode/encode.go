// Package encode compresses responses on their way to a client: which coding the client wants, whether a response may be
// encoded, what its head says then, and the encoders.
//
//	ask := encode.Ask{On: true, Coding: encode.Negotiate(request.Fields, false)}
//	if why := encode.Judge(status, fields, length); why == "" {
//		encode.Vary(&fields)
//		if ask.Coding != encode.Identity {
//			encode.Rewrite(&fields, ask.Coding)
//		}
//	}
//
// Negotiate, Judge, Vary and Rewrite are pure. An Encoders holds the pools and the limit on what runs at once; Encoders.Wrap does
// all of the above to a response that streams. What has a Content-Encoding is never encoded again, and nothing is ever decoded.
//
// An Encoders is safe for concurrent use; a Stream is not.
package encode

import (
	"strconv"
	"strings"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Coding is a content coding that the edge can apply.
type Coding uint8

// The codings.
const (
	Identity Coding = iota // none
	Gzip
	Zstd
	Brotli
	codingCount
)

// Count is the number of codings, Identity included: the size of a table by Coding.
const Count = int(codingCount)

var codingNames = [codingCount]string{"identity", "gzip", "zstd", "br"}

// String is the coding's name in Content-Encoding: gzip, zstd, br; or identity.
func (c Coding) String() string {
	if c >= codingCount {
		return "unknown"
	}
	return codingNames[c]
}

// Named finds the coding a name stands for, ignoring case; x-gzip is gzip (RFC 9110 §8.4.1.3). ok is false for every other.
func Named(name string) (c Coding, ok bool) {
	for c := range codingCount {
		if strings.EqualFold(name, codingNames[c]) {
			return c, true
		}
	}
	if strings.EqualFold(name, "x-gzip") {
		return Gzip, true
	}
	return Identity, false
}

// Ask is what one request may get. The zero Ask leaves responses alone.
type Ask struct {
	On     bool   // responses may be encoded at all
	Coding Coding // what this client gets then
}

// The sizes between which a body is encoded, in bytes. They are those of CloudFront: below, an encoded body is hardly smaller and
// often larger than a packet saved; above, encoding takes longer than the first client will wait.
const (
	MinLength = 1_000
	MaxLength = 10_000_000
)

// The reasons Judge gives.
const (
	ReasonStatus      = "status"       // one whose body is none, a part, or not worth it
	ReasonEncoded     = "encoded"      // it has a Content-Encoding already
	ReasonNoTransform = "no-transform" // the origin forbids it (RFC 9111 §5.2.2.6)
	ReasonType        = "type"         // not in the list of types, or none stated
	ReasonSmall       = "small"        // under MinLength
	ReasonLarge       = "large"        // over MaxLength
	ReasonRange       = "range"        // a part of a body
)

// Judge says why a response is not encoded for anybody; empty: it is for those who accept a coding. length is the body's, -1 when
// it is not known yet: such a body is encoded as it comes. It does not allocate.
func Judge(status int, fields httpwire.Fields, length int64) (reason string) {
	if !encodable(status) {
		return ReasonStatus
	}
	switch reason = judge(fields); {
	case reason != "":
		return reason
	case length >= 0 && length < MinLength:
		return ReasonSmall
	case length > MaxLength:
		return ReasonLarge
	}
	return ""
}

// judge is what Judge finds in the fields.
func judge(fields httpwire.Fields) (reason string) {
	typed, ranged := false, false
	for i := range fields {
		switch f := &fields[i]; f.ID {
		case httpwire.ContentEncoding:
			// Even identity, which says that somebody has thought about it.
			return ReasonEncoded
		case httpwire.ContentRange:
			ranged = true
		case httpwire.CacheControl, httpwire.CDNCacheControl:
			if forbids(f.Value) {
				return ReasonNoTransform
			}
		case httpwire.ContentType:
			typed = compressible(f.Value)
		}
	}
	switch {
	case !typed:
		return ReasonType
	case ranged:
		return ReasonRange
	}
	return ""
}

// encodable lists the statuses whose body is a whole representation of text: not those without one, parts, and redirects.
func encodable(status int) bool {
	switch status {
	case 204, 205, 206, 226, 416:
		return false
	}
	return status >= 200 && status < 300 || status >= 400 && status <= 599
}

// Forbidden reports whether a message says no-transform in its Cache-Control: a response by its origin, or a request by its
// client (RFC 9111 §5.2.1.6).
func Forbidden(fields httpwire.Fields) bool {
	for i := range fields {
		if fields[i].ID == httpwire.CacheControl && forbids(fields[i].Value) {
			return true
		}
	}
	return false
}

// forbids looks for no-transform among directives. Quotes do not hide it: an open one would hide all that follow.
func forbids(directives string) bool {
	for rest, more := directives, true; more; {
		var d string
		d, rest, more = strings.Cut(rest, ",")
		d, _, _ = strings.Cut(httpwire.TrimOWS(d), "=")
		if strings.EqualFold(strings.TrimRight(d, " \t"), "no-transform") {
			return true
		}
	}
	return false
}

// Describe says in words what Judge found, for people.
func Describe(reason string) string {
	switch reason {
	case "":
		return "encoded for clients that accept br, zstd or gzip"
	case ReasonStatus:
		return "not encoded: the status"
	case ReasonEncoded:
		return "not encoded: the origin has encoded it"
	case ReasonNoTransform:
		return "not encoded: no-transform"
	case ReasonType:
		return "not encoded: the type is not one of text"
	case ReasonSmall:
		return "not encoded: under " + strconv.Itoa(MinLength) + " bytes"
	case ReasonLarge:
		return "not encoded: over " + strconv.Itoa(MaxLength) + " bytes"
	}
	return "not encoded: " + reason
}
