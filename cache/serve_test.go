package cache_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// TestConditionalHit is RFC 9111 §4.3.2 and RFC 9110 §13.
func TestConditionalHit(t *testing.T) {
	modified, later := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
	s := newStore(t, 1<<20)
	o := always(`200 body | Cache-Control: max-age=60 | ETag: W/"1" | Content-Type: a/b | Last-Modified: ` + date(modified))
	want(t, s, get("/"), o, "body", cache.Miss)
	f := func(status int, lines ...string) {
		t.Helper()
		g := serve(t, s, get("/", lines...), o)
		if g.err != nil || g.resp.Status != status || g.result.Outcome != cache.Hit || (status == 304) != (g.body == "") {
			t.Errorf("%v: %d %q %v", lines, g.resp.Status, g.body, g.err)
		}
		if status == 304 && (field(g, "ETag") == "" || field(g, "Date") == "" || field(g, "Content-Type") != "" || g.resp.Length != 4) {
			t.Errorf("304 with %v, length %d", g.resp.Fields, g.resp.Length)
		}
	}
	f(304, `If-None-Match: "1"`)
	f(304, `If-None-Match: "0", W/"1"`)
	f(304, `If-None-Match: "0"`, `If-None-Match: "1"`)
	f(304, `If-None-Match: *`)
	f(304, `If-None-Match: , ,"0" ,, "1",`) // empty members of a list
	f(200, `If-None-Match: "0" "1"`)
	f(200, `If-None-Match: "2"`)
	f(200, `If-None-Match: 1`)
	f(200, `If-None-Match: "2"`, "If-Modified-Since: "+date(later)) // If-None-Match decides
	f(304, "If-Modified-Since: "+date(modified))
	f(304, "If-Modified-Since: "+date(later))
	f(200, "If-Modified-Since: "+date(modified.Add(-time.Second)))
	f(200, "If-Modified-Since: tomorrow")
	f(200, "If-Modified-Since: "+date(later), "If-Modified-Since: "+date(later)) // more than one is none (RFC 9110 §13.1.3)
}

// TestConditionalMiss: a fill is whole and unconditional, whatever its first client has (RFC 9111 §4.3.1).
func TestConditionalMiss(t *testing.T) {
	s := newStore(t, 1<<20)
	o := always(`200 body | Cache-Control: max-age=60 | ETag: "1"`)
	g := serve(t, s, get("/", `If-None-Match: "1"`, "X-Other: 1"), o)
	if g.resp.Status != 304 || o.last().Fields.Has(httpwire.IfNoneMatch) || len(o.last().Fields) != 1 {
		t.Error(g.resp.Status, o.last().Fields)
	}
	want(t, s, get("/"), o, "body", cache.Hit)
}

// TestRange is RFC 9110 §14 on a stored object.
func TestRange(t *testing.T) {
	body := pattern(200_000)
	s := newStore(t, 16<<20)
	o := &originFunc{}
	tag, modified := `"strong"`, time.Now().Add(-time.Hour)
	o.f = respondWith(func() *httpwire.Response {
		return &httpwire.Response{Status: 200, Length: -1, Body: io.NopCloser(bytes.NewReader(body)),
			Fields: fields("Cache-Control: max-age=60", "ETag: "+tag, "Last-Modified: "+date(modified))}
	})
	if g := serve(t, s, get("/", "Range: bytes=0-1"), o); g.result.Outcome != cache.Miss || !g.result.Stored {
		t.Fatalf("a range of what is not stored, from an origin without ranges: %s", g.status())
	}
	f := func(status int, from, to int, contentRange string, lines ...string) {
		t.Helper()
		g := serve(t, s, get("/", lines...), o)
		if g.resp.Status != status || g.result.Outcome != cache.Hit || field(g, "Content-Range") != contentRange {
			t.Errorf("%v: %d %s %s", lines, g.resp.Status, field(g, "Content-Range"), g.status())
		}
		same(t, g.body, body[from:to])
		if g.resp.Length != int64(to-from) {
			t.Errorf("%v: length %d", lines, g.resp.Length)
		}
	}
	n := len(body)
	f(206, 0, 1, "bytes 0-0/200000", "Range: bytes=0-0")
	f(206, 10, 100, "bytes 10-99/200000", "Range: bytes=10-99")
	f(206, 65535, 65537, "bytes 65535-65536/200000", "Range: bytes=65535-65536") // over a block's edge
	f(206, 4095, 4097, "bytes 4095-4096/200000", "Range: bytes=4095-4096")
	f(206, 150_000, n, "bytes 150000-199999/200000", "Range: bytes=150000-")
	f(206, 199_999, n, "bytes 199999-199999/200000", "Range: bytes=199999-999999999999999999999")
	f(206, n-5, n, "bytes 199995-199999/200000", "Range: bytes=-5")
	f(206, 0, n, "bytes 0-199999/200000", "Range: bytes=-900000")
	f(416, 0, 0, "bytes */200000", "Range: bytes=200000-")
	f(416, 0, 0, "bytes */200000", "Range: bytes=-0")
	for _, v := range []string{"lines=0-1", "bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes 0-1", "bytes=+1-2"} {
		f(200, 0, n, "", "Range: "+v)
	}
	f(206, 0, 2, "bytes 0-1/200000", "Range: bytes=0-1", "If-Range: "+tag)
	f(206, 0, 2, "bytes 0-1/200000", "Range: bytes=0-1", "If-Range: "+date(modified))
	f(200, 0, n, "", "Range: bytes=0-1", `If-Range: "other"`)
	f(200, 0, n, "", "Range: bytes=0-1", `If-Range: W/"strong"`)
	f(200, 0, n, "", "Range: bytes=0-1", "If-Range: "+date(modified.Add(time.Second)))
	if g := serve(t, s, get("/", "Range: bytes=0-1", "If-None-Match: "+tag), o); g.resp.Status != 304 {
		t.Errorf("If-None-Match comes before Range, got %d", g.resp.Status) // RFC 9110 §13.2.2
	}
}

