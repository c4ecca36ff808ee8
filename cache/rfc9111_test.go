package cache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// TestExpiry: fresh until the lifetime is over, with Age counting, then validated (RFC 9111 §4.2, §4.3).
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		o := script(`200 one | Cache-Control: max-age=60 | ETag: "1" | Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT`,
			`304 | Cache-Control: max-age=10 | X-New: 1`, `200 two | Cache-Control: max-age=60`)
		g := want(t, s, get("/"), o, "one", cache.Miss)
		if got := g.status(); got != "eu1; fwd=miss; fwd-status=200; stored" {
			t.Error(got)
		}
		time.Sleep(59 * time.Second)
		g = want(t, s, get("/"), o, "one", cache.Hit)
		if got := g.status(); got != "eu1; hit; ttl=1" || field(g, "Age") != "59" {
			t.Error(got, field(g, "Age"))
		}
		time.Sleep(time.Second)
		g = want(t, s, get("/", `If-None-Match: "x"`), o, "one", cache.Revalidated)
		if got := g.status(); got != "eu1; fwd=stale; fwd-status=304; stored" || field(g, "X-New") != "1" || g.resp.Status != 200 {
			t.Error(got, g.resp)
		}
		h := o.last()
		if v, _ := h.Fields.Joined(httpwire.IfNoneMatch); v != `"1"` {
			t.Errorf("If-None-Match %q", v)
		}
		if v, _ := h.Fields.Joined(httpwire.IfModifiedSince); v != "Sun, 06 Nov 1994 08:49:37 GMT" {
			t.Errorf("If-Modified-Since %q", v)
		}
		time.Sleep(9 * time.Second)
		want(t, s, get("/"), o, "one", cache.Hit)
		time.Sleep(time.Second)
		g = want(t, s, get("/"), o, "two", cache.Expired)
		if got := g.status(); got != "eu1; fwd=stale; fwd-status=200; stored" {
			t.Error(got)
		}
		want(t, s, get("/"), o, "two", cache.Hit)
	})
}

// Test304OfAnother: a 304 that names another response is not used (RFC 9111 §4.3.4).
func Test304OfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		o := script(`200 one | Cache-Control: max-age=1 | ETag: "1"`, `304 | ETag: "2" | Cache-Control: max-age=60`, `200 two | Cache-Control: max-age=60 | ETag: "2"`)
		want(t, s, get("/"), o, "one", cache.Miss)
		time.Sleep(2 * time.Second)
		want(t, s, get("/"), o, "two", cache.Expired)
		if o.n.Load() != 3 || o.last().Fields.Has(httpwire.IfNoneMatch) {
			t.Error("the second question must be unconditional")
		}
		want(t, s, get("/"), o, "two", cache.Hit)
	})
}

// TestDefaultWithoutVary: a response that leaves Vary out does not hide the variants of others (RFC 9111 §4.1).
func TestDefaultWithoutVary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 64<<20)
		o := script("200 german | Cache-Control: max-age=60 | Vary: Accept-Language", "200 default | Cache-Control: max-age=90", "200 new | Cache-Control: max-age=60")
		german := func() *cache.Request { return get("/", "Accept-Language: de") }
		want(t, s, german(), o, "german", cache.Miss)
		time.Sleep(time.Second)
		want(t, s, get("/"), o, "default", cache.Miss)
		for range 2 { // in use, and at rest
			want(t, s, german(), o, "german", cache.Hit)
			want(t, s, get("/"), o, "default", cache.Hit)
			want(t, s, get("/", "Accept-Language: fr"), o, "default", cache.Hit)
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		want(t, s, german(), o, "new", cache.Expired) // it takes the place of both
		want(t, s, get("/"), o, "new", cache.Hit)
	})
}

// TestConfirmedFields: what a 304 says counts for its own client and for later ones, the coding of the stored bytes aside
// (RFC 9111 §3.2).
func TestConfirmedFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		o := script(`200 one | Cache-Control: max-age=1 | ETag: "1" | Content-Type: text/plain | X-Kept: 1 | X-A: 1`,
			`304 | ETag: "1" | Cache-Control: max-age=60 | Content-Type: text/html | Content-Encoding: gzip | Content-Length: 99 | X-A: 2 | X-New: 1`)
		want(t, s, get("/"), o, "one", cache.Miss)
		time.Sleep(2 * time.Second)
		for _, outcome := range []cache.Outcome{cache.Revalidated, cache.Hit} {
			g := want(t, s, get("/"), o, "one", outcome)
			for name, value := range map[string]string{"Content-Type": "text/html", "Content-Encoding": "", "X-Kept": "1", "X-A": "2", "X-New": "1"} {
				if got := field(g, name); got != value {
					t.Errorf("%s: %s is %q, want %q", outcome, name, got, value)
				}
			}
			if g.resp.Length != 3 {
				t.Errorf("%s: length %d", outcome, g.resp.Length)
			}
		}
	})
}

// TestNoCache: stored, and validated on every use, by each request for itself (RFC 9111 §5.2.2.4).
func TestNoCache(t *testing.T) {
	s := newStore(t, 1<<20)
	o := script(`200 one | Cache-Control: no-cache | ETag: "1"`, `304 | ETag: "1"`)
	want(t, s, get("/"), o, "one", cache.Miss)
	for range 3 {
		want(t, s, get("/"), o, "one", cache.Revalidated)
	}
	if o.n.Load() != 4 {
		t.Errorf("%d fetches, want 4", o.n.Load())
	}
}

// Test304ThatForbids: a 304 that says private ends the entry; the answer goes to its requester alone.
func Test304ThatForbids(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		o := script(`200 one | Cache-Control: max-age=1 | ETag: "1"`, `304 | Set-Cookie: a=b`, `200 two | Cache-Control: max-age=9`)
		want(t, s, get("/"), o, "one", cache.Miss)
		time.Sleep(2 * time.Second)
		g := want(t, s, get("/"), o, "one", cache.Revalidated)
		if field(g, "Set-Cookie") != "a=b" || g.result.Stored {
			t.Error(g.status())
		}
		want(t, s, get("/"), o, "two", cache.Miss)
	})
}

// TestCloudFrontProfile: no Vary in the key, and unsafe methods invalidate nothing.
func TestCloudFrontProfile(t *testing.T) {
	s := newStore(t, 1<<20)
	cf := func(r *cache.Request) *cache.Request {
		return with(r, func(p *config.CachePolicy) { p.Profile, p.DefaultTTL = "cloudfront", time.Hour })
	}
	o := script("200 one | Vary: Accept-Language", "200 two")
	want(t, s, cf(get("/", "Accept-Language: en")), o, "one", cache.Miss)
	want(t, s, cf(get("/", "Accept-Language: de")), o, "one", cache.Hit)
	want(t, s, cf(request("POST https://example.org/")), o, "two", cache.Bypass)
	want(t, s, cf(get("/")), o, "one", cache.Hit)
	want(t, s, get("/"), o, "two", cache.Miss) // the other profile does not find what ignored Vary
}
