package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy"
)

const prefetchSite = `
version: 1
distributions:
  www:
    domains: [www.example.org]
    origins: {app: {url: "http://ORIGIN0"}}
    behaviors:
      - {path: "/off/*", cache: off}
      - {path: "/secure/*", redirect_to_https: true}
      - {path: "/post/*", methods: [POST]}
      - {path: "/small/*", cache: {max_object: 1000}}
      - {path: "*", compress: true}
    errors: [{status: 503, path: /down, as: 200}]
`

// prefetch is Router.Prefetch with field lines.
func (e *edge) prefetch(t testing.TB, url string, lines ...string) (proxy.Prefetched, error) {
	t.Helper()
	fields, err := proxy.PrefetchFields(lines)
	if err != nil {
		t.Fatal(err)
	}
	return e.Prefetch(t.Context(), url, fields)
}

// told is an origin that answers with the fields and the status its query names.
func told(w http.ResponseWriter, q *http.Request) {
	body := longText
	status := http.StatusOK
	w.Header().Set("Cache-Control", "max-age=60")
	w.Header().Set("Content-Type", "text/plain")
	for name, values := range q.URL.Query() {
		switch name {
		case "status":
			_, _ = fmt.Sscan(values[0], &status)
		case "announced":
			w.Header().Set("Content-Length", values[0])
		case "flushed":
			defer func() { _, _ = io.WriteString(w, longText) }() // no length is announced
			body = strings.Repeat("x", 1<<12)
		default:
			w.Header().Set(name, values[0])
		}
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// Every URL gets one of four results, with the reason.
func TestPrefetchSaysWhatBecomesOfEachURL(t *testing.T) {
	e := newEdge(t, prefetchSite, newRecorder(t, told))
	const at = "http://www.example.org"
	for _, c := range []struct {
		url, result, reason string
		status              int
	}{
		{at + "/a", proxy.PrefetchStored, "", 200},
		{at + "/a", proxy.PrefetchFresh, "", 200},
		{"https://www.example.org/a", proxy.PrefetchStored, "", 200}, // another object
		{"HTTP://WWW.example.org:80/%61#part", proxy.PrefetchFresh, "", 200},
		{at + "/flushed?flushed=1", proxy.PrefetchStored, "", 200},
		{at + "/private?Cache-Control=private", proxy.PrefetchNotStored, cache.ReasonPrivate, 200},
		{at + "/cookie?Set-Cookie=a", proxy.PrefetchNotStored, cache.ReasonSetCookie, 200},
		{at + "/off/a", proxy.PrefetchNotStored, "cache off", 200},
		{at + "/secure/a", proxy.PrefetchNotStored, "redirect to https", 301},
		{"https://www.example.org/secure/a", proxy.PrefetchStored, "", 200},
		{at + "/moved?status=301&Location=/a", proxy.PrefetchStored, "", 301},
		{at + "/gone?status=410", proxy.PrefetchFailed, "", 410},
		{at + "/broken?status=503&Cache-Control=", proxy.PrefetchFailed, cache.ReasonFreshness, 503}, // /down does not stand in
		{at + "/small/announced?announced=4500", proxy.PrefetchNotStored, cache.ReasonSize, 200},
		{at + "/small/outgrown?flushed=1", proxy.PrefetchNotStored, cache.ReasonSize, 200},
	} {
		p, err := e.prefetch(t, c.url)
		if err != nil || p.Result() != c.result || p.Status != c.status || p.Reason != c.reason {
			t.Errorf("%s: %s %d %q, %v; want %s %d %q", c.url, p.Result(), p.Status, p.Reason, err, c.result, c.status, c.reason)
		}
		if stored := p.Result() == proxy.PrefetchStored; stored && (!p.Stored || p.Bytes == 0) {
			t.Errorf("%s: %+v", c.url, p)
		}
	}
}

func TestPrefetchOfWhatNobodyServesIsAnError(t *testing.T) {
	o := newRecorder(t, told)
	e := newEdge(t, prefetchSite, o)
	for url, want := range map[string]fault.Code{
		"http://other.example.org/":               fault.NoHost,
		"http:///a":                               fault.BadHost,
		"ftp://www.example.org/a":                 fault.BadTarget,
		"http://www.example.org/a%2fb":            fault.BadTarget,
		"http://www.example.org/post/a":           fault.Method,
		"http://www.example.org/x?announced=9999": fault.OriginAborted,
	} {
		p, err := e.prefetch(t, url)
		if got := fault.As(err); got == nil || got.Code != want {
			t.Errorf("%s: %v, %+v", url, err, p)
		}
	}
	if o.count() != 1 {
		t.Errorf("the origin was asked %d times", o.count())
	}
	o.Close()
	if _, err := e.prefetch(t, "http://www.example.org/unreachable"); err == nil {
		t.Error("an origin that is not there gives no error")
	}
}

// The request is one a client on this machine would send: what an origin logs of it makes sense, and nothing in it is a stub.
func TestPrefetchIsAWholeRequest(t *testing.T) {
	o := newRecorder(t, told)
	e := newEdge(t, prefetchSite, o)
	if _, err := e.prefetch(t, "https://www.example.org:8443/a?b", "Accept-Language: de", "X-Test: 1"); err != nil {
		t.Fatal(err)
	}
	q, _ := o.last(t)
	id := q.Header.Get("X-Request-Id")
	for name, want := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "www.example.org:8443", "X-Forwarded-Port": "8443",
		"Accept-Language": "de", "X-Test": "1",
	} {
		if got := q.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if _, err := e.prefetch(t, "http://www.example.org/b"); err != nil {
		t.Fatal(err)
	}
	q, _ = o.last(t)
	if other := q.Header.Get("X-Request-Id"); !strings.HasPrefix(id, "prefetch-") || other == id {
		t.Errorf("ids %q and %q", id, other)
	}
	e.stop()
	if log := e.log.String(); log != "" {
		t.Errorf("the access log has %q", log)
	}
}

// With compress the encoded form is made, once, and is there for the first client.
func TestPrefetchMakesTheEncodedForm(t *testing.T) {
	o := newRecorder(t, textOrigin)
	e := newEdge(t, prefetchSite, o)
	const url = "http://www.example.org/a"
	if p, err := e.prefetch(t, url); err != nil || p.Coding != "" || p.Bytes != int64(len(longText)) {
		t.Fatalf("%+v, %v", p, err)
	}
	for range 2 {
		if p, err := e.prefetch(t, url, "Accept-Encoding: br"); err != nil || p.Result() != proxy.PrefetchFresh || p.Coding != "br" {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	if p, err := e.prefetch(t, "http://www.example.org/b", "Accept-Encoding: zstd"); err != nil || p.Result() != proxy.PrefetchStored || p.Coding != "zstd" {
		t.Fatalf("%+v, %v", p, err)
	}
	if o.count() != 2 {
		t.Errorf("the origin was asked %d times", o.count())
	}
	r, body := e.do(t, request("GET "+url, "Accept-Encoding: br"))
	if value(r, "Content-Encoding") != "br" || plainOf(t, r, body) != longText || !strings.Contains(value(r, "Cache-Status"), "hit") {
		t.Errorf("%v", r.Fields)
	}
}

// What a client would get stale while it is refreshed is waited for.
func TestPrefetchWaitsForWhatIsStale(t *testing.T) {
	n := 0
	o := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
		n++ // one request at a time
		w.Header().Set("Cache-Control", "max-age=60, stale-while-revalidate=600")
		if n == 1 {
			w.Header().Set("Age", "60") // stale on arrival, and of use for another 600 s
		}
		fmt.Fprint(w, n)
	})
	e := newEdge(t, prefetchSite, o)
	for _, want := range []struct {
		outcome cache.Outcome
		asked   int
	}{{cache.Miss, 1}, {cache.Expired, 2}, {cache.Hit, 2}} {
		p, err := e.prefetch(t, "http://www.example.org/a")
		if err != nil || p.Outcome != want.outcome || !p.Stored || o.count() != want.asked {
			t.Errorf("%+v, %v, asked %d times; want %v and %d", p, err, o.count(), want.outcome, want.asked)
		}
	}
	// A wish of one's own counts too.
	if p, err := e.prefetch(t, "http://www.example.org/a", "Cache-Control: no-cache"); err != nil || p.Outcome != cache.Expired || o.count() != 3 {
		t.Errorf("%+v, %v, asked %d times", p, err, o.count())
	}
	if r, _ := e.do(t, request("GET http://www.example.org/a", "Cache-Control: no-cache")); !strings.Contains(value(r, "Cache-Status"), "; hit") {
		t.Errorf("clients have a say now: %q", value(r, "Cache-Status"))
	}
}

// A prefetch that is given up leaves its fetch to go on, and one that comes meanwhile joins it.
func TestPrefetchesShareOneFetch(t *testing.T) {
	began, goOn := make(chan struct{}), make(chan struct{})
	o := newRecorder(t, func(w http.ResponseWriter, q *http.Request) {
		close(began)
		<-goOn
		told(w, q)
	})
	e := newEdge(t, prefetchSite, o)
	ctx, giveUp := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := e.Prefetch(ctx, "http://www.example.org/a", nil)
		first <- err
	}()
	<-began
	giveUp()
	if err := <-first; fault.As(err) == nil || fault.As(err).Code != fault.ClientGone {
		t.Errorf("the first got %v", err)
	}
	second := make(chan proxy.Prefetched)
	go func() {
		p, err := e.prefetch(t, "http://www.example.org/a")
		if err != nil {
			t.Error(err)
		}
		second <- p
	}()
	close(goOn)
	if p := <-second; !p.Stored || o.count() != 1 {
		t.Errorf("%+v, and the origin was asked %d times", p, o.count())
	}
}

func TestPrefetchFieldsAreThoseOfAWholeObject(t *testing.T) {
	fields, err := proxy.PrefetchFields([]string{"Accept-Encoding: br", "X-A:1", "x-a: 2 "})
	if err != nil || len(fields) != 3 || fields[2] != (httpwire.Field{Name: "x-a", Value: "2"}) {
		t.Errorf("%v, %v", fields, err)
	}
	for _, line := range []string{"", "Accept", ": x", "A B: x", "A: x\r\nB: y", "Host: other.example.org", "Range: bytes=0-1", "if-none-match: *",
		"Content-Length: 5", "Transfer-Encoding: chunked", "Connection: close", "Upgrade: h2c"} {
		if fields, err := proxy.PrefetchFields([]string{line}); err == nil {
			t.Errorf("%q is taken as %v", line, fields)
		}
	}
}
