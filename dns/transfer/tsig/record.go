package tsig

import (
	"encoding/binary"
	"errors"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// classANY is the class of every TSIG record.
const classANY = 255

var errForm = errors.New("malformed message")

// record is a TSIG record. Its slices point into the message, but for the names.
type record struct {
	at        int    // where it starts in the message
	name, alg []byte // lower case, uncompressed
	time      uint64 // seconds since 1970, 48 bits
	fudge     uint16
	mac       []byte
	origID    uint16
	code      uint16
	other     []byte
}

// find looks for the TSIG record of a message. It is an error when it is not the very last record, is there twice, or is malformed
// (RFC 8945 section 5.1 and 5.2).
func find(p []byte) (rec record, found bool, err error) {
	if len(p) < dnswire.HeaderLen {
		return rec, false, errForm
	}
	at := dnswire.HeaderLen
	for range binary.BigEndian.Uint16(p[4:]) {
		if at = skipName(p, at); at < 0 || at+4 > len(p) {
			return rec, false, errForm
		}
		at += 4
	}
	additional := int(binary.BigEndian.Uint16(p[10:]))
	total := int(binary.BigEndian.Uint16(p[6:])) + int(binary.BigEndian.Uint16(p[8:])) + additional
	for i := range total {
		start := at
		if at = skipName(p, at); at < 0 || at+10 > len(p) {
			return rec, false, errForm
		}
		end := at + 10 + int(binary.BigEndian.Uint16(p[at+8:]))
		if end > len(p) {
			return rec, false, errForm
		}
		if binary.BigEndian.Uint16(p[at:]) == dnswire.TypeTSIG {
			if i != total-1 || additional == 0 || end != len(p) {
				return rec, false, errForm
			}
			rec, err = parse(p, start, at)
			return rec, err == nil, err
		}
		at = end
	}
	return rec, false, nil
}

// parse reads the record that starts at start and whose fixed part is at fixed.
func parse(p []byte, start, fixed int) (record, error) {
	rec := record{at: start}
	if binary.BigEndian.Uint16(p[fixed+2:]) != classANY || binary.BigEndian.Uint32(p[fixed+4:]) != 0 {
		return rec, errForm
	}
	var end int
	if rec.name, _ = readName(p, start); rec.name == nil {
		return rec, errForm
	}
	if rec.alg, end = readName(p, fixed+10); rec.alg == nil || end+10 > len(p) {
		return rec, errForm
	}
	rest := p[end:]
	rec.time = uint64(binary.BigEndian.Uint16(rest))<<32 | uint64(binary.BigEndian.Uint32(rest[2:]))
	rec.fudge = binary.BigEndian.Uint16(rest[6:])
	size := int(binary.BigEndian.Uint16(rest[8:]))
	if rest = rest[10:]; len(rest) < size+6 {
		return rec, errForm
	}
	rec.mac, rest = rest[:size:size], rest[size:]
	rec.origID, rec.code = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
	if size = int(binary.BigEndian.Uint16(rest[4:])); len(rest) != 6+size {
		return rec, errForm
	}
	rec.other = rest[6:]
	return rec, nil
}

// skipName returns where the name at a place ends, -1 if it does not.
func skipName(p []byte, at int) int {
	for at < len(p) {
		switch c := int(p[at]); {
		case c == 0:
			return at + 1
		case c >= 0xc0:
			if at+2 > len(p) {
				return -1
			}
			return at + 2
		case c > 63:
			return -1
		default:
			at += 1 + c
		}
	}
	return -1
}

// readName returns the name at a place, lower-cased and uncompressed, and where it ends; nil for a malformed one. Pointers must point
// before the label they follow, so that it comes to an end.
func readName(p []byte, at int) (name []byte, end int) {
	name, limit := make([]byte, 0, 32), at
	for at < len(p) {
		c := int(p[at])
		switch {
		case c >= 0xc0:
			if at+2 > len(p) {
				return nil, 0
			}
			to := int(binary.BigEndian.Uint16(p[at:]) & 0x3fff)
			if to >= limit {
				return nil, 0
			}
			if end == 0 {
				end = at + 2
			}
			at, limit = to, to
			continue
		case c > 63 || at+1+c > len(p) || len(name)+1+c > dnswire.MaxName:
			return nil, 0
		}
		name = append(name, p[at:at+1+c]...)
		for i := len(name) - c; i < len(name); i++ {
			if name[i]-'A' < 26 {
				name[i] |= 0x20
			}
		}
		if at += 1 + c; c == 0 {
			if end == 0 {
				end = at
			}
			return name, end
		}
	}
	return nil, 0
}

// append puts the record behind a message and counts it.
func (rec *record) append(msg []byte, base int) []byte {
	msg = append(msg, rec.name...)
	msg = binary.BigEndian.AppendUint16(msg, dnswire.TypeTSIG)
	msg = binary.BigEndian.AppendUint16(msg, classANY)
	msg = binary.BigEndian.AppendUint32(msg, 0)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(rec.alg)+16+len(rec.mac)+len(rec.other)))
	msg = append(msg, rec.alg...)
	msg = appendTime(msg, rec.time)
	msg = binary.BigEndian.AppendUint16(msg, rec.fudge)
	msg = append(binary.BigEndian.AppendUint16(msg, uint16(len(rec.mac))), rec.mac...)
	msg = binary.BigEndian.AppendUint16(msg, rec.origID)
	msg = binary.BigEndian.AppendUint16(msg, rec.code)
	msg = append(binary.BigEndian.AppendUint16(msg, uint16(len(rec.other))), rec.other...)
	binary.BigEndian.PutUint16(msg[base+10:], binary.BigEndian.Uint16(msg[base+10:])+1)
	return msg
}

// variables are what of the record is covered by the MAC (RFC 8945 section 4.3.3): all of it, or its timers (section 5.3.1).
func (rec *record) variables(timersOnly bool) []byte {
	if timersOnly {
		return binary.BigEndian.AppendUint16(appendTime(nil, rec.time), rec.fudge)
	}
	v := append([]byte(nil), rec.name...)
	v = binary.BigEndian.AppendUint16(v, classANY)
	v = binary.BigEndian.AppendUint32(v, 0)
	v = append(v, rec.alg...)
	v = binary.BigEndian.AppendUint16(appendTime(v, rec.time), rec.fudge)
	v = binary.BigEndian.AppendUint16(v, rec.code)
	return append(binary.BigEndian.AppendUint16(v, uint16(len(rec.other))), rec.other...)
}

func appendTime(b []byte, t uint64) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, uint16(t>>32)), uint32(t))
}
