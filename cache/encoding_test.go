package cache_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// What has come is seen encoded while the origin still sends.
func TestFirstUseStreams(t *testing.T) {
	for _, c := range codings {
		s := newStore(t, 16<<20)
		body := newGate(t.Context())
		o := &originFunc{f: respondWith(func() *httpwire.Response {
			return &httpwire.Response{Status: 200, Length: -1, Body: body, Fields: fields("Content-Type: text/plain", "Cache-Control: max-age=60")}
		})}
		resp, _, err := s.Serve(t.Context(), coded(get("/a"), c), o)
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := resp.Fields.Get(httpwire.ContentEncoding); v != c.String() || resp.Length != -1 {
			t.Fatalf("coding %q, length %d", v, resp.Length)
		}
		want := []byte("the first line of many\n")
		body.parts <- want
		wire := readerOf(t, c, resp.Body)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(wire, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v: %q, %v", c, got, err)
		}
		close(body.parts)
		if rest, err := io.ReadAll(wire); err != nil || len(rest) > 0 {
			t.Fatalf("%v: %q, %v", c, rest, err)
		}
		resp.Body.Close()
	}
}

func readerOf(t *testing.T, c encode.Coding, r io.Reader) io.Reader {
	switch c {
	case encode.Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		return z
	case encode.Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Close)
		return z
	}
	return brotli.NewReader(r)
}

// A body that breaks off is an error in every coding, and is fetched and encoded anew.
func TestATruncatedBodyIsNoForm(t *testing.T) {
	s := newStore(t, 16<<20)
	o := &originFunc{f: func(_ context.Context, _ *httpwire.Head, n int) (*httpwire.Response, error) {
		r := &httpwire.Response{Status: 200, Length: 20_000, Body: stringBody(page("1", 20_000)),
			Fields: fields("Content-Type: text/html", "Cache-Control: max-age=60", `ETag: "1"`)}
		if n == 1 {
			r.Body = stringBody(page("1", 10_000))
		}
		return r, nil
	}}
	if g := serve(t, s, coded(get("/a"), encode.Gzip), o); g.short == nil {
		t.Fatalf("no error after %d bytes", len(g.body))
	}
	checkPage(t, serve(t, s, coded(get("/a"), encode.Gzip), o), "1", 20_000, "gzip")
}

// A body that outgrows the store goes to everybody who reads it, encoded, and leaves nothing behind.
func TestAFormOutgrowsTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 2<<20)
		want := make([]byte, 3<<20) // more than an object may have
		x := uint32(1)
		for i := range want {
			x = x*1664525 + 1013904223
			want[i] = byte(x >> 24)
		}
		o := &originFunc{f: respondWith(func() *httpwire.Response {
			return &httpwire.Response{Status: 200, Length: -1, Body: io.NopCloser(bytes.NewReader(want)),
				Fields: fields("Content-Type: text/plain", "Cache-Control: max-age=60")}
		})}
		var wg sync.WaitGroup
		for _, c := range []encode.Coding{encode.Zstd, encode.Gzip, encode.Identity, encode.Zstd} {
			wg.Go(func() {
				g := serve(t, s, coded(get("/a"), c), o)
				if g.err != nil || g.short != nil {
					t.Errorf("%v: %v, %v", c, g.err, g.short)
					return
				}
				if got := decoded(t, g); got != string(want) {
					t.Errorf("%v: %d bytes", c, len(got))
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if got := s.Stats(); got.Bytes != 0 || got.Objects != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// A body of unknown length that turns out longer than is encoded of what states it goes out whole, and its coding is not kept.
func TestALongFormIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 128<<20)
		want := strings.Repeat("The same line again and again.\n", encode.MaxLength/30)
		begun := make(chan struct{}) // the length is not known before the response is made
		o := &originFunc{f: respondWith(func() *httpwire.Response {
			return &httpwire.Response{Status: 200, Length: -1, Body: io.NopCloser(io.MultiReader(strings.NewReader(want), waiting(begun))),
				Fields: fields("Content-Type: text/plain", "Cache-Control: max-age=60")}
		})}
		resp, result, err := s.Serve(t.Context(), coded(get("/a"), encode.Zstd), o)
		if err != nil {
			t.Fatal(err)
		}
		close(begun)
		g := got{resp: resp, result: result}
		if g.body, g.short = read(resp); field(g, "Content-Encoding") != "zstd" || decoded(t, g) != want {
			t.Errorf("%d bytes, %v", len(g.body), g.resp.Fields)
		}
		synctest.Wait()
		if x := s.Explain(coded(get("/a"), encode.Zstd)); !x.Stored || len(x.Codings) > 0 || x.Encode != encode.Describe(encode.ReasonLarge) {
			t.Errorf("%+v", x)
		}
		if g := serve(t, s, coded(get("/a"), encode.Zstd), o); field(g, "Content-Encoding") != "" || g.body != want {
			t.Errorf("%d bytes, %v", len(g.body), g.resp.Fields)
		}
	})
}

// waiting is an empty reader that ends when the channel is closed.
type waiting chan struct{}

func (w waiting) Read([]byte) (int, error) {
	<-w
	return 0, io.EOF
}

// A client that goes away does not keep others from the form, nor the form from being complete.
func TestAReaderWhoLeavesHurtsNobody(t *testing.T) {
	s, reg := encodingStore(t, 16<<20)
	version := "1"
	o := pageOrigin(&version, 400_000)
	ctx, cancel := context.WithCancel(t.Context())
	resp, _, err := s.Serve(ctx, coded(get("/a"), encode.Brotli), o)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	resp.Body.Close()
	checkPage(t, serve(t, s, coded(get("/a"), encode.Brotli), o), "1", 400_000, "br")
	if o.n.Load() != 1 || runs(t, reg) != 1 {
		t.Errorf("%d fetches, %d runs", o.n.Load(), runs(t, reg))
	}
}

