package dns

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

const (
	ownerLen = 2             // of the pointer every compiled RR starts with
	fixedLen = ownerLen + 10 // type, class, TTL and data length included
	qnamePtr = 0xC000 | dnswire.HeaderLen
	maxTTL   = 1<<31 - 1 // RFC 2181 section 8

	// maxBlob leaves room in a message of 65,535 octets for header, question and OPT.
	maxBlob = 65535 - dnswire.HeaderLen - dnswire.MaxName - 4 - maxOPT
)

// parseName packs a name in presentation form into lower-case wire form.
func parseName(name string) ([]byte, error) {
	var buf [dnswire.MaxName + 1]byte
	end, err := mdns.PackDomainName(mdns.Fqdn(name), buf[:], 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("name %q: %w", name, err)
	}
	if end > dnswire.MaxName {
		return nil, fmt.Errorf("name %q: longer than %d octets", name, dnswire.MaxName)
	}
	return dnswire.Lower(buf[:end]), nil
}

// parseType finds a record type that zones may hold.
func parseType(name string) (uint16, error) {
	typ, err := ParseType(name)
	if err != nil {
		return 0, err
	}
	switch {
	case typ == 0 || typ == mdns.TypeOPT || typ >= 128 && typ <= 255: // meta types, RFC 6895 section 3.1
		return 0, fmt.Errorf("%s is not a record type for zones", name)
	}
	return typ, nil
}

// compileValues packs the values of one RRset. Equal values become one (RFC 2181 section 5).
func compileValues(typ uint16, ttl time.Duration, values []string) (blob, error) {
	if len(values) == 0 {
		return blob{}, errors.New("no values")
	}
	var b blob
	for _, value := range values {
		rr, err := compileRR(typ, ttl, value)
		if err != nil {
			return blob{}, err
		}
		if b.has(rr) {
			continue
		}
		b.wire = append(b.wire, rr...)
		b.n++
		if len(b.wire) > maxBlob {
			return blob{}, fmt.Errorf("values need more than %d octets", maxBlob)
		}
	}
	if isSingle(typ) && b.n > 1 {
		return blob{}, fmt.Errorf("more than one value for a %s", mdns.Type(typ))
	}
	return b, nil
}

// isSingle reports whether a name has at most one record of a type.
func isSingle(typ uint16) bool {
	return typ == dnswire.TypeCNAME || typ == mdns.TypeDNAME || typ == dnswire.TypeSOA
}

// compileRR packs one RR whose owner is a pointer at the question's name.
func compileRR(typ uint16, ttl time.Duration, value string) ([]byte, error) {
	if typ == dnswire.TypeA || typ == dnswire.TypeAAAA {
		if addr, err := netip.ParseAddr(value); err == nil && addr.Zone() == "" && addr.Is4() == (typ == dnswire.TypeA) {
			return appendAddress(nil, clampTTL(ttl), addr), nil
		}
	}
	if strings.ContainsAny(value, "\r\n") {
		return nil, fmt.Errorf("value %q: line break", value)
	}
	name := mdns.Type(typ).String()
	rr, err := mdns.NewRR(fmt.Sprintf(". %d IN %s %s", clampTTL(ttl), name, value))
	if err != nil {
		return nil, fmt.Errorf("value %q of type %s: %w", value, name, err)
	}
	if rr == nil || rr.Header().Rrtype != typ {
		return nil, fmt.Errorf("value %q is not of type %s", value, name)
	}
	buf := make([]byte, max(512, 2*len(value)+fixedLen+dnswire.MaxName))
	end, err := mdns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("value %q of type %s: %w", value, name, err)
	}
	// RFC 3597 section 5 has a way to say that there is no data; saying nothing is a slip.
	if end < 1+fixedLen-ownerLen+1 && !strings.HasPrefix(value, `\#`) {
		return nil, fmt.Errorf("value %q of type %s is empty", value, name)
	}
	// The root owner is one octet; the pointer takes its place.
	return append(binary.BigEndian.AppendUint16(nil, qnamePtr), buf[1:end]...), nil
}

// appendHead appends what stands before the data of an RR of class IN.
func appendHead(dst []byte, typ uint16, ttl uint32, size int) []byte {
	return append(dst, qnamePtr>>8, qnamePtr&0xFF, byte(typ>>8), byte(typ), 0, byte(dnswire.ClassIN),
		byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl), byte(size>>8), byte(size))
}

// appendAddress appends an A or AAAA record.
func appendAddress(dst []byte, ttl uint32, addr netip.Addr) []byte {
	if addr.Is4() {
		a := addr.As4()
		return append(appendHead(dst, dnswire.TypeA, ttl, 4), a[:]...)
	}
	a := addr.As16()
	return append(appendHead(dst, dnswire.TypeAAAA, ttl, 16), a[:]...)
}

func clampTTL(ttl time.Duration) uint32 {
	return uint32(min(max(ttl/time.Second, 0), maxTTL))
}

// rrEnd is where the RR at an offset of compiled wire form ends.
func rrEnd(wire []byte, at int) int {
	return at + fixedLen + int(binary.BigEndian.Uint16(wire[at+fixedLen-2:]))
}

// has reports whether an RR is one of the blob's.
func (b *blob) has(rr []byte) bool {
	for at := 0; at < len(b.wire); {
		end := rrEnd(b.wire, at)
		if bytes.Equal(b.wire[at:end], rr) {
			return true
		}
		at = end
	}
	return false
}

// appendOwned appends RRs with the owner written out, for sections where it is not the question's name.
func appendOwned(dst, wire, owner []byte) []byte {
	for at := 0; at < len(wire); {
		end := rrEnd(wire, at)
		dst = append(append(dst, owner...), wire[at+ownerLen:end]...)
		at = end
	}
	return dst
}

// target is a name that an answer leads to.
type target struct {
	name  []byte // lower case
	other uint16 // type besides A and AAAA that is wanted there; 0: none
	only  bool   // other is all that is wanted
}

// targets returns the names in the data of RRs that additional section processing follows (RFC 1035 section 3.3, RFC 2782, RFC
// 3403 section 4.1, RFC 9460 section 4.1). owner is the name that a target of "." stands for; nil: none.
func targets(wire, owner []byte) []target {
	var found []target
	for at := 0; at < len(wire); {
		end := rrEnd(wire, at)
		t := rrTarget(binary.BigEndian.Uint16(wire[at+ownerLen:]), wire[at+fixedLen:end], owner)
		at = end
		if t.name != nil && !slices.ContainsFunc(found, func(o target) bool { return bytes.Equal(o.name, t.name) && o.other == t.other }) {
			found = append(found, t)
		}
	}
	return found
}

func rrTarget(typ uint16, data, owner []byte) target {
	t := target{}
	skip := 0
	switch typ {
	case dnswire.TypeNS:
	case dnswire.TypeMX:
		skip = 2
	case dnswire.TypeSRV:
		skip = 6
	case mdns.TypeSVCB, mdns.TypeHTTPS:
		skip = 2
		if len(data) > 3 && data[0]|data[1] == 0 {
			t.other, owner = typ, nil // AliasMode, where "." means that there is no service
		}
	case mdns.TypeNAPTR:
		skip = 4
		for i := range 3 { // flags, services, regexp
			if skip >= len(data) {
				return t
			}
			if i == 0 && data[skip] == 1 && data[skip+1]|0x20 == 's' {
				t.other, t.only = dnswire.TypeSRV, true
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
	t.name = dnswire.Lower(data[skip:])
	if len(t.name) == 1 && typ != dnswire.TypeNS && typ != dnswire.TypeMX {
		t.name = owner
	}
	return t
}
