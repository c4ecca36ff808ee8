package cache_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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

// A body that knows itself: serial number, path, variant and length, then bytes that follow from them, then a sum.
func selfBody(serial uint32, path, variant byte, n int) []byte {
	b := binary.BigEndian.AppendUint32(nil, serial)
	b = append(b, path, variant)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	r := rand.New(rand.NewPCG(uint64(serial), 1))
	for len(b) < n+10 {
		b = binary.BigEndian.AppendUint64(b, r.Uint64())
	}
	b = b[:n+10]
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func checkSelf(b []byte, path, variant byte) (uint32, error) {
	if len(b) < 14 || int(binary.BigEndian.Uint32(b[6:]))+14 != len(b) || crc32.ChecksumIEEE(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return 0, fmt.Errorf("%d bytes that no origin response has", len(b))
	}
	if b[4] != path || b[5] != variant {
		return 0, fmt.Errorf("response for %d/%d given to %d/%d", b[4], b[5], path, variant)
	}
	return binary.BigEndian.Uint32(b), nil
}

// choppy gives a body in pieces with pauses, and may break.
type choppy struct {
	ctx   context.Context
	rest  []byte
	step  int
	pause time.Duration
	end   error
}

func (c *choppy) Read(p []byte) (int, error) {
	if c.pause > 0 {
		select {
		case <-time.After(c.pause):
		case <-c.ctx.Done():
			return 0, c.ctx.Err()
		}
	}
	if len(c.rest) == 0 {
		return 0, c.end
	}
	n := copy(p[:min(len(p), c.step)], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *choppy) Close() error { return nil }

// world is an origin that keeps a diary.
type world struct {
	serial atomic.Uint32
	mu     sync.Mutex
	rnd    *rand.Rand
	fast   bool // in real time: no pauses

	complete map[uint32]bool
	asked    map[uint32]time.Time // when the fetch of a serial began
}

func (w *world) Fetch(ctx context.Context, h *httpwire.Head) (*httpwire.Response, error) {
	w.mu.Lock()
	began, delay := time.Now(), time.Duration(w.rnd.IntN(30))*time.Millisecond
	kind, size, step, known := w.rnd.IntN(20), w.rnd.IntN(90_000), 1+w.rnd.IntN(40_000), w.rnd.IntN(2) == 0
	pause := time.Duration(w.rnd.IntN(3)) * time.Millisecond
	cut := w.rnd.IntN(size + 1)
	cc := []string{"max-age=0, stale-while-revalidate=1", "max-age=1", "max-age=1, stale-while-revalidate=1, stale-if-error=2", "no-cache", "private", "max-age=3"}[w.rnd.IntN(6)]
	w.mu.Unlock()
	if w.fast {
		delay, pause = delay/100, 0
	}
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	tag, asked := h.Fields.Get(httpwire.IfNoneMatch)
	switch {
	case kind == 0:
		return nil, errOrigin
	case kind == 1:
		return message("503 no"), nil
	case kind < 6 && asked:
		return &httpwire.Response{Status: 304, Fields: fields("ETag: "+tag, "Cache-Control: "+cc)}, nil
	}
	serial, path, variant := w.serial.Add(1), h.Target[len(h.Target)-1], byte(0)
	if v, ok := h.Fields.Lookup("X-V"); ok {
		variant = v[0]
	}
	body := selfBody(serial, path, variant, size)
	length := int64(-1)
	if known {
		length = int64(len(body))
	}
	c := &choppy{ctx: ctx, rest: body, step: step, pause: pause, end: io.EOF}
	whole := kind < 16
	if !whole {
		c.rest, c.end = c.rest[:cut], io.ErrUnexpectedEOF
	}
	w.mu.Lock()
	w.complete[serial], w.asked[serial] = whole, began
	w.mu.Unlock()
	return &httpwire.Response{Status: 200, Length: length, Body: c,
		Fields: fields("Cache-Control: "+cc, fmt.Sprintf(`ETag: "%d"`, serial), "Vary: X-V")}, nil
}

// TestServedIsWhatAnOriginSent: under random aborts, truncations, purges, evictions and schedules, every body that ends well equals
// one complete origin response for that URL and variant, and none that was fetched before a purge is served after it.
func TestServedIsWhatAnOriginSent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		clients := rapid.IntRange(1, 10).Draw(rt, "clients")
		memory := rapid.SampledFrom([]int64{100_000, 300_000, 2 << 20, 64 << 20}).Draw(rt, "memory")
		var failure atomic.Pointer[string]
		synctest.Test(t, func(t *testing.T) { runWorld(t, seed, clients, memory, &failure) })
		if f := failure.Load(); f != nil {
			rt.Fatal(*f)
		}
	})
}

