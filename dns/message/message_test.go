package message_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/message"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// query packs a question, as changed, and reads it.
func query(t testing.TB, name string, change ...func(*mdns.Msg)) ([]byte, *dnswire.Query) {
	t.Helper()
	m := new(mdns.Msg).SetQuestion(name, mdns.TypeA)
	m.Id = 7
	for _, c := range change {
		c(m)
	}
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	q := new(dnswire.Query)
	if v := q.Parse(packet); v != dnswire.Accept {
		t.Fatal(v)
	}
	return packet, q
}

func pack(t testing.TB, typ uint16, values ...string) message.Records {
	t.Helper()
	r, err := message.Pack(typ, time.Minute, values)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func read(t testing.TB, reply []byte) *mdns.Msg {
	t.Helper()
	m := new(mdns.Msg)
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("%v: % x", err, reply)
	}
	return m
}

func lines(rrs []mdns.RR) string {
	var out []string
	for _, rr := range rrs {
		out = append(out, strings.Join(strings.Fields(rr.String()), " "))
	}
	return strings.Join(out, "; ")
}

func Example() {
	packet := []byte("\x00\x07\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03wWw\x07example\x03org\x00\x00\x01\x00\x01")
	var q dnswire.Query
	q.Parse(packet)
	set, err := message.Pack(dnswire.TypeA, time.Minute, []string{"192.0.2.1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	var r message.Reply
	r.Start(nil, packet, &q, 512)
	r.Authoritative = true
	r.Put(message.Answer, set, dnswire.HeaderLen, 0)
	reply := r.Finish(&q, 0)
	m := new(mdns.Msg)
	if err := m.Unpack(reply); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Answer[0])
	// Output: wWw.example.org.	60	IN	A	192.0.2.1
}

// What comes first turns with the draw; the set is the same.
func TestRecordsTurnWithTheDraw(t *testing.T) {
	packet, q := query(t, "www.example.org.")
	set := pack(t, dnswire.TypeA, "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.2")
	if set.N != 3 {
		t.Fatalf("%d records: equal ones are one (RFC 2181 section 5)", set.N)
	}
	var r message.Reply
	for i, want := range []string{"1 2 3", "2 3 1", "3 1 2"} {
		r.Start(nil, packet, q, 512)
		if !r.Put(message.Answer, set, dnswire.HeaderLen, uint32(i)*0x56000000) {
			t.Fatal("no room")
		}
		m := read(t, r.Finish(q, 0))
		var got []string
		for _, rr := range m.Answer {
			got = append(got, strings.TrimPrefix(rr.(*mdns.A).A.String(), "192.0.2."))
		}
		if strings.Join(got, " ") != want || m.Id != 7 {
			t.Errorf("draw %d: %v, want %s", i, got, want)
		}
	}
}

// The owners of copies are where they are said to be, whatever stands before the message.
func TestOwnersArePatched(t *testing.T) {
	packet, q := query(t, "a.b.example.org.")
	var r message.Reply
	before := []byte("before")
	r.Start(before, packet, q, 512)
	parent, apex := dnswire.HeaderLen+2, dnswire.HeaderLen+4
	from := r.Len()
	if !r.PutRename(dnswire.HeaderLen, 2, 60, []byte("\x01c\x07example\x03org\x00")) {
		t.Fatal("no room")
	}
	if got := dnswire.Lower(r.From(from + message.FixedLen)); string(got) != "\x01a\x01c\x07example\x03org\x00" {
		t.Errorf("the new name is %q", got)
	}
	r.Put(message.Answer, pack(t, dnswire.TypeMX, "10 mail.example.net.", "20 mail.example.net."), parent, 0)
	r.PutAddress(from+message.FixedLen, 1<<31, netip.MustParseAddr("2001:db8::1"))
	r.Put(message.Authority, pack(t, dnswire.TypeNS, "ns.example.net."), apex, 0)
	glue := message.AppendOwned(nil, pack(t, dnswire.TypeA, "192.0.2.53").Wire, []byte("\x02ns\x07example\x03net\x00"))
	r.PutWhole(message.Additional, glue, 1)
	if r.Records(message.Answer) != 4 || r.Records(message.Authority) != 1 {
		t.Errorf("%d and %d records", r.Records(message.Answer), r.Records(message.Authority))
	}
	reply := r.Finish(q, 0)
	if string(reply[:len(before)]) != "before" {
		t.Error("what was before is gone")
	}
	m := read(t, reply[len(before):])
	for section, want := range map[string][2]string{
		"answer": {lines(m.Answer), "a.b.example.org. 60 IN CNAME a.c.example.org.; b.example.org. 60 IN MX 10 mail.example.net.; " +
			"b.example.org. 60 IN MX 20 mail.example.net.; a.c.example.org. 2147483647 IN AAAA 2001:db8::1"},
		"authority":  {lines(m.Ns), "example.org. 60 IN NS ns.example.net."},
		"additional": {lines(m.Extra), "ns.example.net. 60 IN A 192.0.2.53"},
	} {
		if want[0] != want[1] {
			t.Errorf("%s: %s\nwant %s", section, want[0], want[1])
		}
	}
}

// What does not fit is not begun: the reply is empty and says TC, with its OPT record (RFC 2181 section 9, RFC 6891 section 7).
func TestWhatDoesNotFitTruncates(t *testing.T) {
	packet, q := query(t, "www.example.org.", func(m *mdns.Msg) {
		m.SetEdns0(1232, true)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &mdns.EDNS0_SUBNET{Code: mdns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{192, 0, 2, 0}})
	})
	var r message.Reply
	r.Options = message.Options{HasCookie: true, Cookie: [message.CookieLen]byte{1, 2, 3}, NSID: "edge7"}
	small := pack(t, dnswire.TypeA, "192.0.2.1")
	room := q.End + 11 + (4 + 7) + (4 + message.CookieLen) + (4 + 5) // header, question and OPT
	puts := map[string]func(limit int) bool{
		"records": func(limit int) bool {
			r.Start(nil, packet, q, limit)
			return r.Put(message.Answer, small, dnswire.HeaderLen, 0)
		},
		"rename": func(limit int) bool {
			r.Start(nil, packet, q, limit)
			return r.PutRename(dnswire.HeaderLen, 4, 60, make([]byte, len(small.Wire)-message.FixedLen-4))
		},
		"text": func(limit int) bool {
			r.Start(nil, packet, q, limit)
			return r.PutText(strings.Repeat("x", len(small.Wire)-message.FixedLen-1))
		},
		"address": func(limit int) bool { // for which there is room for either family, or for none
			r.Start(nil, packet, q, limit+12)
			return r.PutAddress(dnswire.HeaderLen, 60, netip.MustParseAddr("192.0.2.1"))
		},
	}
	for name, put := range puts {
		for missing := range 2 {
			fits := put(room + len(small.Wire) - missing)
			reply := r.Finish(q, 24)
			if fits != (missing == 0) || r.Truncated == fits || !fits && len(reply) != room {
				t.Errorf("%s, %d octets missing: fits %v, truncated %v, %d octets", name, missing, fits, r.Truncated, len(reply))
			}
			if fits && name == "rename" {
				continue // its name is none
			}
			o := read(t, reply).IsEdns0()
			if o == nil || !o.Do() || len(o.Option) != 3 || o.Option[0].(*mdns.EDNS0_SUBNET).SourceScope != 24 {
				t.Errorf("%s, %d octets missing: %v", name, missing, o)
			}
		}
	}
}

