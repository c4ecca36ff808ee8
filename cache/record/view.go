package record

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// View reads a record where it is.
type View struct{ b []byte }

// Trusted is a View of bytes that Append has written, unchecked.
func Trusted(b []byte) View { return View{b} }

func (v View) num32(at int) uint32 { return binary.LittleEndian.Uint32(v.b[at:]) }
func (v View) num64(at int) int64  { return int64(binary.LittleEndian.Uint64(v.b[at:])) }

// Key is the key.
func (v View) Key() string { return alias(v.b[fixed : fixed+v.num32(atKey)]) }

// URL is the URL part of the key.
func (v View) URL() string { return alias(v.b[fixed : fixed+v.num32(atURL)]) }

// Head is the record without its bodies: of what Append wrote, what a record without bodies would be, but for their lengths.
func (v View) Head() []byte { return v.b[:v.num32(atHead)] }

// Status is the status code.
func (v View) Status() int { return int(binary.LittleEndian.Uint16(v.b[atStatus:])) }

// Born is Response.Born.
func (v View) Born() uint64 { return uint64(v.num64(atBorn)) }

// Total is Response.Total.
func (v View) Total() int64 { return v.num64(atTotal) }

// Aged is Response.Aged.
func (v View) Aged() bool { return v.b[atFlags]&flagAged != 0 }

// Mark is Response.Mark.
func (v View) Mark() bool { return v.b[atFlags]&flagMark != 0 }

// Received orders the responses of one epoch by the time they came.
func (v View) Received() int64 { return v.num64(atReceived) }

// Age is the age (RFC 9111 §4.2.3) and TTL the freshness left at a time after the epoch; fresh says that the response may be used unasked. They
// are what Fresh would say, for who wants no more.
func (v View) Age(now time.Duration) (age, ttl time.Duration, fresh bool) {
	age = time.Duration(v.num64(atAge)) + min(max(0, now-time.Duration(v.num64(atReceived))), rules.MaxDuration)
	ttl = time.Duration(v.num64(atLifetime)) - age
	return age, ttl, ttl > 0 && v.b[atFlags]&flagNoCache == 0
}

// Fresh is the freshness.
func (v View) Fresh(epoch time.Time) rules.Freshness {
	flags := v.b[atFlags]
	source, _, _ := cut(v.b[fixed+v.num32(atKey):])
	return rules.Freshness{
		Lifetime: time.Duration(v.num64(atLifetime)), InitialAge: time.Duration(v.num64(atAge)),
		Received: epoch.Add(time.Duration(v.num64(atReceived))), Source: alias(source),
		NoCache: flags&flagNoCache != 0, Immutable: flags&flagImmutable != 0, Strict: flags&flagStrict != 0,
		StaleWhileRevalidate: time.Duration(v.num64(atRefresh)), StaleIfError: time.Duration(v.num64(atError)),
	}
}

// Match reports whether a request selects the response's variant. It does not allocate for values of ordinary length.
func (v View) Match(request httpwire.Fields) bool { return rules.MatchVariant(v.variant(), request) }

// Varies reports whether the response has a variant that does not match every request.
func (v View) Varies() bool {
	n, _, _ := count(v.variant())
	return n > 0
}

// Variant is the variant; it shares no memory with the record.
func (v View) Variant() rules.Variant {
	variant, _, _ := rules.ParseVariant(v.variant())
	return variant
}

// variant is the head from the variant on.
func (v View) variant() []byte {
	_, rest, ok := cut(v.b[fixed+v.num32(atKey) : v.num32(atHead)])
	if !ok {
		return nil
	}
	return rest
}

// Tags are the tags.
func (v View) Tags() []string {
	rest := skipVariant(v.variant())
	n, rest, _ := count(rest)
	if n == 0 {
		return nil
	}
	tags := make([]string, 0, n)
	for range n {
		var t []byte
		t, rest, _ = cut(rest)
		tags = append(tags, alias(t))
	}
	return tags
}

// AppendFields appends the fields of the response to dst.
func (v View) AppendFields(dst httpwire.Fields) httpwire.Fields {
	n, rest, _ := count(v.b[v.num32(atFields):v.num32(atHead)])
	dst = slices.Grow(dst, n)
	room := dst[len(dst) : len(dst)+n]
	for i := range room {
		// What nearly every field is, without a call: a well-known name and a value below 128 octets.
		if id := httpwire.ID(rest[0]); byte(id) != named && rest[1] < 0x80 {
			end := 2 + int(rest[1])
			room[i] = httpwire.Field{ID: id, Name: id.String(), Value: alias(rest[2:end])}
			rest = rest[end:]
			continue
		}
		room[i], rest, _ = field(rest)
	}
	return dst[:len(dst)+n]
}

// Body is a body; nil: it is not there.
func (v View) Body(i int) []byte {
	at := v.num32(atHead)
	for k := range i {
		at += max(v.num32(atBodies+4*k), 1) - 1
	}
	n := v.num32(atBodies + 4*i)
	if n == 0 {
		return nil
	}
	return v.b[at : at+n-1 : at+n-1]
}

// field reads one field.
func field(b []byte) (f httpwire.Field, rest []byte, ok bool) {
	if len(b) == 0 {
		return f, nil, false
	}
	id := httpwire.ID(b[0])
	if b = b[1:]; byte(id) == named {
		var name []byte
		if name, b, ok = cut(b); !ok {
			return f, nil, false
		}
		f.Name = alias(name)
		f.ID = httpwire.Identify(f.Name)
	} else if id.Known() {
		f.ID, f.Name = id, id.String()
	} else {
		return f, nil, false
	}
	value, rest, ok := cut(b)
	f.Value = alias(value)
	return f, rest, ok
}

// skipVariant passes over a variant that is known to be sound.
func skipVariant(b []byte) []byte {
	n, b, _ := count(b)
	for range n {
		_, b, _ = cut(b)
		size, k := binary.Uvarint(b)
		b = b[k+int(max(size, 1)-1):]
	}
	return b
}

// cut takes a string off b that has its length before it.
func cut(b []byte) (s, rest []byte, ok bool) {
	if len(b) > 0 && b[0] < 0x80 && int(b[0]) < len(b) { // most are short
		n := int(b[0]) + 1
		return b[1:n:n], b[n:], true
	}
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, nil, false
	}
	end := k + int(n)
	return b[k:end:end], b[end:], true
}

// count reads a number of things, of which each takes a byte at least.
func count(b []byte) (n int, rest []byte, ok bool) {
	v, k := binary.Uvarint(b)
	if k <= 0 || v > uint64(len(b)) {
		return 0, nil, false
	}
	return int(v), b[k:], true
}
