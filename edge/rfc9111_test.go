package edge_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

const cachingNode = `
version: 1
edge: {name: eu1}
listeners:
  http: ["127.0.0.1:0"]
  https: ["127.0.0.1:0"]
distributions:
  www:
    domains: [www.example.org]
    certificate: self-signed
    origins: {web: {url: "http://ORIGIN0"}}
    errors:
      - {status: 404, path: /pages/404, as: 200}
      - {status: 410, path: /pages/missing}
    behaviors:
      - {path: "/pages/*", cache: {default_ttl: 1d}}
      - {path: "/ask/*", methods: all, cache: {honour_request: on}}
      - {path: "/cf/*", methods: all, cache: {profile: cloudfront}}
      - {path: "/cfmin/*", methods: all, cache: {profile: cloudfront, min_ttl: 10s}}
      - {path: "/key/*", methods: all, cache: {key: {query: {except: [utm]}, cookies: [lang]}}}
      - {path: "*", methods: all}
`

// What the last answer of a row is.
const (
	stored  = "hit"       // from the store
	again   = "again"     // the origin was asked, without conditions
	checked = "checked"   // the origin was asked whether the stored one holds, and it does
	joined  = "processed" // 206, 304 or 416 from the store
	empty   = "empty"     // from the store, and without a body
)

// row is one rule: the origin's answer, two requests or more, and what the last one gets.
type row struct {
	section string
	path    string   // begins the behavior's path
	status  int      // the origin's; 0: 200
	says    []string // the origin's fields; NOW+1h stands for a date
	first   []string // fields of the first request, METHOD alone for another method
	between []string // methods of requests between
	last    []string // as first
	want    string
}

var fresh = []string{"Cache-Control: max-age=60"}

func with(fields ...string) []string { return fields }

// rfcTable has the MUSTs and SHOULDs that bind a shared cache and can be seen from outside without waiting. Arithmetic that needs a clock is
// in cache/rules and in the scripts of cache.
var rfcTable = slices.Concat(rfcRows, oddRows)