// A reply that became too long elsewhere is cut to its question, and one about which nothing is known is a header.
func TestRepliesOfLastResort(t *testing.T) {
	packet, q := query(t, "www.example.org.", func(m *mdns.Msg) { m.SetEdns0(1232, false) })
	var r message.Reply
	r.Start([]byte("xy"), packet, q, 65535)
	r.Authoritative, r.RCode = true, 3
	r.Put(message.Authority, pack(t, dnswire.TypeTXT, strings.Repeat("a", 200)), dnswire.HeaderLen, 0)
	short := message.Shorten(r.Finish(q, 0), 2, q)
	if m := read(t, short[2:]); string(short[:2]) != "xy" || !m.Truncated || !m.Authoritative || m.Rcode != 3 || len(m.Ns) != 0 || m.IsEdns0() == nil || len(m.Question) != 1 {
		t.Errorf("%v", m)
	}
	if m := read(t, message.Fail(nil, packet, 2)); m.Rcode != 2 || m.Id != 7 || !m.Response || len(m.Question) != 0 || !m.RecursionDesired {
		t.Errorf("%v", m)
	}
}

func TestValuesThatAreRefused(t *testing.T) {
	for _, test := range []struct {
		typ    uint16
		values []string
		want   string
	}{
		{dnswire.TypeA, nil, "no values"},
		{dnswire.TypeA, []string{"2001:db8::1"}, "2001:db8::1"},
		{dnswire.TypeAAAA, []string{"fe80::1%eth0"}, "fe80::1%eth0"},
		{dnswire.TypeTXT, []string{"a\nb"}, "line break"},
		{dnswire.TypeA, []string{""}, "of type A"},
		{dnswire.TypeCNAME, []string{"a.", "b."}, "more than one value"},
		{dnswire.TypeTXT, []string{strings.Repeat("a", 70000)}, "TXT"},
	} {
		if _, err := message.Pack(test.typ, time.Minute, test.values); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%d %.40v: %v", test.typ, test.values, err)
		}
	}
	many := make([]string, 300)
	for i := range many {
		many[i] = strings.Repeat("a", 230) + fmt.Sprint(i)
	}
	if _, err := message.Pack(dnswire.TypeTXT, time.Minute, many); err == nil || !strings.Contains(err.Error(), fmt.Sprint(message.MaxRecords)) {
		t.Errorf("%v", err)
	}
	if got := [3]uint32{message.ClampTTL(-time.Second), message.ClampTTL(90 * time.Second), message.ClampTTL(1 << 62)}; got != [3]uint32{0, 90, message.MaxTTL} {
		t.Errorf("TTLs %v", got)
	}
}

