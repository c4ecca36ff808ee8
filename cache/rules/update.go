package rules

import (
	"slices"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// KeepFields returns a detached copy of a response's fields without those that are not stored (RFC 9111 §3.1): the fields of
// the connection, the framing, and Age, which is computed. A missing Date is added (RFC 9110 §6.6.1).
// So are those that are hidden: named by private and no-cache.
func KeepFields(fields httpwire.Fields, received time.Time, hidden ...string) httpwire.Fields {
	kept := make(httpwire.Fields, 0, len(fields)+1)
	for i := range fields {
		if !perConnection(&fields[i], fields) && !slices.ContainsFunc(hidden, func(name string) bool { return strings.EqualFold(name, fields[i].Name) }) {
			kept = append(kept, fields[i])
		}
	}
	if !kept.Has(httpwire.Date) {
		kept.Add(httpwire.Date, FormatDate(received))
	}
	return kept.Clone()
}

// perConnection reports whether a field is about the message and not about the response.
func perConnection(f *httpwire.Field, fields httpwire.Fields) bool {
	switch f.ID {
	case httpwire.Age, httpwire.Connection, httpwire.ContentLength, httpwire.KeepAlive, httpwire.ProxyAuthenticate,
		httpwire.ProxyAuthorization, httpwire.ProxyConnection, httpwire.TE, httpwire.Trailer, httpwire.TransferEncoding,
		httpwire.Upgrade:
		return true
	case httpwire.Other:
		if strings.EqualFold(f.Name, "Proxy-Authentication-Info") { // RFC 9111 §3.1
			return true
		}
	}
	for name := range fields.List(httpwire.Connection) {
		if strings.EqualFold(name, f.Name) {
			return true
		}
	}
	return false
}

// Update returns stored freshened by a 304 (RFC 9111 §3.2): each field of the 304 replaces the stored ones of that name, or is new,
// except those that are not stored, hidden ones among them. Neither argument is changed.
//
// A 304 may correct a Content-Encoding and not bring one in: encoded forms are made of bodies that have none, and the bytes stay what
// they are. The RFC leaves such a field out where the integrity of what is stored depends on it.
func Update(stored, notModified httpwire.Fields, received time.Time, hidden ...string) httpwire.Fields {
	fresh := KeepFields(notModified, received, hidden...)
	if !stored.Has(httpwire.ContentEncoding) {
		fresh.Del(httpwire.ContentEncoding)
	}
	updated := make(httpwire.Fields, 0, len(stored)+len(fresh))
	for i := range stored {
		if !hasField(fresh, &stored[i]) {
			updated = append(updated, stored[i])
		}
	}
	return append(updated, fresh...).Clone()
}

func hasField(fields httpwire.Fields, like *httpwire.Field) bool {
	for i := range fields {
		if fields[i].ID == like.ID && (like.ID != httpwire.Other || strings.EqualFold(fields[i].Name, like.Name)) {
			return true
		}
	}
	return false
}

// WithAge adds the Age of a message to fields that have none, for the arithmetic.
func WithAge(fields, message httpwire.Fields) httpwire.Fields {
	if age, ok := message.Get(httpwire.Age); ok {
		fields = slices.Clone(fields)
		fields.Add(httpwire.Age, age)
	}
	return fields
}
