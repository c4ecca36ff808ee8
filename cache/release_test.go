package cache_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

func TestAFreshHitAllocatesNothing(t *testing.T) {
	for _, size := range []int{1, 64 << 10, 1 << 20} {
		s, req, o := newStore(t, 64<<20), benchRequest("/style.css?v=12"), benchOrigin(size)
		serve(t, s, req, o)
		if n := testing.AllocsPerRun(1000, func() {
			resp, result, ok := s.Lookup(req)
			if !ok {
				t.Fatal("no hit")
			}
			if _, err := resp.Body.(io.WriterTo).WriteTo(io.Discard); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			result.Release()
		}); n != 0 {
			t.Errorf("%d bytes: %v allocations", size, n)
		}
	}
}

// numbered answers each path with a body and a field that name it.
var numbered = &originFunc{f: func(_ context.Context, head *httpwire.Head, _ int) (*httpwire.Response, error) {
	body := strings.Repeat(head.Target+" ", 1000)
	return &httpwire.Response{Status: 200, Length: int64(len(body)), Fields: fields("Cache-Control: max-age=60", "X-Path: "+head.Target),
		Body: io.NopCloser(strings.NewReader(body))}, nil
}}

// A response whose memory is used again is nobody else's: not when it is released twice, by a copy of the Result, or without having been read.
func TestReleasedResponsesAreNotShared(t *testing.T) {
	const keys, each = 8, 300
	s := newStore(t, 64<<20)
	for i := range keys {
		serve(t, s, get(fmt.Sprint("/", i)), numbered)
	}
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			path := fmt.Sprint("/", i)
			req := get(path)
			var old cache.Result
			for turn := range each {
				resp, result, ok := s.Lookup(req)
				if !ok {
					t.Error("no hit")
					return
				}
				old.Release() // of the turn before, once more
				old = result
				copied := result
				if got := field(httpGot(resp), "X-Path"); got != path {
					t.Errorf("%s: the response of %s", path, got)
				}
				if turn%3 > 0 {
					body, err := io.ReadAll(resp.Body)
					if want := strings.Repeat(path+" ", 1000); string(body) != want || err != nil {
						t.Errorf("%s: %.20q, %v", path, body, err)
					}
				}
				if turn%5 == 0 {
					result.Release() // too early: the body is open, so this does nothing
					if got := field(httpGot(resp), "X-Path"); got != path {
						t.Errorf("%s: gone before its body was closed: %q", path, got)
					}
				}
				resp.Body.Close()
				copied.Release()
				result.Release()
			}
		})
	}
	wg.Wait()
}

func httpGot(resp *httpwire.Response) got { return got{resp: resp} }
