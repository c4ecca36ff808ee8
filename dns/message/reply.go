package message

import (
	"encoding/binary"
	"net/netip"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// MaxUDP is what fits every path without fragments (DNS flag day 2020), and what every reply offers to take (D03).
const MaxUDP = 1232

// Section is a part of a message that has records.
type Section uint8

// The sections.
const (
	Answer Section = iota
	Authority
	Additional
)

// Reply is a message in the making. The header is written last. The zero Reply is ready for Start; once its message has room it allocates
// nothing. It belongs to one goroutine.
type Reply struct {
	Options Options // set before Start

	RCode         uint16 // with the upper bits of EDNS
	Authoritative bool
	Truncated     bool

	msg    []byte
	base   int // where the message starts in msg
	body   int // where the records start
	limit  int // length of msg that must not be passed before OPT is appended
	counts [3]uint16
}

// Start begins a reply to the query that was read from packet, to be appended to dst: it makes room for the header and echoes the question byte
// for byte (0x20, D17). limit is how many octets the message may have, OPT included.
func (r *Reply) Start(dst, packet []byte, q *dnswire.Query, limit int) {
	r.base = len(dst)
	r.msg = append(dst, packet[:q.End]...)
	r.body = len(r.msg)
	r.limit = r.base + limit
	if q.EDNS {
		r.limit -= optFixed + r.Options.len(q)
	}
	r.RCode, r.Authoritative, r.Truncated = 0, false, false
	r.counts = [3]uint16{}
}

// Clear takes back every record.
func (r *Reply) Clear() {
	r.msg = r.msg[:r.body]
	r.counts = [3]uint16{}
}

// Truncate gives up: the client is to come back over TCP. Nothing is better than a part that might pass for the whole
// (RFC 2181 section 9).
func (r *Reply) Truncate() {
	r.Clear()
	r.Truncated = true
	r.RCode = 0
}

// Fits reports whether so many octets more do.
func (r *Reply) Fits(n int) bool { return len(r.msg)+n <= r.limit }

// Put copies records into a section, with owner, an offset into the message, as their owner. It returns false when they do
// not fit, and the reply is then truncated. draw chooses the RR that comes first.
func (r *Reply) Put(section Section, b Records, owner int, draw uint32) bool {
	if !r.Fits(len(b.Wire)) {
		r.Truncate()
		return false
	}
	from := len(r.msg)
	if b.N > 1 {
		r.rotate(b, draw)
	} else {
		r.msg = append(r.msg, b.Wire...)
	}
	r.counts[section] += uint16(b.N)
	if owner != dnswire.HeaderLen {
		for at := from; at < len(r.msg); at = end(r.msg, at) {
			r.own(at, owner)
		}
	}
	return true
}

// rotate appends records from the one drawn on, and then those before it.
func (r *Reply) rotate(b Records, draw uint32) {
	cut := 0
	for k := int(uint64(draw) * uint64(b.N) >> 32); k > 0; k-- {
		cut = end(b.Wire, cut)
	}
	r.msg = append(append(r.msg, b.Wire[cut:]...), b.Wire[:cut]...)
}

// PutAddress adds an A or AAAA record with its owner at an offset of the message. It returns false when it does not fit, and the reply is then
// truncated. ttl is in seconds, at most MaxTTL.
func (r *Reply) PutAddress(owner int, ttl uint32, addr netip.Addr) bool {
	if !r.Fits(FixedLen + 16) {
		r.Truncate()
		return false
	}
	from := len(r.msg)
	r.msg = AppendAddress(r.msg, min(ttl, MaxTTL), addr)
	r.own(from, owner)
	r.counts[Answer]++
	return true
}

// PutRename adds the CNAME that a DNAME makes (RFC 6672 section 3.1) of the name at an offset of the message: its first octets, so many as
// prefix says, followed by target. It returns false when it does not fit, and the reply is then truncated.
func (r *Reply) PutRename(owner, prefix int, ttl uint32, target []byte) bool {
	if !r.Fits(FixedLen + prefix + len(target)) {
		r.Truncate()
		return false
	}
	from := len(r.msg)
	r.msg = AppendHead(r.msg, dnswire.TypeCNAME, ttl, prefix+len(target))
	r.own(from, owner)
	r.msg = append(r.msg, r.msg[r.base+owner:r.base+owner+prefix]...)
	r.msg = append(r.msg, target...)
	r.counts[Answer]++
	return true
}

// PutText adds a TXT record of class CHAOS, of one string of at most 255 octets, that nobody keeps. It returns false when it does not fit, and
// the reply is then truncated.
func (r *Reply) PutText(text string) bool {
	if !r.Fits(FixedLen + 1 + len(text)) {
		r.Truncate()
		return false
	}
	head := AppendHead(r.msg, dnswire.TypeTXT, 0, 1+len(text))
	binary.BigEndian.PutUint16(head[len(r.msg)+OwnerLen+2:], dnswire.ClassCHAOS)
	r.msg = append(append(head, byte(len(text))), text...)
	r.counts[Answer]++
	return true
}

// PutWhole adds n records that have their owners written out. They must fit.
func (r *Reply) PutWhole(section Section, wire []byte, n uint16) {
	r.msg = append(r.msg, wire...)
	r.counts[section] += n
}

// own makes what is at an offset of the message the owner of the record at from.
func (r *Reply) own(from, owner int) { binary.BigEndian.PutUint16(r.msg[from:], 0xC000|uint16(owner)) }

// Finish appends OPT, writes the header and returns the message with what was before it.
func (r *Reply) Finish(q *dnswire.Query, scope int) []byte {
	if q.EDNS {
		r.opt(q, scope)
		r.counts[Additional]++
	}
	flags := dnswire.FlagQR | q.Flags&(dnswire.OpcodeMask|dnswire.FlagRD) | r.RCode&0xF
	if r.Authoritative {
		flags |= dnswire.FlagAA
	}
	if r.Truncated {
		flags |= dnswire.FlagTC
	}
	questions := uint16(0)
	if q.End > dnswire.HeaderLen {
		questions = 1
	}
	h := r.msg[r.base:]
	binary.BigEndian.PutUint64(h, uint64(q.ID)<<48|uint64(flags)<<32|uint64(questions)<<16|uint64(r.counts[Answer]))
	binary.BigEndian.PutUint32(h[8:], uint32(r.counts[Authority])<<16|uint32(r.counts[Additional]))
	return r.msg
}

// Len is how long the message is so far.
func (r *Reply) Len() int { return len(r.msg) - r.base }

// From is the message so far, from an offset on. It is valid until the next call that adds to it.
func (r *Reply) From(at int) []byte { return r.msg[r.base+at:] }

// Records is how many a section has so far.
func (r *Reply) Records(s Section) int { return int(r.counts[s]) }

// Body is what follows the question so far.
func (r *Reply) Body() []byte { return r.msg[r.body:] }

// Shorten makes an empty, truncated reply of a whole one that is too long: the one that starts at base of dst, to the query q.
func Shorten(dst []byte, base int, q *dnswire.Query) []byte {
	header := dst[base:]
	r := Reply{msg: dst[:base+q.End], base: base, body: base + q.End, RCode: uint16(header[3] & 0xF), Truncated: true}
	r.Authoritative = header[2]&4 != 0
	return r.Finish(q, 0)
}

// Fail appends a reply that is a header only, for a packet of which no more than that can be trusted. It must have a header.
func Fail(dst, packet []byte, rcode uint16) []byte {
	q := dnswire.Query{ID: uint16(packet[0])<<8 | uint16(packet[1]), Flags: uint16(packet[2]) << 8, End: dnswire.HeaderLen}
	r := Reply{msg: append(dst, packet[:dnswire.HeaderLen]...), base: len(dst), RCode: rcode}
	return r.Finish(&q, 0)
}