// TestHead: HEAD is answered from a stored GET and never makes one (attack row C14).
func TestHead(t *testing.T) {
	s := newStore(t, 1<<20)
	o := always("200 body | Cache-Control: max-age=60")
	head := request("HEAD https://example.org/")
	for range 2 {
		if g := serve(t, s, head, o); g.result.Outcome != cache.Miss || g.result.Reason != "head" || o.last().Method != "HEAD" {
			t.Fatal(g.status())
		}
	}
	want(t, s, get("/"), o, "body", cache.Miss)
	g := serve(t, s, head, o)
	if g.result.Outcome != cache.Hit || g.resp.Body != nil || g.resp.Length != 4 {
		t.Fatal(g.status(), g.resp)
	}
}

// TestInvalidation is RFC 9111 §4.4.
func TestInvalidation(t *testing.T) {
	f := func(method, answer string, gone ...string) {
		t.Helper()
		s := newStore(t, 1<<20)
		o := always("200 x | Cache-Control: max-age=60")
		paths := []string{"/a/b", "/a/c", "/a/b?q"}
		for _, p := range paths {
			want(t, s, get(p), o, "x", cache.Miss)
		}
		serve(t, s, request(method+" https://example.org/a/b"), always(answer))
		for _, p := range paths {
			wanted := cache.Hit
			if slices.Contains(gone, p) {
				wanted = cache.Miss
			}
			want(t, s, get(p), o, "x", wanted)
		}
	}
	f("POST", "200 ok", "/a/b")
	f("FROB", "204", "/a/b") // an unknown method is unsafe
	f("DELETE", "303 | Location: /a/c", "/a/b", "/a/c")
	f("POST", "201 | Location: https://EXAMPLE.org:443/a/c | Content-Location: b?q", "/a/b", "/a/c", "/a/b?q")
	f("POST", "201 | Location: https://example.com/a/c", "/a/b")
	f("POST", "201 | Location: http://example.org/a/c", "/a/b")
	f("POST", "404 no")
	f("POST", "500 no")
	f("OPTIONS", "200 ok")
	f("TRACE", "200 ok")
}

// TestInvalidationAcrossBehaviors: what Location names goes, however the behavior that stored it keys the query (RFC 9111 §4.4).
func TestInvalidationAcrossBehaviors(t *testing.T) {
	none := func(r *cache.Request) *cache.Request {
		return with(r, func(p *config.CachePolicy) { p.KeyQuery = config.KeyPart{} })
	}
	s, o := newStore(t, 1<<20), always("200 x | Cache-Control: max-age=60")
	want(t, s, none(get("/list?page=1")), o, "x", cache.Miss)
	want(t, s, get("/item?id=7"), o, "x", cache.Miss)
	serve(t, s, request("POST https://example.org/new"), always("303 | Location: /list?page=2"))
	serve(t, s, none(request("POST https://example.org/new")), always("303 | Location: /item?id=7"))
	want(t, s, none(get("/list?page=1")), o, "x", cache.Miss)
	want(t, s, get("/item?id=7"), o, "x", cache.Miss)
}

