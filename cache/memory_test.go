package cache_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// sized answers with a body of n bytes.
func sized(n int) *originFunc {
	body := string(pattern(n))
	return &originFunc{f: respondWith(func() *httpwire.Response {
		r := message("200 x | Cache-Control: max-age=600")
		r.Length = int64(n)
		r.Body = stringBody(body)
		return r
	})}
}

// TestEviction: what is asked for again and again stays while others come and go, and memory stays under its ceiling.
func TestEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 4 << 20
		s := newStore(t, limit)
		o := sized(100_000)
		for i := range 200 {
			serve(t, s, get(fmt.Sprint("/", i)), o)
			if used := s.Stats().Bytes; used > limit {
				t.Fatalf("%d bytes resident after %d", used, i)
			}
			time.Sleep(time.Millisecond)
			if g := serve(t, s, get("/0"), o); i > 0 && g.result.Outcome != cache.Hit {
				t.Fatalf("the most used was evicted after %d", i)
			}
		}
		if n := s.Stats().Objects; n < 35 || n > 42 {
			t.Errorf("%d objects of 100 KB in 4 MiB", n)
		}
	})
}

// TestEvictedWhileRead: readers of an evicted object get all of it, and its bytes count until the last one is gone.
func TestEvictedWhileRead(t *testing.T) {
	s := newStore(t, 2<<20)
	o := sized(900_000)
	serve(t, s, get("/read"), o)
	resp, result, err := s.Serve(t.Context(), get("/read"), o)
	if err != nil || result.Outcome != cache.Hit {
		t.Fatal(result, err)
	}
	s.Purge("web", get("/read").Canon, nil, false)
	if st := s.Stats(); st.Objects != 0 || st.Bytes < 900_000 {
		t.Errorf("%+v", st)
	}
	for i := range 10 {
		serve(t, s, get(fmt.Sprint("/", i)), o)
		if used := s.Stats().Bytes; used > 2<<20 {
			t.Fatalf("%d bytes resident", used)
		}
	}
	body, err := read(resp)
	if err != nil {
		t.Fatal(err)
	}
	same(t, body, pattern(900_000))
	s.SetMemory(0)
	if st := s.Stats(); st != (cache.Stats{}) {
		t.Errorf("left %+v", st)
	}
}

// TestAllInUse: when everything stored is being read, new objects pass through.
func TestAllInUse(t *testing.T) {
	s := newStore(t, 2<<20)
	o := sized(900_000)
	for i := range 2 {
		serve(t, s, get(fmt.Sprint("/", i)), o)
		resp, _, err := s.Serve(t.Context(), get(fmt.Sprint("/", i)), o)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
	}
	g := serve(t, s, get("/2"), o)
	if g.result.Reason != "memory" || len(g.body) != 900_000 {
		t.Error(g.status())
	}
	if st := s.Stats(); st.Objects != 2 {
		t.Errorf("%d objects: removing what is being read frees nothing", st.Objects)
	}
}

// TestSetMemory: a lower ceiling holds at once, and 0 stores nothing.
func TestSetMemory(t *testing.T) {
	s := newStore(t, 16<<20)
	o := sized(100_000)
	for i := range 100 {
		serve(t, s, get(fmt.Sprint("/", i)), o)
	}
	s.SetMemory(1 << 20)
	if st := s.Stats(); st.Bytes > 1<<20 || st.Objects == 0 {
		t.Errorf("%+v", st)
	}
	s.SetMemory(0)
	g := serve(t, s, get("/a"), o)
	s.Close() // waits for the fill, whose bytes count until it has ended
	if g.result.Stored || s.Stats() != (cache.Stats{}) {
		t.Error(g.status(), s.Stats())
	}
}

// TestSmallObjectsAreAccounted: heads and keys count, not bodies alone.
func TestSmallObjectsAreAccounted(t *testing.T) {
	const limit = 1 << 20
	s := newStore(t, limit)
	o := always("200 x | Cache-Control: max-age=600 | X-Long: " + string(make([]byte, 1000)))
	for i := range 3000 {
		serve(t, s, get(fmt.Sprint("/", i)), o)
	}
	if st := s.Stats(); st.Objects > limit/2000 || st.Bytes > limit {
		t.Errorf("%+v", st)
	}
}

// TestCeilingUnderLoad: many fills and readers at once never pass the ceiling.
func TestCeilingUnderLoad(t *testing.T) {
	const limit = 3 << 20
	s := newStore(t, limit)
	var wg sync.WaitGroup
	for w := range 8 {
		o := sized(20_000 * (w + 1))
		wg.Go(func() {
			for i := range 150 {
				g := serve(t, s, get(fmt.Sprint("/", w, "/", i%40)), o)
				if len(g.body) != 20_000*(w+1) {
					t.Errorf("%d bytes", len(g.body))
				}
				if used := s.Stats().Bytes; used > limit {
					t.Errorf("%d bytes resident", used)
				}
			}
		})
	}
	wg.Wait()
	s.Close()
	s.SetMemory(0)
	if st := s.Stats(); st != (cache.Stats{}) {
		t.Errorf("left %+v", st)
	}
}
