package dns

import (
	"encoding/binary"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// reply is a message in the making. The header is written last.
type reply struct {
	msg   []byte
	base  int // where the message starts in msg
	body  int // where the records start
	limit int // length of msg that must not be passed before OPT is appended

	zone          int // index of the one that answers; -1: none of ours
	rcode         uint16
	authoritative bool
	truncated     bool
	wildcard      bool      // a name on the way exists only because of one
	counts        [3]uint16 // answer, authority, additional

	options options // set before start
}

const (
	inAnswer = iota
	inAuthority
	inAdditional
)

// start makes room for the header and echoes the question byte for byte (0x20, D17).
func (r *reply) start(dst, packet []byte, q *dnswire.Query, t Transport) {
	r.base = len(dst)
	r.msg = append(dst, packet[:q.End]...)
	r.body = len(r.msg)
	size := sizeLimit(q, t)
	if r.options.limit > 0 {
		size = min(size, r.options.limit)
	}
	r.limit = r.base + size
	if q.EDNS {
		r.limit -= optFixed + r.options.len(q)
	}
	r.zone = -1
	r.rcode = rcodeNoError
	r.authoritative, r.truncated, r.wildcard = false, false, false
	r.counts = [3]uint16{}
}

// sizeLimit is how long a reply may be (RFC 6891 section 6.2.3 and 6.2.5).
func sizeLimit(q *dnswire.Query, t Transport) int {
	switch {
	case t != UDP:
		return MaxTCP
	case q.EDNS:
		return min(max(int(q.UDPSize), minUDP), MaxUDP)
	}
	return minUDP
}

// clear takes back every record.
func (r *reply) clear() {
	r.msg = r.msg[:r.body]
	r.counts = [3]uint16{}
}

// truncate gives up: the client is to come back over TCP. Nothing is better than a part that might pass for the whole
// (RFC 2181 section 9).
func (r *reply) truncate() {
	r.clear()
	r.truncated = true
	r.rcode = rcodeNoError
}

func (r *reply) fits(n int) bool { return len(r.msg)+n <= r.limit }

// put copies a blob's RRs into a section, with owner, an offset into the message, as their owner. It returns false when they do
// not fit, and the reply is then truncated. draw chooses the RR that comes first.
func (r *reply) put(section int, b blob, owner int, draw uint32) bool {
	if !r.fits(len(b.wire)) {
		r.truncate()
		return false
	}
	from, cut := len(r.msg), 0
	if b.n > 1 {
		for k := int(uint64(draw) * uint64(b.n) >> 32); k > 0; k-- {
			cut = rrEnd(b.wire, cut)
		}
	}
	r.msg = append(append(r.msg, b.wire[cut:]...), b.wire[:cut]...)
	r.counts[section] += uint16(b.n)
	if owner != dnswire.HeaderLen {
		for at := from; at < len(r.msg); at = rrEnd(r.msg, at) {
			binary.BigEndian.PutUint16(r.msg[at:], 0xC000|uint16(owner))
		}
	}
	return true
}

// deny adds the SOA that makes a negative answer cacheable (RFC 2308 section 3).
func (r *reply) deny(u *unit, owner int) { r.put(inAuthority, u.negative, owner, 0) }

// refer hands out a delegation. Without the addresses of servers inside it the client could not follow, so these must fit.
func (r *reply) refer(u *unit, ns blob, owner int) {
	if r.put(inAuthority, ns, owner, 0) {
		r.additional(u, ns.extra)
	}
}

// additional adds what fits of the records at an offset of a zone's arena; 0: none. In-domain glue must fit (RFC 9471 section 3).
func (r *reply) additional(u *unit, extra uint32) {
	if extra == 0 {
		return
	}
	for rest := u.arena[extra:]; ; {
		count := binary.LittleEndian.Uint16(rest)
		if count == 0 {
			return
		}
		size, required := int(binary.LittleEndian.Uint16(rest[2:])), rest[4] != 0
		wire := rest[extraHeader : extraHeader+size]
		rest = rest[extraHeader+size:]
		switch {
		case r.fits(size):
			r.msg = append(r.msg, wire...)
			r.counts[inAdditional] += count
		case required:
			r.truncate()
			return
		}
	}
}

// finish appends OPT, writes the header and returns the message with what was before it.
func (r *reply) finish(q *dnswire.Query, scope int) []byte {
	if q.EDNS {
		r.opt(q, scope)
		r.counts[inAdditional]++
	}
	flags := dnswire.FlagQR | q.Flags&(dnswire.OpcodeMask|dnswire.FlagRD) | r.rcode&0xF
	if r.authoritative {
		flags |= dnswire.FlagAA
	}
	if r.truncated {
		flags |= dnswire.FlagTC
	}
	questions := uint16(0)
	if q.End > dnswire.HeaderLen {
		questions = 1
	}
	h := r.msg[r.base:]
	binary.BigEndian.PutUint16(h, q.ID)
	binary.BigEndian.PutUint16(h[2:], flags)
	binary.BigEndian.PutUint16(h[4:], questions)
	for i, n := range r.counts {
		binary.BigEndian.PutUint16(h[6+2*i:], n)
	}
	return r.msg
}