// TestPurge: one URL with all that varies below it, both schemes, and nothing else.
func TestPurge(t *testing.T) {
	s := newStore(t, 1<<20)
	o := always("200 x | Cache-Control: max-age=60 | Vary: X-V")
	keyed := func(r *cache.Request) *cache.Request {
		return with(r, func(p *config.CachePolicy) { p.KeyHeaders = []string{"x-k"} })
	}
	cloud := func(r *cache.Request) *cache.Request {
		return with(r, func(p *config.CachePolicy) { p.Profile = "cloudfront" })
	}
	gone := []*cache.Request{
		get("/p?q", "X-V: 1"), get("/p?q", "X-V: 2"), request("GET http://example.org/p?q"), keyed(get("/p?q", "X-K: 1")), keyed(get("/p?q", "X-K: 2")),
		cloud(get("/p?q")),
	}
	other := get("/p?q")
	other.Site = "web2"
	kept := []*cache.Request{get("/p"), get("/p?r"), get("/p/q"), other, request("GET https://example.org:8443/p?q")}
	for _, r := range slices.Concat(gone, kept) {
		want(t, s, r, o, "x", cache.Miss)
	}
	r := get("/p?q")
	receipt, err := s.Purge("web", r.Canon, r.Policy, false)
	if err != nil {
		t.Fatal(err)
	}
	if receipt.Objects != len(gone) || receipt.Bytes <= 0 || s.Stats().Objects != int64(len(kept)) {
		t.Errorf("%+v, left %+v", receipt, s.Stats())
	}
	for _, r := range gone {
		want(t, s, r, o, "x", cache.Miss)
	}
	for _, r := range kept {
		want(t, s, r, o, "x", cache.Hit)
	}
	if again, _ := s.Purge("web", get("/never").Canon, nil, false); again.Objects != 0 || again.Bytes != 0 || again.Fills != 0 {
		t.Errorf("%+v", again)
	}
}

// TestBypass: what the store has no say in goes through untouched.
func TestBypass(t *testing.T) {
	s := newStore(t, 1<<20)
	o := always("200 x | Cache-Control: max-age=60")
	want(t, s, get("/"), o, "x", cache.Miss)
	f := func(reason string, r *cache.Request) {
		t.Helper()
		if g := want(t, s, r, o, "x", cache.Bypass); g.result.Reason != reason {
			t.Errorf("reason %q, want %q", g.result.Reason, reason)
		}
		if _, _, ok := s.Lookup(r); ok {
			t.Errorf("%s: Lookup differs from Serve", reason)
		}
	}
	off := get("/")
	off.Policy = nil
	f("off", off)
	f("off", with(get("/"), func(p *config.CachePolicy) { p.Off = true }))
	f("precondition", get("/", `If-Match: "1"`))
	f("precondition", get("/", "If-Unmodified-Since: "+date(time.Now())))
	f("request body", get("/", "Transfer-Encoding: chunked"))
	f("upgrade", get("/", "Upgrade: websocket"))
}

// TestLookupIsServe: the hit lane and the plain lane say the same (law 5).
func TestLookupIsServe(t *testing.T) {
	s := newStore(t, 1<<20)
	o := always(`200 body | Cache-Control: max-age=60 | ETag: "1" | Vary: X-V`)
	requests := []*cache.Request{
		get("/"), get("/", `If-None-Match: "1"`), get("/", "Range: bytes=1-2"), get("/", "Range: bytes=9-"), request("HEAD https://example.org/"),
		get("/", "Cache-Control: no-store"), get("/", "Authorization: x"), get("/", "X-V: other"), get("/missing"), request("POST https://example.org/missing"),
	}
	want(t, s, get("/"), o, "body", cache.Miss)
	for i, r := range requests {
		resp, result, ok := s.Lookup(r)
		if !ok {
			if g := serve(t, s, r, o); g.result.Outcome == cache.Hit {
				t.Errorf("request %d: only Serve finds it", i)
			}
			continue
		}
		g := serve(t, s, r, o)
		body, err := read(resp)
		g.result.Age, g.result.TTL = result.Age, result.TTL // the clock went on
		if g.resp.Status != resp.Status || body != g.body || err != nil || g.resp.Length != resp.Length ||
			!slices.Equal(g.resp.Fields, resp.Fields) || released(g.result) != released(result) {
			t.Errorf("request %d:\n%v %+v\n%v %+v", i, resp.Fields, result, g.resp.Fields, g.result)
		}
	}
}

