package zone_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/meridian-edge/meridian/dns/zone"
)

const head = "$TTL 3600\n@ IN SOA ns1 host 7 7200 3600 1209600 300\n@ NS ns1\nns1 A 192.0.2.53\n"

var origin = []byte("\x07example\x03org\x00")

func lines(d *zone.Data) []string {
	var list []string
	for r := range d.Records() {
		list = append(list, strings.ReplaceAll(string(zone.AppendText(nil, r)), "\t", " "))
	}
	return list
}

// parse reads text behind head and returns what is not in head.
func parse(t *testing.T, text string, o zone.ParseOptions) ([]string, []zone.Problem) {
	t.Helper()
	o.Origin = origin
	d, problems, err := zone.Parse([]byte(head+text), o)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	base, _, err := zone.Parse([]byte(head), zone.ParseOptions{Origin: origin})
	if err != nil {
		t.Fatal(err)
	}
	known := lines(base)
	return slices.DeleteFunc(lines(d), func(s string) bool { return slices.Contains(known, s) }), problems
}

func TestTextBecomesRecords(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		if got, _ := parse(t, text, zone.ParseOptions{}); !slices.Equal(got, want) {
			t.Errorf("%q:\n got %q\nwant %q", text, got, want)
		}
	}
	// Owners, TTLs and classes.
	f("a A 192.0.2.1\n", "a.example.org. 3600 IN A 192.0.2.1")
	f("a.example.org. 60 IN A 192.0.2.1\n", "a.example.org. 60 IN A 192.0.2.1")
	f("A In 1h30m a 192.0.2.1\n", "a.example.org. 5400 IN A 192.0.2.1")
	f("a 60 A 192.0.2.1\n A 192.0.2.2\n", "a.example.org. 60 IN A 192.0.2.1", "a.example.org. 60 IN A 192.0.2.2")
	f("a 60 A 192.0.2.1\nb A 192.0.2.2\n", "a.example.org. 60 IN A 192.0.2.1", "b.example.org. 3600 IN A 192.0.2.2")
	f("a CLASS1 TYPE1 192.0.2.1\n", "a.example.org. 3600 IN A 192.0.2.1")
	f("in A 192.0.2.1\n7 A 192.0.2.1\n", "7.example.org. 3600 IN A 192.0.2.1", "in.example.org. 3600 IN A 192.0.2.1")
	f("@ MX 10 @\n", "example.org. 3600 IN MX 10 example.org.")
	f("$ORIGIN sub\n@ A 192.0.2.1\n$ORIGIN x\na A 192.0.2.2\n", "sub.example.org. 3600 IN A 192.0.2.1", "a.x.sub.example.org. 3600 IN A 192.0.2.2")
	f("$TTL 2d\na A 192.0.2.1\n", "a.example.org. 172800 IN A 192.0.2.1")
	// Parentheses, comments, quotes, escapes.
	f("a TXT ( one ; a comment with ( and \"\n \"two (2); \" \n) ; more\n", `a.example.org. 3600 IN TXT "one" "two (2); "`)
	f("a TXT \"a\"\"b\"c \"\"\n", `a.example.org. 3600 IN TXT "a" "b" "c" ""`)
	f(`a TXT "\"\\\065\;\255" \(`+"\n", `a.example.org. 3600 IN TXT "\"\\A;\255" "("`)
	f(`a\.b\065\@\$ A 192.0.2.1`+"\n", `a\.ba\@\$.example.org. 3600 IN A 192.0.2.1`)
	f(`\@ A 192.0.2.1`+"\n", `\@.example.org. 3600 IN A 192.0.2.1`)
	f("a A 192.0.2.1\r\nb\tA\t192.0.2.2\r\n", "a.example.org. 3600 IN A 192.0.2.1", "b.example.org. 3600 IN A 192.0.2.2")
	// Types without a syntax of their own, and known ones in that form (RFC 3597).
	f(`a TYPE65280 \# 3 0a 0b0C`+"\n", `a.example.org. 3600 IN TYPE65280 \# 3 0a0b0c`)
	f(`a TYPE65280 \# 0`+"\n", `a.example.org. 3600 IN TYPE65280 \# 0`)
	f(`a A \# 4 c0000201`+"\n", "a.example.org. 3600 IN A 192.0.2.1")
	f(`a TYPE15 \# 3 000a 00`+"\n", "a.example.org. 3600 IN MX 10 .")
	// Types that miekg/dns reads.
	f(`@ CAA 0 issue "ca.example.net; account=7"`+"\n", `example.org. 3600 IN CAA 0 issue "ca.example.net; account=7"`)
	f(`@ HTTPS ( 1 . alpn="h2,h3" ipv4hint=192.0.2.1 )`+"\n", `example.org. 3600 IN HTTPS 1 . alpn="h2,h3" ipv4hint="192.0.2.1"`)
	f("s SSHFP 4 2 ( 0123456789ABCDEF0123456789ABCDEF\n 0123456789abcdef0123456789abcdef )\n", "s.example.org. 3600 IN SSHFP 4 2 0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF")
	f(`n NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.org!" .`+"\n", `n.example.org. 3600 IN NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info@example.org!" .`)
	f("l LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m\n", "l.example.org. 3600 IN LOC 52 22 23.000 N 04 53 32.000 E -2m 0.00m 10000m 10m")
	f("p APL\nq APL 1:192.0.2.0/24\n", `p.example.org. 3600 IN APL \# 0`, "q.example.org. 3600 IN APL 1:192.0.2.0/24")
	f(`h HINFO "a b" c`+"\n", `h.example.org. 3600 IN HINFO "a b" "c"`)
	f("k RP contact txt.sub\n", "k.example.org. 3600 IN RP contact.example.org. txt.sub.example.org.")
}

