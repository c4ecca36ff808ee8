// Package record writes a stored response, its head and its bodies, into one piece of memory without pointers, and reads it there.
//
//	b := record.Append(nil, &record.Response{...}, epoch, false)
//	v, err := record.Parse(b)              // foreign bytes: everything is checked
//	v := record.Trusted(b)                 // bytes of Append that nobody has changed
//	fields := v.AppendFields(dst)          // views into b
//
// Strings that a View gives are views into the bytes, which must not change while anybody has one. A View is a value and safe for concurrent
// use.
//
// A record starts with numbers of fixed size; then come the key, the source of the lifetime, the variant, the tags and the fields, each with
// its length before it; then the bodies. Times are kept from an epoch that reader and writer agree on: one that has a monotonic clock
// reading keeps ages right while the clock of the machine is set.
package record

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Bodies is how many bodies a record may have: the response's own, and it in other codings.
const Bodies = 4

// Response is what a record holds.
type Response struct {
	Key     string
	URL     int // length of the URL part of Key
	Status  int
	Fields  httpwire.Fields
	Fresh   rules.Freshness
	Aged    bool // came with an Age
	Born    uint64
	Tags    []string
	Variant rules.Variant
	Total   int64 // of a sliced response: the length of the whole; 0: the body is the whole
	Mark    bool  // the writer's own
	// Body[0] is the response's own; the others are it in other codings. nil: it is not in the record. An empty one that is there is not nil.
	Body [Bodies][]byte
}

// Offsets of the numbers.
const (
	atHead     = 0  // u32: length of all but the bodies
	atKey      = 4  // u32: length of the key
	atURL      = 8  // u32: of it, of the URL part
	atStatus   = 12 // u16
	atFlags    = 14 // u8
	atNothing  = 15
	atBorn     = 16
	atTotal    = 24
	atLifetime = 32
	atAge      = 40
	atReceived = 48
	atRefresh  = 56
	atError    = 64
	atBodies   = 72                  // u32 each: length, and one more; 0: absent
	atFields   = atBodies + 4*Bodies // u32: where the fields start
	fixed      = atFields + 4
)

// Flags.
const (
	flagAged = 1 << iota
	flagNoCache
	flagImmutable
	flagStrict
	flagMark
)

// named marks a field whose name is written out.
const named = 0xff

// Append appends a record to dst. portable writes every name out, for readers of another version; else well-known ones are numbers. Bodies
// above 2 GiB and heads above 16 MiB are the caller's mistake.
func Append(dst []byte, r *Response, epoch time.Time, portable bool) []byte {
	start := len(dst)
	var head [fixed]byte
	dst = append(dst, head[:]...)
	dst = append(dst, r.Key...)
	dst = appendString(dst, r.Fresh.Source)
	dst = rules.AppendVariant(dst, r.Variant)
	dst = binary.AppendUvarint(dst, uint64(len(r.Tags)))
	for _, t := range r.Tags {
		dst = appendString(dst, t)
	}
	fields := len(dst) - start
	dst = binary.AppendUvarint(dst, uint64(len(r.Fields)))
	for i := range r.Fields {
		f := &r.Fields[i]
		if !portable && f.ID.Known() && f.Name == f.ID.String() {
			dst = append(dst, byte(f.ID))
		} else {
			dst = appendString(append(dst, named), f.Name)
		}
		dst = appendString(dst, f.Value)
	}
	h := dst[start:]
	put32(h[atHead:], len(h))
	put32(h[atKey:], len(r.Key))
	put32(h[atFields:], fields)
	put32(h[atURL:], r.URL)
	binary.LittleEndian.PutUint16(h[atStatus:], uint16(r.Status))
	h[atFlags] = r.flags()
	put64(h[atBorn:], int64(r.Born))
	put64(h[atTotal:], r.Total)
	put64(h[atLifetime:], int64(r.Fresh.Lifetime))
	put64(h[atAge:], int64(r.Fresh.InitialAge))
	put64(h[atReceived:], int64(since(r.Fresh.Received, epoch)))
	put64(h[atRefresh:], int64(r.Fresh.StaleWhileRevalidate))
	put64(h[atError:], int64(r.Fresh.StaleIfError))
	for i, b := range r.Body {
		if b != nil {
			put32(dst[start+atBodies+4*i:], len(b)+1)
			dst = append(dst, b...)
		}
	}
	return dst
}

// since is the time from epoch: by the monotonic clock if both have it.
func since(t, epoch time.Time) time.Duration { return t.Sub(epoch) }

func (r *Response) flags() byte {
	var f byte
	for i, set := range [...]bool{r.Aged, r.Fresh.NoCache, r.Fresh.Immutable, r.Fresh.Strict, r.Mark} {
		if set {
			f |= 1 << i
		}
	}
	return f
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func put32(b []byte, v int)   { binary.LittleEndian.PutUint32(b, uint32(v)) }
func put64(b []byte, v int64) { binary.LittleEndian.PutUint64(b, uint64(v)) }

// ErrDamaged is returned for bytes that are no record.
var ErrDamaged = errors.New("damaged record")

// Parse checks bytes that may be anything, and returns them as a View.
func Parse(b []byte) (View, error) {
	v := View{b}
	if len(b) < fixed {
		return View{}, ErrDamaged
	}
	head, key := uint64(v.num32(atHead)), uint64(v.num32(atKey))
	if head > uint64(len(b)) || fixed+key > head || v.num32(atURL) > v.num32(atKey) {
		return View{}, ErrDamaged
	}
	end := head
	for i := range Bodies {
		if n := uint64(v.num32(atBodies + 4*i)); n > 0 {
			end += n - 1
		}
	}
	if end != uint64(len(b)) || v.Status() < 100 || v.Status() > 999 || b[atNothing] != 0 || v.num64(atTotal) < 0 || !v.timely() || !v.walk() {
		return View{}, ErrDamaged
	}
	return v, nil
}

// timely reports whether no length of time is negative, and no age will be for an overflow: a negative age would make a response fresh for
// longer than it is. An initial age is little more than rules.MaxDuration; nothing was received as long as that before the epoch.
func (v View) timely() bool {
	return min(v.num64(atLifetime), v.num64(atAge), v.num64(atRefresh), v.num64(atError)) >= 0 &&
		v.num64(atAge) <= 2*int64(rules.MaxDuration) && v.num64(atReceived) >= -int64(rules.MaxDuration)
}

// walk reports whether all strings of the head are within it, and nothing is left.
func (v View) walk() bool {
	_, rest, ok := rules.ParseVariant(v.variant())
	if !ok {
		return false
	}
	n, rest, ok := count(rest)
	for range n {
		if _, rest, ok = cut(rest); !ok {
			return false
		}
	}
	if !ok || int(v.num32(atHead))-len(rest) != int(v.num32(atFields)) {
		return false
	}
	n, rest, ok = count(rest)
	for range n {
		if _, rest, ok = field(rest); !ok {
			return false
		}
	}
	return ok && len(rest) == 0
}
