package cache_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// TestStaleWhileRevalidate: stale at once, one refresh, fresh afterwards; not past its window (RFC 5861 §3).
func TestStaleWhileRevalidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		o := script("200 one | Cache-Control: max-age=60, stale-while-revalidate=30", "200 two | Cache-Control: max-age=60, stale-while-revalidate=30")
		slow := &originFunc{f: func(ctx context.Context, h *httpwire.Head, n int) (*httpwire.Response, error) {
			time.Sleep(5 * time.Second)
			return o.Fetch(ctx, h)
		}}
		want(t, s, get("/"), slow, "one", cache.Miss)
		time.Sleep(56 * time.Second) // the delay of the answer counts as age
		for range 10 {
			g := want(t, s, get("/"), slow, "one", cache.Stale)
			if got := g.status(); got != "eu1; hit; ttl=-1" || field(g, "Age") != "61" {
				t.Error(got, field(g, "Age"))
			}
		}
		synctest.Wait()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if o.n.Load() != 2 {
			t.Errorf("%d fetches, want one refresh", o.n.Load())
		}
		want(t, s, get("/"), slow, "two", cache.Hit)
		time.Sleep(84 * time.Second) // 89 s old: 29 s past its lifetime
		want(t, s, get("/"), slow, "two", cache.Stale)
		time.Sleep(2 * time.Minute)
		want(t, s, get("/"), slow, "two", cache.Expired)
	})
}

// TestRefreshOutlivesItsRequest: the client that set the refresh off may leave.
func TestRefreshOutlivesItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		o := script("200 one | Cache-Control: max-age=1, stale-while-revalidate=30", "200 two | Cache-Control: max-age=60")
		slow := &originFunc{f: func(ctx context.Context, h *httpwire.Head, n int) (*httpwire.Response, error) {
			select {
			case <-time.After(time.Second):
				return o.Fetch(ctx, h)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}}
		serve(t, s, get("/"), o)
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		resp, _, err := s.Serve(ctx, get("/"), slow)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		resp.Body.Close()
		time.Sleep(2 * time.Second)
		want(t, s, get("/"), o, "two", cache.Hit)
	})
}

// TestRefreshBackoff: an origin that refuses quickly is not asked by every request.
func TestRefreshBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		o := script("200 one | Cache-Control: max-age=1, stale-while-revalidate=1000", "error")
		serve(t, s, get("/"), o)
		time.Sleep(2 * time.Second)
		for range 100 {
			want(t, s, get("/"), o, "one", cache.Stale)
			synctest.Wait()
		}
		if o.n.Load() != 2 {
			t.Errorf("%d fetches in a moment, want 2", o.n.Load())
		}
		time.Sleep(time.Second)
		want(t, s, get("/"), o, "one", cache.Stale)
		synctest.Wait()
		if o.n.Load() != 3 {
			t.Errorf("%d fetches, want 3", o.n.Load())
		}
	})
}

// TestStaleIfError: within the window the stored response stands in for errors, and never where the origin forbids it
// (RFC 5861 §4, RFC 9111 §4.2.4).
func TestStaleIfError(t *testing.T) {
	const answer = "200 one | Cache-Control: max-age=10"
	f := func(name, first, then string, after time.Duration, change func(p *config.CachePolicy), outcome cache.Outcome) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			s := newStore(t, 1<<20)
			o := script(first, then)
			serve(t, s, with(get("/"), change), o)
			time.Sleep(after)
			g := serve(t, s, with(get("/"), change), o)
			if g.result.Outcome != outcome || (outcome == cache.Stale) != (g.body == "one") {
				t.Errorf("%s: %q %v %s", name, g.body, g.err, g.status())
			}
			if outcome == cache.Stale && (g.result.TTL >= 0 || g.result.Reason != "stale-if-error" || field(g, "Age") == "") {
				t.Errorf("%s: %s", name, g.status())
			}
			if outcome != cache.Stale && then == "error" && g.err == nil {
				t.Errorf("%s: the error is hidden", name)
			}
		})
	}
	none := func(*config.CachePolicy) {}
	policy := func(p *config.CachePolicy) { p.StaleIfError = time.Minute }
	cloud := func(p *config.CachePolicy) { p.Profile = "cloudfront" }
	f("policy, no response", answer, "error", 20*time.Second, policy, cache.Stale)
	f("policy, 500", answer, "500 no", 20*time.Second, policy, cache.Stale)
	f("policy, 502", answer, "502 no", 20*time.Second, policy, cache.Stale)
	f("policy, 503", answer, "503 no", 20*time.Second, policy, cache.Stale)
	f("policy, 504", answer, "504 no", 20*time.Second, policy, cache.Stale)
	f("policy, 501 is an answer", answer, "501 no", 20*time.Second, policy, cache.Expired)
	f("policy, 404 is an answer", answer, "404 no", 20*time.Second, policy, cache.Expired)
	f("policy, window over", answer, "error", 70*time.Second, policy, cache.Expired)
	f("nothing allows it", answer, "error", 20*time.Second, none, cache.Expired)
	f("directive", answer+", stale-if-error=20", "error", 20*time.Second, none, cache.Stale)
	f("directive narrows the policy", answer+", stale-if-error=5", "error", 20*time.Second, policy, cache.Expired)
	f("must-revalidate", answer+", must-revalidate, stale-if-error=20", "error", 20*time.Second, policy, cache.Expired)
	f("proxy-revalidate", answer+", proxy-revalidate", "error", 20*time.Second, policy, cache.Expired)
	f("s-maxage", answer+", s-maxage=10", "error", 20*time.Second, policy, cache.Expired)
	f("no-cache", answer+`, no-cache | ETag: "1"`, "error", time.Second, policy, cache.Expired)
	f("cloudfront by default", answer, "error", 20*time.Second, cloud, cache.Stale)
	f("cloudfront, turned off", answer+", stale-if-error=0", "error", 20*time.Second, cloud, cache.Expired)
}