// Of what must not be encoded nothing is, and nothing is encoded twice.
func TestNotEncoded(t *testing.T) {
	s := newStore(t, 16<<20)
	for i, lines := range [][]string{
		{"Content-Type: text/html", "Cache-Control: max-age=60, no-transform", `ETag: "1"`},
		{"Content-Type: text/html", "Cache-Control: max-age=60", "Content-Encoding: gzip", `ETag: "1"`},
		{"Content-Type: image/png", "Cache-Control: max-age=60", `ETag: "1"`},
		{"Cache-Control: max-age=60", `ETag: "1"`},
	} {
		o := &originFunc{f: respondWith(func() *httpwire.Response {
			return &httpwire.Response{Status: 200, Length: 5000, Body: stringBody(page("1", 5000)), Fields: fields(lines...)}
		})}
		for range 2 {
			g := serve(t, s, coded(get(fmt.Sprint("/", i)), encode.Gzip), o)
			if g.body != page("1", 5000) || field(g, "ETag") != `"1"` || g.resp.Length != 5000 || field(g, "Vary") != "" {
				t.Errorf("%q: %v", lines, g.resp.Fields)
			}
		}
	}
}

// Without memory for a form the response is left to encode.Wrap, and is right as it is.
func TestNoMemoryForAForm(t *testing.T) {
	s := newStore(t, 40_000)
	version := "1"
	o := pageOrigin(&version, 30_000)
	checkPage(t, serve(t, s, coded(get("/a"), encode.Gzip), o), "1", 30_000, "")
	g := serve(t, s, coded(get("/a"), encode.Gzip), o)
	checkPage(t, g, "1", 30_000, "")
}

func TestCloseEndsEncoding(t *testing.T) {
	s := cache.New(cache.Options{Memory: 16 << 20})
	body := newGate(t.Context())
	o := &originFunc{f: func(ctx context.Context, _ *httpwire.Head, _ int) (*httpwire.Response, error) {
		body.ctx = ctx
		return &httpwire.Response{Status: 200, Length: -1, Body: body, Fields: fields("Content-Type: text/plain", "Cache-Control: max-age=60")}, nil
	}}
	resp, _, err := s.Serve(t.Context(), coded(get("/a"), encode.Gzip), o)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := read(resp); err == nil {
		t.Error("a whole body")
	}
	if got := s.Stats().Bytes; got != 0 {
		t.Errorf("%d bytes", got)
	}
}

// smallPieces reads no more than 700 bytes at once.
func smallPieces(r io.Reader) io.Reader {
	return readFunc(func(p []byte) (int, error) { return r.Read(p[:min(len(p), 700)]) })
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// Whatever happens in whatever order, what a client decodes is what the origin sent in one response, and never one that was
// purged before the request.
func TestFormsUnderRandomEvents(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := cache.New(cache.Options{Memory: int64(rapid.IntRange(100_000, 1_000_000).Draw(rt, "memory"))})
		defer s.Close()
		n := rapid.IntRange(0, 60_000).Draw(rt, "size")
		known := rapid.Bool().Draw(rt, "known")
		pieces := rapid.SampledFrom([]func(io.Reader) io.Reader{
			func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.DataErrReader, smallPieces,
		}).Draw(rt, "pieces")
		version := 1
		var mu sync.Mutex
		o := &originFunc{f: func(context.Context, *httpwire.Head, int) (*httpwire.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			v := strconv.Itoa(version)
			r := &httpwire.Response{Status: 200, Length: -1, Body: io.NopCloser(pieces(strings.NewReader(v + page(v, n)))),
				Fields: fields("Content-Type: text/html", "Cache-Control: max-age=60", "X-Version: "+v)}
			if known {
				r.Length = int64(n + len(v))
			}
			return r, nil
		}}
		var wg sync.WaitGroup
		for range rapid.IntRange(1, 30).Draw(rt, "events") {
			path := fmt.Sprint("/", rapid.IntRange(0, 3).Draw(rt, "path"))
			switch rapid.IntRange(0, 9).Draw(rt, "event") {
			case 0:
				wg.Wait()
				mu.Lock()
				version++
				mu.Unlock()
				for i := range 4 {
					purgeURL(t, s, fmt.Sprint("/", i))
				}
			case 1:
				s.SetMemory(int64(rapid.IntRange(50_000, 1_000_000).Draw(rt, "memory")))
			default:
				c := encode.Coding(rapid.IntRange(0, encode.Count-1).Draw(rt, "coding"))
				leave := rapid.IntRange(0, 5).Draw(rt, "leave") == 0
				wg.Go(func() {
					resp, _, err := s.Serve(t.Context(), coded(get(path), c), o)
					if err != nil {
						t.Error(err)
						return
					}
					if leave {
						resp.Body.Close()
						return
					}
					g := got{resp: resp}
					if g.body, g.short = read(resp); g.short != nil {
						t.Error(g.short)
						return
					}
					v := strconv.Itoa(version)
					if got := decoded(t, g); got != v+page(v, n) || field(g, "X-Version") != v {
						t.Errorf("%v: %d bytes, version %s, want %s", c, len(got), field(g, "X-Version"), v)
					}
				})
			}
		}
		wg.Wait()
	})
}
