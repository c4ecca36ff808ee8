package proxy

import (
	"strings"

	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// compresses reports whether responses of a behavior are encoded. A behavior that keys Accept-Encoding has said that its origin
// does that itself.
func (b *behavior) compresses() bool { return b.Compress && !b.keyed("accept-encoding") }

// negotiate settles the coding of the response, and asks the origin for none: the store then holds one form of everything, from
// which all others are made. An origin that encodes nevertheless is passed on as it is.
func (t *transaction) negotiate() {
	if !t.behavior.compresses() {
		return
	}
	x := t.x
	fields := &x.Head.Fields
	t.ask = encode.Ask{On: true}
	// HTTP/1.0 would have to be told the end of a body of unknown length by closing the connection.
	if x.Head.Proto > httpwire.HTTP10 && !encode.Forbidden(*fields) {
		t.ask.Coding = encode.Negotiate(*fields, t.behavior.Cache.Off)
	}
	fields.Set(httpwire.AcceptEncoding, encode.Identity.String())
	if t.ask.Coding == encode.Identity {
		return
	}
	// Ranges are of the identity. A client that holds a part of the encoded form and asks for the rest by date must not get it
	// from another representation (RFC 9110 §13.1.5): it gets the whole. An entity-tag tells the two apart.
	if v, ok := fields.Get(httpwire.IfRange); ok && !strings.HasPrefix(v, `"`) {
		fields.Filter(func(f *httpwire.Field) bool { return f.ID != httpwire.Range && f.ID != httpwire.IfRange })
	}
}

// encode makes a response one of the coding that was settled, unless the store has done so.
func (t *transaction) encode(response *httpwire.Response) {
	if !t.ask.On {
		return
	}
	encoders := t.router.deps.Cache.Encoders()
	encoders.Wrap(response, t.ask, &t.x.Head)
	if name, ok := response.Fields.Get(httpwire.ContentEncoding); ok {
		t.coding, _ = encode.Named(name) // one that is not ours counts as none
	}
	encoders.Count(t.coding)
}

// describeCompress says what compress of a behavior comes to.
func (b *behavior) describeCompress() string {
	switch {
	case !b.Compress:
		return ""
	case !b.compresses():
		return "off: Accept-Encoding is in key.headers, so the origin encodes"
	case b.Cache.Off:
		return "on: zstd, br or gzip, as the client accepts, for each response anew"
	}
	return "on: br, zstd or gzip, as the client accepts, once for each object"
}
