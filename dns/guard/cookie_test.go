package guard_test

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/dns/guard"
)

func secret(t testing.TB, text string) guard.Secret {
	t.Helper()
	s, err := guard.ParseSecret(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectorsOfRFC9018 are the examples of its appendix A.
func TestVectorsOfRFC9018(t *testing.T) {
	const secretA, old, rolled = "e5e973e5a6b2a43f48e7dc849e37bfcf", "dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962"
	for _, test := range []struct {
		name    string
		secrets []string
		client  string
		option  string
		at      int64
		state   guard.CookieState
		reply   string
	}{
		{"A.1 learning", []string{secretA}, "198.51.100.100", "2464c4abcf10c957",
			1559731985, guard.ClientCookie, "2464c4abcf10c957010000005cf79f111f8130c3eee29480"},
		{"A.2 renewing", []string{secretA}, "198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
			1559734385, guard.ValidCookie, "2464c4abcf10c957010000005cf7a871d4a564a1442aca77"},
		{"A.3 reserved octets set, in time", []string{secretA}, "203.0.113.203", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
			1559727985, guard.ValidCookie, ""},
		{"A.3 renewing", []string{secretA}, "203.0.113.203", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
			1559734700, guard.BadCookie, "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e"},
		{"A.4 IPv6 and a secret rolled over", []string{rolled, old}, "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
			1559741961, guard.ValidCookie, "22681ab97d52c298010000005cf7c609a6bb79d16625507a"},
		{"A.4 without the old secret", []string{rolled}, "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
			1559741961, guard.BadCookie, "22681ab97d52c298010000005cf7c609a6bb79d16625507a"},
		{"the address of another", []string{secretA}, "198.51.100.101", "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
			1559731985, guard.BadCookie, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := guard.Options{Cookies: true}
			for _, s := range test.secrets {
				o.Secrets = append(o.Secrets, secret(t, s))
			}
			var reply [guard.CookieLen]byte
			state := newGuard(t, o).Cookie(&reply, unhex(t, test.option), netip.MustParseAddr(test.client), time.Unix(test.at, 0))
			if state != test.state {
				t.Errorf("%s, want %s", state, test.state)
			}
			if test.reply != "" && hex.EncodeToString(reply[:]) != test.reply {
				t.Errorf("cookie %x, want %s", reply, test.reply)
			}
		})
	}
}

// TestD04CookieLengths: 8, or 16 to 40 octets (RFC 7873 section 5.2.2).
func TestD04CookieLengths(t *testing.T) {
	g := newGuard(t, guard.Options{Cookies: true})
	for n := range 64 {
		want := guard.MalformedCookie
		switch {
		case n == 8:
			want = guard.ClientCookie
		case n >= 16 && n <= 40:
			want = guard.BadCookie
		}
		var reply [guard.CookieLen]byte
		if got := g.Cookie(&reply, make([]byte, n), client, after(0)); got != want {
			t.Errorf("%d octets: %s, want %s", n, got, want)
		}
		if touched := reply != [guard.CookieLen]byte{}; touched != (want != guard.MalformedCookie) {
			t.Errorf("%d octets: reply %x", n, reply)
		}
	}
	var reply [guard.CookieLen]byte
	if got := g.Cookie(&reply, nil, client, after(0)); got != guard.NoCookie {
		t.Errorf("no option: %s", got)
	}
	if got := newGuard(t, guard.Options{}).Cookie(&reply, make([]byte, 3), client, after(0)); got != guard.NoCookie {
		t.Errorf("cookies off: %s", got)
	}
}

// TestAgesOfCookies: good for an hour, renewed after half of one, and five minutes of clocks apart are forgiven.
func TestAgesOfCookies(t *testing.T) {
	g := newGuard(t, guard.Options{Cookies: true, Secrets: []guard.Secret{{1}}})
	for _, around := range []int64{1559731985, 1<<32 - 1} { // the timestamp starts over in 2106
		made := time.Unix(around, 0)
		var cookie, reply [guard.CookieLen]byte
		g.Cookie(&cookie, []byte("abcdefgh"), client, made)
		for _, test := range []struct {
			age   time.Duration
			state guard.CookieState
			same  bool
		}{
			{-301 * time.Second, guard.BadCookie, false},
			{-300 * time.Second, guard.ValidCookie, true},
			{0, guard.ValidCookie, true},
			{1800 * time.Second, guard.ValidCookie, true},
			{1801 * time.Second, guard.ValidCookie, false},
			{3600 * time.Second, guard.ValidCookie, false},
			{3601 * time.Second, guard.BadCookie, false},
		} {
			if got := g.Cookie(&reply, cookie[:], client, made.Add(test.age)); got != test.state || (reply == cookie) != test.same {
				t.Errorf("%s old: %s, cookie %x", test.age, got, reply)
			}
		}
		for i := range cookie { // no octet of it can be changed
			forged := cookie
			forged[i] ^= 0x10
			if got := g.Cookie(&reply, forged[:], client, made); got != guard.BadCookie {
				t.Errorf("octet %d changed: %s", i, got)
			}
		}
	}
}

func TestSecretsMadeHereRotate(t *testing.T) {
	g := newGuard(t, guard.Options{Cookies: true, Rotate: guard.MinRotate})
	var first, second, third [guard.CookieLen]byte
	just := time.Now().Add(guard.MinRotate - time.Minute)
	g.Cookie(&first, []byte("abcdefgh"), client, just)
	if got := g.Cookie(&second, first[:], client, just.Add(10*time.Minute)); got != guard.ValidCookie || first == second {
		t.Errorf("after one rotation: %s, %x", got, second)
	}
	if got := g.Cookie(&third, second[:], client, just.Add(11*time.Minute)); got != guard.ValidCookie || third != second {
		t.Errorf("renewed: %s, %x", got, third)
	}
	var other [guard.CookieLen]byte
	newGuard(t, guard.Options{Cookies: true}).Cookie(&other, []byte("abcdefgh"), client, just)
	if bytes.Equal(other[16:], first[16:]) {
		t.Error("two guards made the same secret")
	}
	if err := g.Update(guard.Options{Cookies: true, Rotate: guard.MinRotate, Rate: 1}); err != nil {
		t.Fatal(err)
	}
	if got := g.Cookie(&third, second[:], client, just.Add(12*time.Minute)); got != guard.ValidCookie {
		t.Errorf("after a reload: %s", got)
	}
}

func TestBadCookieIsAPolicy(t *testing.T) {
	for _, policy := range []bool{false, true} {
		g := newGuard(t, guard.Options{Cookies: true, BadCookie: policy})
		for state, want := range map[guard.CookieState]bool{
			guard.NoCookie: false, guard.MalformedCookie: false, guard.ClientCookie: policy, guard.BadCookie: policy, guard.ValidCookie: false,
		} {
			if got := g.RequiresCookie(state); got != want {
				t.Errorf("policy %v, %s: %v", policy, state, got)
			}
		}
	}
}

func TestNoCookieCap(t *testing.T) {
	if got := newGuard(t, guard.Options{}).Cap(after(0), 0); got != 0 {
		t.Errorf("off: %d", got)
	}
	if got := newGuard(t, guard.Options{NoCookieSize: 600}).Cap(after(0), 1); got != 600 {
		t.Errorf("always: %d", got)
	}
	g := newGuard(t, guard.Options{NoCookieSize: 512, NoCookieRate: 1000})
	at, draw := time.Duration(0), uint64(0)
	run := func(queries int, every time.Duration) (capped int) {
		for range queries {
			if g.Cap(after(at), draw) != 0 {
				capped++
			}
			draw++
			at += every
		}
		return capped
	}
	if n := run(5000, time.Millisecond); n != 0 {
		t.Errorf("%d of 5,000 at the rate were capped", n)
	}
	if n := run(20_000, 100*time.Microsecond); n < 18_000 {
		t.Errorf("%d of 20,000 at ten times the rate were capped", n)
	}
	at += 5 * time.Second
	if n := run(1000, time.Millisecond); n != 0 {
		t.Errorf("%d were capped after the flood", n)
	}
}

func TestParseSecret(t *testing.T) {
	for _, bad := range []string{"", "e5e973e5a6b2a43f48e7dc849e37bfc", "e5e973e5a6b2a43f48e7dc849e37bfcg", "e5e973e5a6b2a43f48e7dc849e37bfcf00"} {
		if _, err := guard.ParseSecret(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if s := secret(t, "e5e973e5a6b2a43f48e7dc849e37bfcf"); s.String() != "(secret)" {
		t.Errorf("prints as %s", s)
	}
}

func TestCookieAllocatesNothing(t *testing.T) {
	g := newGuard(t, guard.Options{Cookies: true})
	var cookie, reply [guard.CookieLen]byte
	g.Cookie(&cookie, []byte("abcdefgh"), client, after(0))
	if n := testing.AllocsPerRun(1000, func() { g.Cookie(&reply, cookie[:], client, after(0)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzCookie: no option makes it panic, and none is valid that was not made here.
func FuzzCookie(f *testing.F) {
	f.Add([]byte("abcdefgh"))
	f.Add(make([]byte, 24))
	f.Add([]byte("\x24\x64\xc4\xab\xcf\x10\xc9\x57\x01\x00\x00\x00\x5c\xf7\x9f\x11\x1f\x81\x30\xc3\xee\xe2\x94\x80"))
	g := newGuard(f, guard.Options{Cookies: true})
	f.Fuzz(func(t *testing.T, option []byte) {
		var reply [guard.CookieLen]byte
		if state := g.Cookie(&reply, option, client, after(0)); state == guard.ValidCookie {
			t.Fatalf("%x is valid", option)
		} else if state == guard.ClientCookie || state == guard.BadCookie {
			if again := g.Cookie(&reply, bytes.Clone(reply[:]), client, after(0)); again != guard.ValidCookie {
				t.Fatalf("ours is %s", again)
			}
		}
	})
}

func BenchmarkCookie(b *testing.B) {
	g := newGuard(b, guard.Options{Cookies: true})
	var cookie, reply [guard.CookieLen]byte
	g.Cookie(&cookie, []byte("abcdefgh"), client, after(0))
	b.ReportAllocs()
	for b.Loop() {
		g.Cookie(&reply, cookie[:], client, after(0))
	}
}
