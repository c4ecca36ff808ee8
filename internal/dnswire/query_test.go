package dnswire_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// packet is a query in the making: header fields and raw sections.
type packet struct {
	flags              uint16
	qd, an, ns, ar     uint16
	question, sections []byte
}

func (p packet) bytes() []byte {
	out := binary.BigEndian.AppendUint16(nil, 0x1267)
	for _, v := range []uint16{p.flags, p.qd, p.an, p.ns, p.ar} {
		out = binary.BigEndian.AppendUint16(out, v)
	}
	return append(append(out, p.question...), p.sections...)
}

func cat(parts ...string) []byte { return []byte(strings.Join(parts, "")) }

const (
	inA      = "\x00\x01\x00\x01"
	optHead  = "\x00\x00\x29\x04\xd0\x00\x00\x80\x00" // root, OPT, 1232, version 0, DO
	emptyOPT = optHead + "\x00\x00"
	someRR   = "\x01x\x00" + inA + "\x00\x00\x00\x00\x00\x04\x01\x02\x03\x04"
	tsigRR   = "\x01k\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x00"
)

var example = cat("\x03wWw\x07ExAmPlE\x03org\x00", inA)

func withOption(option string) packet {
	return packet{qd: 1, ar: 1, question: example, sections: cat(optHead, string([]byte{0, byte(len(option))}), option)}
}

// long returns the wire form of a name of n octets, n >= 68.
func long(n int) string {
	var b strings.Builder
	for left := n - 1; left > 0; {
		size := min(left, 64)
		if left-size == 1 {
			size--
		}
		b.WriteString(string(rune(size-1)) + strings.Repeat("a", size-1))
		left -= size
	}
	return b.String() + "\x00"
}

