package cache_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// echo answers a path with a body made of it, of a length that follows from it.
var echo = &originFunc{f: func(_ context.Context, h *httpwire.Head, _ int) (*httpwire.Response, error) {
	body := echoBody(h.Target)
	return &httpwire.Response{Status: 200, Length: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
		Fields: fields("Cache-Control: max-age=600", "Content-Type: text/plain", "X-Path: "+h.Target, "Surrogate-Key: t"+h.Target[len(h.Target)-1:])}, nil
}}

func echoBody(target string) string {
	sum := 0
	for _, c := range target {
		sum = sum*31 + int(c)
	}
	return strings.Repeat(target+" ", 1+sum%97)
}

// TestSmallObjectsAtRest: what is stored and not in use is found again as it came, while others come and go and pages are compacted; memory
// stays under its ceiling, is put to use, and is all given back.
func TestSmallObjectsAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 16 << 20
		s := newStore(t, limit)
		r := rand.New(rand.NewPCG(1, 2))
		hits := 0
		for i := range 60_000 {
			n := r.IntN(40_000)
			if r.IntN(3) == 0 {
				n = r.IntN(50) // what is asked for again and again stays
			}
			path := fmt.Sprint("/", n)
			g := serve(t, s, get(path), echo)
			if g.result.Outcome == cache.Hit {
				hits++
			}
			if v, _ := g.resp.Fields.Lookup("X-Path"); v != path || string(g.body) != echoBody(path) {
				t.Fatalf("%s: %q, %d bytes", path, v, len(g.body))
			}
			if used := s.Stats().Bytes; used > limit {
				t.Fatalf("%d bytes after %d", used, i)
			}
			echo.heads = nil
		}
		st := s.Stats()
		t.Logf("%+v, %d hits", st, hits)
		if perObject := st.Bytes / st.Objects; st.Bytes < limit*9/10 || perObject > 2500 {
			t.Errorf("%d objects in %d bytes", st.Objects, st.Bytes)
		}
		s.SetMemory(0)
		if st := s.Stats(); st != (cache.Stats{}) {
			t.Errorf("left %+v", st)
		}
	})
}

// TestAtRestIsPurged: purges of every kind hit what is at rest, and count it.
func TestAtRestIsPurged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 64<<20)
		fill := func() {
			for i := range 100 {
				serve(t, s, get(fmt.Sprint("/p/", i)), echo)
			}
			synctest.Wait()
			if n := s.Stats().Objects; n != 100 {
				t.Fatalf("%d objects", n)
			}
		}
		for _, test := range []struct {
			order purge.Order
			gone  int
		}{
			{purge.Order{Kind: purge.Tag, Value: "t7"}, 10},
			{purge.Order{Kind: purge.Prefix, Host: "example.org", Value: "/p/1"}, 11},
			{purge.Order{Kind: purge.Host, Host: "example.org"}, 100},
			{purge.Order{Kind: purge.All}, 100},
		} {
			fill()
			before, err := s.Preview(t.Context(), test.order)
			if err != nil || before.Objects != test.gone {
				t.Errorf("%v: the dry run says %+v, %v", &test.order, before, err)
			}
			r, err := s.Order(t.Context(), test.order)
			if err != nil || r.Objects != test.gone || r.Bytes != before.Bytes || s.Stats().Objects != int64(100-test.gone) {
				t.Errorf("%v: %+v, %v; %+v", &test.order, r, err, s.Stats())
			}
		}
		fill()
		req := get("/p/5")
		r, err := s.Purge("web", req.Canon, req.Policy, false)
		if err != nil || r.Objects != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		if g := serve(t, s, req, echo); g.result.Outcome != cache.Miss {
			t.Error(g.status())
		}
	})
}

// TestAtRestKeepsWhatItIs: freshness, conditions, ranges, several ranges, HEAD and a 304 of the origin work on what is at rest as on what is not.
func TestAtRestKeepsWhatItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 64<<20)
		o := &originFunc{f: func(_ context.Context, h *httpwire.Head, n int) (*httpwire.Response, error) {
			if h.Fields.Has(httpwire.IfNoneMatch) {
				return message(`304 x | Cache-Control: max-age=100 | ETag: "a" | X-New: 1`), nil
			}
			return message(`200 0123456789 | Cache-Control: max-age=10 | ETag: "a" | Content-Type: text/plain | Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT`), nil
		}}
		check := func(req *cache.Request, status int, body string, outcome cache.Outcome) got {
			t.Helper()
			g := serve(t, s, req, o)
			if g.resp.Status != status || body != "*" && string(g.body) != body || g.result.Outcome != outcome {
				t.Errorf("%d %q %s", g.resp.Status, g.body, g.status())
			}
			synctest.Wait()
			return g
		}
		check(get("/"), 200, "0123456789", cache.Miss)
		time.Sleep(3 * time.Second)
		if age, _ := check(get("/"), 200, "0123456789", cache.Hit).resp.Fields.Get(httpwire.Age); age != "3" {
			t.Errorf("age %s", age)
		}
		check(get("/", "Range: bytes=2-4"), 206, "234", cache.Hit)
		check(get("/", "Range: bytes=20-"), 416, "", cache.Hit)
		check(get("/", `If-None-Match: "a"`), 304, "", cache.Hit)
		check(get("/", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"), 304, "", cache.Hit)
		check(get("/", "Range: bytes=0-1,8-9"), 200, "0123456789", cache.Hit) // the parts would be longer than the whole
		head := get("/")
		head.Head.Method = "HEAD"
		if g := check(head, 200, "", cache.Hit); g.resp.Length != 10 {
			t.Errorf("length %d", g.resp.Length)
		}
		time.Sleep(10 * time.Second)
		if g := check(get("/"), 200, "0123456789", cache.Revalidated); g.resp.Fields[len(g.resp.Fields)-1].Name == "" {
			t.Error(g.resp.Fields)
		}
		time.Sleep(50 * time.Second)
		g := check(get("/"), 200, "0123456789", cache.Hit)
		if v, _ := g.resp.Fields.Lookup("X-New"); v != "1" {
			t.Error("the 304's fields are lost")
		}
	})
}