func runWorld(t *testing.T, seed uint64, clients int, memory int64, failure *atomic.Pointer[string]) {
	s := cache.New(cache.Options{Memory: memory})
	w := &world{rnd: rand.New(rand.NewPCG(seed, 0)), complete: map[uint32]bool{}, asked: map[uint32]time.Time{}}
	var purges [3]atomic.Int64
	clientsOf(t, s, w, seed, clients, memory, &purges, failure)
	s.Close()
	s.SetMemory(0)
	if st := s.Stats(); st != (cache.Stats{}) {
		m := fmt.Sprintf("left %+v", st)
		failure.CompareAndSwap(nil, &m)
	}
}

// clientsOf lets clients ask and purge, and checks what they get.
func clientsOf(t *testing.T, s *cache.Store, w *world, seed uint64, clients int, memory int64, purges *[3]atomic.Int64, failure *atomic.Pointer[string]) {
	fail := func(format string, args ...any) {
		m := fmt.Sprintf(format, args...)
		failure.CompareAndSwap(nil, &m)
	}
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(c+1)))
			for range 15 {
				path, variant := byte('0'+r.IntN(3)), byte('a'+r.IntN(2))
				req := with(get("/"+string(path), "X-V: "+string(variant)), func(p *config.CachePolicy) { p.StaleIfError = time.Second })
				if r.IntN(15) == 0 {
					_, _ = s.Purge("web", req.Canon, req.Policy, false)
					purges[path-'0'].Store(time.Now().UnixNano())
					time.Sleep(time.Nanosecond)
					continue
				}
				purged := purges[path-'0'].Load()
				body, err := fetch(t.Context(), r, s, req, w)
				if used := s.Stats().Bytes; used > memory {
					fail("%d bytes resident of %d", used, memory)
				}
				if err != nil || body == nil {
					continue
				}
				serial, err := checkSelf(body, path, variant)
				if err != nil {
					fail("%v", err)
					continue
				}
				w.mu.Lock()
				if !w.complete[serial] {
					fail("a truncated response was served as complete")
				}
				if w.asked[serial].UnixNano() < purged {
					fail("response %d was fetched before a purge and served after it", serial)
				}
				w.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// fetch is one client: it may be slow, and it may leave. A nil body says that it did, or that the answer is no 200.
func fetch(ctx context.Context, r *rand.Rand, s *cache.Store, req *cache.Request, o cache.Origin) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.IntN(5) == 0 {
		time.AfterFunc(time.Duration(r.IntN(40))*time.Millisecond, cancel)
	}
	resp, _, err := s.Serve(ctx, req, o)
	if err != nil {
		return nil, err
	}
	if resp.Body == nil {
		return nil, nil
	}
	defer resp.Body.Close()
	var all bytes.Buffer
	pause, leave := r.IntN(4) == 0, r.IntN(6) == 0
	buf := make([]byte, 1+r.IntN(50_000))
	for {
		n, err := resp.Body.Read(buf)
		all.Write(buf[:n])
		switch {
		case errors.Is(err, io.EOF) && err != io.EOF:
			return nil, errors.New("an error that looks like the end")
		case err == io.EOF && resp.Status != 200, leave && all.Len() > 0:
			return nil, nil
		case err == io.EOF:
			return all.Bytes(), nil
		case err != nil:
			return nil, err
		}
		if pause {
			time.Sleep(time.Duration(r.IntN(5)) * time.Millisecond)
		}
	}
}