var rfcRows = []row{
	// RFC 9111
	{"3 explicit freshness", "", 0, fresh, nil, nil, nil, stored},
	{"3 no freshness", "", 0, with("ETag: \"a\""), nil, nil, nil, again},
	{"3 final status of any kind", "", 599, fresh, nil, nil, nil, stored},
	{"3 redirect", "", 302, with("Cache-Control: max-age=60", "Location: /x"), nil, nil, nil, stored},
	{"3 redirect without freshness", "", 302, with("Location: /x"), nil, nil, nil, again},
	{"3 POST is not stored", "", 0, fresh, with("POST"), nil, nil, again},
	{"3.1 connection fields are not stored", "", 0, with("Cache-Control: max-age=60", "Proxy-Authenticate: Basic"), nil, nil, nil, stored},
	{"3.3 part", "", 206, with("Cache-Control: max-age=60", "Content-Range: bytes 0-3/9"), nil, nil, nil, again},
	{"3.5 Authorization", "", 0, fresh, with("Authorization: Basic YTpi"), nil, nil, again},
	{"3.5 Authorization, public", "", 0, with("Cache-Control: public, max-age=60"), with("Authorization: Basic YTpi"), nil, nil, stored},
	{"3.5 Authorization, s-maxage", "", 0, with("Cache-Control: s-maxage=60"), with("Authorization: Basic YTpi"), nil, nil, stored},
	{"3.5 Authorization, must-revalidate", "", 0, with("Cache-Control: max-age=60, must-revalidate"), with("Authorization: Basic YTpi"), nil, nil, stored},
	{"4.1 Vary, another value", "", 0, with("Cache-Control: max-age=60", "Vary: X-A"), with("X-A: 1"), nil, with("X-A: 2"), again},
	{"4.1 Vary, the same value", "", 0, with("Cache-Control: max-age=60", "Vary: X-A"), with("X-A: 1"), nil, with("x-a: 1"), stored},
	{"4.1 Vary, absent in both", "", 0, with("Cache-Control: max-age=60", "Vary: X-A"), nil, nil, nil, stored},
	{"4.1 Vary, absent in one", "", 0, with("Cache-Control: max-age=60", "Vary: X-A"), with("X-A: 1"), nil, nil, again},
	{"4.1 Vary, normalised", "", 0, with("Cache-Control: max-age=60", "Vary: Accept-Encoding"), with("Accept-Encoding: gzip, br"), nil, with("Accept-Encoding: br;q=0.8,  deflate, gzip"), stored},
	{"4.1 Vary: *", "", 0, with("Cache-Control: max-age=60", "Vary: *"), nil, nil, nil, again},
	{"4.2.1 s-maxage first", "", 0, with("Cache-Control: max-age=0, s-maxage=60"), nil, nil, nil, stored},
	{"4.2.1 max-age before Expires", "", 0, with("Cache-Control: max-age=60", "Expires: 0"), nil, nil, nil, stored},
	{"4.2.1 Expires", "", 0, with("Expires: NOW+1h"), nil, nil, nil, stored},
	{"4.2.1 malformed", "", 0, with("Cache-Control: max-age=6o"), nil, nil, nil, again},
	{"4.2.1 repeated, the shorter", "", 0, with("Cache-Control: max-age=60", "Cache-Control: max-age=0"), nil, nil, nil, again},
	{"4.2.2 heuristic", "", 0, with("Last-Modified: NOW-1000h"), nil, nil, nil, stored},
	{"4.2.2 heuristic, for a status that is not cacheable by default", "", 201, with("Last-Modified: NOW-1000h"), nil, nil, nil, again},
	{"4.2.2 heuristic, marked as cacheable", "", 201, with("Last-Modified: NOW-1000h", "Cache-Control: public"), nil, nil, nil, stored},
	{"4.2.3 Age", "", 0, with("Cache-Control: max-age=60", "Age: 60"), nil, nil, nil, again},
	{"4.2.3 Date", "", 0, with("Cache-Control: max-age=60", "Date: NOW-2m"), nil, nil, nil, again},
	{"4.2.4 stale is validated", "", 0, with("Cache-Control: max-age=60", "Age: 61", `ETag: "a"`), nil, nil, nil, checked},
	{"4.2.4 stale and must-revalidate", "", 0, with("Cache-Control: max-age=60, must-revalidate, stale-while-revalidate=600", "Age: 61", `ETag: "a"`), nil, nil, nil, checked},
	{"4.3.1 Last-Modified", "", 0, with("Cache-Control: max-age=60", "Age: 61", "Last-Modified: Fri, 31 Dec 1999 00:00:00 GMT"), nil, nil, nil, checked},
	{"4.3.2 If-None-Match", "", 0, with("Cache-Control: max-age=60", `ETag: "a"`), nil, nil, with(`If-None-Match: W/"a"`), joined},
	{"4.3.2 If-None-Match of another", "", 0, with("Cache-Control: max-age=60", `ETag: "a"`), nil, nil, with(`If-None-Match: "b"`), stored},
	{"4.3.2 If-Modified-Since", "", 0, with("Cache-Control: max-age=60", "Last-Modified: Fri, 31 Dec 1999 00:00:00 GMT"), nil, nil, with("If-Modified-Since: Fri, 31 Dec 1999 00:00:00 GMT"), joined},
	{"4.3.2 If-Modified-Since counts only alone", "", 0, with("Cache-Control: max-age=60", `ETag: "a"`, "Last-Modified: Fri, 31 Dec 1999 00:00:00 GMT"), nil, nil, with("If-Modified-Since: Fri, 31 Dec 1999 00:00:00 GMT", `If-None-Match: "b"`), stored},
	{"4.3.2 If-Match is the origin's", "", 0, with("Cache-Control: max-age=60", `ETag: "a"`), nil, nil, with(`If-Match: "a"`), again},
	{"4.3.5 HEAD from a stored GET", "", 0, fresh, nil, nil, with("HEAD"), stored},
	{"4.3.5 HEAD fills nothing", "", 0, fresh, with("HEAD"), nil, nil, again},
	{"4.4 POST removes", "", 0, fresh, nil, with("POST"), nil, again},
	{"4.4 PUT removes", "", 0, fresh, nil, with("PUT"), nil, again},
	{"4.4 DELETE removes", "", 0, fresh, nil, with("DELETE"), nil, again},
	{"4.4 a method nobody knows removes", "", 0, fresh, nil, with("FROB"), nil, again},
	{"4.4 OPTIONS does not", "", 0, fresh, nil, with("OPTIONS"), nil, stored},
	{"4.4 an error does not", "", 500, fresh, nil, with("POST"), nil, stored},
	{"5.2.1.4 no-cache does not count unless it may", "", 0, fresh, nil, nil, with("Cache-Control: no-cache"), stored},
	{"5.2.1.4 no-cache where it may", "/ask", 0, with("Cache-Control: max-age=60", `ETag: "a"`), nil, nil, with("Cache-Control: no-cache"), checked},
	{"5.2.1.1 max-age where it may", "/ask", 0, with("Cache-Control: max-age=60", "Age: 20", `ETag: "a"`), nil, nil, with("Cache-Control: max-age=10"), checked},
	{"5.2.1.1 max-age that is met", "/ask", 0, with("Cache-Control: max-age=6000", "Age: 20"), nil, nil, with("Cache-Control: max-age=5000"), stored},
	{"5.2.1.2 max-stale", "/ask", 0, with("Cache-Control: max-age=60", "Age: 70", `ETag: "a"`), nil, nil, with("Cache-Control: max-stale=600"), stored},
	{"5.2.1.3 min-fresh", "/ask", 0, with("Cache-Control: max-age=60", `ETag: "a"`), nil, nil, with("Cache-Control: min-fresh=600"), checked},
	{"5.2.1.5 no-store", "", 0, fresh, with("Cache-Control: no-store"), nil, nil, again},
	{"5.2.2.3 must-understand", "", 200, with("Cache-Control: max-age=60, must-understand, no-store"), nil, nil, nil, stored},
	{"5.2.2.3 must-understand, not understood", "", 599, with("Cache-Control: max-age=60, must-understand"), nil, nil, nil, again},
	{"5.2.2.4 no-cache", "", 0, with("Cache-Control: no-cache, max-age=60", `ETag: "a"`), nil, nil, nil, checked},
	{"5.2.2.4 no-cache with a name", "", 0, with(`Cache-Control: max-age=60, no-cache="Set-Cookie"`, "Set-Cookie: a=b"), nil, nil, nil, stored},
	{"5.2.2.5 no-store", "", 0, with("Cache-Control: max-age=60, No-Store"), nil, nil, nil, again},
	{"5.2.2.7 private", "", 0, with("Cache-Control: private, max-age=60"), nil, nil, nil, again},
	{"5.2.2.7 private with a name", "", 0, with(`Cache-Control: max-age=60, private="X-A"`, "X-A: 1"), nil, nil, nil, stored},
	{"5.2 quoted", "", 0, with(`Cache-Control: max-age="60"`), nil, nil, nil, stored},
	{"5.2 unknown directives", "", 0, with(`Cache-Control: a, b=c, d="e, no-store", max-age=60`), nil, nil, nil, stored},
	{"5.3 invalid Expires is the past", "", 0, with("Expires: 0", "Last-Modified: NOW-1000h", `ETag: "a"`), nil, nil, nil, checked},
	{"5.4 Pragma where it may", "/ask", 0, with("Cache-Control: max-age=60", `ETag: "a"`), nil, nil, with("Pragma: no-cache"), checked},
	{"5.4 Pragma of a response", "", 0, with("Cache-Control: max-age=60", "Pragma: no-cache"), nil, nil, nil, stored},
	{"7.3 Set-Cookie", "", 0, with("Cache-Control: public, max-age=60", "Set-Cookie: a=b"), nil, nil, nil, again},
	// RFC 9110
	{"9110 14.2 range of a stored whole", "", 0, with("Cache-Control: max-age=60", `ETag: "a"`), nil, nil, with("Range: bytes=1-2"), joined},
	{"9110 15.5.17 no such range", "", 0, with("Cache-Control: max-age=60", `ETag: "a"`), nil, nil, with("Range: bytes=99-"), joined},
	{"9110 13.1.5 If-Range of another", "", 0, with("Cache-Control: max-age=60", `ETag: "a"`), nil, nil, with("Range: bytes=1-2", `If-Range: "b"`), stored},
	{"9110 13.1.5 If-Range, weak", "", 0, with("Cache-Control: max-age=60", `ETag: W/"a"`), nil, nil, with("Range: bytes=1-2", `If-Range: W/"a"`), stored},
	// RFC 5861, RFC 8246, RFC 9213
	{"5861 3 stale-while-revalidate", "", 0, with("Cache-Control: max-age=60, stale-while-revalidate=6000", "Age: 61"), nil, nil, nil, stored},
	{"8246 2 immutable", "/ask", 0, with("Cache-Control: max-age=60, immutable", `ETag: "a"`), nil, nil, with("Cache-Control: max-age=0"), stored},
	{"9213 2.2 CDN-Cache-Control first", "", 0, with("CDN-Cache-Control: max-age=60", "Cache-Control: no-store", "Expires: 0"), nil, nil, nil, stored},
	{"9213 2.2 CDN-Cache-Control forbids", "", 0, with("CDN-Cache-Control: no-store", "Cache-Control: max-age=60"), nil, nil, nil, again},
	{"9213 2.1 not a structured field", "", 0, with("CDN-Cache-Control: max-age=60,", "Cache-Control: no-store"), nil, nil, nil, again},
	// The profile cloudfront, and keys.
	{"cloudfront default TTL", "/cf", 0, nil, nil, nil, nil, stored},
	{"cloudfront private", "/cf", 0, with("Cache-Control: private"), nil, nil, nil, again},
	{"cloudfront private with a minimum", "/cfmin", 0, with("Cache-Control: private"), nil, nil, nil, stored},
	{"cloudfront Vary", "/cf", 0, with("Vary: Accept-Language"), with("Accept-Language: de"), nil, with("Accept-Language: fr"), stored},
	{"cloudfront POST does not remove", "/cf", 0, fresh, nil, with("POST"), nil, stored},
	{"cloudfront client's no-store", "/cf", 0, nil, with("Cache-Control: no-store"), nil, nil, stored},
	{"cloudfront 503", "/cf", 503, nil, nil, nil, nil, stored},
	{"cloudfront 403", "/cf", 403, nil, nil, nil, nil, again},
	{"cloudfront 403 with max-age", "/cf", 403, fresh, nil, nil, nil, stored},
	{"cloudfront 429", "/cf", 429, fresh, nil, nil, nil, again},
	{"key cookie", "/key", 0, fresh, with("Cookie: lang=de; id=1"), nil, with("Cookie: id=2; lang=de"), stored},
	{"key another cookie", "/key", 0, fresh, with("Cookie: lang=de"), nil, with("Cookie: lang=fr"), again},
}

