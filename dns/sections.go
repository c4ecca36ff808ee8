package dns

import (
	"encoding/binary"

	"github.com/meridian-edge/meridian/dns/message"
)

// deny adds the SOA that makes a negative answer cacheable (RFC 2308 section 3).
func deny(r *message.Reply, u *unit, owner int) {
	r.Put(message.Authority, u.negative.Records, owner, 0)
}

// refer hands out a delegation. Without the addresses of servers inside it the client could not follow, so these must fit.
func refer(r *message.Reply, u *unit, ns blob, owner int) {
	if r.Put(message.Authority, ns.Records, owner, 0) {
		additional(r, u, ns.extra)
	}
}

// additional adds what fits of the records at an offset of a zone's arena; 0: none. In-domain glue must fit (RFC 9471 section 3).
func additional(r *message.Reply, u *unit, extra uint32) {
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
		case r.Fits(size):
			r.PutWhole(message.Additional, wire, count)
		case required:
			r.Truncate()
			return
		}
	}
}
