// Package dnswire reads DNS queries off the wire: a header, exactly one question, and what the OPT record says.
//
//	var q dnswire.Query // one per worker, used again and again
//	switch q.Parse(packet) {
//	case dnswire.Accept: // q.Name, q.Type, q.Subnet ...
//	case dnswire.Drop:   // say nothing
//	}
//
// The parser makes one pass, allocates nothing and keeps no reference to anything but the packet. A Query belongs to one
// goroutine at a time.
package dnswire

import (
	"encoding/binary"
	"net/netip"
)

// Sizes of the format (RFC 1035 section 2.3.4 and 4.1.1).
const (
	HeaderLen = 12
	MaxName   = 255 // a name in wire form, length octets and root included
	MaxLabels = 127 // in a name of MaxName octets, root not included
)

// Types and classes the parser and its callers look at.
const (
	TypeA      uint16 = 1
	TypeNS     uint16 = 2
	TypeCNAME  uint16 = 5
	TypeSOA    uint16 = 6
	TypeHINFO  uint16 = 13
	TypeMX     uint16 = 15
	TypeTXT    uint16 = 16
	TypeAAAA   uint16 = 28
	TypeSRV    uint16 = 33
	TypeOPT    uint16 = 41
	TypeDS     uint16 = 43
	TypeNXNAME uint16 = 128
	TypeTKEY   uint16 = 249
	TypeTSIG   uint16 = 250
	TypeIXFR   uint16 = 251
	TypeAXFR   uint16 = 252
	TypeANY    uint16 = 255

	ClassIN    uint16 = 1
	ClassCHAOS uint16 = 3
)

// Bits of the second header word.
const (
	FlagQR uint16 = 1 << 15
	FlagAA uint16 = 1 << 10
	FlagTC uint16 = 1 << 9
	FlagRD uint16 = 1 << 8

	OpcodeMask uint16 = 0xF << 11
)

// EDNS(0) options that are noted (RFC 5001, RFC 7871, RFC 7873, RFC 7828, RFC 7830).
const (
	OptionNSID      uint16 = 3
	OptionSubnet    uint16 = 8
	OptionCookie    uint16 = 10
	OptionKeepalive uint16 = 11
	OptionPadding   uint16 = 12
)

// Verdict is what a packet deserves.
type Verdict uint8

// The verdicts.
const (
	Accept  Verdict = iota // a well-formed query
	Drop                   // no reply at all: too short, or itself a response
	FormErr                // malformed; the question may be echoed when Query.End is beyond the header
	NotImp                 // an opcode other than QUERY; nothing after the header was looked at
	BadVers                // an EDNS version above 0 (RFC 6891 section 6.1.3)
)

func (v Verdict) String() string {
	return [...]string{"accept", "drop", "formerr", "notimp", "badvers"}[v]
}

// Query is a parsed query. Its slices point into the packet and are valid as long as that is.
type Query struct {
	ID    uint16
	Flags uint16 // the second header word as received

	// NameLen octets of Name count, the root's included, and Labels labels, the root not included.
	NameLen, Labels int

	Type  uint16
	Class uint16
	// End is where the question ends in the packet: HeaderLen when there is none that could be read.
	End int

	EDNS    bool   // an OPT record was there and readable
	Version uint8  // of EDNS
	UDPSize uint16 // the requestor's payload size as sent
	DO      bool   // RFC 3225
	NSID    bool
	Cookie  []byte // the data of the first COOKIE option (RFC 7873 section 5.2), unchecked; nil: absent
	// Keepalive, Padding and UnknownOption say that such options were there; what is in them is not looked at.
	Keepalive, Padding, UnknownOption bool
	// SubnetOption is the data of the EDNS Client Subnet option, nil when absent; Subnet is what it means, and invalid
	// for the family 0 that some clients send with a source length of 0.
	SubnetOption []byte
	Subnet       netip.Prefix

	// Signed is true when the last record is a TSIG, which is not verified here (RFC 8945).
	Signed bool

	// Name holds the question's name in wire form, ASCII letters lower-cased. The packet keeps the name as it was sent.
	Name [MaxName]byte
}