// cachingOrigin answers as the row that a path names says, and counts.
func cachingOrigin(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/") // /prefix/proto/index
	i, err := strconv.Atoi(parts[len(parts)-1])
	if err != nil || i >= len(rfcTable) {
		w.WriteHeader(500)
		return
	}
	for _, line := range rfcTable[i].says {
		name, value, _ := strings.Cut(line, ": ")
		if d, ok := strings.CutPrefix(value, "NOW"); ok {
			offset, _ := time.ParseDuration(strings.TrimPrefix(d, "+"))
			value = time.Now().Add(offset).UTC().Format(http.TimeFormat)
		}
		w.Header().Add(name, value)
	}
	tag, since := r.Header.Get("If-None-Match"), r.Header.Get("If-Modified-Since")
	if tag != "" && tag == w.Header().Get("ETag") || tag == "" && since != "" && since == w.Header().Get("Last-Modified") {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.WriteHeader(max(rfcTable[i].status, 200))
	_, _ = io.WriteString(w, "0123")
}

// threeClients are clients of a node for the three versions, over TLS.
func threeClients(t *testing.T, n *node) map[string]http.RoundTripper {
	trust := &tls.Config{InsecureSkipVerify: true, ServerName: "www.example.org"} //nolint:gosec // self-signed on purpose
	h1 := &http.Transport{TLSClientConfig: trust.Clone(), Protocols: protocols(false), DisableCompression: true}
	h2 := &http.Transport{TLSClientConfig: trust.Clone(), Protocols: protocols(true), DisableCompression: true}
	h3 := &http3.Transport{TLSClientConfig: trust.Clone(), DisableCompression: true}
	t.Cleanup(func() {
		h1.CloseIdleConnections()
		h2.CloseIdleConnections()
		h3.Close()
	})
	return map[string]http.RoundTripper{"h1": h1, "h2": h2, "h3": h3}
}

// ask makes one request of a row.
func ask(t *testing.T, n *node, rt http.RoundTripper, path string, fields []string) (*http.Response, string) {
	t.Helper()
	response, body, err := n.try(t.Context(), rt, path, fields)
	if err != nil {
		t.Fatalf("%s %q: %v", path, fields, err)
	}
	return response, body
}

// try is ask for goroutines of a test.
func (n *node) try(ctx context.Context, rt http.RoundTripper, path string, fields []string) (*http.Response, string, error) {
	method := http.MethodGet
	if len(fields) > 0 && !strings.Contains(fields[0], ": ") {
		method, fields = fields[0], fields[1:]
	}
	request, err := http.NewRequestWithContext(ctx, method, "https://"+n.Addr("https", 0).String()+path, nil)
	if err != nil {
		return nil, "", err
	}
	request.Host = "www.example.org"
	for _, line := range fields {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Add(name, value)
	}
	response, err := rt.RoundTrip(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

// TestC25RFC9111OverThreeProtocols is the table through a whole node, over HTTP/1.1, HTTP/2 and HTTP/3 (attack row C25).
func TestC25RFC9111OverThreeProtocols(t *testing.T) {
	n := start(t, fill(cachingNode, newOrigin(t, "web", cachingOrigin)))
	for proto, rt := range threeClients(t, n) {
		t.Run(proto, func(t *testing.T) {
			for i := range rfcTable {
				r := &rfcTable[i]
				path := fmt.Sprintf("%s/%s/%d", r.path, proto, i)
				ask(t, n, rt, path, r.first)
				for _, method := range r.between {
					ask(t, n, rt, path, with(method))
				}
				response, body := ask(t, n, rt, path, r.last)
				status := response.Header.Get("Cache-Status")
				var ok bool
				switch r.want {
				case stored:
					ok = strings.HasPrefix(status, "eu1; hit; ") && (body == "0123" || len(r.last) > 0 && r.last[0] == "HEAD")
				case empty:
					ok = strings.HasPrefix(status, "eu1; hit; ") && body == "" && response.StatusCode == r.status
				case joined:
					ok = strings.HasPrefix(status, "eu1; hit; ") && response.StatusCode != 200
				case checked:
					ok = strings.Contains(status, "fwd-status=304") && response.StatusCode == max(r.status, 200) && body == "0123"
				case again:
					ok = strings.HasPrefix(status, "eu1; fwd=") && !strings.Contains(status, "fwd-status=304")
				}
				if !ok {
					t.Errorf("%s: %d %q, Cache-Status %q, want %s", r.section, response.StatusCode, body, status, r.want)
				}
			}
		})
	}
}

// TestErrorObjects: errors of the origin become objects of the distribution, with the status it wants, and a missing one changes nothing.
func TestErrorObjects(t *testing.T) {
	o := newOrigin(t, "web", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/pages/404":
			if r.Header.Get("Range")+r.Header.Get("If-None-Match") != "" {
				t.Error("conditions were sent for the error object")
			}
			w.Header().Set("ETag", `"page"`)
			_, _ = io.WriteString(w, "nothing here")
		case strings.HasPrefix(r.URL.Path, "/gone"):
			w.WriteHeader(410)
			_, _ = io.WriteString(w, "gone")
		default:
			w.WriteHeader(404)
			_, _ = io.WriteString(w, "404 of the origin")
		}
	})
	n := start(t, fill(cachingNode, o))
	for proto, rt := range threeClients(t, n) {
		for _, fields := range [][]string{nil, {"Range: bytes=0-1"}, {`If-None-Match: "page"`}, {"HEAD"}, {"POST"}} {
			response, body := ask(t, n, rt, "/x/"+proto, fields)
			want := "nothing here"
			if len(fields) > 0 && fields[0] == "HEAD" {
				want = ""
			}
			if status := response.Header.Get("Cache-Status"); response.StatusCode != 200 || body != want || !strings.Contains(status, "fwd-status=404") {
				t.Errorf("%s %q: %d %q, %s", proto, fields, response.StatusCode, body, status)
			}
		}
		if response, body := ask(t, n, rt, "/gone/"+proto, nil); response.StatusCode != 410 || body != "gone" {
			t.Errorf("%s: %d %q", proto, response.StatusCode, body)
		}
	}
}

// TestInformationalResponsesAreForwarded: 102 and 103 come through, on a fetch for the store and on one that is not, and leave nothing in
// what is stored (RFC 9110 section 15.2).
func TestInformationalResponsesAreForwarded(t *testing.T) {
	o := newOrigin(t, "web", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProcessing)
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "body")
	})
	n := start(t, fill(cachingNode, o))
	for proto, rt := range threeClients(t, n) {
		for _, fields := range [][]string{nil, {"POST"}} {
			var hints []string
			ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
				Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
					hints = append(hints, fmt.Sprint(status, " ", h.Get("Link")))
					return nil
				},
			})
			method := http.MethodGet
			if fields != nil {
				method = fields[0]
			}
			request, _ := http.NewRequestWithContext(ctx, method, "https://"+n.Addr("https", 0).String()+"/hints/"+proto, nil)
			request.Host = "www.example.org"
			response, err := rt.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if !slices.Equal(hints, []string{"102 ", "103 </a.css>; rel=preload"}) || string(body) != "body" {
				t.Errorf("%s %s: hints %q, body %q", proto, method, hints, body)
			}
			if fields != nil {
				continue
			}
			if response, _ := ask(t, n, rt, "/hints/"+proto, nil); !strings.HasPrefix(response.Header.Get("Cache-Status"), "eu1; hit") || response.Header.Get("Link") != "" {
				t.Errorf("%s: stored with %q", proto, response.Header)
			}
		}
	}
}