// The names that an answer leads to are found in every type that has some (RFC 1035 section 3.3, RFC 2782, RFC 3403, RFC 9460).
func TestTargets(t *testing.T) {
	owner := []byte("\x03www\x00")
	for _, test := range []struct {
		typ   uint16
		value string
		want  string
	}{
		{dnswire.TypeNS, "NS.example.", "ns.example. 0 false"},
		{dnswire.TypeMX, "10 m.example.", "m.example. 0 false"},
		{dnswire.TypeMX, "0 .", ". 0 false"}, // RFC 7505: no mail, and no address looked for elsewhere
		{dnswire.TypeSRV, "0 0 443 s.example.", "s.example. 0 false"},
		{mdns.TypeHTTPS, "1 . alpn=h2", "www. 0 false"},
		{mdns.TypeHTTPS, "0 other.example.", "other.example. 65 false"},
		{mdns.TypeHTTPS, "0 .", ""},
		{mdns.TypeSVCB, "2 t.example. port=1", "t.example. 0 false"},
		{mdns.TypeNAPTR, `1 1 "s" "x" "" srv.example.`, "srv.example. 33 true"},
		{mdns.TypeNAPTR, `1 1 "A" "x" "" host.example.`, "host.example. 0 false"},
		{mdns.TypeNAPTR, `1 1 "u" "x" "!a!b!" .`, ""},
		{dnswire.TypeTXT, `"m.example."`, ""},
	} {
		got := ""
		for _, target := range message.Targets(pack(t, test.typ, test.value).Wire, owner) {
			name, _, err := mdns.UnpackDomainName(target.Name, 0)
			if err != nil {
				t.Fatal(err)
			}
			got += fmt.Sprint(name, " ", target.Other, " ", target.Only)
		}
		if got != test.want {
			t.Errorf("%s %s: %q, want %q", mdns.TypeToString[test.typ], test.value, got, test.want)
		}
	}
	twice := message.Targets(pack(t, dnswire.TypeMX, "10 m.example.", "20 M.example.", "30 n.example.").Wire, owner)
	if len(twice) != 2 {
		t.Errorf("%d targets of three records with two", len(twice))
	}
}

func TestReplyAllocatesNothing(t *testing.T) {
	packet, q := query(t, "www.example.org.", func(m *mdns.Msg) { m.SetEdns0(1232, true) })
	set, buf := pack(t, dnswire.TypeA, "192.0.2.1", "192.0.2.2"), make([]byte, 0, message.MaxUDP)
	var r message.Reply
	if n := testing.AllocsPerRun(100, func() {
		r.Start(buf, packet, q, message.MaxUDP)
		r.Put(message.Answer, set, dnswire.HeaderLen, 1<<31)
		if out := r.Finish(q, 0); binary.BigEndian.Uint16(out[6:]) != 2 {
			t.Error("no answer")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