// TestC22PurgedIsNotServedStale: a hard purge is the end, origin down or not, for requests that wait already too.
func TestC22PurgedIsNotServedStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		stale := func(r *cache.Request) *cache.Request {
			return with(r, func(p *config.CachePolicy) { p.StaleIfError = time.Hour })
		}
		up := always("200 secret | Cache-Control: max-age=10, stale-while-revalidate=15")
		down := &originFunc{f: func(context.Context, *httpwire.Head, int) (*httpwire.Response, error) {
			time.Sleep(time.Second)
			return nil, errOrigin
		}}
		want(t, s, stale(get("/")), up, "secret", cache.Miss)
		time.Sleep(30 * time.Second)
		want(t, s, stale(get("/")), down, "secret", cache.Stale)

		waiting := make(chan got)
		go func() { waiting <- serve(t, s, stale(get("/")), down) }()
		synctest.Wait() // it waits for an origin that will fail
		if r, _ := s.Purge("web", get("/").Canon, nil, false); r.Objects != 1 || r.Fills != 1 {
			t.Errorf("%+v", r)
		}
		if g := <-waiting; g.err == nil {
			t.Errorf("a request that waited got %q after the purge", g.body)
		}
		if g := serve(t, s, stale(get("/")), down); g.err == nil {
			t.Errorf("got %q after the purge", g.body)
		}
	})
}

// TestPurgeDuringRefresh: a 304 or a 200 that was on its way does not bring a purged object back.
func TestPurgeDuringRefresh(t *testing.T) {
	for _, second := range []string{`304 | ETag: "1"`, "200 old | Cache-Control: max-age=60"} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(t, 1<<20)
			o := script(`200 old | Cache-Control: max-age=10, stale-while-revalidate=100 | ETag: "1"`, second, "200 new | Cache-Control: max-age=60")
			slow := &originFunc{f: func(ctx context.Context, h *httpwire.Head, n int) (*httpwire.Response, error) {
				r, err := o.Fetch(ctx, h)
				time.Sleep(time.Second)
				return r, err
			}}
			want(t, s, get("/"), o, "old", cache.Miss)
			time.Sleep(20 * time.Second)
			want(t, s, get("/"), slow, "old", cache.Stale)
			synctest.Wait()
			s.Purge("web", get("/").Canon, nil, false)
			time.Sleep(5 * time.Second)
			if s.Stats().Objects != 0 {
				t.Error("a purged object came back")
			}
			want(t, s, get("/"), o, "new", cache.Miss)
		})
	}
}

// TestStaleHead: HEAD and ranges of a stale object.
func TestStaleHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		o := script(`200 body | Cache-Control: max-age=10, stale-if-error=100 | ETag: "1"`, "error", "error", `304 | ETag: "1"`)
		want(t, s, get("/"), o, "body", cache.Miss)
		time.Sleep(20 * time.Second)
		g := serve(t, s, request("HEAD https://example.org/"), o)
		if g.result.Outcome != cache.Stale || g.resp.Length != 4 || g.resp.Body != nil {
			t.Error(g.status())
		}
		g = serve(t, s, get("/", "Range: bytes=1-2"), o)
		if g.result.Outcome != cache.Stale || g.resp.Status != 206 || g.body != "od" {
			t.Error(g.status(), g.body)
		}
		g = serve(t, s, get("/", "Range: bytes=1-2"), o)
		if g.result.Outcome != cache.Revalidated || g.resp.Status != 206 || g.body != "od" || o.last().Fields.Has(httpwire.Range) {
			t.Error(g.status(), g.body)
		}
	})
}

// TestStaleForWaiters: when the one fetch fails, everybody who waits for it gets the stored response of their own variant.
func TestStaleForWaiters(t *testing.T) {
	for _, failure := range []string{"error", "503 no"} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(t, 1<<20)
			o := script("200 one | Cache-Control: max-age=10, stale-if-error=100 | Vary: X-V", failure)
			slow := &originFunc{f: func(ctx context.Context, h *httpwire.Head, n int) (*httpwire.Response, error) {
				time.Sleep(time.Second)
				return o.Fetch(ctx, h)
			}}
			want(t, s, get("/"), o, "one", cache.Miss)
			time.Sleep(20 * time.Second)
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if g := serve(t, s, get("/"), slow); g.body != "one" || g.result.Outcome != cache.Stale {
						t.Errorf("%q %v %s", g.body, g.err, g.status())
					}
				})
			}
			synctest.Wait()
			want(t, s, get("/", "X-V: 1"), always("200 two | Cache-Control: max-age=10 | Vary: X-V"), "two", cache.Miss)
			wg.Wait()
			if o.n.Load() != 2 {
				t.Errorf("%d fetches, want 2", o.n.Load())
			}
		})
	}
}

// TestErrorForWaiters: without a stored response, a failed fetch is everybody's failure, and not a herd of fetches.
func TestErrorForWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		o := &originFunc{f: func(context.Context, *httpwire.Head, int) (*httpwire.Response, error) {
			time.Sleep(time.Second)
			return nil, errOrigin
		}}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if g := serve(t, s, get("/"), o); !errors.Is(g.err, errOrigin) {
					t.Error(g.err)
				}
			})
		}
		wg.Wait()
		if o.n.Load() != 1 {
			t.Errorf("%d fetches, want 1", o.n.Load())
		}
	})
}
