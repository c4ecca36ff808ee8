package cache_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

func benchRequest(path string) *cache.Request {
	return get(path, "Accept: */*", "Accept-Encoding: gzip, br", "User-Agent: Mozilla/5.0", "Accept-Language: en", "Referer: https://example.org/")
}

func benchOrigin(n int) *originFunc {
	body := string(pattern(n))
	f := fields("Cache-Control: public, max-age=31536000", "Content-Type: text/css", `ETag: "0123456789abcdef"`, "Date: Sun, 06 Nov 2094 08:49:37 GMT",
		"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "Server: origin", "Vary: Accept-Encoding")
	return &originFunc{f: respondWith(func() *httpwire.Response {
		return &httpwire.Response{Status: 200, Length: int64(n), Fields: f, Body: io.NopCloser(strings.NewReader(body))}
	})}
}

// BenchmarkHit is a fresh hit, found and read to its end without a copy.
func BenchmarkHit(b *testing.B) {
	for _, n := range []int{1 << 10, 64 << 10, 1 << 20} {
		for _, lane := range []string{"lookup", "serve"} {
			b.Run(fmt.Sprintf("%s/%dKiB", lane, n>>10), func(b *testing.B) {
				s, req, o := newStore(b, 64<<20), benchRequest("/style.css?v=12"), benchOrigin(n)
				serve(b, s, req, o)
				b.ReportAllocs()
				b.SetBytes(int64(n))
				for b.Loop() {
					var resp *httpwire.Response
					var result cache.Result
					if lane == "lookup" {
						resp, result, _ = s.Lookup(req)
					} else {
						resp, result, _ = s.Serve(b.Context(), req, o)
					}
					if _, err := resp.Body.(io.WriterTo).WriteTo(io.Discard); err != nil {
						b.Fatal(err)
					}
					resp.Body.Close()
					result.Release()
				}
			})
		}
	}
}

// BenchmarkLookup is a fresh hit that is found and given up: of an object at rest, and of one that is not.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			s, req, o := newStore(b, 64<<20), benchRequest("/style.css?v=12"), benchOrigin(n)
			serve(b, s, req, o)
			b.ReportAllocs()
			for b.Loop() {
				resp, result, _ := s.Lookup(req)
				resp.Body.Close()
				result.Release()
			}
		})
	}
}

// BenchmarkHitParallel is the same from every core, on one key and on many.
func BenchmarkHitParallel(b *testing.B) {
	for _, keys := range []int{1, 1024} {
		b.Run(fmt.Sprintf("%dkeys", keys), func(b *testing.B) {
			s, o := newStore(b, 64<<20), benchOrigin(1<<10)
			requests := make([]*cache.Request, keys)
			for i := range requests {
				requests[i] = benchRequest(fmt.Sprint("/style.css?v=", i))
				serve(b, s, requests[i], o)
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					resp, result, ok := s.Lookup(requests[i%keys])
					if !ok {
						b.Error("no hit")
						return
					}
					resp.Body.Close()
					result.Release()
				}
			})
		})
	}
}

// BenchmarkMissFill is a fetch that is stored and evicts another.
func BenchmarkMissFill(b *testing.B) {
	for _, n := range []int{1 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			s, o := newStore(b, 32<<20), benchOrigin(n)
			b.ReportAllocs()
			b.SetBytes(int64(n))
			for i := 0; b.Loop(); i++ {
				resp, _, err := s.Serve(b.Context(), benchRequest(fmt.Sprint("/", i)), o)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					b.Fatal(err)
				}
				resp.Body.Close()
			}
		})
	}
}

// BenchmarkCollapsed is one request of a hundred for one cold URL.
func BenchmarkCollapsed(b *testing.B) {
	s, o := newStore(b, 64<<20), benchOrigin(64<<10)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		req := benchRequest(fmt.Sprint("/", i))
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				resp, _, err := s.Serve(b.Context(), req, o)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			})
		}
		wg.Wait()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/request")
}

// BenchmarkManyObjects fills a store with small objects, a million with -benchtime 1000000x, and reports what the index costs: the memory of one
// beyond its key, head and body, and what the collector does because of all.
func BenchmarkManyObjects(b *testing.B) {
	s := newStore(b, 64<<30)
	body, f := strings.Repeat("x", 100), fields("Cache-Control: max-age=3600", "Content-Type: text/plain", `ETag: "0123456789abcdef"`)
	o := cache.Origin(fetchFunc(func() *httpwire.Response {
		return &httpwire.Response{Status: 200, Length: int64(len(body)), Fields: f, Body: io.NopCloser(strings.NewReader(body))}
	}))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := 0; b.Loop(); i++ {
		resp, result, err := s.Serve(b.Context(), get(fmt.Sprint("/objects/", i)), o)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		result.Release()
	}
	runtime.GC()
	began := time.Now()
	runtime.GC()
	mark := time.Since(began)
	runtime.ReadMemStats(&after)
	n := float64(s.Stats().Objects)
	if n < float64(b.N) {
		b.Fatalf("%v objects of %d", n, b.N)
	}
	payload := float64(len(body)) + float64(f.Size()) + float64(len("3:web,4:http,11:example.org,0:,15:/objects/123456,0:,"))
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n-payload, "B/object")
	b.ReportMetric(float64(mark.Microseconds())/1000, "ms/collection")
	b.ReportMetric(float64(after.PauseNs[(after.NumGC+255)%256])/1000, "us/pause")
	runtime.KeepAlive(s)
}

type fetchFunc func() *httpwire.Response

func (f fetchFunc) Fetch(context.Context, *httpwire.Head) (*httpwire.Response, error) {
	return f(), nil
}
