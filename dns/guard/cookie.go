package guard

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"
)

// Secret is what server cookies are made from: a key of SipHash-2-4 (RFC 9018 section 4.4).
type Secret [16]byte

// ParseSecret reads 32 hexadecimal digits, as BIND, Knot and NSD write secrets.
func ParseSecret(text string) (Secret, error) {
	var s Secret
	if len(text) != hex.EncodedLen(len(s)) {
		return s, fmt.Errorf("a cookie secret has 32 hexadecimal digits, not %d", len(text))
	}
	if _, err := hex.Decode(s[:], []byte(text)); err != nil {
		return s, fmt.Errorf("a cookie secret has 32 hexadecimal digits: %w", err)
	}
	return s, nil
}

// String hides the secret: a log must not give it away.
func (s Secret) String() string { return "(secret)" }

// CookieState is what a COOKIE option says about its sender.
type CookieState uint8

// The states.
const (
	NoCookie        CookieState = iota // there is none, or cookies are off
	MalformedCookie                    // of a length that no cookie has: FORMERR (RFC 7873 section 5.2.2)
	ClientCookie                       // the client has not got a server cookie yet
	BadCookie                          // the server cookie is not ours, or is too old, or belongs to another address
	ValidCookie                        // the client gets what is sent to its address

	cookieStates = 5
)

func (c CookieState) String() string {
	return [...]string{"none", "malformed", "client_only", "bad", "valid"}[c]
}

// CookieLen is the length of the option data we send: the client cookie and a server cookie of version 1.
const CookieLen = 24

// Ages of server cookies in seconds (RFC 9018 section 4.3).
const (
	cookieOldest = 3600
	cookieFuture = 300
	cookieRenew  = 1800
)

const (
	clientCookieLen = 8
	serverCookieMin = 8
	serverCookieMax = 32
	cookieVersion   = 1
)

// Cookie reads the data of a query's COOKIE option, nil when there was none, and writes what the response is to carry into reply. It
// leaves reply alone when it returns NoCookie or MalformedCookie.
func (g *Guard) Cookie(reply *[CookieLen]byte, option []byte, client netip.Addr, now time.Time) CookieState {
	s := g.now.Load()
	if option == nil || !s.Cookies {
		return NoCookie
	}
	state := g.cookie(s, reply, option, client, now)
	g.metrics.cookies[state].Inc()
	return state
}

func (g *Guard) cookie(s *settings, reply *[CookieLen]byte, option []byte, client netip.Addr, now time.Time) CookieState {
	server := len(option) - clientCookieLen
	if server != 0 && (server < serverCookieMin || server > serverCookieMax) {
		return MalformedCookie
	}
	keys := s.ring
	if keys == nil {
		keys = g.own(s, now)
	}
	unix := uint32(now.Unix())
	state := ClientCookie
	if server > 0 {
		state = BadCookie
		if len(option) == CookieLen && option[clientCookieLen] == cookieVersion {
			age := int32(unix - binary.BigEndian.Uint32(option[12:])) // serial numbers (RFC 1982)
			if which := keys.maker(option, client); which >= 0 && age <= cookieOldest && age >= -cookieFuture {
				state = ValidCookie
				if which == 0 && age <= cookieRenew && option[9]|option[10]|option[11] == 0 {
					copy(reply[:], option)
					return state
				}
			}
		}
	}
	copy(reply[:], option[:clientCookieLen])
	binary.BigEndian.PutUint32(reply[8:], cookieVersion<<24)
	binary.BigEndian.PutUint32(reply[12:], unix)
	binary.LittleEndian.PutUint64(reply[16:], keys.secrets[0].sign(reply[:16], client))
	return state
}

// RequiresCookie reports whether a query over UDP with a COOKIE option in this state gets BADCOOKIE instead of an answer.
func (g *Guard) RequiresCookie(state CookieState) bool {
	return (state == ClientCookie || state == BadCookie) && g.now.Load().BadCookie
}

// ring is secrets, the one in use first.
type ring struct {
	secrets []Secret
	until   time.Time // when another is to be made; unused for configured ones
}

// newRing makes a secret and keeps the one before it.
func newRing(before *ring, until time.Time) *ring {
	r := &ring{secrets: make([]Secret, 1, 2), until: until}
	rand.Read(r.secrets[0][:]) // never fails
	if before != nil {
		r.secrets = append(r.secrets, before.secrets[0])
	}
	return r
}

// own returns the secrets made here, with a new one when it is time.
func (g *Guard) own(s *settings, now time.Time) *ring {
	r := g.made.Load()
	if now.Before(r.until) {
		return r
	}
	next := newRing(r, now.Add(s.Rotate))
	if g.made.CompareAndSwap(r, next) {
		return next
	}
	return g.made.Load() // somebody else has just done it
}

// maker returns which secret made a cookie, or -1.
func (r *ring) maker(option []byte, client netip.Addr) int {
	hash := binary.LittleEndian.Uint64(option[16:])
	for i := range r.secrets {
		if r.secrets[i].sign(option[:16], client) == hash {
			return i
		}
	}
	return -1
}

// sign is the hash of RFC 9018 section 4.4 over the client cookie, version, reserved octets, timestamp and address.
func (s *Secret) sign(head []byte, client netip.Addr) uint64 {
	var in [32]byte
	copy(in[:16], head)
	n := 32
	if client.Is4() || client.Is4In6() {
		a := client.As4()
		n = 16 + copy(in[16:], a[:])
	} else {
		a := client.As16()
		copy(in[16:], a[:])
	}
	return sipHash(s, in[:n])
}
