package proxy_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy"
	"github.com/meridian-edge/meridian/proxy/origin"
	"github.com/meridian-edge/meridian/steer"
)

// allUp is a health opinion for tests: everything is up.
type allUp struct{}

func (allUp) Up(steer.Slot) bool { return true }

// recorder is an origin that remembers what it was sent.
type recorder struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

// newRecorder starts an origin that answers with answer; nil answers 200 with max-age=60 and the path as the body.
func newRecorder(t testing.TB, answer http.HandlerFunc) *recorder {
	r := &recorder{}
	if answer == nil {
		answer = func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, "body of "+q.URL.Path)
		}
	}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		r.requests = append(r.requests, q)
		r.bodies = append(r.bodies, string(body))
		r.mu.Unlock()
		answer(w, q)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.requests)
}

func (r *recorder) last(t testing.TB) (*http.Request, string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.requests) == 0 {
		t.Fatal("the origin was not asked")
	}
	return r.requests[len(r.requests)-1], r.bodies[len(r.bodies)-1]
}

// edge is a router over real organs, without a front.
type edge struct {
	*proxy.Router
	log  strings.Builder // complete after stop; not written by benchmarks
	stop func()
}

func newEdge(t testing.TB, yaml string, origins ...*recorder) *edge {
	t.Helper()
	for i, o := range origins {
		yaml = strings.ReplaceAll(yaml, fmt.Sprintf("ORIGIN%d", i), strings.TrimPrefix(o.URL, "http://"))
	}
	cfg, _, err := config.Parse("test.yaml", []byte(yaml), config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	store := cache.New(cache.Options{Memory: 16 << 20, Node: "test1", Log: slog.New(slog.DiscardHandler)})
	transport := origin.NewTransport(origin.Options{})
	metrics := proxy.NewMetrics(nil)
	e := &edge{}
	var out io.Writer = &e.log
	if _, bench := t.(*testing.B); bench {
		out = io.Discard
	}
	access := proxy.NewAccessLog(out, slog.New(slog.DiscardHandler), metrics)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = access.Run(ctx) })
	e.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		store.Close()
		transport.Close()
	})
	t.Cleanup(e.stop)
	e.Router, err = proxy.Build(cfg, proxy.Deps{Cache: store, Origin: transport, Health: allUp{}, Log: access, Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// request makes an exchange: "GET http://host/path" with field lines.
func request(line string, fields ...string) *httpwire.Exchange {
	method, url, _ := strings.Cut(line, " ")
	scheme, rest, _ := strings.Cut(url, "://")
	i := strings.IndexAny(rest+"/", "/?")
	x := &httpwire.Exchange{
		ID: "id-1", Start: time.Now(),
		Peer: netip.MustParseAddrPort("192.0.2.7:4711"), Local: netip.MustParseAddrPort("127.0.0.1:8080"),
		Head: httpwire.Head{Method: method, Scheme: scheme, Authority: rest[:i], Target: rest[i:], Proto: httpwire.HTTP11},
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		x.Head.Fields.AddName(name, value)
	}
	return x
}

// do handles an exchange and plays the front: it reads the body, closes it, and calls Done.
func (e *edge) do(t testing.TB, x *httpwire.Exchange) (*httpwire.Response, string) {
	t.Helper()
	response := e.Handle(t.Context(), x)
	var body []byte
	var err error
	if response.Body != nil {
		body, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	kept := *response // Done gives its memory back
	response.Done(int64(len(body)), err)
	if err != nil {
		t.Fatalf("body: %v", err)
	}
	return &kept, string(body)
}

func (e *edge) status(t testing.TB, line string, fields ...string) int {
	t.Helper()
	response, _ := e.do(t, request(line, fields...))
	return response.Status
}

const oneSite = `
version: 1
edge: {name: test1}
distributions:
  www:
    domains: [www.example.org]
    origins: {app: {url: "http://ORIGIN0"}}
`

// P01: a host nobody serves is refused, and nobody is dialled.
func TestUnknownHostIs421WithoutADial(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, oneSite, o)
	response, body := e.do(t, request("GET http://other.example.org/"))
	if response.Status != 421 || !strings.Contains(body, "E-ROUTE-NOHOST") || !strings.Contains(body, "id-1") {
		t.Errorf("got %d %q", response.Status, body)
	}
	if status, _ := response.Fields.Get(httpwire.ProxyStatus); !strings.Contains(status, "E-ROUTE-NOHOST") {
		t.Errorf("Proxy-Status is %q", status)
	}
	if o.count() != 0 {
		t.Error("the origin was asked")
	}
}

func TestExactBeatsWildcardBeatsCatchAll(t *testing.T) {
	exact, wild, deep, all := named(t, "exact"), named(t, "wild"), named(t, "deep"), named(t, "all")
	e := newEdge(t, `
version: 1
distributions:
  a: {domains: [www.example.org], origins: {o: {url: "http://ORIGIN0"}}}
  b: {domains: ["*.example.org"], origins: {o: {url: "http://ORIGIN1"}}}
  c: {domains: ["*.x.example.org"], origins: {o: {url: "http://ORIGIN2"}}}
  d: {domains: ["*"], origins: {o: {url: "http://ORIGIN3"}}}
`, exact, wild, deep, all)
	for host, want := range map[string]string{
		"www.example.org": "exact", "WWW.Example.org.": "exact", "cdn.example.org": "wild", "a.b.example.org": "wild",
		"y.x.example.org": "deep", "x.example.org": "wild", "example.org": "all", "192.0.2.1": "all",
	} {
		if _, body := e.do(t, request("GET http://"+host+"/")); body != want {
			t.Errorf("%s is served by %q, want %q", host, body, want)
		}
	}
}

func named(t *testing.T, name string) *recorder {
	return newRecorder(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
}

func TestFirstMatchingBehaviorWins(t *testing.T) {
	api, static := named(t, "api"), named(t, "static")
	e := newEdge(t, `
version: 1
distributions:
  www:
    domains: [www.example.org]
    origins: {api: {url: "http://ORIGIN0"}, static: {url: "http://ORIGIN1"}}
    behaviors:
      - {path: /api/*, origin: api, methods: all, cache: off}
      - {path: "*.css", origin: static}
      - {path: /v?/x, origin: static, redirect_to_https: true}
      - {path: /only, origin: api}
`, api, static)
	for line, want := range map[string]int{
		"GET http://www.example.org/api/users": 200, "DELETE http://www.example.org/api/users": 200,
		"GET http://www.example.org/a/b.css": 200, "DELETE http://www.example.org/a/b.css": 405,
		"GET http://www.example.org/v1/x": 301, "POST http://www.example.org/v1/x": 307, "GET http://www.example.org/v12/x": 404,
		"GET http://www.example.org/only": 200, "GET http://www.example.org/only/": 404, "GET http://www.example.org/API/x": 404,
		"TRACE http://www.example.org/api/x": 405, "CONNECT http://www.example.org/api/x": 405,
	} {
		if got := e.status(t, line); got != want {
			t.Errorf("%s: %d, want %d", line, got, want)
		}
	}
	response, _ := e.do(t, request("PUT http://www.example.org/only"))
	if allow, _ := response.Fields.Get(httpwire.Allow); allow != "GET, HEAD, OPTIONS" {
		t.Errorf("Allow is %q", allow)
	}
	response, _ = e.do(t, request("GET http://www.example.org:8080/v1/x?q=1"))
	if location, _ := response.Fields.Get(httpwire.Location); location != "https://www.example.org/v1/x?q=1" {
		t.Errorf("Location is %q", location)
	}
}

func TestMissThenHit(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, oneSite, o)
	for i, want := range []string{"test1; fwd=", "test1; hit"} {
		response, body := e.do(t, request("GET http://www.example.org/a"))
		status, _ := response.Fields.Get(httpwire.CacheStatus)
		if response.Status != 200 || body != "body of /a" || !strings.HasPrefix(status, want) {
			t.Errorf("request %d: %d %q, Cache-Status %q", i, response.Status, body, status)
		}
		if via, _ := response.Fields.Joined(httpwire.Via); via != "1.1 test1" {
			t.Errorf("Via is %q", via)
		}
	}
	if o.count() != 1 {
		t.Errorf("the origin was asked %d times", o.count())
	}
}

// Every field whose name is spelled otherwise than net/http spells it arrives all the same, and validators work end to end.
func TestFieldsOfEverySpellingArrive(t *testing.T) {
	o := newRecorder(t, func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header()["ETag"] = []string{`"1"`}
		w.Header()["WWW-Authenticate"] = []string{"Basic"}
		w.Header()["CDN-Cache-Control"] = []string{"max-age=0"}
		w.Header()["x-lower"] = []string{"1"}
		w.Header().Set("Cache-Control", "max-age=0")
	})
	e := newEdge(t, oneSite, o)
	response, _ := e.do(t, request("GET http://www.example.org/a"))
	for _, name := range []string{"ETag", "WWW-Authenticate", "CDN-Cache-Control", "X-Lower"} {
		if _, ok := response.Fields.Lookup(name); !ok {
			t.Errorf("%s is lost; got %v", name, response.Fields)
		}
	}
	response, _ = e.do(t, request("GET http://www.example.org/a"))
	if status, _ := response.Fields.Get(httpwire.CacheStatus); response.Status != 200 || !strings.Contains(status, "fwd-status=304") {
		t.Errorf("the second request is not a revalidation: %d, Cache-Status %q", response.Status, status)
	}
}
