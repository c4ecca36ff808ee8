package transport

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

const (
	soaMin       = 4 // octets of MINIMUM at the end of an SOA
	inAdditional = 2 // the section that an OPT record belongs in
)

// appendKeepalive tells the idle timeout in units of 100 ms (RFC 7828 section 3.1).
func appendKeepalive(dst []byte, base int, idle time.Duration) []byte {
	var value [2]byte
	binary.BigEndian.PutUint16(value[:], uint16(min(idle/(100*time.Millisecond), math.MaxUint16)))
	return appendOption(dst, base, dnswire.OptionKeepalive, value[:])
}

// appendPadding makes a reply a multiple of 468 octets long (RFC 8467 section 4.1).
func appendPadding(dst []byte, base int) []byte {
	length := len(dst) - base + 4 // with the option's head
	var zeros [padBlock]byte
	return appendOption(dst, base, dnswire.OptionPadding, zeros[:(padBlock-length%padBlock)%padBlock])
}

// appendOption adds an option to the OPT record at the end of the message that starts at base. A message that does not end with one
// (it may be signed), or would become too long, is left as it is.
func appendOption(dst []byte, base int, code uint16, value []byte) []byte {
	msg := dst[base:]
	if len(msg)+4+len(value) > MaxMessage {
		return dst
	}
	var last dnswire.Record
	in := 0
	whole := records(msg, func(section int, r *dnswire.Record) { last, in = *r, section })
	if !whole || last.Type != dnswire.TypeOPT || in != inAdditional || last.End != len(msg) {
		return dst
	}
	lengthAt := msg[last.Fixed+8:]
	binary.BigEndian.PutUint16(lengthAt, binary.BigEndian.Uint16(lengthAt)+4+uint16(len(value)))
	dst = binary.BigEndian.AppendUint16(dst, code)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}

// records calls f for each record of a message with its section: 0 answer, 1 authority, 2 additional. It returns false when the
// message is not whole.
func records(msg []byte, f func(section int, r *dnswire.Record)) bool {
	if len(msg) < headerLen {
		return false
	}
	off, ok := headerLen, true
	for range binary.BigEndian.Uint16(msg[4:]) {
		if off, ok = dnswire.SkipQuestion(msg, off); !ok {
			return false
		}
	}
	for section := range 3 {
		for range binary.BigEndian.Uint16(msg[6+2*section:]) {
			r, ok := dnswire.ReadRecord(msg, off)
			if !ok {
				return false
			}
			f(section, &r)
			off = r.End
		}
	}
	return true
}

// freshness is how many seconds a reply may be kept (RFC 8484 section 5.1): as long as the shortest TTL of its answer, or of a
// negative answer's SOA and its MINIMUM (RFC 2308 section 5). ok is false for a reply that is not to be kept.
func freshness(msg []byte) (seconds uint32, ok bool) {
	if len(msg) < headerLen {
		return 0, false
	}
	switch code := msg[3] & 0xF; {
	case code != 0 && code != 3: // neither NOERROR nor NXDOMAIN
		return 0, false
	case msg[2]&2 != 0: // TC
		return 0, false
	}
	least := [2]uint32{math.MaxUint32, math.MaxUint32}
	whole := records(msg, func(section int, r *dnswire.Record) {
		if section > 1 {
			return
		}
		ttl := r.TTL
		if section == 1 && r.Type == dnswire.TypeSOA && len(r.Data) >= soaMin {
			ttl = min(ttl, binary.BigEndian.Uint32(r.Data[len(r.Data)-soaMin:]))
		}
		least[section] = min(least[section], ttl)
	})
	switch {
	case !whole:
		return 0, false
	case least[0] != math.MaxUint32 && msg[3]&0xF == 0:
		return least[0], true
	case least[0] != math.MaxUint32: // a chain that ends in nothing is as good as its shortest link
		return min(least[0], least[1]), true
	}
	return least[1], least[1] != math.MaxUint32
}
