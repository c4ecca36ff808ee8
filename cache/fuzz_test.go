package cache_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// FuzzReader: blocks of any sizes, read from any place, are the bytes that went in.
func FuzzReader(f *testing.F) {
	f.Add(uint(5000), uint(4090), uint(10), true)
	f.Add(uint(200_000), uint(65_530), uint(70_000), false)
	f.Fuzz(func(t *testing.T, size, start, n uint, known bool) {
		size, n = size%300_000+1, n%100_000+1
		start %= size
		body := pattern(int(size))
		s := newStore(t, 8<<20)
		o := &originFunc{f: respondWith(func() *httpwire.Response {
			r := &httpwire.Response{Status: 200, Length: -1, Fields: fields("Cache-Control: max-age=60"), Body: io.NopCloser(bytes.NewReader(body))}
			if known {
				r.Length = int64(size)
			}
			return r
		})}
		same(t, serve(t, s, get("/"), o).body, body)
		end := min(start+n, size)
		g := serve(t, s, get("/", rangeOf(start, end)), o)
		if g.result.Outcome != cache.Hit || g.resp.Status != 206 {
			t.Fatal(g.status(), g.resp.Status)
		}
		same(t, g.body, body[start:end])
	})
}
