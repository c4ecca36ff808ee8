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

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// TestEveryBodyIsOfOneVersion: under random versions, ranges, aborts, truncations, purges, evictions and lies of the origin, every body that ends well
// is that range of one version, no older than the last purge, and memory stays below its ceiling.
func TestEveryBodyIsOfOneVersion(t *testing.T) {
	worlds(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		clients := rapid.IntRange(1, 8).Draw(rt, "clients")
		memory := rapid.SampledFrom([]int64{1_000_000, 3 * mib, 6 * mib, 64 << 20}).Draw(rt, "memory")
		var failure atomic.Pointer[string]
		synctest.Test(t, func(t *testing.T) { runSlices(t, seed, clients, memory, &failure) })
		if f := failure.Load(); f != nil {
			rt.Fatal(*f)
		}
	})
}

// worlds is rapid.Check, which stops after a few worlds when the race detector makes each of them ten times as long.
func worlds(t *testing.T, property func(*rapid.T)) {
	t.Helper()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		if n++; raceDetector && n > 12 {
			return
		}
		property(rt)
	})
}

// liar makes an origin that is random: new versions of other lengths, errors, broken bodies, and answers that are not what was asked for.
func liar(seed uint64) *file {
	r := rand.New(rand.NewPCG(seed, 99))
	o := &file{size: 3*mib + 5000, control: "max-age=1, stale-while-revalidate=1, stale-if-error=2", delay: 5 * time.Millisecond}
	o.change = func(n int, h *httpwire.Head, resp *httpwire.Response) *httpwire.Response {
		switch r.IntN(14) {
		case 0:
			drop(resp)
			return nil
		case 1:
			drop(resp)
			return message("503 no")
		case 2:
			o.version++
			o.size = int64(r.IntN(11*mib) + 1)
		case 3:
			o.cut = 1 + r.Int64N(2*mib)
		case 4:
			resp.Fields.Filter(func(f *httpwire.Field) bool { return f.ID != httpwire.ContentRange })
		case 5:
			resp.Fields.Set(httpwire.ETag, `"other"`)
			if resp.Body != nil { // bytes of the version that it says
				resp.Body.(*fileBody).version = 1_000_000
			}
		case 6:
			o.plain = !o.plain
		case 7:
			if resp.Body != nil && resp.Status == 206 {
				resp.Length, resp.Body.(*fileBody).end = -1, resp.Body.(*fileBody).end-1
			}
		}
		return resp
	}
	return o
}

func runSlices(t *testing.T, seed uint64, clients int, memory int64, failure *atomic.Pointer[string]) {
	s, o := cache.New(cache.Options{Memory: memory}), liar(seed)
	fail := func(format string, args ...any) {
		m := fmt.Sprintf(format, args...)
		failure.CompareAndSwap(nil, &m)
	}
	var oldest atomic.Int64 // version at the last purge
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(c+1)))
			for range 12 {
				least := oldest.Load()
				if r.IntN(12) == 0 {
					o.mu.Lock()
					version := int64(o.version)
					o.mu.Unlock()
					_, _ = s.Purge("web", get("/f").Canon, policy(), false)
					oldest.Store(max(oldest.Load(), version))
					continue
				}
				start, req := r.Int64N(4*mib), get("/f")
				if r.IntN(3) > 0 {
					req = get("/f", fmt.Sprintf("Range: bytes=%d-%d", start, start+r.Int64N(2*mib)))
				}
				checkSlices(t.Context(), r, s, with(req, func(p *config.CachePolicy) { p.StaleIfError = time.Second }), o, int(least), fail)
				if used := s.Stats().Bytes; used > memory {
					fail("%d bytes resident of %d", used, memory)
				}
				time.Sleep(time.Duration(r.IntN(700)) * time.Millisecond)
			}
		})
	}
	wg.Wait()
	s.Close()
	s.SetMemory(0)
	if st := s.Stats(); st != (cache.Stats{}) || o.open != 0 {
		fail("left %+v, %d bodies open", st, o.open)
	}
}

// checkSlices is one request, whose client may be slow and may leave.
func checkSlices(ctx context.Context, r *rand.Rand, s *cache.Store, req *cache.Request, o *file, least int, fail func(string, ...any)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.IntN(6) == 0 {
		time.AfterFunc(time.Duration(r.IntN(30))*time.Millisecond, cancel)
	}
	resp, result, err := s.Serve(ctx, req, o)
	if err != nil || resp.Body == nil {
		return
	}
	defer resp.Body.Close()
	var all bytes.Buffer
	buf, pause, leave := make([]byte, 1+r.IntN(300_000)), r.IntN(4) == 0, r.IntN(6) == 0
	for err == nil {
		var n int
		n, err = resp.Body.Read(buf)
		all.Write(buf[:n])
		if pause {
			time.Sleep(time.Millisecond)
		}
		if leave && all.Len() > mib/2 {
			return
		}
	}
	if err != io.EOF || resp.Status != 200 && resp.Status != 206 {
		if errors.Is(err, io.EOF) && err != io.EOF {
			fail("an error that looks like the end: %v", err)
		}
		return
	}
	if result.Outcome == cache.Bypass || result.Outcome == cache.Miss && !result.Stored {
		return // the origin's own, lies included
	}
	start, version := int64(0), -1
	if place, ok := resp.Fields.Get(httpwire.ContentRange); ok {
		_, _ = fmt.Sscanf(place, "bytes %d-", &start)
	}
	tag, _ := resp.Fields.Get(httpwire.ETag)
	if _, err := fmt.Sscanf(tag, `"v%d"`, &version); err != nil {
		version = 1_000_000
	}
	if version < least {
		fail("version %d was fetched before a purge of version %d and served after it", version, least)
	}
	if !bytes.Equal(all.Bytes(), fileBytes(version, start, start+int64(all.Len()))) {
		fail("%s: %d bytes from %d that are not of version %d", string(result.AppendStatus(nil, "n")), all.Len(), start, version)
	}
	if resp.Length >= 0 && resp.Length != int64(all.Len()) {
		fail("%d bytes of %d end well", all.Len(), resp.Length)
	}
}
