package proxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy/origin"
	"github.com/meridian-edge/meridian/steer"
)

// spread is what a pool goes by in a request besides its policy.
type spread struct {
	hash   *config.HashKey // nil: the policy is not hash
	sticky *sticky         // nil: clients are not bound to endpoints
}

func newSpread(p *config.Pool, secret []byte) *spread {
	s := &spread{}
	if p.Policy == "hash" {
		s.hash = &p.Hash
	}
	if p.Sticky != nil {
		s.sticky = newSticky(p, secret)
	}
	return s
}

// sticky is the cookie that binds clients to the endpoints of a pool. Its values are keyed hashes: a client learns neither
// addresses nor whether two pools share an endpoint, and cannot make a value for an endpoint of its choice.
type sticky struct {
	cookie string
	ttl    time.Duration
	values []string       // by endpoint
	index  map[string]int // of the endpoint, plus one
}

func newSticky(p *config.Pool, secret []byte) *sticky {
	if p.Sticky.Key != "" {
		secret = []byte(p.Sticky.Key)
	}
	s := &sticky{cookie: p.Sticky.Cookie, ttl: p.Sticky.TTL, index: map[string]int{}}
	for i := range p.Endpoints {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte("sticky\x00" + p.Name + "\x00" + p.Endpoints[i].ID))
		value := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:15])
		s.values = append(s.values, value)
		s.index[value] = i + 1
	}
	return s
}

// spreadKeys finds what steering goes by in the request.
func (t *transaction) spreadKeys() {
	s := t.behavior.spread
	if s.hash != nil {
		t.fetch.hash = steer.HashString(t.hashKey(s.hash))
	}
	if s.sticky != nil {
		t.fetch.prefer = s.sticky.index[cookieOf(t.x.Head.Fields, s.sticky.cookie)]
	}
}

// hashKey is the part of the request that policy hash goes by; without that part, its client.
func (t *transaction) hashKey(k *config.HashKey) string {
	key := ""
	switch k.By {
	case "path":
		return t.x.Canon.Path
	case "header":
		key, _ = t.x.Head.Fields.Lookup(k.Name)
	case "cookie":
		key = cookieOf(t.x.Head.Fields, k.Name)
	}
	if key == "" {
		key = t.client.String()
	}
	return key
}

// cookieOf returns the first cookie of a name, or "" (RFC 6265 section 4.2; HTTP/2 may split the field, RFC 9113 section 8.2.3).
func cookieOf(fields httpwire.Fields, name string) string {
	for line := range fields.Values(httpwire.Cookie) {
		for pair := range strings.SplitSeq(line, ";") {
			if key, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && key == name {
				return value
			}
		}
	}
	return ""
}

// stick adds the cookie that names the endpoint that answered. A response that is being stored is for everyone and gets none.
func (t *transaction) stick(fields *httpwire.Fields) {
	s := t.behavior.spread.sticky
	if s == nil || t.result.Stored {
		return
	}
	switch t.result.Outcome {
	case cache.Bypass, cache.Miss, cache.Expired:
	default:
		return // from the store, or another request's
	}
	index, ok := answeredBy(t.fetch.attempts())
	if !ok {
		return
	}
	cookie := s.cookie + "=" + s.values[index] + "; Path=/; Max-Age=" + strconv.Itoa(int(s.ttl/time.Second)) + "; HttpOnly; SameSite=Lax"
	if t.x.Head.Scheme == "https" {
		cookie += "; Secure"
	}
	fields.Add(httpwire.SetCookie, cookie)
}

// answeredBy is the index of the endpoint whose response was taken: the last that gave one.
func answeredBy(attempts []origin.Attempt) (int, bool) {
	for i := len(attempts) - 1; i >= 0; i-- {
		if attempts[i].Status != 0 {
			return attempts[i].Index, true
		}
	}
	return 0, false
}
