package zone

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	mdns "github.com/miekg/dns"
	"pgregory.net/rapid"
)

// samples has data for every type that miekg/dns knows.
var samples = map[string][]string{
	"A": {"192.0.2.1"}, "AAAA": {"2001:db8::1", "::ffff:192.0.2.1", "::"}, "AFSDB": {"1 host"}, "AMTRELAY": {"10 0 1 192.0.2.1", "10 1 3 relay.example.net.", "10 0 0 ."},
	"APL": {"1:192.0.2.0/24 !2:2001:db8::/32"}, "AVC": {`"app-name:x" "y z"`}, "CAA": {`0 issue "ca.example.net; a=b"`, `128 iodef ""`},
	"CDNSKEY": {"257 3 13 AAEC"}, "CDS": {"0 0 0 00", "1 13 2 abcd"}, "CERT": {"PKIX 1 RSASHA256 AAEC"}, "CNAME": {"a", "."}, "CSYNC": {"66 3 A NS AAAA"}, "DHCID": {"AAEC"},
	"DLV": {"1 13 2 abcd"}, "DNAME": {"a"}, "DNSKEY": {"256 3 13 AAEC"}, "DS": {"1 13 2 abcd"}, "EID": {"abcd"}, "EUI48": {"00-00-5e-00-53-2a"}, "EUI64": {"00-00-5e-ef-10-00-00-2a"},
	"GID": {"7"}, "GPOS": {"-32.6882 116.8652 10.0"}, "HINFO": {`"a b" c`}, "HIP": {"2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p9+LrV4e1 rvs.example.com."},
	"HTTPS":    {`1 . alpn=h2 ech="AAEC" ipv4hint=192.0.2.1,192.0.2.2`, "0 pool", `1 x key65000="a\"b" mandatory=alpn alpn="a\\,b" no-default-alpn port=8443`},
	"IPSECKEY": {"10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==", "10 3 2 gw.example.net. AAEC", "10 0 2 . AAEC"}, "ISDN": {`"150862028003217" "004"`, "150862028003217"},
	"KEY": {"256 3 13 AAEC"}, "KX": {"10 a"}, "L32": {"10 10.1.2.0"}, "L64": {"10 2001:0DB8:1140:1000"}, "LOC": {"52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m"}, "LP": {"10 a"},
	"MB": {"a"}, "MD": {"a"}, "MF": {"a"}, "MG": {"a"}, "MINFO": {"a b"}, "MR": {"a"}, "MX": {"10 a"}, "NAPTR": {`100 10 u E2U+sip "!^.*$!sip:x@example.net!" .`}, "NID": {"10 0014:4fff:ff20:ee64"},
	"NIMLOC": {"abcd"}, "NINFO": {`"zone" "x"`}, "NS": {"a"}, "NSAP-PTR": {"a"}, "NSEC": {"a A RRSIG TYPE65280"}, "NSEC3": {"1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr A RRSIG", "1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr"},
	"NSEC3PARAM": {"1 0 12 aabb", "1 0 0 -"}, "NULL": {`\# 2 0001`}, "NXNAME": nil, "NXT": {"a A NS"}, "OPENPGPKEY": {"AAEC"}, "PTR": {"a"}, "PX": {"10 a b"}, "RESINFO": {"qnamemin exterr=15 infourl=https://example.org"},
	"RKEY": {"0 3 13 AAEC"}, "RP": {"a b"}, "RRSIG": {"A 13 2 3600 20260101000000 20250101000000 1 example.org. AAEC"}, "RT": {"10 a"}, "SIG": {"A 13 2 3600 20260101000000 20250101000000 1 example.org. AAEC"},
	"SMIMEA": {"3 1 1 abcd"}, "SOA": {"a b 1 2 3 4 5"}, "SPF": {`"v=spf1 -all"`}, "SRV": {"1 2 3 a"}, "SSHFP": {"4 2 abcd"}, "SVCB": {"1 . port=53", "0 a"}, "TA": {"1 13 2 abcd"},
	"TALINK": {"a b"}, "TLSA": {"3 1 1 abcd"}, "TXT": {`"" "a;b" \255\000`}, "UID": {"7"}, "UINFO": {`"a b"`}, "URI": {`10 1 "https://example.org/"`}, "X25": {"311061700956"},
	"ZONEMD": {"1 1 1 " + "000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f"},
}

const apex = "@ 5 IN SOA ns1.example.net. host 1 2 3 4 5\n@ 5 IN NS ns1.example.net.\n"

func TestEveryTypeIsReadAndWritten(t *testing.T) {
	generic := 0
	for typ, name := range mdns.TypeToString {
		if _, known := mdns.TypeToRR[typ]; !known || !isData(typ) {
			continue
		}
		if len(samples[name]) == 0 {
			t.Errorf("no sample of type %s", name)
		}
		for _, data := range samples[name] {
			d, problems, err := Parse([]byte(apex+"x 7 "+name+" "+data+"\n"), ParseOptions{Origin: []byte("\x07example\x03org\x00")})
			if err != nil || len(problems) > 0 || d.Len() != 3 {
				t.Errorf("%s %s: %v %v", name, data, err, problems)
				continue
			}
			checkRoundTrip(t, d)
			var text bytes.Buffer
			if err := Write(&text, d); err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(text.Bytes(), []byte(`\#`)) {
				t.Logf("written as RFC 3597 has it: %s %s", name, data)
				generic++
			}
			// The same octets in the form of RFC 3597 are the same record.
			data := d.Find([]byte("\x01x\x07example\x03org\x00"), typ).First()
			other, _, err := Parse(fmt.Appendf(nil, apex+"x 7 %s \\# %d %x\n", name, len(data), data), ParseOptions{Origin: d.origin})
			if err != nil {
				t.Errorf("%s %x: %v", name, data, err)
				continue
			}
			checkEqual(t, d, other)
		}
	}
	if generic > 12 {
		t.Errorf("%d types have no text of their own", generic)
	}
}

