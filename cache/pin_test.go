package cache_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
)

func pinned(path string) *cache.Request {
	return with(get(path), func(p *config.CachePolicy) { p.Pin = true })
}

// TestPinnedIsNotEvicted: small and large objects that a policy pins outlast any number of others, and end with a purge.
func TestPinnedIsNotEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 16 << 20
		s := newStore(t, limit)
		small, large := sized(500), sized(200_000)
		for i := range 20 {
			serve(t, s, pinned(fmt.Sprint("/small/", i)), small)
			serve(t, s, pinned(fmt.Sprint("/large/", i)), large)
		}
		for i := range 40_000 {
			serve(t, s, get(fmt.Sprint("/", i)), small)
			if i%100 == 0 {
				serve(t, s, get(fmt.Sprint("/l/", i)), large)
			}
			if used := s.Stats().Bytes; used > limit {
				t.Fatalf("%d bytes", used)
			}
			small.heads, large.heads = nil, nil
		}
		for i := range 20 {
			for _, path := range []string{fmt.Sprint("/small/", i), fmt.Sprint("/large/", i)} {
				if g := serve(t, s, pinned(path), always("503 no")); g.result.Outcome != cache.Hit {
					t.Errorf("%s: %s", path, g.status())
				}
			}
		}
		req := pinned("/small/3")
		if r, err := s.Purge("web", req.Canon, req.Policy, false); err != nil || r.Objects != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		if g := serve(t, s, req, small); g.result.Outcome != cache.Miss {
			t.Error(g.status())
		}
		s.SetMemory(1 << 20) // pinned or not, the ceiling holds
		if used := s.Stats().Bytes; used > 1<<20 {
			t.Errorf("%d bytes of 1 MiB", used)
		}
		s.SetMemory(0)
		synctest.Wait()
		if st := s.Stats(); st != (cache.Stats{}) {
			t.Errorf("left %+v", st)
		}
	})
}

// TestHalfMayBePinned: what is pinned beyond half of the memory is evicted like anything else, so there is always room for others.
func TestHalfMayBePinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 8<<20), sized(100_000)
		for i := range 200 {
			serve(t, s, pinned(fmt.Sprint("/", i)), o)
		}
		kept := 0
		for i := range 200 {
			if x := s.Explain(pinned(fmt.Sprint("/", i))); x.Stored {
				kept++
			}
		}
		if kept < 60 || kept > 84 {
			t.Errorf("%d of 200 are stored, about 80 fit", kept)
		}
		for i := range 37 { // the first half is pinned
			if x := s.Explain(pinned(fmt.Sprint("/", i))); !x.Stored {
				t.Errorf("%d was evicted", i)
			}
		}
		time.Sleep(time.Second)
		if g := serve(t, s, get("/other"), o); g.err != nil {
			t.Fatal(g.err)
		}
		if g := serve(t, s, get("/other"), o); g.result.Outcome != cache.Hit {
			t.Error(g.status())
		}
	})
}

// TestUnpinned: a request by a policy that does not pin takes the pin away.
func TestUnpinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o := newStore(t, 16<<20), sized(500)
		serve(t, s, pinned("/a"), o)
		serve(t, s, get("/a"), o) // not pinned any more
		for i := range 40_000 {
			serve(t, s, get(fmt.Sprint("/", i)), o)
			o.heads = nil
		}
		if x := s.Explain(get("/a")); x.Stored {
			t.Error("it is still there")
		}
	})
}
