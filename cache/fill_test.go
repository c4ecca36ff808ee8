package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// gated answers with a body that the test feeds.
func gated(length int64, bodies chan<- *gate, lines ...string) *originFunc {
	return &originFunc{f: func(ctx context.Context, _ *httpwire.Head, _ int) (*httpwire.Response, error) {
		b := newGate(ctx)
		bodies <- b
		return &httpwire.Response{Status: 200, Length: length, Body: b, Fields: fields(lines...)}, nil
	}}
}

// TestR16OneFetch: a thousand clients of a cold URL are one request to the origin.
func TestR16OneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 64<<20)
		body := pattern(100_000)
		o := &originFunc{f: func(context.Context, *httpwire.Head, int) (*httpwire.Response, error) {
			time.Sleep(time.Second)
			return &httpwire.Response{Status: 200, Length: -1, Fields: fields("Cache-Control: max-age=60"), Body: io.NopCloser(bytes.NewReader(body))}, nil
		}}
		var wg sync.WaitGroup
		var misses, others atomic.Int64
		for range 1000 {
			wg.Go(func() {
				g := serve(t, s, get("/"), o)
				if !bytes.Equal([]byte(g.body), body) || g.short != nil || g.err != nil {
					t.Errorf("%d bytes, %v %v", len(g.body), g.short, g.err)
				}
				switch g.result.Outcome {
				case cache.Miss:
					misses.Add(1)
				case cache.Collapsed, cache.Hit:
					others.Add(1)
				}
			})
		}
		wg.Wait()
		if o.n.Load() != 1 || misses.Load() != 1 || others.Load() != 999 {
			t.Errorf("%d fetches, %d misses, %d others", o.n.Load(), misses.Load(), others.Load())
		}
	})
}

// TestR16OneFetchForEachWindow: however a thousand clients come, none of them makes the origin answer twice for one lifetime.
func TestR16OneFetchForEachWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lifetime, windows = 10 * time.Second, 6
		s := newStore(t, 64<<20)
		var mu sync.Mutex
		var began []time.Time // of each fetch
		o := &originFunc{f: func(_ context.Context, h *httpwire.Head, n int) (*httpwire.Response, error) {
			mu.Lock()
			began = append(began, time.Now())
			mu.Unlock()
			time.Sleep(300 * time.Millisecond)
			if n%2 == 0 && h.Fields.Has(httpwire.IfNoneMatch) {
				return message(`304 | Cache-Control: max-age=10 | ETag: "1"`), nil
			}
			return message(`200 body | Cache-Control: max-age=10 | ETag: "1"`), nil
		}}
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), 0))
				for time.Since(start) < windows*lifetime {
					if g := serve(t, s, get("/"), o); g.body != "body" || g.err != nil {
						t.Errorf("%q %v", g.body, g.err)
					}
					time.Sleep(time.Duration(r.IntN(4000)) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		for i := 1; i < len(began); i++ {
			if d := began[i].Sub(began[i-1]); d < lifetime {
				t.Errorf("fetch %d began %v after the one before", i, d)
			}
		}
		if len(began) < windows-1 || len(began) > windows+1 {
			t.Errorf("%d fetches for %d lifetimes", len(began), windows)
		}
	})
}

// TestR17LeaderLeaves: the first client goes, before or after the head; the others are served, and the object is stored.
func TestR17LeaderLeaves(t *testing.T) {
	for _, early := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(t, 1<<20)
			bodies := make(chan *gate, 1)
			inner := gated(6, bodies, "Cache-Control: max-age=60")
			o := &originFunc{f: func(ctx context.Context, h *httpwire.Head, n int) (*httpwire.Response, error) {
				time.Sleep(time.Second)
				return inner.Fetch(ctx, h)
			}}
			ctx, cancel := context.WithCancel(t.Context())
			type reply struct {
				resp *httpwire.Response
				err  error
			}
			leader := make(chan reply, 1)
			go func() {
				resp, _, err := s.Serve(ctx, get("/"), o)
				leader <- reply{resp, err}
			}()
			synctest.Wait()
			others := make(chan got, 9)
			for range 9 {
				go func() { others <- serve(t, s, get("/"), o) }()
			}
			synctest.Wait()
			if early {
				cancel()
				if r := <-leader; fault.As(r.err).Code != fault.ClientGone {
					t.Errorf("leader: %v", r.err)
				}
			}
			b := <-bodies
			b.parts <- []byte("abc")
			if !early {
				r := <-leader
				r.resp.Body.Close()
				cancel()
			}
			b.parts <- []byte("def")
			close(b.parts)
			for range 9 {
				if g := <-others; g.body != "abcdef" || g.short != nil || g.result.Outcome != cache.Collapsed || !g.result.Collapsed {
					t.Errorf("%q %v %s", g.body, g.short, g.status())
				}
			}
			synctest.Wait()
			want(t, s, get("/"), o, "abcdef", cache.Hit)
			cancel()
		})
	}
}

