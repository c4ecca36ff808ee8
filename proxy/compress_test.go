package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

const compressSite = `
version: 1
distributions:
  www:
    domains: [www.example.org]
    origins: {app: {url: "http://ORIGIN0"}}
    behaviors:
      - {path: "/api/*", cache: off, methods: [GET, HEAD, POST], compress: true}
      - {path: "/keyed/*", cache: {key: {headers: [accept-encoding]}}, compress: true}
      - {path: "/plain/*"}
      - {path: "*", compress: true}
`

var longText = strings.Repeat("The quick brown fox jumps over the lazy dog.\n", 100)

// textOrigin answers with text and the fields a query names.
func textOrigin(w http.ResponseWriter, q *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/plain")
	h.Set("Cache-Control", "max-age=60")
	h.Set("ETag", `"1"`)
	h.Set("Accept-Ranges", "bytes")
	h.Set("Repr-Digest", "sha-256=:x:")
	for name, values := range q.URL.Query() {
		h.Set(name, values[0])
	}
	if q.Header.Get("If-None-Match") == `W/"1"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if h.Get("Length") == "" {
		h.Set("Content-Length", fmt.Sprint(len(longText)))
	}
	h.Del("Length")
	_, _ = io.WriteString(w, longText)
}

// plainOf decodes a body.
func plainOf(t testing.TB, r *httpwire.Response, body string) string {
	t.Helper()
	var from io.Reader = strings.NewReader(body)
	switch coding, _ := r.Fields.Get(httpwire.ContentEncoding); coding {
	case "gzip":
		z, err := gzip.NewReader(from)
		if err != nil {
			t.Fatal(err)
		}
		from = z
	case "br":
		from = brotli.NewReader(from)
	case "zstd":
		z, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		from = z
	}
	out, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func value(r *httpwire.Response, name string) string {
	v, _ := r.Fields.Lookup(name)
	return v
}

func TestResponsesAreEncoded(t *testing.T) {
	o := newRecorder(t, textOrigin)
	e := newEdge(t, compressSite, o)
	for _, c := range []struct {
		line, accept, coding string
		vary                 bool
	}{
		{"GET http://www.example.org/a", "gzip", "gzip", true},
		{"GET http://www.example.org/a", "gzip, deflate, br, zstd", "br", true},
		{"GET http://www.example.org/a", "zstd", "zstd", true},
		{"GET http://www.example.org/a", "", "", true},
		{"GET http://www.example.org/a", "gzip;q=0", "", true},
		{"GET http://www.example.org/unsized?Length=no", "gzip", "gzip", true},
		{"GET http://www.example.org/api/a", "gzip, deflate, br, zstd", "zstd", true}, // what is encoded each time is encoded fast
		{"GET http://www.example.org/api/a", "br", "br", true},
		{"GET http://www.example.org/api/a", "", "", true},
		{"POST http://www.example.org/api/a", "gzip", "gzip", true},
		{"GET http://www.example.org/private?Cache-Control=private", "gzip", "gzip", true}, // not stored, and encoded all the same
		{"GET http://www.example.org/cookie?Set-Cookie=a", "br", "br", true},
		{"GET http://www.example.org/fixed?Cache-Control=max-age=60,no-transform", "gzip", "", false},
		{"GET http://www.example.org/api/fixed?Cache-Control=no-transform", "gzip", "", false},
		{"GET http://www.example.org/image?Content-Type=image/png", "gzip", "", false},
		{"GET http://www.example.org/events?Content-Type=text/event-stream", "gzip", "", false},
		{"GET http://www.example.org/plain/a", "gzip", "", false},
		{"GET http://www.example.org/keyed/a", "gzip", "", false},
	} {
		var fields []string
		if c.accept != "" {
			fields = []string{"Accept-Encoding: " + c.accept}
		}
		for range 2 { // from the origin, then from the store
			r, body := e.do(t, request(c.line, fields...))
			if got := plainOf(t, r, body); r.Status != 200 || got != longText {
				t.Fatalf("%s: %d, %d bytes", c.line, r.Status, len(got))
			}
			if got := value(r, "Content-Encoding"); got != c.coding {
				t.Errorf("%s (%s): coding %q, want %q", c.line, c.accept, got, c.coding)
			}
			tag, vary, digest := `"1"`, "", "sha-256=:x:"
			if c.coding != "" {
				tag, digest = `W/"1"`, ""
			}
			if c.vary {
				vary = "Accept-Encoding"
			}
			if value(r, "ETag") != tag || value(r, "Vary") != vary || value(r, "Repr-Digest") != digest {
				t.Errorf("%s (%s): %v", c.line, c.accept, r.Fields)
			}
		}
	}
}

// Of what the origin has encoded the edge keeps its hands.
func TestTheOriginsOwnCodingIsKept(t *testing.T) {
	e := newEdge(t, compressSite, newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("ETag", `"1"`)
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, longText)
		_ = z.Close()
	}))
	for _, path := range []string{"/a", "/a", "/api/a"} {
		r, body := e.do(t, request("GET http://www.example.org"+path, "Accept-Encoding: br, gzip;q=0.5"))
		if value(r, "Content-Encoding") != "gzip" || value(r, "ETag") != `"1"` || plainOf(t, r, body) != longText {
			t.Errorf("%s: %v", path, r.Fields)
		}
	}
}

// The origin is asked for the identity, once, whatever clients accept (attack row R15).
func TestR15OddAcceptEncodingsMakeNoVariants(t *testing.T) {
	o := newRecorder(t, textOrigin)
	e := newEdge(t, compressSite, o)
	for i := range 200 {
		accept := fmt.Sprintf("Accept-Encoding: gzip;q=0.%03d, x%d, br;q=0", i+1, i)
		if r, body := e.do(t, request("GET http://www.example.org/a?Vary=Accept-Encoding", accept)); plainOf(t, r, body) != longText {
			t.Fatal(r.Fields)
		}
	}
	if q, _ := o.last(t); o.count() != 1 || q.Header.Get("Accept-Encoding") != "identity" {
		t.Errorf("%d requests, Accept-Encoding %q", o.count(), q.Header.Get("Accept-Encoding"))
	}
}

func TestWhoGetsNoCoding(t *testing.T) {
	e := newEdge(t, compressSite, newRecorder(t, textOrigin))
	old := request("GET http://www.example.org/a", "Accept-Encoding: gzip")
	old.Head.Proto = httpwire.HTTP10
	forbidden := request("GET http://www.example.org/a", "Accept-Encoding: gzip", "Cache-Control: no-transform")
	for _, x := range []*httpwire.Exchange{old, forbidden} {
		r, body := e.do(t, x)
		if body != longText || value(r, "Content-Encoding") != "" || value(r, "Vary") != "Accept-Encoding" || r.Length != int64(len(longText)) {
			t.Errorf("%v", r.Fields)
		}
	}
}

// HEAD says what GET would, stored or not; conditions work with the weak entity-tag; a range by date is not a part of another form.
func TestHeadConditionsAndRanges(t *testing.T) {
	o := newRecorder(t, textOrigin)
	e := newEdge(t, compressSite, o)
	for _, path := range []string{"/head", "/api/head"} {
		for _, line := range []string{"HEAD", "GET", "HEAD"} {
			r, _ := e.do(t, request(line+" http://www.example.org"+path, "Accept-Encoding: br"))
			if r.Status != 200 || value(r, "Content-Encoding") != "br" || value(r, "ETag") != `W/"1"` || value(r, "Vary") != "Accept-Encoding" {
				t.Errorf("%s %s: %v", line, path, r.Fields)
			}
		}
	}
	for _, path := range []string{"/head", "/api/head"} {
		r, body := e.do(t, request("GET http://www.example.org"+path, "Accept-Encoding: br", `If-None-Match: W/"1"`))
		if r.Status != 304 || body != "" || value(r, "ETag") != `W/"1"` || value(r, "Vary") != "Accept-Encoding" || value(r, "Content-Encoding") != "" {
			t.Errorf("%s: %d %v", path, r.Status, r.Fields)
		}
	}
	r, body := e.do(t, request("GET http://www.example.org/head", "Accept-Encoding: br", "Range: bytes=0-9"))
	if r.Status != 206 || body != longText[:10] || value(r, "ETag") != `"1"` {
		t.Errorf("range: %d %v", r.Status, r.Fields)
	}
	r, body = e.do(t, request("GET http://www.example.org/head", "Accept-Encoding: br", "Range: bytes=10-", "If-Range: Sun, 06 Nov 1994 08:49:37 GMT"))
	if r.Status != 200 || plainOf(t, r, body) != longText {
		t.Errorf("range by date: %d %v", r.Status, r.Fields)
	}
}

func TestCodingIsLoggedAndExplained(t *testing.T) {
	e := newEdge(t, compressSite, newRecorder(t, textOrigin))
	e.do(t, request("GET http://www.example.org/a", "Accept-Encoding: zstd"))
	e.do(t, request("GET http://www.example.org/a"))
	x := e.Explain("GET", "http://www.example.org/a", netip.Addr{})
	if !strings.HasPrefix(x.Compress, "on") || x.Cache == nil || !strings.HasPrefix(x.Cache.Encode, "encoded") {
		t.Errorf("%q, %+v", x.Compress, x.Cache)
	}
	if x := e.Explain("GET", "http://www.example.org/keyed/a", netip.Addr{}); !strings.HasPrefix(x.Compress, "off") {
		t.Errorf("%q", x.Compress)
	}
	if x := e.Explain("GET", "http://www.example.org/plain/a", netip.Addr{}); x.Compress != "" {
		t.Errorf("%q", x.Compress)
	}
	e.stop()
	lines := strings.Split(e.log.String(), "\n")
	if !strings.Contains(lines[0], `"coding":"zstd"`) || strings.Contains(lines[1], "coding") {
		t.Errorf("%q", lines)
	}
}
