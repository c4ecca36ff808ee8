package cache_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// of makes a request of a distribution.
func of(site, path string) *cache.Request {
	req := get(path)
	req.Site = site
	return req
}

// big is an origin of objects of a size.
func big(n int) *originFunc {
	body := string(pattern(n))
	return &originFunc{f: respondWith(func() *httpwire.Response {
		return &httpwire.Response{Status: 200, Length: int64(n), Fields: fields("Cache-Control: max-age=60"), Body: stringBody(body)}
	})}
}

// stored counts which of n objects of a site answer from the store, without changing anything. It belongs into a bubble.
func stored(s *cache.Store, site string, n int) int {
	synctest.Wait() // what was fetched is stored
	count := 0
	for i := range n {
		if s.Explain(of(site, fmt.Sprint("/", i))).Stored {
			count++
		}
	}
	return count
}

// TestATenantDoesNotEvictAnother: what one distribution stores pushes out nothing of one with a quota, whichever of the two has one.
func TestATenantDoesNotEvictAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 4<<20)
		s.SetQuotas(map[string]int64{"a": 1 << 20, "b": 2 << 20})
		o := big(10_000)
		fill := func(site string, n int) {
			for i := range n {
				serve(t, s, of(site, fmt.Sprint("/", i)), o)
			}
		}
		fill("a", 50)
		for _, site := range []string{"b", "c", "d"} {
			fill(site, 500)
			if n := stored(s, "a", 50); n != 50 {
				t.Fatalf("%s left %d of 50 objects of a", site, n)
			}
		}
		if n := stored(s, "b", 500); n < 150 {
			t.Errorf("c and d left %d objects of b", n)
		}
		fill("a", 500)
		if n := stored(s, "a", 500); n < 70 || n > 1<<20/10_000 {
			t.Errorf("a has %d objects", n)
		}
		if n := stored(s, "b", 500); n < 150 {
			t.Errorf("a left %d objects of b", n)
		}
		if used := s.Stats().Bytes; used > 4<<20 {
			t.Errorf("%d bytes", used)
		}
	})
}

// TestQuotasChange: a lower quota holds at once, and what a distribution has that is not named any more is the first to go.
func TestQuotasChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 2<<20)
		s.SetQuotas(map[string]int64{"a": 1 << 20})
		o := big(10_000)
		for i := range 60 {
			serve(t, s, of("a", fmt.Sprint("/", i)), o)
		}
		s.SetQuotas(map[string]int64{"a": 300_000})
		if n := stored(s, "a", 60); n > 30 || n < 20 || s.Stats().Bytes > 300_000 {
			t.Errorf("a has %d objects, %d bytes", n, s.Stats().Bytes)
		}
		s.SetQuotas(nil)
		if n := stored(s, "a", 60); n == 0 {
			t.Error("what was stored is still good")
		}
		for i := range 300 {
			serve(t, s, of("b", fmt.Sprint("/", i)), o)
		}
		if n := stored(s, "a", 60); n != 0 {
			t.Errorf("a has %d objects yet", n)
		}
		s.SetMemory(0)
		if st := s.Stats(); st.Bytes != 0 || st.Objects != 0 {
			t.Errorf("left %+v", st)
		}
	})
}

// TestQuotasAboveMemory: the store's ceiling holds, and everybody can store something.
func TestQuotasAboveMemory(t *testing.T) {
	s := newStore(t, 1<<20)
	s.SetQuotas(map[string]int64{"a": 1 << 20, "b": 1 << 20})
	o := big(10_000)
	var wg sync.WaitGroup
	for _, site := range []string{"a", "b", "c"} {
		wg.Go(func() {
			for i := range 200 {
				serve(t, s, of(site, fmt.Sprint("/", i)), o)
				if used := s.Stats().Bytes; used > 1<<20 {
					t.Errorf("%d bytes", used)
				}
				if i == 100 {
					s.SetQuotas(map[string]int64{"a": 1 << 20, "c": 1 << 19})
				}
			}
		})
	}
	wg.Wait()
	g := serve(t, s, of("b", "/last"), o)
	if g.err != nil || g.result.Reason != "" {
		t.Errorf("b cannot store: %v %+v", g.err, g.result)
	}
	s.Close()
	s.SetMemory(0)
	if st := s.Stats(); st.Bytes != 0 {
		t.Errorf("left %+v", st)
	}
}

// TestC19RandomKeysDoNotEvictWhatIsHot: a flood of keys that are asked for once leaves nearly everything that is asked for often.
func TestC19RandomKeysDoNotEvictWhatIsHot(t *testing.T) {
	s := newStore(t, 2<<20)
	o := big(4_000)
	const hot = 100
	hits, asked, next := 0, 0, 0
	for round := range 100 {
		for i := range hot {
			g := serve(t, s, get(fmt.Sprint("/hot/", i)), o)
			if round < 10 {
				continue // it has to become popular first
			}
			if asked++; g.result.Outcome == cache.Hit {
				hits++
			}
			for range 2 {
				serve(t, s, get(fmt.Sprint("/?", next)), o)
				next++
			}
		}
	}
	if hits*100 < 95*asked {
		t.Errorf("%d hits of %d", hits, asked)
	}
}
