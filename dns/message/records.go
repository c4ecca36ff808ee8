package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Parts of a record in wire form, as all of this package has them: the owner is a pointer.
const (
	OwnerLen = 2             // octets of the owner
	FixedLen = OwnerLen + 10 // type, class, TTL and length of the data included

	MaxTTL     = 1<<31 - 1                                                // RFC 2181 section 8
	MaxRecords = 65535 - dnswire.HeaderLen - dnswire.MaxName - 4 - maxOPT // octets; leaves room in a message for header, question and OPT

	qnamePtr = 0xC000 | dnswire.HeaderLen
)

// Records are the RRs of one set in wire form, ready to copy. Every owner is a two-octet pointer at the question's name; a copy that
// belongs elsewhere has its owners patched. The zero Records are none.
type Records struct {
	Wire []byte
	N    int // how many
}

// Pack packs the values of one RRset. Equal values become one (RFC 2181 section 5).
func Pack(typ uint16, ttl time.Duration, values []string) (Records, error) {
	if len(values) == 0 {
		return Records{}, errors.New("no values")
	}
	var b Records
	for _, value := range values {
		rr, err := packRR(typ, ttl, value)
		if err != nil {
			return Records{}, err
		}
		if b.has(rr) {
			continue
		}
		b.Wire = append(b.Wire, rr...)
		b.N++
		if len(b.Wire) > MaxRecords {
			return Records{}, fmt.Errorf("values need more than %d octets", MaxRecords)
		}
	}
	if Single(typ) && b.N > 1 {
		return Records{}, fmt.Errorf("more than one value for a %s", mdns.Type(typ))
	}
	return b, nil
}

// Single reports whether a name has at most one record of a type.
func Single(typ uint16) bool {
	return typ == dnswire.TypeCNAME || typ == mdns.TypeDNAME || typ == dnswire.TypeSOA
}

// packRR packs one RR whose owner is a pointer at the question's name.
func packRR(typ uint16, ttl time.Duration, value string) ([]byte, error) {
	if typ == dnswire.TypeA || typ == dnswire.TypeAAAA {
		if addr, err := netip.ParseAddr(value); err == nil && addr.Zone() == "" && addr.Is4() == (typ == dnswire.TypeA) {
			return AppendAddress(nil, ClampTTL(ttl), addr), nil
		}
	}
	if strings.ContainsAny(value, "\r\n") {
		return nil, fmt.Errorf("value %q: line break", value)
	}
	name := mdns.Type(typ).String()
	rr, err := mdns.NewRR(fmt.Sprintf(". %d IN %s %s", ClampTTL(ttl), name, value))
	if err != nil {
		return nil, fmt.Errorf("value %q of type %s: %w", value, name, err)
	}
	if rr == nil || rr.Header().Rrtype != typ {
		return nil, fmt.Errorf("value %q is not of type %s", value, name)
	}
	buf := make([]byte, max(512, 2*len(value)+FixedLen+dnswire.MaxName))
	length, err := mdns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("value %q of type %s: %w", value, name, err)
	}
	// RFC 3597 section 5 has a way to say that there is no data; saying nothing is a slip.
	if length < 1+FixedLen-OwnerLen+1 && !strings.HasPrefix(value, `\#`) {
		return nil, fmt.Errorf("value %q of type %s is empty", value, name)
	}
	// The root owner is one octet; the pointer takes its place.
	return append(binary.BigEndian.AppendUint16(nil, qnamePtr), buf[1:length]...), nil
}

// AppendHead appends what stands before the data of an RR of class IN.
func AppendHead(dst []byte, typ uint16, ttl uint32, size int) []byte {
	return append(dst, qnamePtr>>8, qnamePtr&0xFF, byte(typ>>8), byte(typ), 0, byte(dnswire.ClassIN),
		byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl), byte(size>>8), byte(size))
}

// AppendAddress appends an A or AAAA record.
func AppendAddress(dst []byte, ttl uint32, addr netip.Addr) []byte {
	if addr.Is4() {
		a := addr.As4()
		return append(AppendHead(dst, dnswire.TypeA, ttl, 4), a[:]...)
	}
	a := addr.As16()
	return append(AppendHead(dst, dnswire.TypeAAAA, ttl, 16), a[:]...)
}

func ClampTTL(ttl time.Duration) uint32 {
	return uint32(min(max(ttl/time.Second, 0), MaxTTL))
}

// end is where the RR at an offset of compiled wire form ends.
func end(wire []byte, at int) int {
	return at + FixedLen + int(binary.BigEndian.Uint16(wire[at+FixedLen-2:]))
}

// has reports whether an RR is one of b's.
func (b *Records) has(rr []byte) bool {
	for at := 0; at < len(b.Wire); {
		next := end(b.Wire, at)
		if bytes.Equal(b.Wire[at:next], rr) {
			return true
		}
		at = next
	}
	return false
}

// AppendOwned appends RRs with the owner written out, for sections where it is not the question's name.
func AppendOwned(dst, wire, owner []byte) []byte {
	for at := 0; at < len(wire); {
		next := end(wire, at)
		dst = append(append(dst, owner...), wire[at+OwnerLen:next]...)
		at = next
	}
	return dst
}

// Target is a name that an answer leads to.
type Target struct {
	Name  []byte // wire form, lower case
	Other uint16 // type besides A and AAAA that is wanted there; 0: none
	Only  bool   // Other is all that is wanted
}

// Targets returns the names in the data of RRs that additional section processing follows (RFC 1035 section 3.3, RFC 2782, RFC
// 3403 section 4.1, RFC 9460 section 4.1). owner is the name that a target of "." stands for; nil: none.
func Targets(wire, owner []byte) []Target {
	var found []Target
	for at := 0; at < len(wire); {
		next := end(wire, at)
		t := rrTarget(binary.BigEndian.Uint16(wire[at+OwnerLen:]), wire[at+FixedLen:next], owner)
		at = next
		if t.Name != nil && !slices.ContainsFunc(found, func(o Target) bool { return bytes.Equal(o.Name, t.Name) && o.Other == t.Other }) {
			found = append(found, t)
		}
	}
	return found
}

func rrTarget(typ uint16, data, owner []byte) Target {
	t := Target{}
	skip := 0
	switch typ {
	case dnswire.TypeNS:
	case dnswire.TypeMX:
		skip = 2
	case dnswire.TypeSRV:
		skip = 6
	case mdns.TypeSVCB, mdns.TypeHTTPS:
		skip = 2
		if len(data) > 2 && data[0]|data[1] == 0 {
			t.Other, owner = typ, nil // AliasMode, where "." means that there is no service
		}
	case mdns.TypeNAPTR:
		skip = 4
		for i := range 3 { // flags, services, regexp
			if skip >= len(data) {
				return t
			}
			if i == 0 && data[skip] == 1 && data[skip+1]|0x20 == 's' {
				t.Other, t.Only = dnswire.TypeSRV, true
			} else if i == 0 && !(data[skip] == 1 && data[skip+1]|0x20 == 'a') {
				return t // the replacement is no host
			}
			skip += 1 + int(data[skip])
		}
		owner = nil
	default:
		return t
	}
	if skip >= len(data) || !dnswire.IsName(data[skip:]) {
		return t
	}
	t.Name = dnswire.Lower(data[skip:])
	if len(t.Name) == 1 && typ != dnswire.TypeNS && typ != dnswire.TypeMX {
		t.Name = owner
	}
	return t
}