// TestR17SlowReader: a client that does not read slows nobody.
func TestR17SlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 64<<20)
		body := pattern(3 << 20)
		o := &originFunc{f: func(context.Context, *httpwire.Head, int) (*httpwire.Response, error) {
			return &httpwire.Response{Status: 200, Length: -1, Fields: fields("Cache-Control: max-age=60"), Body: io.NopCloser(bytes.NewReader(body))}, nil
		}}
		slow, _, err := s.Serve(t.Context(), get("/"), o)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		same(t, serve(t, s, get("/"), o).body, body)
		late, err := read(slow)
		if err != nil {
			t.Fatal(err)
		}
		same(t, late, body)
	})
}

// TestReadersStream: bytes reach the readers as they come, and one that attaches late starts at the beginning.
func TestReadersStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		bodies := make(chan *gate, 1)
		o := gated(-1, bodies, "Cache-Control: max-age=60")
		first, _, err := s.Serve(t.Context(), get("/"), o)
		if err != nil {
			t.Fatal(err)
		}
		b, buf := <-bodies, make([]byte, 100)
		b.parts <- []byte("one ")
		if n, err := first.Body.Read(buf); string(buf[:n]) != "one " || err != nil {
			t.Fatalf("%q %v", buf[:n], err)
		}
		second, result, err := s.Serve(t.Context(), get("/"), o)
		if err != nil || result.Outcome != cache.Collapsed {
			t.Fatal(result, err)
		}
		if n, err := second.Body.Read(buf); string(buf[:n]) != "one " || err != nil {
			t.Fatalf("%q %v", buf[:n], err)
		}
		head := serve(t, s, request("HEAD https://example.org/"), o)
		if head.result.Outcome != cache.Collapsed || head.resp.Length != -1 || head.resp.Body != nil {
			t.Error(head.status())
		}
		b.parts <- []byte("two")
		close(b.parts)
		var all bytes.Buffer
		if n, err := second.Body.(io.WriterTo).WriteTo(&all); all.String() != "two" || n != 3 || err != nil {
			t.Errorf("%q %v", all.String(), err)
		}
		rest, err := read(first)
		if rest != "two" || err != nil {
			t.Errorf("%q %v", rest, err)
		}
		second.Body.Close()
		want(t, s, get("/"), o, "one two", cache.Hit)
	})
}

// TestTruncatedIsNeverComplete: every reader gets an error after the bytes that came, and nothing is stored.
func TestTruncatedIsNeverComplete(t *testing.T) {
	f := func(name string, length int64, end func(b *gate)) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(t, 1<<20)
			bodies := make(chan *gate, 1)
			o := gated(length, bodies, "Cache-Control: max-age=60")
			readers := make(chan got, 3)
			for range 3 {
				go func() { readers <- serve(t, s, get("/"), o) }()
				synctest.Wait()
			}
			b := <-bodies
			b.parts <- []byte("abc")
			end(b)
			for range 3 {
				if g := <-readers; g.body != "abc" || g.short == nil || !errors.Is(g.short, httpwire.ErrTruncated) || errors.Is(g.short, io.EOF) {
					t.Errorf("%s: %q %v", name, g.body, g.short)
				}
			}
			synctest.Wait()
			if st := s.Stats(); st != (cache.Stats{}) || !b.closed.Load() {
				t.Errorf("%s: left %+v", name, st)
			}
			want(t, s, get("/"), always("200 whole | Cache-Control: max-age=60"), "whole", cache.Miss)
		})
	}
	f("short of its length", 6, func(b *gate) { close(b.parts) })
	f("reset", 6, func(b *gate) { b.fail <- errors.New("connection reset") })
	f("reset, unknown length", -1, func(b *gate) { b.fail <- errors.New("connection reset") })
	f("unexpected EOF", -1, func(b *gate) { b.fail <- io.ErrUnexpectedEOF })
	f("longer than its length", 3, func(b *gate) { b.parts <- []byte("d") })
}

