package cache_test

import (
	"fmt"
	"testing"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// TestC14OtherMethodsNeverFill: what POST and OPTIONS get is not what GET gets.
func TestC14OtherMethodsNeverFill(t *testing.T) {
	for _, method := range []string{"POST", "OPTIONS", "PUT", "DELETE", "PATCH", "PURGE"} {
		s := newStore(t, 1<<20)
		o := script("200 other | Cache-Control: max-age=60", "200 get | Cache-Control: max-age=60")
		g := want(t, s, request(method+" https://example.org/"), o, "other", cache.Bypass)
		if got := g.status(); got != "eu1; fwd=method; fwd-status=200" {
			t.Error(got)
		}
		want(t, s, get("/"), o, "get", cache.Miss)
	}
}

// TestC02BodyOfGET: a GET with a body is not stored, so its body cannot choose what others see.
func TestC02BodyOfGET(t *testing.T) {
	s := newStore(t, 1<<20)
	o := script("200 evil | Cache-Control: max-age=60", "200 good | Cache-Control: max-age=60")
	want(t, s, get("/", "Content-Length: 5"), o, "evil", cache.Bypass)
	want(t, s, get("/", "Content-Length: 0"), o, "good", cache.Miss)
}

// TestC03ForwardedIsKeyed: what is left out of the key is not forwarded either.
func TestC03ForwardedIsKeyed(t *testing.T) {
	s := newStore(t, 1<<20)
	o := always("200 x | Cache-Control: max-age=60")
	only := func(r *cache.Request) *cache.Request {
		return with(r, func(p *config.CachePolicy) { p.KeyQuery = config.KeyPart{Names: []string{"a", "b"}} })
	}
	want(t, s, only(get("/p?utm=1&b=2&a=1;c=3&a=4")), o, "x", cache.Miss)
	if got := o.last().Target; got != "/p?b=2&a=1;c=3&a=4" {
		t.Errorf("forwarded %q", got)
	}
	want(t, s, only(get("/p?b=2&a=1;c=3&utm=7&a=4")), o, "x", cache.Hit)
	want(t, s, only(get("/p?b=2&a=1&a=4")), o, "x", cache.Miss)
	want(t, s, only(get("/p?utm=1")), o, "x", cache.Miss)
	if got := o.last().Target; got != "/p" {
		t.Errorf("forwarded %q", got)
	}
}

// TestC04C23Keys: requests that differ in any part of the key never share an entry.
func TestC04C23Keys(t *testing.T) {
	s := newStore(t, 1<<20)
	o := &originFunc{}
	o.f = respondWith(func() *httpwire.Response {
		return message(fmt.Sprintf("200 %d | Cache-Control: max-age=60", o.n.Load()))
	})
	key := func(r *cache.Request, headers ...string) *cache.Request {
		return with(r, func(p *config.CachePolicy) { p.KeyHeaders = headers })
	}
	other := get("/")
	other.Site = "web2"
	requests := []*cache.Request{
		get("/"), other, request("GET http://example.org/"), request("GET https://example.org:8443/"), request("GET https://www.example.org/"),
		get("/?"), get("/?a=1"), get("/?a=1&b=2"), get("/a"), get("/a/"), get("/A"),
		key(get("/"), "x-a"), key(get("/", "X-A: "), "x-a"), key(get("/", "X-A: 1"), "x-a"), key(get("/", "X-B: 1"), "x-b"),
		key(get("/", "X-A: 1,0:,"), "x-a"), key(get("/", "X-A: 1", "X-B: 2"), "x-a", "x-b"), key(get("/", "X-A: 1,2:=2,"), "x-a"),
	}
	seen := map[string]int{}
	for i, r := range requests {
		g := serve(t, s, r, o)
		if j, ok := seen[g.result.Key]; ok || g.result.Outcome != cache.Miss {
			t.Errorf("requests %d and %d share the key %s", i, j, g.result.Key)
		}
		seen[g.result.Key] = i
	}
	for i, r := range requests {
		want(t, s, r, o, fmt.Sprint(i+1), cache.Hit)
	}
}

// TestC12VariantsAreBounded: the 17th variant replaces the oldest.
func TestC12VariantsAreBounded(t *testing.T) {
	s := newStore(t, 8<<20)
	o := always("200 x | Cache-Control: max-age=60 | Vary: X-V")
	for i := range 1000 {
		want(t, s, get("/", fmt.Sprintf("X-V: %d", i)), o, "x", cache.Miss)
	}
	if n := s.Stats().Objects; n != 16 {
		t.Errorf("%d variants", n)
	}
	want(t, s, get("/", "X-V: 999"), o, "x", cache.Hit)
	want(t, s, get("/", "X-V: 984"), o, "x", cache.Hit)
	g := want(t, s, get("/", "X-V: 983"), o, "x", cache.Miss)
	if got := g.status(); got != "eu1; fwd=vary-miss; fwd-status=200; stored" {
		t.Error(got)
	}
}

// TestC16Authorization: nobody gets what was made for somebody's credentials, unless the origin says so.
func TestC16Authorization(t *testing.T) {
	s := newStore(t, 1<<20)
	o := script("200 alice | Cache-Control: max-age=60", "200 anybody | Cache-Control: max-age=60")
	g := want(t, s, get("/", "Authorization: Basic alice"), o, "alice", cache.Miss)
	if got := g.status(); got != "eu1; fwd=miss; fwd-status=200; detail=authorization" {
		t.Error(got)
	}
	want(t, s, get("/"), o, "anybody", cache.Miss)
	want(t, s, get("/"), o, "anybody", cache.Hit)
}

// TestC17ClientDirectives: no-cache and max-age=0 do not reach the origin; only-if-cached never does.
func TestC17ClientDirectives(t *testing.T) {
	s := newStore(t, 1<<20)
	o := always("200 x | Cache-Control: max-age=60")
	g := serve(t, s, get("/", "Cache-Control: only-if-cached"), o)
	if fault.As(g.err).Code != fault.OnlyIfCached || o.n.Load() != 0 {
		t.Fatal(g.err)
	}
	if g := want(t, s, get("/", "Cache-Control: no-store"), o, "x", cache.Bypass); g.status() != "eu1; fwd=request; fwd-status=200; detail=\"request no-store\"" {
		t.Error(g.status())
	}
	want(t, s, get("/"), o, "x", cache.Miss)
	for range 10 {
		want(t, s, get("/", "Cache-Control: no-cache", "Pragma: no-cache"), o, "x", cache.Hit)
		want(t, s, get("/", "Cache-Control: max-age=0"), o, "x", cache.Hit)
		want(t, s, get("/", "Cache-Control: no-store"), o, "x", cache.Hit)
		want(t, s, get("/", "Cache-Control: only-if-cached"), o, "x", cache.Hit)
	}
	if o.n.Load() != 2 {
		t.Errorf("%d fetches, want 2", o.n.Load())
	}
}

// TestC18SetCookie: two users never see each other's cookies.
func TestC18SetCookie(t *testing.T) {
	s := newStore(t, 1<<20)
	o := &originFunc{}
	o.f = respondWith(func() *httpwire.Response {
		return message(fmt.Sprintf("200 %d | Cache-Control: public, max-age=60 | Set-Cookie: id=%d", o.n.Load(), o.n.Load()))
	})
	for i := range 5 {
		g := want(t, s, get("/"), o, fmt.Sprint(i+1), cache.Miss)
		if g.result.Reason != "set-cookie" || field(g, "Set-Cookie") != fmt.Sprintf("id=%d", i+1) {
			t.Error(g.status())
		}
	}
	if s.Stats().Objects != 0 {
		t.Error("stored")
	}
}

// TestC08ErrorsAreNotStored: an error that one client's odd request provokes is not everybody's.
func TestC08ErrorsAreNotStored(t *testing.T) {
	for _, status := range []int{400, 403, 412, 413, 431, 500, 502, 503} {
		s := newStore(t, 1<<20)
		o := script(fmt.Sprintf("%d bad", status), "200 good | Cache-Control: max-age=60")
		want(t, s, get("/"), o, "bad", cache.Miss)
		want(t, s, get("/"), o, "good", cache.Miss) // passed, and found storable
		want(t, s, get("/"), o, "good", cache.Miss)
		want(t, s, get("/"), o, "good", cache.Hit)
	}
}

// TestC11OnlyOwn304: an unasked 304 is an error, and makes no entry.
func TestC11OnlyOwn304(t *testing.T) {
	s := newStore(t, 1<<20)
	o := script("304 | Cache-Control: max-age=60", "304 | Cache-Control: max-age=60", "200 x | Cache-Control: max-age=60")
	if g := serve(t, s, get("/"), o); fault.As(g.err).Code != fault.OriginProtocol {
		t.Fatal(g.err)
	}
	want(t, s, get("/"), o, "x", cache.Miss)
}