func TestMistakesAreReportedWithTheirPlaceAndARemedy(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, _, err := zone.Parse([]byte(head+text+"z A 192.0.2.9\n"), zone.ParseOptions{Origin: origin, File: "e.zone"})
		if err == nil || !strings.HasPrefix(err.Error(), "e.zone:5: ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	f("a A 192.0.2.256\n", `a.example.org. A: "192.0.2.256" is not an IPv4 address (as in A 192.0.2.1)`)
	f("a A 192.0.2.01\n", "is not an IPv4 address")
	f("a A\n", "record has no data")
	f("a AAAA 192.0.2.1\n", "is not an IPv6 address")
	f("a AAAA fe80::1%eth0\n", "is not an IPv6 address")
	f("a A 192.0.2.1 192.0.2.2\n", "data is not one address")
	f("a MX mail\n", "data has 1 fields, not 2 (as in MX 10 mail.example.org.)")
	f("a MX 65536 mail\n", "is not a number that fits")
	f("a CH A 192.0.2.1\n", "class CH (zones are of class IN)")
	f("a CLASS3 A 192.0.2.1\n", "class CLASS3")
	f("a IN IN A 192.0.2.1\n", "is not a record type")
	f("a 1 2 A 192.0.2.1\n", "is not a record type")
	f("a d A 192.0.2.1\n", `"d" is not a record type, TTL or class`)
	f("a 4294967296 A 192.0.2.1\n", "larger than 2147483647")
	f("a 99999999999999999999w A 192.0.2.1\n", "larger than 2147483647")
	f("a 1x A 192.0.2.1\n", `"1x" is not a TTL`)
	f("a ANY 1\n", "cannot stand in a zone")
	f("a OPT\n", "cannot stand in a zone")
	f("a None x\n", "class None")
	f("a TYPE65280 x\n", `(write it as in \# 2 0a0b (RFC 3597))`)
	f("a TYPE65536 \\# 0\n", "is not a record type")
	f(`a A \# 3 c00002`+"\n", "octets are not valid data for this type")
	f(`a A \# 0`+"\n", "octets are not valid data for this type")
	f(`a CNAME \# 2 c000`+"\n", "octets are not valid data for this type")
	f(`a TYPE9999 \# 3 c0000g`+"\n", "not hexadecimal")
	f(`a TYPE9999 \# 3 c000`+"\n", "length says 3 octets, there are 2")
	f(`a TYPE9999 \#`+"\n", "length is missing")
	f("a..b A 192.0.2.1\n", "empty label")
	f(strings.Repeat("a", 64)+" A 192.0.2.1\n", "longer than 63 octets")
	f(strings.Repeat("a.", 130)+" A 192.0.2.1\n", "longer than 255 octets")
	f("a CNAME "+strings.Repeat("aaa.", 62)+"b\n", "longer than 255 octets")
	f(`a\256 A 192.0.2.1`+"\n", "bad escape")
	f(`a\12 A 192.0.2.1`+"\n", "bad escape")
	f(`a TXT "\999"`+"\n", "bad escape")
	f(`a CAA 0 issue "\999"`+"\n", "bad escape")
	f("a TXT "+strings.Repeat("x", 256)+"\n", "256 octets, 255 are the most (cut it into several")
	f("a TXT \"open\n", "not closed on its line")
	f("a TXT a )\n", "closing parenthesis without")
	f("a TXT a\\\n", "backslash at the end of a line")
	f("a CAA 0 issue \"x\" y\n", "CAA")
	f("a DS 1 2 3\n", "DS")
	f("a DS 1 2 3 abc\n", "DS")
	f("a TLSA 3 1 1\n", "TLSA")
	f("a NSEC b FOO\n", "NSEC")
	f("$TTL\n", "$TTL takes one")
	f("$FOO x\n", `unknown directive "$FOO"`)
	f("$INCLUDE x\n", "not allowed here")
	f(`"a" A 192.0.2.1`+"\n", "owner name is quoted")
	f("a CNAME \"b\"\n", "field 1 is quoted")
	f("a SOA . . x 1 1 1 1\n", "field 3")
}

func TestAnUnclosedParenthesisIsReportedWhereItOpened(t *testing.T) {
	_, _, err := zone.Parse([]byte(head+"a TXT ( x\nb A 192.0.2.1\n"), zone.ParseOptions{Origin: origin, File: "e.zone"})
	if err == nil || !strings.HasPrefix(err.Error(), "e.zone:5: parenthesis is never closed") {
		t.Error(err)
	}
}

func TestARecordWithoutEndIsGivenUp(t *testing.T) {
	_, _, err := zone.Parse([]byte(head+"a TXT (\n"+strings.Repeat("x ", 1_000_000)), zone.ParseOptions{Origin: origin, File: "e.zone"})
	if err == nil || !strings.HasPrefix(err.Error(), "e.zone:6: record has more than 70,000 words") {
		t.Error(err)
	}
}

func TestSeveralMistakesAreReportedAtOnceUpToABound(t *testing.T) {
	text := head + "a A x\nb A 192.0.2.1\nc MX\nd A \"\n"
	_, problems, err := zone.Parse([]byte(text), zone.ParseOptions{Origin: origin})
	if err == nil || len(problems) != 3 || problems[0].Line != 5 || problems[1].Line != 7 || problems[2].Line != 8 {
		t.Errorf("%v", problems)
	}
	_, problems, err = zone.Parse([]byte(head+strings.Repeat("a A x\n", 1000)), zone.ParseOptions{Origin: origin, MaxErrors: 5})
	if err == nil || len(problems) != 5 {
		t.Errorf("%d problems", len(problems))
	}
	_, problems, err = zone.Parse([]byte(head+strings.Repeat("a.example.net. A 192.0.2.1\n", 1000)), zone.ParseOptions{Origin: origin})
	if err != nil || len(problems) != 51 || problems[50].Text != "950 more warnings" {
		t.Errorf("%v, %d problems", err, len(problems))
	}
}

func TestDefaultTTLs(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		d, _, err := zone.Parse([]byte(text), zone.ParseOptions{Origin: origin})
		got := fmt.Sprint(err)
		if err == nil {
			got = ""
			for s := range d.Sets() {
				got += fmt.Sprint(s.TTL, " ")
			}
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s", text, got)
		}
	}
	f("@ SOA . . 1 2 3 4 99\n@ NS a\n", "99 99 ")                      // the SOA's minimum (RFC 1035)
	f("@ 7 SOA . . 1 2 3 4 99\n@ NS a\n", "7 7 ")                      // the last one written (RFC 1035)
	f("$TTL 5\n@ 7 SOA . . 1 2 3 4 99\n@ NS a\n", "5 7 ")              // $TTL (RFC 2308); NS sorts before SOA
	f("@ NS a\n@ 7 SOA . . 1 2 3 4 99\n", "no TTL, and there is none") // none at all
	f("@ SOA . . 1 2 3 4 4294967295\n", "2147483647 ")                 // RFC 2181
	d, problems, err := zone.Parse([]byte(head+"a 5 A 192.0.2.1\na 6 A 192.0.2.2\n"), zone.ParseOptions{Origin: origin})
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0].Error(), "a.example.org. A: TTLs of one set differ, the least is taken: 5") || d.Len() != 5 {
		t.Errorf("%v %v", err, problems)
	}
}