// TestUnstorableReleasesWaiters: an answer for one is for one; the others fetch for themselves at once, and the next ones do not
// queue.
func TestUnstorableReleasesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		o := &originFunc{f: func(_ context.Context, _ *httpwire.Head, n int) (*httpwire.Response, error) {
			time.Sleep(time.Second)
			return message(fmt.Sprintf("200 %d | Set-Cookie: id=%d", n, n)), nil
		}}
		start := time.Now()
		var wg sync.WaitGroup
		var mu sync.Mutex
		seen := map[string]int{}
		for range 100 {
			wg.Go(func() {
				g := serve(t, s, get("/"), o)
				mu.Lock()
				defer mu.Unlock()
				seen[g.body]++
				if g.result.Reason != "set-cookie" || g.result.Collapsed {
					t.Error(g.status())
				}
			})
		}
		wg.Wait()
		if len(seen) != 100 || o.n.Load() != 100 {
			t.Errorf("%d answers of %d fetches", len(seen), o.n.Load())
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v: the waiting ones queued", took)
		}
		start = time.Now()
		for range 100 {
			wg.Go(func() { serve(t, s, get("/"), o) })
		}
		wg.Wait()
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v: the key was not remembered", took)
		}
	})
}

// TestVariantsReleaseWaiters: a waiter whose variant is another one fetches its own, once for each variant.
func TestVariantsReleaseWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		o := &originFunc{f: func(_ context.Context, h *httpwire.Head, n int) (*httpwire.Response, error) {
			time.Sleep(time.Second)
			v, _ := h.Fields.Lookup("X-V")
			return message("200 " + v + " | Cache-Control: max-age=60 | Vary: X-V"), nil
		}}
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				v := fmt.Sprint("v", i%2)
				if g := serve(t, s, get("/", "X-V: "+v), o); g.body != v {
					t.Errorf("asked for %s, got %s", v, g.body)
				}
			})
		}
		wg.Wait()
		if o.n.Load() != 2 {
			t.Errorf("%d fetches, want 2", o.n.Load())
		}
	})
}

// TestC20DirectBody: a response for one client ends its fetch when it is closed or the client goes.
func TestC20DirectBody(t *testing.T) {
	for _, leave := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(t, 1<<20)
			bodies := make(chan *gate, 1)
			o := gated(-1, bodies, "Cache-Control: private")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			resp, result, err := s.Serve(ctx, get("/"), o)
			if err != nil || result.Reason != "private" {
				t.Fatal(result, err)
			}
			b := <-bodies
			if leave {
				cancel()
				if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
					t.Error("read goes on without its client")
				}
			}
			resp.Body.Close()
			synctest.Wait()
			if b.ctx.Err() == nil || !b.closed.Load() {
				t.Error("the fetch goes on")
			}
		})
	}
}

// TestWaiterGivesUp: waiting ends with the request, and the code tells a client that left from a time limit.
func TestWaiterGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		o := &originFunc{f: func(context.Context, *httpwire.Head, int) (*httpwire.Response, error) {
			time.Sleep(time.Minute)
			return message("200 x | Cache-Control: max-age=600"), nil
		}}
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, _, err := s.Serve(ctx, get("/"), o); fault.As(err).Code != fault.OriginTimeout {
				t.Error(err)
			}
			cancel()
		}
		time.Sleep(time.Minute)
		want(t, s, get("/"), o, "x", cache.Hit)
		if o.n.Load() != 1 {
			t.Error("the fill was given up")
		}
	})
}

