package rules_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// drawRequest has some of the fields that a Vary may name, once or twice, empty or not.
func drawRequest(t *rapid.T) httpwire.Fields {
	var f httpwire.Fields
	for _, name := range []string{"Accept-Encoding", "Accept-Language", "Accept", "Origin", "X-A", "X-" + strings.Repeat("Long-", 40)} {
		for range rapid.IntRange(0, 2).Draw(t, name) {
			f.AddName(name, rapid.SampledFrom([]string{"", "gzip", "br, gzip", "de, en;q=0.5", strings.Repeat("a, ", 100), "\x00\xff"}).Draw(t, "value"))
		}
	}
	return f
}

func drawVary(t *rapid.T) httpwire.Fields {
	names := []string{"accept-encoding", "Accept-Language", "accept", "Origin", "X-A", "x-" + strings.Repeat("long-", 40), "X-None"}
	return fields("Vary: " + strings.Join(rapid.SliceOfN(rapid.SampledFrom(names), 0, 7).Draw(t, "vary"), ","))
}

// A variant at rest is the one in use: it reads back, ends where it ended, and selects the same requests.
func TestVariantsAtRestAreThoseInUse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rules.NewVariant(drawRequest(t), drawVary(t))
		b := rules.AppendVariant([]byte("before"), v)[len("before"):]
		got, rest, ok := rules.ParseVariant(append(b, "behind"...))
		if !ok || string(rest) != "behind" || got.String() != v.String() {
			t.Fatalf("%s reads as %s, %v, then %q", v, got, ok, rest)
		}
		for range 5 {
			request := drawRequest(t)
			if want := v.Match(request); rules.MatchVariant(b, request) != want || got.Match(request) != want {
				t.Fatalf("%s for %v: %v in use, %v at rest, %v read back", v, request, want, rules.MatchVariant(b, request), got.Match(request))
			}
		}
	})
}

// What is cut short is no variant, and selects nothing.
func TestVariantsThatAreCutShortAreNone(t *testing.T) {
	request := fields("Accept-Encoding: gzip", "X-A: 1", "X-Empty: ")
	b := rules.AppendVariant(nil, rules.NewVariant(request, fields("Vary: Accept-Encoding, X-A, X-Empty, X-None")))
	if !rules.MatchVariant(b, request) {
		t.Fatal("a request does not select its own variant")
	}
	for n := range len(b) {
		if v, _, ok := rules.ParseVariant(b[:n]); ok {
			t.Errorf("%d of %d bytes read as %s", n, len(b), v)
		}
		if rules.MatchVariant(b[:n], request) {
			t.Errorf("%d of %d bytes match", n, len(b))
		}
	}
}

// More names than Vary may have are refused, as are numbers that are none.
func TestVariantsHaveABound(t *testing.T) {
	many := func(n int) []byte {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprint("x-", i))
		}
		return rules.AppendVariant(nil, rules.NewVariant(nil, fields("Vary: "+strings.Join(names, ","))))
	}
	if _, _, ok := rules.ParseVariant(many(32)); !ok {
		t.Error("32 names are refused")
	}
	for name, b := range map[string][]byte{
		"33 names": many(33), "nothing": nil, "a length without end": bytes.Repeat([]byte{0xff}, 20), "2^63 names": {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"a name of 2^63": {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, "a value of 2^63": {1, 1, 'a', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	} {
		if v, _, ok := rules.ParseVariant(b); ok {
			t.Errorf("%s: %s", name, v)
		}
	}
}

// An absent field and an empty one are different (RFC 9111 §4.1), at rest too.
func TestAbsentIsNotEmptyAtRest(t *testing.T) {
	absent, empty := fields("Host: a"), fields("X-A: ")
	for _, one := range []httpwire.Fields{absent, empty} {
		b := rules.AppendVariant(nil, rules.NewVariant(one, fields("Vary: X-A")))
		if rules.MatchVariant(b, absent) != (len(one) > 0 && one[0].Name == "Host") || rules.MatchVariant(b, empty) == rules.MatchVariant(b, absent) {
			t.Errorf("%v", one)
		}
	}
}

func TestMatchVariantAllocatesNothing(t *testing.T) {
	request := fields("Accept-Encoding: gzip, br", "Accept-Language: en-GB, en;q=0.8", "X-Device: phone", "Origin: https://example.org")
	b := rules.AppendVariant(nil, rules.NewVariant(request, fields("Vary: Accept-Encoding, Accept-Language, X-Device, Origin")))
	if n := testing.AllocsPerRun(100, func() { rules.MatchVariant(b, request) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