// allRecords is one record for each sample.
func allRecords(t *testing.T) []Record {
	text := apex
	for _, name := range slices.Sorted(keys(samples)) {
		for i, data := range samples[name] {
			text += fmt.Sprintf("%s%d 7 %s %s\n", name, i, name, data)
		}
	}
	d, problems, err := Parse([]byte(text), ParseOptions{Origin: []byte("\x07example\x03org\x00")})
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	return slices.Collect(d.Records())
}

func keys(m map[string][]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// draw makes a zone of records of all types, some changed in an octet, and of types without a syntax.
func draw(t *rapid.T, pool []Record) *Data {
	b := NewBuilder([]byte("\x07example\x03org\x00"))
	for _, r := range pool {
		if r.Type == mdns.TypeSOA && len(r.Name) == 13 {
			if err := b.Add(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	label := rapid.OneOf(rapid.SampledFrom([][]byte{[]byte("a"), []byte("b"), []byte("*"), []byte("\xff\xfe"), []byte("\x00"), []byte(`.;"\ @$()`)}), rapid.SliceOfN(rapid.Byte(), 1, 63))
	for range rapid.IntRange(0, 30).Draw(t, "records") {
		r := rapid.SampledFrom(pool).Draw(t, "record")
		if r.Type == mdns.TypeSOA {
			continue
		}
		r.Name = nil
		for range rapid.IntRange(0, 3).Draw(t, "labels") {
			l := label.Draw(t, "label")
			r.Name = append(append(r.Name, byte(len(l))), l...)
		}
		r.Name = append(r.Name, b.Origin()...)
		// A set has one TTL, whatever came in.
		r.TTL = rapid.SampledFrom([]uint32{0, 60, maxTTL}).Draw(t, "ttl")
		r.RData = slices.Clone(r.RData)
		switch rapid.IntRange(0, 3).Draw(t, "change") {
		case 0:
			if at := rapid.IntRange(0, len(r.RData)).Draw(t, "at"); at < len(r.RData) {
				r.RData[at] = rapid.Byte().Draw(t, "octet")
			}
		case 1:
			r.Type = rapid.Uint16Range(65280, 65534).Draw(t, "private type")
		}
		if !valid(r.Type, r.RData) {
			continue
		}
		if err := b.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	d, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	pool := allRecords(t)
	rapid.Check(t, func(rt *rapid.T) {
		d := draw(rt, pool)
		var text bytes.Buffer
		if err := Write(&text, d); err != nil {
			rt.Fatal(err)
		}
		back, problems, err := Parse(text.Bytes(), ParseOptions{Origin: d.origin})
		if err != nil || len(problems) > 0 {
			rt.Fatalf("%v %v\n%s", err, problems, &text)
		}
		if !same(d, back) {
			rt.Fatalf("differs:\n%s", &text)
		}
	})
}

func same(a, b *Data) bool {
	return bytes.Equal(a.arena, b.arena) && slices.Equal(a.sets, b.sets) && a.count == b.count
}

func TestApplyingADifferenceMakesTheNewVersion(t *testing.T) {
	pool := allRecords(t)
	rapid.Check(t, func(rt *rapid.T) {
		a, b := draw(rt, pool), draw(rt, pool)
		removed, added := Diff(a, b)
		got, err := Apply(a, removed, added)
		if err != nil {
			rt.Fatal(err)
		}
		if !same(got, b) {
			rt.Fatal("not the new version")
		}
		// Exactly the records that differ: none is in both lists, and their numbers add up.
		out, in := slices.Collect(removed), slices.Collect(added)
		if a.Len()-len(out)+len(in) != b.Len() {
			rt.Fatalf("%d - %d + %d is not %d", a.Len(), len(out), len(in), b.Len())
		}
		for _, r := range out {
			for _, s := range in {
				if bytes.Equal(r.Name, s.Name) && r.Type == s.Type && r.TTL == s.TTL && bytes.Equal(r.RData, s.RData) {
					rt.Fatal("a record is removed and added")
				}
			}
		}
		if removed, added := Diff(b, b); len(slices.Collect(removed))+len(slices.Collect(added)) > 0 {
			rt.Fatal("a version differs from itself")
		}
	})
}

func TestSortingByKeyNeverContradictsCompare(t *testing.T) {
	origin := []byte("\x01o\x00")
	name := rapid.Custom(func(t *rapid.T) []byte {
		var n []byte
		for range rapid.IntRange(0, 4).Draw(t, "labels") {
			l := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, '-', '0', 'a', 'b', 'z', 253, 254, 255}), 1, 9).Draw(t, "label")
			n = append(append(n, byte(len(l))), l...)
		}
		return append(n, origin...)
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := name.Draw(t, "a"), name.Draw(t, "b")
		ah, al := sortKey(a, len(origin))
		bh, bl := sortKey(b, len(origin))
		if c := Compare(a, b); c <= 0 && (ah > bh || ah == bh && al > bl) || c >= 0 && (ah < bh || ah == bh && al < bl) {
			t.Fatalf("%q %q: %d, %x%x %x%x", a, b, c, ah, al, bh, bl)
		}
	})
}
