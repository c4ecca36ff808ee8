package tsig_test

import (
	"encoding/base64"
	"errors"
	"slices"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/transfer/tsig"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

func ring(t testing.TB, keys ...tsig.Key) *tsig.Ring {
	t.Helper()
	r, err := tsig.NewRing(keys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func query(t testing.TB) *mdns.Msg {
	t.Helper()
	m := new(mdns.Msg)
	m.SetQuestion("www.example.org.", mdns.TypeA)
	return m
}

func pack(t testing.TB, m *mdns.Msg) []byte {
	t.Helper()
	p, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// unpack reads a reply's response code and its TSIG.
func unpack(t *testing.T, p []byte) (*mdns.Msg, *mdns.TSIG) {
	t.Helper()
	m := new(mdns.Msg)
	if err := m.Unpack(p); err != nil {
		t.Fatal(err)
	}
	return m, m.IsTsig()
}

func TestSignaturesAgreeWithAnotherImplementation(t *testing.T) {
	now := time.Now()
	encoded := base64.StdEncoding.EncodeToString(secret)
	for _, algorithm := range []string{mdns.HmacSHA1, mdns.HmacSHA224, mdns.HmacSHA256, mdns.HmacSHA384, mdns.HmacSHA512} {
		t.Run(algorithm, func(t *testing.T) {
			r := ring(t, tsig.Key{Name: "Key.example.org", Algorithm: algorithm, Secret: secret})
			q := query(t)
			q.SetTsig("key.EXAMPLE.org.", algorithm, 300, now.Unix())
			packet, mac, err := mdns.TsigGenerate(q, encoded, "", false)
			if err != nil {
				t.Fatal(err)
			}
			plain, chain, err := r.Open(packet, now)
			if err != nil {
				t.Fatal(err)
			}
			if m, rr := unpack(t, plain); rr != nil || m.Question[0].Name != "www.example.org." {
				t.Error("the TSIG is still there")
			}
			for i := range 3 {
				before := len(plain)
				reply := chain.Sign(slices.Clone(plain), now)
				if len(reply) != before+chain.Room() {
					t.Errorf("Room is %d, %d were added", chain.Room(), len(reply)-before)
				}
				if err := mdns.TsigVerify(slices.Clone(reply), encoded, mac, i > 0); err != nil {
					t.Fatalf("reply %d: %v", i, err)
				}
				_, rr := unpack(t, reply)
				mac = rr.MAC
			}
		})
	}
}

func TestDenialsAreThoseOfTheRFC(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	server := ring(t, tsig.Key{Name: "a.example.org.", Secret: secret}, tsig.Key{Name: "sha1.example.org.", Algorithm: "hmac-sha1", Secret: secret})
	client := ring(t, tsig.Key{Name: "a.example.org.", Secret: secret}, tsig.Key{Name: "unknown.example.org.", Secret: secret},
		tsig.Key{Name: "sha1.example.org.", Secret: secret})
	sign := func(t *testing.T, r *tsig.Ring, key string, at time.Time) []byte {
		c, err := r.Begin(key)
		if err != nil {
			t.Fatal(err)
		}
		return c.Sign(pack(t, query(t)), at)
	}
	for _, c := range []struct {
		what   string
		packet func(t *testing.T) []byte
		code   uint16
		signed bool
	}{
		{"unknown key", func(t *testing.T) []byte { return sign(t, client, "unknown.example.org.", now) }, tsig.BadKey, false},
		{"another algorithm", func(t *testing.T) []byte { return sign(t, client, "sha1.example.org.", now) }, tsig.BadKey, false},
		{"another secret", func(t *testing.T) []byte {
			return sign(t, ring(t, tsig.Key{Name: "a.example.org.", Secret: []byte("x")}), "a.example.org.", now)
		}, tsig.BadSig, false},
		{"a changed message", func(t *testing.T) []byte {
			p := sign(t, client, "a.example.org.", now)
			p[13] ^= 1
			return p
		}, tsig.BadSig, false},
		{"too early", func(t *testing.T) []byte { return sign(t, client, "a.example.org.", now.Add(301*time.Second)) }, tsig.BadTime, true},
		{"too late", func(t *testing.T) []byte { return sign(t, client, "a.example.org.", now.Add(-301*time.Second)) }, tsig.BadTime, true},
		{"truncated", func(t *testing.T) []byte { return truncate(t, sign(t, client, "a.example.org.", now), 16) }, tsig.BadTrunc, true},
		{"truncated below half", func(t *testing.T) []byte { return truncate(t, sign(t, client, "a.example.org.", now), 15) }, tsig.FormErr, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			packet := c.packet(t)
			_, _, err := server.Open(packet, now)
			d, ok := errors.AsType[*tsig.Denial](err)
			if !ok || d.Code != c.code {
				t.Fatalf("got %v, want code %d", err, c.code)
			}
			m, rr := unpack(t, d.Reply(packet, now))
			if c.code == tsig.FormErr {
				if m.Rcode != mdns.RcodeFormatError || rr != nil {
					t.Errorf("got %v", m)
				}
				return
			}
			if m.Rcode != mdns.RcodeNotAuth || rr == nil || rr.Error != c.code || (rr.MACSize > 0) != c.signed || len(m.Question) != 1 {
				t.Errorf("got %v", m)
			}
			if c.code == tsig.BadTime && rr.OtherLen != 6 {
				t.Errorf("BADTIME does not tell the server's time: %v", rr)
			}
		})
	}
}

// truncate shortens the MAC of a signed message.
func truncate(t *testing.T, packet []byte, to int) []byte {
	m, rr := unpack(t, packet)
	rr.MAC, rr.MACSize = rr.MAC[:2*to], uint16(to)
	return pack(t, m)
}

func TestTruncatedMACIsTakenWhereTheKeyAllowsIt(t *testing.T) {
	now := time.Now()
	r := ring(t, tsig.Key{Name: "a.", Secret: secret, MinMAC: 20})
	c, err := r.Begin("a.")
	if err != nil {
		t.Fatal(err)
	}
	packet := c.Sign(pack(t, query(t)), now)
	if _, _, err := r.Open(truncate(t, packet, 20), now); err != nil {
		t.Error(err)
	}
	if _, _, err := r.Open(truncate(t, packet, 19), now); err == nil {
		t.Error("19 octets were enough")
	}
}

func TestMessagesBetweenSignaturesAreCovered(t *testing.T) {
	now := time.Now()
	r := ring(t, tsig.Key{Name: "a.", Secret: secret})
	exchange := func() (client, server *tsig.Chain, plain []byte) {
		client, err := r.Begin("a.")
		if err != nil {
			t.Fatal(err)
		}
		plain, server, err = r.Open(client.Sign(pack(t, query(t)), now), now)
		if err != nil {
			t.Fatal(err)
		}
		return client, server, plain
	}
	client, server, plain := exchange()
	if _, err := client.Verify(slices.Clone(plain), now); !errors.Is(err, tsig.ErrUnsigned) {
		t.Errorf("an unsigned first reply: %v", err)
	}
	if _, err := client.Verify(server.Sign(slices.Clone(plain), now), now); err != nil || !client.Whole() {
		t.Fatal(err)
	}
	for range 99 {
		if _, err := client.Verify(slices.Clone(plain), now); err != nil || client.Whole() {
			t.Fatal(err)
		}
	}
	if _, err := client.Verify(slices.Clone(plain), now); !errors.Is(err, tsig.ErrUnsigned) {
		t.Errorf("100 without a signature: %v", err)
	}
	if _, err := client.Verify(server.Sign(slices.Clone(plain), now), now); err == nil {
		t.Error("a signature that does not cover the messages before it was taken")
	}
}

func TestTSIGMustBeTheLastRecord(t *testing.T) {
	now := time.Now()
	r := ring(t, tsig.Key{Name: "a.", Secret: secret})
	c, _ := r.Begin("a.")
	m, rr := unpack(t, c.Sign(pack(t, query(t)), now))
	m.Extra = []mdns.RR{rr, rr}
	packet := pack(t, m)
	_, _, err := r.Open(packet, now)
	if d, ok := errors.AsType[*tsig.Denial](err); !ok || d.Code != tsig.FormErr {
		t.Errorf("got %v", err)
	}
	if _, _, err := r.Open(pack(t, query(t)), now); !errors.Is(err, tsig.ErrUnsigned) {
		t.Errorf("got %v", err)
	}
}

func TestBadKeysAreReportedTogether(t *testing.T) {
	_, err := tsig.NewRing([]tsig.Key{{Name: "a.", Algorithm: "hmac-md5", Secret: secret}, {Name: "b."}, {Name: "c.", Secret: secret, MinMAC: 9}})
	if joined, ok := err.(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) != 3 {
		t.Errorf("got %v", err)
	}
}

// FuzzOpen looks for messages that make the parser fail, or that are accepted without the secret.
func FuzzOpen(f *testing.F) {
	now := time.Unix(1_700_000_000, 0)
	r := ring(f, tsig.Key{Name: "a.example.org.", Secret: secret})
	c, _ := r.Begin("a.example.org.")
	signed := c.Sign(pack(f, query(f)), now)
	f.Add(signed)
	f.Add(pack(f, query(f)))
	f.Fuzz(func(t *testing.T, packet []byte) {
		plain, chain, err := r.Open(packet, now)
		if err == nil {
			if len(plain) < 12 || chain == nil {
				t.Fatal("accepted without a message")
			}
			return
		}
		if d, ok := errors.AsType[*tsig.Denial](err); ok && len(packet) >= 12 {
			if len(d.Reply(packet, now)) < 12 {
				t.Fatal("no reply")
			}
		}
		again, _ := r.Begin("a.example.org.")
		again.Sign([]byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, now)
		if _, err := again.Verify(packet, now); err == nil {
			t.Fatal("a reply was accepted that nobody signed")
		}
	})
}