func TestGenerateMakesRecords(t *testing.T) {
	f := func(line string, want ...string) {
		t.Helper()
		if got, _ := parse(t, "$GENERATE "+line+"\n", zone.ParseOptions{}); !slices.Equal(got, want) {
			t.Errorf("%q:\n got %q\nwant %q", line, got, want)
		}
	}
	f("1-3/2 h$ A 192.0.2.$", "h1.example.org. 3600 IN A 192.0.2.1", "h3.example.org. 3600 IN A 192.0.2.3") // $TTL holds, which miekg/dns forgets
	f("1-1 h${10,4,x} 60 IN A 192.0.2.${-1}", "h000b.example.org. 60 IN A 192.0.2.0")
	f("10-10 a${0,5,d}b${0,0,o}c${0,3,X} A 192.0.2.1", "a00010b12c00a.example.org. 3600 IN A 192.0.2.1")
	f("26-26 ${0,3,n}.x PTR ${0,8,N}y", "a.1.x.example.org. 3600 IN PTR A.1.0.0.y.example.org.")
	f(`5-5 a TXT "$ \$ $$ ${1}" $`, `a.example.org. 3600 IN TXT "5 $ $ 6" "5"`)
	f("1-1 $ CNAME (\n x$ )", "1.example.org. 3600 IN CNAME x1.example.org.")
	f("0-0 a$ CAA 0 issue \"ca$.example.net\"", `a0.example.org. 3600 IN CAA 0 issue "ca0.example.net"`)
}

