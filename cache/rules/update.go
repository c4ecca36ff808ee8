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

// Update returns stored freshened by a 304 (RFC 9111 §3.2): each field of the 304 replaces the stored ones of that name, except
// those that are not stored, hidden ones among them, and those that describe the body, which stays. Neither argument is changed.
func Update(stored, notModified httpwire.Fields, received time.Time, hidden ...string) httpwire.Fields {
	fresh := KeepFields(notModified, received, hidden...)
	fresh.Filter(func(f *httpwire.Field) bool { return !ofBody(f) })
	updated := make(httpwire.Fields, 0, len(stored)+len(fresh))
	for i := range stored {
		if !hasField(fresh, &stored[i]) {
			updated = append(updated, stored[i])
		}
	}
	return append(updated, fresh...).Clone()
}

// ofBody names the fields whose stored value belongs to the stored body (RFC 9111 §3.2).
func ofBody(f *httpwire.Field) bool {
	return f.ID == httpwire.ContentEncoding || f.ID == httpwire.ContentType || f.ID == httpwire.ContentRange
}

func hasField(fields httpwire.Fields, like *httpwire.Field) bool {
	for i := range fields {
		if fields[i].ID == like.ID && (like.ID != httpwire.Other || strings.EqualFold(fields[i].Name, like.Name)) {
			return true
		}
	}
	return false
}