// Parse reads one packet into q. Whatever the verdict, except for Drop, ID, Flags and End are set; the name, type and class are
// set when End is beyond HeaderLen.
func (q *Query) Parse(packet []byte) Verdict {
	if len(packet) < HeaderLen {
		return Drop
	}
	q.ID = binary.BigEndian.Uint16(packet)
	q.Flags = binary.BigEndian.Uint16(packet[2:])
	q.End = HeaderLen
	q.NameLen, q.Labels = 0, 0
	q.EDNS, q.Version, q.UDPSize, q.DO, q.NSID, q.Signed = false, 0, 0, false, false, false
	q.Keepalive, q.Padding, q.UnknownOption = false, false, false
	q.Cookie, q.SubnetOption, q.Subnet = nil, nil, netip.Prefix{}
	switch {
	case q.Flags&FlagQR != 0:
		return Drop // answering responses lets two servers talk for ever (D09)
	case q.Flags&OpcodeMask != 0:
		return NotImp
	case binary.BigEndian.Uint16(packet[4:]) != 1:
		return FormErr // RFC 9619
	}
	if !q.question(packet) {
		return FormErr
	}
	return q.records(packet)
}

// question reads the one question. A name that is compressed has nothing before it to point at, so any pointer is refused.
func (q *Query) question(packet []byte) bool {
	rest := packet[HeaderLen:]
	n, labels := 0, 0
	for {
		if n >= len(rest) {
			return false
		}
		length := int(rest[n])
		if length == 0 {
			break
		}
		// One octet must be left for the root.
		if length > 63 || n+1+length >= MaxName {
			return false
		}
		n += 1 + length
		labels++
	}
	n++
	if n+4 > len(rest) {
		return false
	}
	lower(q.Name[:n], rest[:n])
	q.NameLen, q.Labels = n, labels
	q.Type = binary.BigEndian.Uint16(rest[n:])
	q.Class = binary.BigEndian.Uint16(rest[n+2:])
	q.End = HeaderLen + n + 4
	return true
}

// records reads what follows the question: in nearly every query nothing, or an OPT record alone.
func (q *Query) records(packet []byte) Verdict {
	rest := packet[q.End:]
	before, additional := binary.BigEndian.Uint32(packet[6:]), binary.BigEndian.Uint16(packet[10:])
	switch {
	case before == 0 && additional == 0 && len(rest) == 0:
		return Accept
	case before == 0 && additional == 1 && len(rest) >= optLen && rest[0] == 0 && binary.BigEndian.Uint16(rest[1:]) == TypeOPT &&
		int(binary.BigEndian.Uint16(rest[optLen-2:])) == len(rest)-optLen:
		q.opt(binary.BigEndian.Uint16(rest[3:]), binary.BigEndian.Uint32(rest[5:]))
		return q.extensions(rest[optLen:])
	}
	return q.walk(packet)
}

// walk steps over whatever records there are. Only OPT and TSIG mean anything in a query; every other record is stepped over,
// but counts that lie and octets left over are refused: there is then no telling what the client meant.
func (q *Query) walk(packet []byte) Verdict {
	before := int(binary.BigEndian.Uint16(packet[6:])) + int(binary.BigEndian.Uint16(packet[8:]))
	total := before + int(binary.BigEndian.Uint16(packet[10:]))
	off := q.End
	var options []byte
	for i := range total {
		start := off
		rr, ok := readRecord(packet, start)
		if !ok || q.Signed { // TSIG must come last (RFC 8945 section 5.1)
			return FormErr
		}
		off = rr.end
		switch {
		case rr.typ == TypeTSIG && i >= before:
			q.Signed = true
		case rr.typ == TypeTSIG:
			return FormErr
		case rr.typ == TypeOPT:
			// RFC 6891 section 6.1.1: one at most, in the additional section, owned by the root.
			if q.EDNS || i < before || packet[start] != 0 {
				q.EDNS = false
				return FormErr
			}
			q.opt(rr.class, rr.ttl)
			options = rr.data
		}
	}
	if off != len(packet) {
		return FormErr
	}
	return q.extensions(options)
}

