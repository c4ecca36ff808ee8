package dns

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
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
	return lower(buf[:end]), nil
}

// parseType finds a record type that zones may hold.
func parseType(name string) (uint16, error) {
	typ, err := ParseType(name)
	if err != nil {
		return 0, err
	}
	switch {
	case typ == mdns.TypeDNAME:
		return 0, errors.New("DNAME records are not supported")
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
	seen := map[string]bool{}
	for _, value := range values {
		rr, err := compileRR(typ, ttl, value)
		if err != nil {
			return blob{}, err
		}
		if seen[string(rr)] {
			continue
		}
		seen[string(rr)] = true
		b.wire = append(b.wire, rr...)
		if len(b.wire) > maxBlob {
			return blob{}, fmt.Errorf("values need more than %d octets", maxBlob)
		}
		b.ends = append(b.ends, uint16(len(b.wire)))
	}
	if typ == dnswire.TypeCNAME {
		if len(b.ends) > 1 {
			return blob{}, errors.New("more than one value for a CNAME")
		}
		b.target = lower(b.wire[fixedLen:])
	}
	return b, nil
}

// compileRR packs one RR whose owner is a pointer at the question's name.
func compileRR(typ uint16, ttl time.Duration, value string) ([]byte, error) {
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
	if end < 1+fixedLen-ownerLen+1 {
		return nil, fmt.Errorf("value %q of type %s is empty", value, name)
	}
	// The root owner is one octet; the pointer takes its place.
	return append(binary.BigEndian.AppendUint16(nil, qnamePtr), buf[1:end]...), nil
}

func clampTTL(ttl time.Duration) uint32 {
	return uint32(min(max(ttl/time.Second, 0), maxTTL))
}

// rr returns the i-th RR of the blob.
func (b *blob) rr(i int) []byte {
	start := 0
	if i > 0 {
		start = int(b.ends[i-1])
	}
	return b.wire[start:b.ends[i]]
}

// owned returns the blob's RRs with the owner written out, for sections where it is not the question's name.
func (b *blob) owned(owner []byte) []byte {
	var out []byte
	for i := range b.ends {
		out = append(append(out, owner...), b.rr(i)[ownerLen:]...)
	}
	return out
}

// targets returns the names in the data of the blob's RRs that additional section processing follows, lower-cased
// (RFC 1035 section 3.3, RFC 2782).
func (b *blob) targets() [][]byte {
	var names [][]byte
	for i := range b.ends {
		rr := b.rr(i)
		skip := 0
		switch binary.BigEndian.Uint16(rr[ownerLen:]) {
		case dnswire.TypeNS:
		case dnswire.TypeMX:
			skip = 2
		case dnswire.TypeSRV:
			skip = 6
		default:
			return nil
		}
		if len(rr) <= fixedLen+skip {
			continue
		}
		name := lower(rr[fixedLen+skip:])
		if !containsName(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func containsName(names [][]byte, name []byte) bool {
	for _, n := range names {
		if bytes.Equal(n, name) {
			return true
		}
	}
	return false
}