// TestPurgeDuringFill: what was being fetched is not stored nor joined; who reads it already goes on.
func TestPurgeDuringFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		bodies := make(chan *gate, 1)
		o := gated(-1, bodies, "Cache-Control: max-age=60")
		resp, _, err := s.Serve(t.Context(), get("/"), o)
		if err != nil {
			t.Fatal(err)
		}
		b := <-bodies
		b.parts <- []byte("old")
		if r, _ := s.Purge("web", get("/").Canon, nil, false); r.Fills != 1 {
			t.Errorf("%+v", r)
		}
		want(t, s, get("/"), always("200 new | Cache-Control: max-age=60"), "new", cache.Miss)
		b.parts <- []byte(" still")
		close(b.parts)
		if body, err := read(resp); body != "old still" || err != nil {
			t.Errorf("%q %v", body, err)
		}
		synctest.Wait()
		if n := s.Stats().Objects; n != 1 {
			t.Errorf("%d objects, want the new one", n)
		}
		want(t, s, get("/"), o, "new", cache.Hit)
	})
}

// TestClose: fills end, later requests pass through, hits go on.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := cache.New(cache.Options{Memory: 1 << 20})
		want(t, s, get("/kept"), always("200 x | Cache-Control: max-age=60"), "x", cache.Miss)
		bodies := make(chan *gate, 1)
		resp, _, err := s.Serve(t.Context(), get("/"), gated(-1, bodies, "Cache-Control: max-age=60"))
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		if _, err := read(resp); !errors.Is(err, httpwire.ErrTruncated) {
			t.Error(err)
		}
		o := always("200 y | Cache-Control: max-age=60")
		g := want(t, s, get("/"), o, "y", cache.Bypass)
		if g.result.Reason != "closed" {
			t.Error(g.status())
		}
		want(t, s, get("/kept"), o, "x", cache.Hit)
		s.Close()
	})
}

// TestOriginPanics: a panic in a fill is an error of that fill.
func TestOriginPanics(t *testing.T) {
	s := newStore(t, 1<<20)
	o := &originFunc{f: func(context.Context, *httpwire.Head, int) (*httpwire.Response, error) { panic("oops") }}
	if g := serve(t, s, get("/"), o); fault.As(g.err).Code != fault.Unexpected {
		t.Error(g.err)
	}
	want(t, s, get("/"), always("200 x | Cache-Control: max-age=60"), "x", cache.Miss)
}

// TestDoneIsCalledOnce: the origin is told how each response of its own ended.
func TestDoneIsCalledOnce(t *testing.T) {
	f := func(m string, want error) {
		t.Helper()
		s := cache.New(cache.Options{Memory: 1 << 20})
		calls := 0
		var last error
		o := &originFunc{f: respondWith(func() *httpwire.Response {
			r := message(m)
			r.Length = 4
			r.Done = func(_ int64, err error) { calls, last = calls+1, err }
			return r
		})}
		serve(t, s, get("/"), o)
		s.Close()
		if calls != 1 || !errors.Is(last, want) {
			t.Errorf("%s: %d calls, %v", m, calls, last)
		}
	}
	f("200 body | Cache-Control: max-age=60", nil)
	f("200 bo | Cache-Control: max-age=60", httpwire.ErrTruncated)
}

// TestOlderFillEndsLater: a response that was received earlier does not replace a later one, however long its body took; and one
// that has gone stale while it grows takes no more readers.
func TestOlderFillEndsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 1<<20)
		bodies := make(chan *gate, 1)
		resp, _, err := s.Serve(t.Context(), get("/"), gated(-1, bodies, "Cache-Control: max-age=1"))
		if err != nil {
			t.Fatal(err)
		}
		b := <-bodies
		b.parts <- []byte("old")
		time.Sleep(2 * time.Second)
		o := always("200 new | Cache-Control: max-age=60")
		want(t, s, get("/"), o, "new", cache.Miss)
		close(b.parts)
		if body, err := read(resp); body != "old" || err != nil {
			t.Errorf("%q %v", body, err)
		}
		synctest.Wait()
		want(t, s, get("/"), o, "new", cache.Hit)
		if st := s.Stats(); st.Objects != 1 || st.Fills != 0 {
			t.Errorf("%+v", st)
		}
	})
}
