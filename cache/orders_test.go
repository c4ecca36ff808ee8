package cache_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// tagged answers each path with a body of its own, and tags.
func tagged() *originFunc {
	return &originFunc{f: func(_ context.Context, h *httpwire.Head, n int) (*httpwire.Response, error) {
		r := message(fmt.Sprintf("200 %s#%d | Cache-Control: max-age=600, stale-if-error=60 | ETag: \"1\" | Surrogate-Key: all p%s", h.Target, n, h.Target[1:]))
		return r, nil
	}}
}

func TestPurgesOfEachKindHitWhatTheyName(t *testing.T) {
	for name, c := range map[string]struct {
		order purge.Order
		gone  []string
	}{
		"prefix":             {purge.Order{Kind: purge.Prefix, Site: "web", Host: "example.org", Value: "/a"}, []string{"/a", "/ab"}},
		"tag":                {purge.Order{Kind: purge.Tag, Value: "PB"}, []string{"/b"}},
		"shared tag":         {purge.Order{Kind: purge.Tag, Value: "all"}, []string{"/a", "/ab", "/b"}},
		"host":               {purge.Order{Kind: purge.Host, Host: "example.org"}, []string{"/a", "/ab", "/b"}},
		"another host":       {purge.Order{Kind: purge.Host, Host: "example.com"}, nil},
		"all":                {purge.Order{Kind: purge.All}, []string{"/a", "/ab", "/b"}},
		"all of another one": {purge.Order{Kind: purge.All, Site: "shop"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, o := newStore(t, 1<<20), tagged()
			paths := []string{"/a", "/ab", "/b"}
			for _, p := range paths {
				serve(t, s, get(p), o)
			}
			preview, err := s.Preview(t.Context(), c.order)
			if err != nil || preview.Objects != len(c.gone) || s.Stats().Objects != 3 {
				t.Fatalf("preview %+v, %v", preview, err)
			}
			receipt, err := s.Order(t.Context(), c.order)
			if err != nil || receipt.Objects != len(c.gone) || receipt.Bytes != preview.Bytes || receipt.ID == 0 {
				t.Errorf("receipt %+v, %v", receipt, err)
			}
			gone := map[string]bool{}
			for _, p := range c.gone {
				gone[p] = true
			}
			for _, p := range paths {
				if hit := serve(t, s, get(p), o).result.Outcome == cache.Hit; hit == gone[p] {
					t.Errorf("%s: hit %v", p, hit)
				}
			}
		})
	}
}

// A fetch that began before a purge is served to those who wait for it, and to nobody after.
func TestAPurgeHitsWhatIsUnderWay(t *testing.T) {
	bodies := make(chan *gate, 1)
	s, o := newStore(t, 1<<20), gated(4, bodies, "Cache-Control: max-age=60", "Cache-Tag: news,front")
	resp, _, err := s.Serve(t.Context(), get("/"), o)
	if err != nil {
		t.Fatal(err)
	}
	b := <-bodies
	if _, err := s.Order(t.Context(), purge.Order{Kind: purge.Tag, Value: "front"}); err != nil {
		t.Fatal(err)
	}
	want(t, s, get("/"), always("200 new | Cache-Control: max-age=60"), "new", cache.Miss)
	b.parts <- []byte("body")
	close(b.parts)
	if body, err := read(resp); err != nil || body != "body" {
		t.Errorf("%q %v", body, err)
	}
	want(t, s, get("/"), always("200 x"), "new", cache.Hit)
}

func TestASoftPurgeMakesStaleAndCanBeUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 1<<20), tagged()
		serve(t, s, get("/a"), o)
		receipt, err := s.Order(t.Context(), purge.Order{Kind: purge.Tag, Value: "all", Soft: true})
		if err != nil || receipt.Objects != 1 || s.Stats().Objects != 1 {
			t.Fatalf("%+v %v", receipt, err)
		}
		failing := always("503 down")
		want(t, s, get("/a"), failing, "/a#1", cache.Stale) // stale-if-error
		time.Sleep(59 * time.Second)
		want(t, s, get("/a"), failing, "/a#1", cache.Stale)
		time.Sleep(2 * time.Second) // the window counts from the purge
		if g := serve(t, s, get("/a"), failing); g.resp.Status != 503 {
			t.Errorf("%d", g.resp.Status)
		}
		if _, err := s.Undo(receipt.ID); err != nil {
			t.Fatal(err)
		}
		want(t, s, get("/a"), failing, "/a#1", cache.Hit)
	})
}

// What a 304 confirms after a soft purge is fresh again; undoing the purge later changes nothing.
func TestAConfirmedResponseIsFreshAgain(t *testing.T) {
	s := newStore(t, 1<<20)
	o := script("200 one | Cache-Control: max-age=60 | ETag: \"1\"", "304 | ETag: \"1\" | Cache-Control: max-age=60")
	want(t, s, get("/"), o, "one", cache.Miss)
	if _, err := s.Order(t.Context(), purge.Order{Kind: purge.All, Soft: true}); err != nil {
		t.Fatal(err)
	}
	want(t, s, get("/"), o, "one", cache.Revalidated)
	want(t, s, get("/"), o, "one", cache.Hit)
}

// TestTheNumberOfAPurgeUndoesIt: also where a URL stands for two, the host and the host with its port written out.
func TestTheNumberOfAPurgeUndoesIt(t *testing.T) {
	s, o := newStore(t, 16<<20), always("200 x | Cache-Control: max-age=600")
	for _, port := range []string{"", ":80", ":443", ":8080"} {
		req := request("GET http://example.org" + port + "/a")
		serve(t, s, req, o)
		canon := *req.Canon
		if port == "" {
			canon.Port = 80 // as a command has it that knows the scheme
		}
		r, err := s.Purge("web", &canon, req.Policy, true)
		if err != nil || r.Objects == 0 {
			t.Fatalf("%+v, %v", r, err)
		}
		if x := s.Explain(req); x.TTL > 0 {
			t.Errorf("%q: fresh after a soft purge", port)
		}
		if _, err := s.Undo(r.ID); err != nil {
			t.Fatal(err)
		}
		if x := s.Explain(req); x.TTL <= 0 {
			t.Errorf("%q: stale after its undo: %s", port, x.Purge)
		}
	}
}
