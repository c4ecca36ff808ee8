package dnswire_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

func TestNames(t *testing.T) {
	name := cat("\x03wWw\x07ExAmPlE\x03org\x00", "what follows")
	lower := dnswire.Lower(name)
	if want := cat("\x03www\x07example\x03org\x00"); !bytes.Equal(lower, want) {
		t.Errorf("Lower: %q, want %q", lower, want)
	}
	if got := dnswire.AppendLower([]byte("x"), cat("\x02A@\x00")); string(got) != "x\x02a@\x00" { // @ is before A, [ after Z
		t.Errorf("AppendLower: %q", got)
	}
	if n := dnswire.CountLabels(lower); n != 3 || dnswire.CountLabels([]byte{0}) != 0 {
		t.Errorf("%d labels", n)
	}
	parent := dnswire.Parent(lower)
	for _, test := range []struct {
		name, top []byte
		want      bool
	}{
		{lower, lower, true}, {lower, parent, true}, {parent, lower, false}, {lower, []byte{0}, true},
		{cat("\x0anotexample\x03org\x00"), parent, false}, {lower, cat("\x03www\x03org\x00"), false},
	} {
		if got := dnswire.Below(test.name, test.top); got != test.want {
			t.Errorf("Below(%q, %q) = %v", test.name, test.top, got)
		}
	}
}

// TestLowerChangesLettersOnly: every octet at every place of names of many lengths.
func TestLowerChangesLettersOnly(t *testing.T) {
	for n := 1; n <= 40; n++ {
		for at := range n {
			for c := range 256 {
				label := bytes.Repeat([]byte{0xFF}, n)
				label[at] = byte(c)
				want := byte(c)
				if c >= 'A' && c <= 'Z' {
					want += 'a' - 'A'
				}
				name := cat(string(rune(n)), string(label), "\x00")
				got := dnswire.Lower(name)
				if name[1+at] = want; !bytes.Equal(got, name) {
					t.Fatalf("%q, want %q", got, name)
				}
			}
		}
	}
}

func TestIsName(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "\x00": true, "\x01a\x00": true, "\x01a": false, "\x01": false, "\x05ab": false, "\x40a": false, "\xc0\x0c": false,
		long(255): true, long(256): false, "\x00rest": true, strings.Repeat("\x01a", 200): false,
	} {
		if got := dnswire.IsName([]byte(text)); got != want {
			t.Errorf("IsName(%.20q) = %v", text, got)
		}
	}
}

func TestRecords(t *testing.T) {
	message := append(bytes.Repeat([]byte{0}, dnswire.HeaderLen), cat(string(example), someRR)...)
	at, ok := dnswire.SkipQuestion(message, dnswire.HeaderLen)
	if !ok || at != dnswire.HeaderLen+len(example) {
		t.Fatalf("the question ends at %d, %v", at, ok)
	}
	r, ok := dnswire.ReadRecord(message, at)
	if !ok || r.Type != dnswire.TypeA || r.Class != dnswire.ClassIN || r.TTL != 0 || !bytes.Equal(r.Data, []byte{1, 2, 3, 4}) || r.Fixed != at+3 || r.End != len(message) {
		t.Errorf("%+v, %v", r, ok)
	}
	for n := range message { // cut anywhere, neither is read beyond the end
		if _, ok := dnswire.ReadRecord(message[:n], at); ok {
			t.Errorf("a record in %d octets", n)
		}
		if end, ok := dnswire.SkipQuestion(message[:n], dnswire.HeaderLen); ok && end > n {
			t.Errorf("a question of %d in %d octets", end, n)
		}
	}
}