func TestGenerateIsBounded(t *testing.T) {
	f := func(line, want string) {
		t.Helper()
		_, problems, err := zone.Parse([]byte(head+"$GENERATE "+line+"\n"), zone.ParseOptions{Origin: origin, MaxGenerate: 1000})
		if err == nil || len(problems) != 1 || problems[0].Line != 5 || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", line, err)
		}
	}
	f("1-1001 h$ A 192.0.2.1", "makes 1001 records, 1000 are the most")
	f("0-2147483647 h$ A 192.0.2.1", "are the most")
	f("1-99999999999999999999 h$ A 192.0.2.1", "is not a range")
	f("5-1 h$ A 192.0.2.1", "is not a range")
	f("-5-1 h$ A 192.0.2.1", "is not a range")
	f("1-5/0 h$ A 192.0.2.1", "is not a range")
	f("1-5 h$ A", "takes a range")
	f("1-5 h${x} A 192.0.2.1", "bad modifier")
	f("1-5 h${0,300} A 192.0.2.1", "bad modifier")
	f("1-5 h${0,3,q} A 192.0.2.1", "bad modifier")
	f("1-5 h${0,3,d,d} A 192.0.2.1", "bad modifier")
	f("1-5 h${1 A 192.0.2.1", "bad modifier")
	f("1-5 h${-2} A 192.0.2.1", "number below zero")
	f("250-600 h$ A 192.0.2.$", `"192.0.2.256" is not an IPv4 address`) // once, not 345 times
	f("1-1000 a TXT "+strings.Repeat("\"${0,255}\" ", 200), "octets of text")
	f("1-5 h$ SOME x", "is not a record type")
}

