package zone

import (
	"bytes"
	"testing"
)

// lanes reads text with the fast lane and without it.
func lanes(text []byte) (fast, slow *Data, fastErr, slowErr error) {
	read := func(only bool) (*Data, error) {
		p := newParser(ParseOptions{Origin: []byte("\x07example\x03org\x00"), MaxGenerate: 100}, nil)
		p.open = func(string) ([]byte, error) { return nil, errChanged }
		p.onlySlow = only
		p.file(&file{name: "fuzz.zone", origin: p.b.origin}, text)
		d, _, err := p.result()
		return d, err
	}
	fast, fastErr = read(false)
	slow, slowErr = read(true)
	return
}

var seeds = []string{
	"@ 5 SOA ns1 host 7 7200 1h 1w 300\n@ 5 NS ns1\nns1 5 A 192.0.2.53\n",
	"$TTL 1h\n@ SOA . . 1 2 3 4 5\na\\.b AAAA 2001:db8::1\n AAAA ::ffff:192.0.2.1\n*.x CNAME @\n",
	"$TTL 1h\n@ SOA . . 1 2 3 4 5\nm MX 10 mail\ns SRV 1 2 3 t.\nd DNAME x.y\np PTR a\\032b\n",
	"$TTL 1h\n@ SOA . . 1 2 3 4 5\nt TXT \"a\\\"b\" c\\;d \"\"\nh HINFO a b\nu SPF ( \"x\"\n y )\n",
	"$TTL 1h\n@ SOA . . 1 2 3 4 5\n$GENERATE 1-3 a${0,2,x} A 192.0.2.$\n$ORIGIN s\n@ CAA 0 issue \"x\"\n",
	"$TTL 1h\n@ SOA . . 1 2 3 4 5\nx TYPE65280 \\# 2 0a0b\ny HTTPS 1 . alpn=h2\nz DS 1 2 3 abcd\n",
	"$TTL 1h\n@ SOA . . 1 2 3 4 5\nn NAPTR 1 2 u E2U+sip \"!^.*$!x!\" .\nl LOC 1 2 3 N 4 5 6 E 7m\ns NSEC a A NS\nw SVCB 0 a\n",
}

func TestBothLanesReadTheSame(t *testing.T) {
	for _, text := range seeds {
		fast, slow, err, slowErr := lanes([]byte(text))
		if err != nil || slowErr != nil {
			t.Errorf("%q: %v, %v", text, err, slowErr)
			continue
		}
		checkEqual(t, fast, slow)
		checkRoundTrip(t, fast)
	}
}

func checkEqual(t *testing.T, a, b *Data) {
	t.Helper()
	if !bytes.Equal(a.arena, b.arena) || a.count != b.count || len(a.sets) != len(b.sets) {
		var x, y bytes.Buffer
		if err := Write(&x, a); err != nil {
			t.Fatal(err)
		}
		if err := Write(&y, b); err != nil {
			t.Fatal(err)
		}
		t.Fatalf("%s\nis not\n%s", &x, &y)
	}
	for i := range a.sets {
		if a.sets[i] != b.sets[i] {
			t.Fatalf("set %d: %+v, %+v", i, a.sets[i], b.sets[i])
		}
	}
}

func checkRoundTrip(t *testing.T, d *Data) {
	t.Helper()
	var text, again bytes.Buffer
	if err := Write(&text, d); err != nil {
		t.Fatal(err)
	}
	back, problems, err := Parse(text.Bytes(), ParseOptions{Origin: d.origin})
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v %v\n%s", err, problems, &text)
	}
	checkEqual(t, back, d)
	if err := Write(&again, back); err != nil || again.String() != text.String() {
		t.Fatalf("not stable: %v", err)
	}
}

func FuzzZoneText(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		fast, slow, err, slowErr := lanes(text)
		if err == nil && slowErr != nil { // the other way round miekg/dns is lax: it takes an SOA of three fields
			t.Fatalf("slow lane: %v", slowErr)
		}
		if err == nil {
			checkEqual(t, fast, slow)
			checkRoundTrip(t, fast)
			Check(fast)
		}
	})
}

func FuzzGenerate(f *testing.F) {
	for _, s := range []string{"1-3 a$ A 192.0.2.$", "0-9/3 ${1,2,n} 5 IN PTR $.x", "1-2 a TXT \"$\" \\$ $$", "5-1 a A x", "1-2 ${-1,3,X} CAA 0 issue \"$\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		text := "$TTL 5\n@ SOA . . 1 2 3 4 5\n$GENERATE " + line + "\n"
		fast, _, err, _ := lanes([]byte(text))
		if err == nil {
			checkRoundTrip(t, fast)
		}
	})
}
