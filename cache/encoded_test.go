package cache_test

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// page is text of n bytes that tells versions apart.
func page(version string, n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "<p>version %s, line %d, %d</p>\n", version, i, i*i%1013)
	}
	return b.String()[:n]
}

// pageOrigin answers with text that says which version it is, and 304 to those who have it.
func pageOrigin(version *string, n int, more ...string) *originFunc {
	return &originFunc{f: func(_ context.Context, h *httpwire.Head, _ int) (*httpwire.Response, error) {
		tag := strconv.Quote(*version)
		f := fields(append([]string{"Content-Type: text/html", "Cache-Control: max-age=60", "ETag: " + tag}, more...)...)
		if held, _ := h.Fields.Get(httpwire.IfNoneMatch); held == tag {
			return &httpwire.Response{Status: 304, Fields: f}, nil
		}
		return &httpwire.Response{Status: 200, Fields: f, Length: int64(n), Body: stringBody(page(*version, n))}, nil
	}}
}

// coded is a request of a behavior with compression.
func coded(req *cache.Request, c encode.Coding) *cache.Request {
	req.Encode = encode.Ask{On: true, Coding: c}
	return req
}

// decoded gives back what a body was before it was encoded.
func decoded(t testing.TB, g got) string {
	t.Helper()
	var r io.Reader = strings.NewReader(g.body)
	switch field(g, "Content-Encoding") {
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	case "br":
		r = brotli.NewReader(r)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// runs is how many bodies a registry's store has begun to encode.
func runs(t testing.TB, reg *prometheus.Registry) int {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	n := 0.0
	for _, f := range families {
		if f.GetName() == "meridian_encode_runs_total" {
			for _, m := range f.GetMetric() {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return int(n)
}

func encodingStore(t testing.TB, memory int64) (*cache.Store, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	s := cache.New(cache.Options{Memory: memory, Node: "eu1", Registerer: reg})
	t.Cleanup(s.Close)
	return s, reg
}

var codings = [...]encode.Coding{encode.Gzip, encode.Zstd, encode.Brotli}

func checkPage(t testing.TB, g got, version string, n int, coding string) {
	t.Helper()
	if g.err != nil || g.short != nil {
		t.Fatalf("error %v, body error %v", g.err, g.short)
	}
	if got := field(g, "Content-Encoding"); got != coding {
		t.Fatalf("coding %q, want %q (%s)", got, coding, g.status())
	}
	if got := decoded(t, g); got != page(version, n) {
		t.Fatalf("%d bytes that are not version %s: %.40q (%s)", len(got), version, got, g.status())
	}
	if got := field(g, "Vary"); got != "Accept-Encoding" {
		t.Errorf("Vary %q", got)
	}
	want := strconv.Quote(version)
	if coding != "" {
		want = "W/" + want
	}
	if got := field(g, "ETag"); got != want {
		t.Errorf("ETag %s, want %s", got, want)
	}
	if g.resp.Length >= 0 && g.resp.Length != int64(len(g.body)) {
		t.Errorf("length %d of %d bytes", g.resp.Length, len(g.body))
	}
}

// One fetch and one run of each encoder, however many ask.
func TestEncodedOncePerObjectAndCoding(t *testing.T) {
	s, reg := encodingStore(t, 16<<20)
	version := "1"
	o := pageOrigin(&version, 120_000)
	var wg sync.WaitGroup
	for range 20 {
		for _, c := range codings {
			wg.Go(func() { checkPage(t, serve(t, s, coded(get("/a"), c), o), "1", 120_000, c.String()) })
		}
	}
	wg.Wait()
	if o.n.Load() != 1 || runs(t, reg) != len(codings) {
		t.Errorf("%d fetches, %d runs", o.n.Load(), runs(t, reg))
	}
	for _, c := range codings {
		g := serve(t, s, coded(get("/a"), c), o)
		if checkPage(t, g, "1", 120_000, c.String()); g.result.Outcome != cache.Hit {
			t.Error(g.status())
		}
	}
	checkPage(t, serve(t, s, coded(get("/a"), encode.Identity), o), "1", 120_000, "")
	if runs(t, reg) != len(codings) {
		t.Errorf("%d runs", runs(t, reg))
	}
	if g := serve(t, s, get("/a"), o); g.body != page("1", 120_000) || field(g, "Vary") != "" || field(g, "ETag") != `"1"` {
		t.Errorf("a behavior without compression: %v", g.resp.Fields)
	}
}

// Once it is complete, an encoded form has a length, and takes memory that the store knows of.
func TestAStoredFormHasALength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 16<<20)
		version := "1"
		o := pageOrigin(&version, 100_000)
		serve(t, s, coded(get("/a"), encode.Identity), o)
		before := s.Stats().Bytes
		checkPage(t, serve(t, s, coded(get("/a"), encode.Gzip), o), "1", 100_000, "gzip")
		synctest.Wait()
		g := serve(t, s, coded(get("/a"), encode.Gzip), o)
		if g.resp.Length != int64(len(g.body)) || g.resp.Length < 1 {
			t.Errorf("length %d", g.resp.Length)
		}
		if grown := s.Stats().Bytes - before; grown < int64(len(g.body)) || grown > int64(len(g.body))*2+4096 {
			t.Errorf("%d bytes more for a form of %d", grown, len(g.body))
		}
		h := serve(t, s, coded(request("HEAD https://example.org/a"), encode.Gzip), o)
		if h.resp.Length != g.resp.Length || fmt.Sprint(h.resp.Fields) != fmt.Sprint(g.resp.Fields) {
			t.Errorf("HEAD %d %v\nGET %d %v", h.resp.Length, h.resp.Fields, g.resp.Length, g.resp.Fields)
		}
		h = serve(t, s, coded(request("HEAD https://example.org/a"), encode.Brotli), o)
		if h.resp.Length != -1 || field(h, "Content-Encoding") != "br" {
			t.Errorf("HEAD of a form that is not there: %d %v", h.resp.Length, h.resp.Fields)
		}
		if x := s.Explain(coded(get("/a"), encode.Gzip)); fmt.Sprint(x.Codings) != "[gzip]" || !strings.HasPrefix(x.Encode, "encoded") {
			t.Errorf("%v, %q", x.Codings, x.Encode)
		}
		if got := purgeURL(t, s, "/a"); got.Objects != 1 || got.Bytes < before {
			t.Errorf("%+v", got)
		}
		synctest.Wait()
		if got := s.Stats().Bytes; got != 0 {
			t.Errorf("%d bytes after the purge", got)
		}
	})
}

func purgeURL(t testing.TB, s *cache.Store, path string) cache.Receipt {
	t.Helper()
	req := get(path)
	r, err := s.Purge(req.Site, req.Canon, req.Policy, false)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A purge of any kind leaves no encoded form behind.
func TestAPurgeKillsForms(t *testing.T) {
	for _, kind := range []string{"url", "tag", "prefix", "all"} {
		s := newStore(t, 16<<20)
		version := "1"
		o := pageOrigin(&version, 50_000, "Surrogate-Key: shop")
		for _, c := range codings {
			checkPage(t, serve(t, s, coded(get("/a"), c), o), "1", 50_000, c.String())
		}
		version = "2"
		switch kind {
		case "url":
			purgeURL(t, s, "/a")
		case "tag":
			order(t, s, purge.Order{Kind: purge.Tag, Site: "web", Value: "shop"})
		case "prefix":
			order(t, s, purge.Order{Kind: purge.Prefix, Site: "web", Host: "example.org", Value: "/"})
		case "all":
			order(t, s, purge.Order{Kind: purge.All, Site: "web"})
		}
		for _, c := range codings {
			checkPage(t, serve(t, s, coded(get("/a"), c), o), "2", 50_000, c.String())
		}
	}
}

func order(t testing.TB, s *cache.Store, o purge.Order) {
	t.Helper()
	if _, err := s.Order(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// A 304 keeps the forms; another response takes its own.
func TestValidationAndForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, reg := encodingStore(t, 16<<20)
		version := "1"
		o := pageOrigin(&version, 50_000)
		for _, c := range codings {
			checkPage(t, serve(t, s, coded(get("/a"), c), o), "1", 50_000, c.String())
		}
		time.Sleep(2 * time.Minute)
		for _, c := range codings {
			checkPage(t, serve(t, s, coded(get("/a"), c), o), "1", 50_000, c.String())
		}
		if o.n.Load() != 2 || runs(t, reg) != len(codings) {
			t.Errorf("after a 304: %d fetches, %d runs", o.n.Load(), runs(t, reg))
		}
		time.Sleep(2 * time.Minute)
		version = "2"
		for _, c := range codings {
			checkPage(t, serve(t, s, coded(get("/a"), c), o), "2", 50_000, c.String())
		}
		if o.n.Load() != 3 || runs(t, reg) != 2*len(codings) {
			t.Errorf("after another response: %d fetches, %d runs", o.n.Load(), runs(t, reg))
		}
	})
}

func TestConditionsAndRangesOfForms(t *testing.T) {
	s := newStore(t, 16<<20)
	version := "1"
	o := pageOrigin(&version, 50_000)
	whole := page("1", 50_000)
	checkPage(t, serve(t, s, coded(get("/a"), encode.Gzip), o), "1", 50_000, "gzip")
	for _, held := range []string{`"1"`, `W/"1"`, `"0", W/"1"`, "*"} {
		for _, c := range []encode.Coding{encode.Gzip, encode.Brotli} {
			g := serve(t, s, coded(get("/a", "If-None-Match: "+held), c), o)
			if g.resp.Status != 304 || field(g, "ETag") != `W/"1"` || field(g, "Vary") != "Accept-Encoding" || field(g, "Content-Encoding") != "" {
				t.Errorf("%s: %d %v", held, g.resp.Status, g.resp.Fields)
			}
		}
	}
	if g := serve(t, s, coded(get("/a", "If-None-Match: W/\"1\""), encode.Identity), o); g.resp.Status != 304 || field(g, "ETag") != `"1"` {
		t.Errorf("identity: %d %v", g.resp.Status, g.resp.Fields)
	}
	checkPage(t, serve(t, s, coded(get("/a", `If-None-Match: "2"`), encode.Gzip), o), "1", 50_000, "gzip")

	g := serve(t, s, coded(get("/a", "Range: bytes=100-199"), encode.Gzip), o)
	if g.resp.Status != 206 || g.body != whole[100:200] || field(g, "ETag") != `"1"` || field(g, "Vary") != "Accept-Encoding" {
		t.Errorf("range: %d %q %v", g.resp.Status, g.body, g.resp.Fields)
	}
	g = serve(t, s, coded(get("/a", "Range: bytes=100-199", `If-Range: "1"`), encode.Gzip), o)
	if g.resp.Status != 206 || g.body != whole[100:200] {
		t.Errorf("range of what the client holds: %d", g.resp.Status)
	}
	// A part of the encoded form is not to be completed from the identity.
	checkPage(t, serve(t, s, coded(get("/a", "Range: bytes=100-199", `If-Range: W/"1"`), encode.Gzip), o), "1", 50_000, "gzip")
}

// BenchmarkHitEncoded is a fresh hit in a coding that is stored.
func BenchmarkHitEncoded(b *testing.B) {
	s := newStore(b, 64<<20)
	version := "1"
	o := pageOrigin(&version, 64<<10, "Server: origin", "Date: Sun, 06 Nov 2094 08:49:37 GMT")
	req := coded(benchRequest("/style.css"), encode.Brotli)
	req.Policy = &config.CachePolicy{Profile: "rfc9111", KeyQuery: config.KeyPart{All: true}}
	serve(b, s, req, o)
	b.ReportAllocs()
	for b.Loop() {
		resp, result, ok := s.Lookup(req)
		if !ok {
			b.Fatal("no hit")
		}
		resp.Body.Close()
		result.Release()
	}
}