func TestIncludesStayInTheFolder(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "zones")
	for name, text := range map[string]string{
		"secret":              "root:x:0:0\n",
		"zones/a.inc":         "x A 192.0.2.1\n$TTL 5\n$INCLUDE sub/b.inc sub\n",
		"zones/sub/b.inc":     "@ A 192.0.2.2\n$ORIGIN deep\n$INCLUDE c.inc\n",
		"zones/sub/c.inc":     "c A 192.0.2.3\n",
		"zones/loop.inc":      "$INCLUDE loop2.inc\n",
		"zones/loop2.inc":     "\n$INCLUDE loop.inc\n",
		"zones/broken.inc":    "y A 192.0.2.4\nz A nonsense\n",
		"zones/noowner.inc":   " A 192.0.2.4\n",
		"zones/deep/x1.inc":   "$INCLUDE x2.inc\n",
		"zones/tail/none.inc": "",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := 2; i < 12; i++ {
		name := filepath.Join(root, fmt.Sprintf("deep/x%d.inc", i))
		if err := os.WriteFile(name, fmt.Appendf(nil, "$INCLUDE x%d.inc\n", i+1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(root, "link.inc")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.inc", filepath.Join(root, "inside.inc")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(root, "pipe.inc"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o := zone.ParseOptions{File: "e.zone", Root: r}
	want := []string{
		"a.example.org. 5 IN A 192.0.2.8", "sub.example.org. 5 IN A 192.0.2.2", "c.deep.sub.example.org. 5 IN A 192.0.2.3",
		"x.example.org. 3600 IN A 192.0.2.1", "z.example.org. 3600 IN A 192.0.2.7", "z.example.org. 3600 IN A 192.0.2.9",
	}
	// The owner and the origin come back, $TTL stays.
	for _, name := range []string{"a.inc", "inside.inc", filepath.Join(root, "a.inc")} {
		if got, _ := parse(t, "z A 192.0.2.7\n$INCLUDE "+name+"\n 3600 A 192.0.2.9\na A 192.0.2.8\n", o); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
	}
	o.Origin = origin
	for name, part := range map[string]string{
		"../secret": "e.zone:5: $INCLUDE: ", "/etc/passwd": "e.zone:5: $INCLUDE: ", "link.inc": "e.zone:5: $INCLUDE: ", filepath.Join(dir, "secret"): "e.zone:5: $INCLUDE: ",
		"pipe.inc": "not a regular file", "sub": "not a regular file", "absent.inc": "no such file", "e.zone": "which is being read",
		"loop.inc": "loop2.inc:2: $INCLUDE of loop.inc, which is being read", "deep/x1.inc": "deep/x7.inc:1: $INCLUDE nests deeper than 8",
		"broken.inc": `broken.inc:2: z.example.org. A: "nonsense" is not an IPv4 address`, "noowner.inc": "noowner.inc:1: line begins with a blank",
	} {
		_, _, err := zone.Parse([]byte(head+"$INCLUDE "+name+"\n"), o)
		if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "root:x") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTextThatNeedsAWordOfWarning(t *testing.T) {
	_, problems := parse(t, "a.example.net. A 192.0.2.1\nb A 192.0.2.1", zone.ParseOptions{File: "e.zone"})
	if len(problems) != 2 || !strings.Contains(problems[0].Error(), "e.zone:6: text does not end with a newline") ||
		!strings.Contains(problems[1].Error(), "e.zone:5: a.example.net. A: record is outside the zone and ignored") {
		t.Errorf("%v", problems)
	}
}

func TestAZoneWithoutItsSOAIsRefused(t *testing.T) {
	for text, part := range map[string]string{
		"":              "no SOA",
		"a 5 A 1.2.3.4": "no SOA",
		head + "@ SOA ns2 host 7 7200 3600 1209600 300\n": "more than one SOA",
	} {
		if _, _, err := zone.Parse([]byte(text), zone.ParseOptions{Origin: origin}); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v", text, err)
		}
	}
	var b bytes.Buffer
	if err := zone.Write(&b, nil); err != nil || b.Len() > 0 {
		t.Error(err)
	}
}