func TestParseVerdicts(t *testing.T) {
	query := packet{qd: 1, question: example}
	with := func(change func(*packet)) []byte {
		p := query
		change(&p)
		return p.bytes()
	}
	section := func(an, ns, ar uint16, parts ...string) []byte {
		return packet{qd: 1, an: an, ns: ns, ar: ar, question: example, sections: cat(parts...)}.bytes()
	}
	questionOf := func(parts ...string) []byte { return packet{qd: 1, question: cat(parts...)}.bytes() }
	for _, test := range []struct {
		name   string
		packet []byte
		want   dnswire.Verdict
	}{
		{"nothing", nil, dnswire.Drop},
		{"11 octets", query.bytes()[:11], dnswire.Drop},
		{"a response", with(func(p *packet) { p.flags = dnswire.FlagQR }), dnswire.Drop},
		{"a malformed response", with(func(p *packet) { p.flags = dnswire.FlagQR; p.qd = 7 }), dnswire.Drop},
		{"opcode 15", with(func(p *packet) { p.flags = 15 << 11 }), dnswire.NotImp},
		{"opcode 4 without question", with(func(p *packet) { p.flags = 4 << 11; p.qd = 0; p.question = nil }), dnswire.NotImp},
		{"no question", with(func(p *packet) { p.qd = 0; p.question = nil }), dnswire.FormErr},
		{"two questions", packet{qd: 2, question: append(bytes.Clone(example), example...)}.bytes(), dnswire.FormErr},
		{"a question", query.bytes(), dnswire.Accept},
		{"every flag but QR and opcode", with(func(p *packet) { p.flags = 0x87FF &^ dnswire.FlagQR }), dnswire.Accept},
		{"the root", questionOf("\x00", inA), dnswire.Accept},
		{"a header only", query.bytes()[:12], dnswire.FormErr},
		{"a name cut off in a label", query.bytes()[:14], dnswire.FormErr},
		{"a name cut off before the root", questionOf("\x01a"), dnswire.FormErr},
		{"a question cut off in the type", questionOf("\x01a\x00\x00"), dnswire.FormErr},
		{"a label of 63", questionOf("\x3f", strings.Repeat("a", 63), "\x00", inA), dnswire.Accept},
		{"a label of 64", questionOf("\x40", strings.Repeat("a", 64), "\x00", inA), dnswire.FormErr},
		{"an extended label", questionOf("\x80a\x00", inA), dnswire.FormErr},
		{"a pointer to itself", questionOf("\xc0\x0c", inA), dnswire.FormErr},
		{"a pointer to the header", questionOf("\x01a\xc0\x00", inA), dnswire.FormErr},
		{"a pointer forward", questionOf("\xc0\x20", inA), dnswire.FormErr},
		{"a name of 255", questionOf(long(255), inA), dnswire.Accept},
		{"a name of 256", questionOf(long(256), inA), dnswire.FormErr},
		{"127 labels", questionOf(strings.Repeat("\x01a", 127), "\x00", inA), dnswire.Accept},
		{"128 labels", questionOf(strings.Repeat("\x01a", 128), "\x00", inA), dnswire.FormErr},
		{"trailing octets", append(query.bytes(), 0), dnswire.FormErr},
		{"counts that promise a record", section(0, 0, 1), dnswire.FormErr},
		{"counts that promise 65535 records", section(0xFFFF, 0xFFFF, 0xFFFF), dnswire.FormErr},
		{"a record of the root", section(0, 0, 1, "\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01"), dnswire.Accept},
		{"records in every section", section(1, 1, 1, someRR, someRR, someRR), dnswire.Accept},
		{"a record with a pointer back", section(0, 0, 1, "\xc0\x0c", someRR[3:]), dnswire.Accept},
		{"a record with labels and a pointer", section(0, 0, 1, "\x01a\xc0\x0c", someRR[3:]), dnswire.Accept},
		{"a record with a pointer to itself", section(0, 0, 1, "\xc0\x21", someRR[3:]), dnswire.FormErr},
		{"a record with half a pointer", section(0, 0, 1, "\xc0"), dnswire.FormErr},
		{"a record with an extended label", section(0, 0, 1, "\x41a\x00", someRR[3:]), dnswire.FormErr},
		{"a record with a name of 255", section(0, 0, 1, long(255), someRR[3:]), dnswire.Accept},
		{"a record with a name of 256", section(0, 0, 1, long(256), someRR[3:]), dnswire.FormErr},
		{"a record with a name that never ends", section(0, 0, 1, "\x05a"), dnswire.FormErr},
		{"a record cut off in its head", section(0, 0, 1, someRR[:8]), dnswire.FormErr},
		{"a record cut off in its data", section(0, 0, 1, someRR[:len(someRR)-1]), dnswire.FormErr},
		{"EDNS", section(0, 0, 1, emptyOPT), dnswire.Accept},
		{"EDNS after another record", section(0, 0, 2, someRR, emptyOPT), dnswire.Accept},
		{"two OPT", section(0, 0, 2, emptyOPT, emptyOPT), dnswire.FormErr},
		{"OPT in the answer section", section(1, 0, 0, emptyOPT), dnswire.FormErr},
		{"OPT in the authority section", section(0, 1, 0, emptyOPT), dnswire.FormErr},
		{"OPT not at the root", section(0, 0, 1, "\x01a", emptyOPT), dnswire.FormErr},
		{"EDNS version 1", section(0, 0, 1, "\x00\x00\x29\x04\xd0\x00\x01\x00\x00\x00\x00"), dnswire.BadVers},
		{"EDNS version 1 with other options", section(0, 0, 1, "\x00\x00\x29\x04\xd0\x00\x01\x00\x00\x00\x01", "x"), dnswire.BadVers},
		{"EDNS version 1 and trailing octets", section(0, 0, 1, "\x00\x00\x29\x04\xd0\x00\x01\x00\x00\x00\x00x"), dnswire.FormErr},
		{"an unknown option", withOption("\x00\x64\x00\x02ab").bytes(), dnswire.Accept},
		{"an option cut off in its head", withOption("\x00\x64\x00").bytes(), dnswire.FormErr},
		{"an option cut off in its data", withOption("\x00\x64\x00\x03ab").bytes(), dnswire.FormErr},
		{"an option cut off before its length", withOption("\x00").bytes(), dnswire.FormErr},
		{"an empty option", withOption("\x00\x0a\x00\x00").bytes(), dnswire.Accept},
		{"EDNS with a length beyond the packet", section(0, 0, 1, optHead, "\x00\x01"), dnswire.FormErr},
		{"EDNS cut off before its length", section(0, 0, 1, optHead, "\x00"), dnswire.FormErr},
		{"a record with an empty name cut off", section(0, 0, 1, "\x00"), dnswire.FormErr},
		{"no octet for a record", section(0, 0, 1, ""), dnswire.FormErr},
		{"a record with a pointer to a later record", section(0, 0, 2, someRR, "\xc0\xff", someRR[3:]), dnswire.FormErr},
		{"a record with a pointer of the highest offset", section(0, 0, 1, "\xff\xff", someRR[3:]), dnswire.FormErr},
		{"a name that fills the packet", questionOf("\x01a\x00"), dnswire.FormErr},
		{"a question without class", questionOf("\x01a\x00\x00\x01"), dnswire.FormErr},
		{"a signature in the authority section", section(0, 1, 0, tsigRR), dnswire.FormErr},
		{"two signatures", section(0, 0, 2, tsigRR, tsigRR), dnswire.FormErr},
		{"a signature before EDNS", section(0, 0, 2, tsigRR, emptyOPT), dnswire.FormErr},
		{"EDNS version 1 twice", section(0, 0, 2, "\x00\x00\x29\x04\xd0\x00\x01\x00\x00\x00\x00", emptyOPT), dnswire.FormErr},
		{"a signature", section(0, 0, 1, tsigRR), dnswire.Accept},
		{"a signature before another record", section(0, 0, 2, tsigRR, someRR), dnswire.FormErr},
		{"a signature in the answer section", section(1, 0, 0, tsigRR), dnswire.FormErr},
		{"a signature after EDNS", section(0, 0, 2, emptyOPT, tsigRR), dnswire.Accept},
	} {
		t.Run(test.name, func(t *testing.T) {
			var q dnswire.Query
			if got := q.Parse(test.packet); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// TestD16SubnetOptions holds the rows of attack D16: malformed client subnets.
func TestD16SubnetOptions(t *testing.T) {
	for _, test := range []struct {
		name, data string
		want       dnswire.Verdict
		subnet     string
	}{
		{"IPv4", "\x00\x01\x18\x00\xc0\x00\x02", dnswire.Accept, "192.0.2.0/24"},
		{"IPv4 with every bit", "\x00\x01\x20\x00\xc0\x00\x02\x01", dnswire.Accept, "192.0.2.1/32"},
		{"IPv6", "\x00\x02\x20\x00\x20\x01\x0d\xb8", dnswire.Accept, "2001:db8::/32"},
		{"not on an octet", "\x00\x01\x14\x00\xc0\x00\x20", dnswire.Accept, "192.0.32.0/20"},
		{"opted out", "\x00\x01\x00\x00", dnswire.Accept, "0.0.0.0/0"},
		{"opted out in IPv6", "\x00\x02\x00\x00", dnswire.Accept, "::/0"},
		{"opted out without family", "\x00\x00\x00\x00", dnswire.Accept, ""},
		{"no family but an address", "\x00\x00\x08\x00\xc0", dnswire.FormErr, ""},
		{"unknown family", "\x00\x03\x08\x00\xc0", dnswire.FormErr, ""},
		{"empty", "", dnswire.FormErr, ""},
		{"too short", "\x00\x01\x00", dnswire.FormErr, ""},
		{"scope set", "\x00\x01\x18\x18\xc0\x00\x02", dnswire.FormErr, ""},
		{"too few octets", "\x00\x01\x18\x00\xc0\x00", dnswire.FormErr, ""},
		{"too many octets", "\x00\x01\x18\x00\xc0\x00\x02\x00", dnswire.FormErr, ""},
		{"IPv4 with 33 bits", "\x00\x01\x21\x00\xc0\x00\x02\x00\x00", dnswire.FormErr, ""},
		{"IPv6 with 129 bits", "\x00\x02\x81\x00" + strings.Repeat("\x00", 17), dnswire.FormErr, ""},
		{"bits beyond the prefix", "\x00\x01\x14\x00\xc0\x00\x21", dnswire.FormErr, ""},
		{"bits beyond the prefix in IPv6", "\x00\x02\x1f\x00\x20\x01\x0d\xb9", dnswire.FormErr, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var q dnswire.Query
			option := "\x00\x08" + string([]byte{0, byte(len(test.data))}) + test.data
			if got := q.Parse(withOption(option).bytes()); got != test.want {
				t.Fatalf("%v, want %v", got, test.want)
			}
			if test.want != dnswire.Accept {
				return
			}
			if string(q.SubnetOption) != test.data {
				t.Errorf("option %x, want %x", q.SubnetOption, test.data)
			}
			var want netip.Prefix
			if test.subnet != "" {
				want = netip.MustParsePrefix(test.subnet)
			}
			if q.Subnet != want {
				t.Errorf("subnet %v, want %v", q.Subnet, want)
			}
		})
	}
	var q dnswire.Query
	twice := "\x00\x08\x00\x04\x00\x01\x00\x00"
	if got := q.Parse(withOption(twice + twice).bytes()); got != dnswire.FormErr {
		t.Errorf("two subnets: %v", got)
	}
}

func TestParseFillsTheQuery(t *testing.T) {
	p := withOption("\x00\x03\x00\x00" + "\x00\x0a\x00\x08\x01\x02\x03\x04\x05\x06\x07\x08" + "\x00\x64\x00\x00" +
		"\x00\x0b\x00\x00" + "\x00\x0c\x00\x02\x00\x00" + "\x00\x0a\x00\x01\xff")
	p.flags = dnswire.FlagRD
	raw := p.bytes()
	var q dnswire.Query
	if v := q.Parse(raw); v != dnswire.Accept {
		t.Fatal(v)
	}
	if q.ID != 0x1267 || q.Flags != dnswire.FlagRD || q.Type != dnswire.TypeA || q.Class != dnswire.ClassIN {
		t.Errorf("header or question: %+v", q)
	}
	if got, want := string(q.Name[:q.NameLen]), "\x03www\x07example\x03org\x00"; got != want {
		t.Errorf("name %q, want %q", got, want)
	}
	if q.Labels != 3 {
		t.Errorf("%d labels", q.Labels)
	}
	if q.End != 12+len(example) {
		t.Errorf("question ends at %d", q.End)
	}
	if !q.EDNS || q.UDPSize != 1232 || !q.DO || q.Version != 0 || !q.NSID || len(q.Cookie) != 8 || q.Signed {
		t.Errorf("EDNS: %+v", q)
	}
	if !q.Keepalive || !q.Padding || !q.UnknownOption {
		t.Errorf("options: %+v", q)
	}
	// Nothing of it survives into the next packet.
	if v := q.Parse(packet{qd: 1, question: example}.bytes()); v != dnswire.Accept {
		t.Fatal(v)
	}
	if q.EDNS || q.DO || q.NSID || q.Cookie != nil || q.SubnetOption != nil || q.Subnet.IsValid() || q.UDPSize != 0 ||
		q.Keepalive || q.Padding || q.UnknownOption {
		t.Errorf("left over: %+v", q)
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	raw := withOption("\x00\x08\x00\x07\x00\x01\x18\x00\xc0\x00\x02").bytes()
	var q dnswire.Query
	if n := testing.AllocsPerRun(100, func() { q.Parse(raw) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestVerdictsHaveNames(t *testing.T) {
	if got := dnswire.Accept.String() + " " + dnswire.BadVers.String(); got != "accept badvers" {
		t.Error(got)
	}
}

// FuzzParse compares with miekg/dns: never a panic, and where both accept a packet they read the same in it.
func FuzzParse(f *testing.F) {
	f.Add(packet{qd: 1, question: example}.bytes())
	f.Add(withOption("\x00\x08\x00\x07\x00\x01\x18\x00\xc0\x00\x02").bytes())
	f.Add(withOption("\x00\x0a\x00\x08\x01\x02\x03\x04\x05\x06\x07\x08\x00\x03\x00\x00").bytes())
	f.Add(packet{qd: 1, an: 1, ns: 1, ar: 2, question: example, sections: cat(someRR, someRR, emptyOPT, tsigRR)}.bytes())
	f.Add(packet{qd: 1, ar: 1, question: example, sections: cat("\xc0\x0c", someRR[3:])}.bytes())
	f.Add(packet{qd: 1, question: cat(strings.Repeat("\x01A", 127), "\x00", inA)}.bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		var q dnswire.Query
		verdict := q.Parse(raw)
		if verdict == dnswire.Drop {
			return
		}
		if q.End < dnswire.HeaderLen || q.End > len(raw) || q.End > dnswire.HeaderLen && q.End != dnswire.HeaderLen+q.NameLen+4 {
			t.Fatalf("question ends at %d of %d", q.End, len(raw))
		}
		if verdict != dnswire.Accept {
			return
		}
		var m mdns.Msg
		if m.Unpack(raw) != nil || len(m.Question) != 1 {
			return
		}
		compare(t, &q, &m)
	})
}

func compare(t *testing.T, q *dnswire.Query, m *mdns.Msg) {
	t.Helper()
	var wire [dnswire.MaxName + 1]byte
	n, err := mdns.PackDomainName(m.Question[0].Name, wire[:], 0, nil, false)
	if err != nil {
		return // a name miekg/dns can read but not write
	}
	if got, want := q.Name[:q.NameLen], asciiLower(wire[:n]); !bytes.Equal(got, want) {
		t.Fatalf("name %q, want %q", got, want)
	}
	if q.Type != m.Question[0].Qtype || q.Class != m.Question[0].Qclass || q.ID != m.Id {
		t.Fatalf("type %d class %d, want %v", q.Type, q.Class, m.Question[0])
	}
	opt := m.IsEdns0()
	if (opt != nil) != q.EDNS {
		t.Fatalf("EDNS %v, want %v", q.EDNS, opt)
	}
	if opt == nil {
		return
	}
	if q.UDPSize != opt.UDPSize() || q.DO != opt.Do() || q.Version != opt.Version() {
		t.Fatalf("EDNS %+v, want %v", q, opt)
	}
	for _, o := range opt.Option {
		if e, ok := o.(*mdns.EDNS0_SUBNET); ok && e.Family != 0 {
			addr, _ := netip.AddrFromSlice(e.Address)
			if e.Family == 1 {
				addr = addr.Unmap()
			}
			if want := netip.PrefixFrom(addr, int(e.SourceNetmask)); q.Subnet != want {
				t.Fatalf("subnet %v, want %v", q.Subnet, want)
			}
		}
	}
}

func asciiLower(b []byte) []byte {
	out := bytes.Clone(b)
	for i, c := range out {
		if 'A' <= c && c <= 'Z' {
			out[i] = c | 0x20
		}
	}
	return out
}

func BenchmarkParse(b *testing.B) {
	for name, raw := range map[string][]byte{
		"plain":  packet{qd: 1, question: example}.bytes(),
		"subnet": withOption("\x00\x08\x00\x07\x00\x01\x18\x00\xc0\x00\x02").bytes(),
	} {
		b.Run(name, func(b *testing.B) {
			var q dnswire.Query
			b.ReportAllocs()
			for b.Loop() {
				q.Parse(raw)
			}
		})
	}
}
