package dnswire_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// option is one EDNS option of a list that was read the plain way.
type option struct {
	code uint16
	data []byte
}

// plainOptions cuts the data of an OPT record into options; false: it does not come out even.
func plainOptions(data []byte) (list []option, ok bool) {
	for len(data) >= 4 {
		n := int(binary.BigEndian.Uint16(data[2:]))
		if len(data) < 4+n {
			return nil, false
		}
		list = append(list, option{binary.BigEndian.Uint16(data), data[4 : 4+n]})
		data = data[4+n:]
	}
	return list, len(data) == 0
}

// plainSubnet is a client subnet as RFC 7871 section 6 has it, said the other way round: what is right is written out, and compared.
func plainSubnet(data []byte) (p netip.Prefix, ok bool) {
	if len(data) < 4 {
		return p, false
	}
	family, bits := binary.BigEndian.Uint16(data), int(data[2])
	width := map[uint16]int{0: 0, 1: 4, 2: 16}[family]
	if family > 2 || bits > 8*width {
		return p, false
	}
	full := make([]byte, width)
	copy(full, data[4:])
	if addr, is := netip.AddrFromSlice(full); is {
		p = netip.PrefixFrom(addr, bits).Masked()
		full = p.Addr().AsSlice()
	}
	want := append([]byte{byte(family >> 8), byte(family), byte(bits), 0}, full[:(bits+7)/8]...)
	return p, bytes.Equal(want, data)
}

// FuzzOptions puts any octets into an OPT record: the parser must see in them what a plain reading sees, and nothing of one query in the next.
func FuzzOptions(f *testing.F) {
	for _, seed := range []string{
		"", "\x00\x03\x00\x00", "\x00\x08\x00\x07\x00\x01\x18\x00\xc0\x00\x02", "\x00\x08\x00\x08\x00\x02\x20\x00\x20\x01\x0d\xb8",
		"\x00\x08\x00\x04\x00\x00\x00\x00", "\x00\x08\x00\x04\x00\x01\x00\x00\x00\x08\x00\x04\x00\x01\x00\x00",
		"\x00\x0a\x00\x08\x01\x02\x03\x04\x05\x06\x07\x08\x00\x0a\x00\x01\xff", "\x00\x0b\x00\x00\x00\x0c\x00\x02\x00\x00\x00\x64\x00\x01x",
		"\x00\x64\x00\x05x", "\x00\x08\x00\x05\x00\x01\x01\x00\x80", "\xff",
	} {
		f.Add([]byte(seed))
	}
	var q dnswire.Query // used again and again, as servers do
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 0xFFFF {
			return
		}
		raw := packet{qd: 1, ar: 1, question: example, sections: append(binary.BigEndian.AppendUint16([]byte(optHead), uint16(len(data))), data...)}.bytes()
		list, good := plainOptions(data)
		var want dnswire.Query
		for _, o := range list {
			switch o.code {
			case dnswire.OptionNSID:
				want.NSID = true
			case dnswire.OptionCookie:
				if want.Cookie == nil {
					want.Cookie = o.data
				}
			case dnswire.OptionSubnet:
				p, ok := plainSubnet(o.data)
				good = good && ok && want.SubnetOption == nil
				want.SubnetOption, want.Subnet = o.data, p
			case dnswire.OptionKeepalive:
				want.Keepalive = true
			case dnswire.OptionPadding:
				want.Padding = true
			default:
				want.UnknownOption = true
			}
		}
		switch verdict := q.Parse(raw); {
		case verdict != map[bool]dnswire.Verdict{true: dnswire.Accept, false: dnswire.FormErr}[good]:
			t.Fatalf("% x: %v", data, verdict)
		case verdict != dnswire.Accept:
			return
		}
		if q.NSID != want.NSID || q.Keepalive != want.Keepalive || q.Padding != want.Padding || q.UnknownOption != want.UnknownOption ||
			!bytes.Equal(q.Cookie, want.Cookie) || (q.Cookie == nil) != (want.Cookie == nil) ||
			!bytes.Equal(q.SubnetOption, want.SubnetOption) || (q.SubnetOption == nil) != (want.SubnetOption == nil) || q.Subnet != want.Subnet {
			t.Fatalf("% x: read %+v, want %+v", data, q, want)
		}
	})
}