// TestSharedHeadIsNotShared: what the edge does to the fields of one response does not show in the next.
func TestSharedHeadIsNotShared(t *testing.T) {
	s := newStore(t, 1<<20)
	o := always("200 x | Cache-Control: max-age=60 | X-A: 1")
	want(t, s, get("/"), o, "x", cache.Miss)
	a, b := serve(t, s, get("/"), o), serve(t, s, get("/"), o)
	a.resp.Fields.Set(httpwire.CacheControl, "private")
	for range 40 {
		a.resp.Fields.AddName("X-Edge", "1")
	}
	a.resp.Fields.Filter(func(f *httpwire.Field) bool { return false })
	if field(b, "Cache-Control") != "max-age=60" || field(b, "X-A") != "1" {
		t.Error(b.resp.Fields)
	}
	c := serve(t, s, get("/"), o)
	if !slices.Equal(c.resp.Fields, b.resp.Fields) {
		t.Error(c.resp.Fields)
	}
}

// TestRequestIsNotKept: the strings of a request may be views into a buffer that is used again.
func TestRequestIsNotKept(t *testing.T) {
	s := newStore(t, 1<<20)
	o := always("200 x | Cache-Control: max-age=60 | Vary: X-V")
	buf := []byte("x-value")
	r := get("/")
	r.Head.Fields = httpwire.Fields{{Name: "X-V", Value: string(buf)}}
	want(t, s, r, o, "x", cache.Miss)
	if sent := o.last(); len(sent.Fields) != 1 || sent.Fields[0].Value != "x-value" {
		t.Error(sent.Fields)
	}
	want(t, s, get("/", "X-V: x-value"), o, "x", cache.Hit)
}