// optLen is the length of an OPT record without options.
const optLen = 11

// opt reads the fields of an OPT record that mean something else than in others (RFC 6891 section 6.1.3).
func (q *Query) opt(class uint16, ttl uint32) {
	q.EDNS, q.UDPSize = true, class
	q.Version, q.DO = uint8(ttl>>16), ttl&0x8000 != 0
}

// extensions reads the data of an OPT record if it is of our version.
func (q *Query) extensions(options []byte) Verdict {
	switch {
	case q.Version == 0 && len(options) == 0:
		return Accept
	case q.Version != 0:
		return BadVers // what the options of another version look like is unknown
	case !q.options(options):
		return FormErr
	}
	return Accept
}

// options reads the data of an OPT record. Options nobody here knows are skipped (RFC 6891 section 6.1.2).
func (q *Query) options(data []byte) bool {
	for len(data) > 0 {
		if len(data) < 4 {
			return false
		}
		code := binary.BigEndian.Uint16(data)
		length := int(binary.BigEndian.Uint16(data[2:]))
		if 4+length > len(data) {
			return false
		}
		value := data[4 : 4+length]
		data = data[4+length:]
		switch code {
		case OptionNSID:
			q.NSID = true
		case OptionCookie:
			if q.Cookie == nil {
				q.Cookie = value
			}
		case OptionSubnet:
			if q.SubnetOption != nil || !q.subnet(value) {
				return false
			}
		case OptionKeepalive:
			q.Keepalive = true
		case OptionPadding:
			q.Padding = true
		default:
			q.UnknownOption = true
		}
	}
	return true
}

// subnet reads a client subnet as RFC 7871 sections 6 and 7.1.2 want it in a query: a scope of 0, exactly as many octets as
// the source length needs, and no bit set beyond it (D16).
func (q *Query) subnet(value []byte) bool {
	if len(value) < 4 || value[3] != 0 {
		return false
	}
	source, octets := int(value[2]), value[4:]
	if len(octets) != (source+7)/8 {
		return false
	}
	var addr netip.Addr
	switch binary.BigEndian.Uint16(value) {
	case 0: // "no address" of dig +subnet=0: nothing is said, so nothing can be wrong
		q.SubnetOption = value
		return source == 0
	case 1:
		if source > 32 {
			return false
		}
		var a [4]byte
		copy(a[:], octets)
		addr = netip.AddrFrom4(a)
	case 2:
		if source > 128 {
			return false
		}
		var a [16]byte
		copy(a[:], octets)
		addr = netip.AddrFrom16(a)
	default:
		return false
	}
	prefix := netip.PrefixFrom(addr, source)
	q.SubnetOption, q.Subnet = value, prefix
	return prefix.Masked() == prefix
}

// record is the fixed part of a resource record and its data.
type record struct {
	typ, class uint16
	ttl        uint32
	data       []byte
	end        int
}

func readRecord(packet []byte, off int) (record, bool) {
	off, ok := skipName(packet, off)
	if !ok || off+10 > len(packet) {
		return record{}, false
	}
	r := record{
		typ:   binary.BigEndian.Uint16(packet[off:]),
		class: binary.BigEndian.Uint16(packet[off+2:]),
		ttl:   binary.BigEndian.Uint32(packet[off+4:]),
	}
	start := off + 10
	r.end = start + int(binary.BigEndian.Uint16(packet[off+8:]))
	if r.end > len(packet) {
		return record{}, false
	}
	r.data = packet[start:r.end]
	return r, true
}

// skipName steps over a name without following pointers; these must at least point back.
func skipName(packet []byte, off int) (int, bool) {
	for start := off; off < len(packet); {
		length := int(packet[off])
		switch {
		case length == 0:
			return off + 1, true
		case length >= 0xC0:
			if off+2 > len(packet) || int(binary.BigEndian.Uint16(packet[off:])&0x3FFF) >= start {
				return 0, false
			}
			return off + 2, true
		case length > 63 || off+1+length-start >= MaxName:
			return 0, false
		}
		off += 1 + length
	}
	return 0, false
}