// TestStatusLine: RFC 9211 by example, and the node's form.
func TestStatusLine(t *testing.T) {
	f := func(r cache.Result, node, want string) {
		t.Helper()
		if got := string(r.AppendStatus(nil, node)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(cache.Result{Outcome: cache.Hit, TTL: 57500 * time.Millisecond}, "eu1", "eu1; hit; ttl=57")
	f(cache.Result{Outcome: cache.Stale, TTL: -time.Millisecond, Reason: cache.ReasonRefresh}, "eu1", "eu1; hit; ttl=-1")
	f(cache.Result{Outcome: cache.Stale, TTL: -time.Second, Reason: cache.ReasonError, FwdStatus: 503}, "eu1", "eu1; fwd=stale; fwd-status=503; detail=stale-if-error")
	f(cache.Result{Outcome: cache.Collapsed, FwdStatus: 200, Stored: true, Collapsed: true}, "eu1", "eu1; fwd=miss; fwd-status=200; stored; collapsed")
	f(cache.Result{Outcome: cache.Bypass, Reason: cache.ReasonOff}, "1st", `"1st"; fwd=bypass; detail=off`)
	f(cache.Result{Outcome: cache.Hit}, "a\"b\\c\x00é", `"a\"b\\c???"; hit; ttl=0`)
	f(cache.Result{Outcome: cache.Hit}, "", `""; hit; ttl=0`)
}

// TestExplainNamesThePurge: of what is gone the last that removed it, of what is stale the one that made it so; and nothing once it is fetched again.
func TestExplainNamesThePurge(t *testing.T) {
	s, o := newStore(t, 1<<20), tagged()
	explained := func(want string) {
		t.Helper()
		if x := s.Explain(get("/a")); want == "" && x.Purge != "" || !strings.HasPrefix(x.Purge, want) {
			t.Errorf("%q, want %q: %+v", x.Purge, want, x)
		}
	}
	order := func(o purge.Order) {
		t.Helper()
		if _, err := s.Order(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	explained("")
	serve(t, s, get("/a"), o)
	explained("")
	order(purge.Order{Kind: purge.Tag, Value: "pa"})
	explained("purge 1 (tag pa) at ")
	serve(t, s, get("/a"), o)
	explained("")
	order(purge.Order{Kind: purge.Prefix, Host: "example.org", Value: "/"})
	explained("purge 2 (prefix example.org/) at ")
	serve(t, s, get("/a"), o)
	order(purge.Order{Kind: purge.Host, Host: "example.org", Soft: true})
	explained("purge 3 (host example.org, soft) at ")
	if _, err := s.Undo(3); err != nil {
		t.Fatal(err)
	}
	explained("")
}

// TestExplain: it says what Serve then does, and changes nothing.
func TestExplain(t *testing.T) {
	s := newStore(t, 1<<20)
	o := always("200 body | Cache-Control: max-age=60 | Vary: X-V")
	r := get("/a?b", "X-V: 1")
	x := s.Explain(r)
	if x.Outcome != cache.Miss || x.Stored || x.Filling != 0 || s.Stats().Fills != 0 || len(x.Parts) != 6 || x.Parts[5].Value != "?b" {
		t.Errorf("%+v", x)
	}
	g := want(t, s, r, o, "body", cache.Miss)
	x = s.Explain(r)
	if x.Outcome != cache.Hit || !x.Stored || x.Variant != "x-v: 1" || x.Bytes != 4 || x.Key != g.result.Key ||
		!strings.HasPrefix(x.Words[0], "lifetime 1m0s from max-age") {
		t.Errorf("%+v", x)
	}
	if x := s.Explain(get("/a?b")); x.Outcome != cache.Miss || x.Variants != 1 || x.Stored {
		t.Errorf("%+v", x)
	}
	if x := s.Explain(request("POST https://example.org/")); x.Outcome != cache.Bypass || x.Reason != "method" || x.Key != "" {
		t.Errorf("%+v", x)
	}
	serve(t, s, get("/cookie"), always("200 x | Set-Cookie: a"))
	if x := s.Explain(get("/cookie")); x.Unshared != "set-cookie" || x.Outcome != cache.Miss {
		t.Errorf("%+v", x)
	}
}

// TestExplainEachDecision: every action has words of its own, and the outcome that Serve reports.
func TestExplainEachDecision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		f := func(r *cache.Request, outcome cache.Outcome, words, line string) {
			t.Helper()
			x := s.Explain(r)
			if x.Outcome != outcome || !strings.Contains(x.Decision, words) || line != "" && !slices.Contains(x.Words, line) {
				t.Errorf("%+v", x)
			}
		}
		want(t, s, get("/swr"), always("200 x | Cache-Control: max-age=10, stale-while-revalidate=60"), "x", cache.Miss)
		want(t, s, get("/strict"), always("200 x | Cache-Control: max-age=10, must-revalidate"), "x", cache.Miss)
		want(t, s, get("/no-cache"), always(`200 x | Cache-Control: no-cache | ETag: "1"`), "x", cache.Miss)
		f(get("/swr"), cache.Hit, "from the store", "fresh for another 10s")
		time.Sleep(12 * time.Second)
		f(get("/swr"), cache.Stale, "refresh", "stale for 2s")
		f(get("/strict"), cache.Expired, "others may join", "never served stale")
		f(get("/no-cache"), cache.Expired, "alone", "no-cache: the origin is asked on every use")
		f(get("/none", "Range: bytes=0-1"), cache.Miss, "others may join", "")
		f(with(get("/none", "Range: bytes=0-1"), func(p *config.CachePolicy) { p.NoSlices = true }), cache.Bypass, "not to be stored", "")
		f(request("HEAD https://example.org/none"), cache.Miss, "not to be stored", "")
		f(get("/none", "Cache-Control: only-if-cached"), cache.Miss, "504", "")
		bodies := make(chan *gate, 1)
		resp, _, err := s.Serve(t.Context(), get("/filling"), gated(-1, bodies, "Cache-Control: max-age=60"))
		if err != nil {
			t.Fatal(err)
		}
		f(get("/filling"), cache.Collapsed, "in flight", "")
		close((<-bodies).parts)
		resp.Body.Close()
	})
}

// TestMetrics lint clean and count.
func TestMetrics(t *testing.T) {
	r := prometheus.NewRegistry()
	s := cache.New(cache.Options{Memory: 1 << 20, Registerer: r})
	defer s.Close()
	o := always("200 x | Cache-Control: max-age=60")
	want(t, s, get("/"), o, "x", cache.Miss)
	want(t, s, get("/"), o, "x", cache.Hit)
	s.Lookup(get("/"))
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	const wanted = `# HELP meridian_cache_requests_total Requests by the way the cache answered them.
# TYPE meridian_cache_requests_total counter
meridian_cache_requests_total{outcome="bypass"} 0
meridian_cache_requests_total{outcome="collapsed"} 0
meridian_cache_requests_total{outcome="expired"} 0
meridian_cache_requests_total{outcome="hit"} 2
meridian_cache_requests_total{outcome="miss"} 1
meridian_cache_requests_total{outcome="revalidated"} 0
meridian_cache_requests_total{outcome="stale"} 0
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(wanted), "meridian_cache_requests_total"); err != nil {
		t.Error(err)
	}
}

// released is a Result that can be compared: two never lie in the same memory.
func released(r cache.Result) cache.Result {
	r.Release()
	return r
}
