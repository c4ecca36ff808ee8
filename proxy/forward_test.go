package proxy_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy"
)

const passSite = `
version: 1
edge: {name: test1}
trusted_proxies: [198.51.100.0/24]
distributions:
  www:
    domains: [www.example.org]
    origins: {app: {url: "http://ORIGIN0"}}
    behaviors:
      - {path: /cached/*, methods: all}
      - {path: "*", methods: all, cache: off}
`

func TestWhatTheOriginSees(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, passSite, o)
	x := request("POST http://WWW.example.org/a/../b?x=1", "User-Agent: curl", "X-Thing: 1", "Expect: 100-continue")
	x.Body, x.Length = strings.NewReader("hello"), 5
	e.do(t, x)
	q, body := o.last(t)
	if q.Method != "POST" || q.RequestURI != "/b?x=1" || q.Host != "www.example.org" || body != "hello" {
		t.Errorf("got %s %s for %s with %q", q.Method, q.RequestURI, q.Host, body)
	}
	for name, want := range map[string]string{
		"Via": "1.1 test1", "Cdn-Loop": "meridian-test1", "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http",
		"X-Forwarded-Host": "www.example.org", "X-Forwarded-Port": "8080", "X-Request-Id": "id-1", "User-Agent": "curl",
		"X-Thing": "1", "Expect": "", "Accept-Encoding": "",
	} {
		if got := strings.Join(q.Header.Values(name), " | "); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// S28: Connection names hop-by-hop fields, but cannot make us drop the ones that matter.
func TestConnectionCannotRemoveProtectedFields(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, passSite, o)
	e.do(t, request("GET http://www.example.org/",
		"Connection: close, X-Hop, Authorization, Cookie, X-Forwarded-For, Cache-Control, Via", "X-Hop: 1", "Authorization: Basic eA==",
		"Cookie: a=b", "Cache-Control: no-store", "Keep-Alive: timeout=5", "TE: trailers", "Upgrade: h2c", "HTTP2-Settings: AAA",
		"Proxy-Authorization: Basic eA==", "Trailer: X-T", "Proxy-Connection: close"))
	q, _ := o.last(t)
	for name, want := range map[string]bool{
		"X-Hop": false, "Keep-Alive": false, "Te": false, "Upgrade": false, "Http2-Settings": false, "Proxy-Authorization": false,
		"Trailer": false, "Proxy-Connection": false, "Authorization": true, "Cookie": true, "X-Forwarded-For": true, "Cache-Control": true,
	} {
		if got := q.Header.Get(name) != ""; got != want {
			t.Errorf("%s arrived: %v, want %v", name, got, want)
		}
	}
}

// P06: what a client says about itself is believed only from trusted proxies.
func TestForwardedForIsNotBelieved(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, passSite, o)
	f := func(peer, wantXFF, wantReal string) {
		t.Helper()
		x := request("GET http://www.example.org/", "X-Forwarded-For: 203.0.113.9, 198.51.100.8", "X-Real-IP: 203.0.113.9", "X-Forwarded-Proto: https")
		x.Peer = netip.MustParseAddrPort(peer)
		e.do(t, x)
		q, _ := o.last(t)
		if got := q.Header.Get("X-Forwarded-For"); got != wantXFF {
			t.Errorf("from %s: X-Forwarded-For is %q, want %q", peer, got, wantXFF)
		}
		if got := q.Header.Get("X-Real-IP"); got != wantReal {
			t.Errorf("from %s: X-Real-IP is %q, want %q", peer, got, wantReal)
		}
	}
	f("192.0.2.7:1", "192.0.2.7", "")
	f("198.51.100.1:1", "203.0.113.9, 198.51.100.8, 198.51.100.1", "203.0.113.9")
}

// C01, C10: fields by which a client could choose what the origin answers are not forwarded where answers are stored.
func TestSteeringFieldsAreNotForwardedOnCachedRoutes(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, passSite, o)
	for path, want := range map[string]string{"/cached/a": "", "/other": "evil"} {
		e.do(t, request("GET http://www.example.org"+path, "X-Original-URL: evil", "x-rewrite-url: evil", "X-HTTP-Method-Override: evil", "X-Host: evil"))
		q, _ := o.last(t)
		for _, name := range []string{"X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override", "X-Host"} {
			if got := q.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}

// C02: the body of a GET never reaches the origin where answers are stored.
func TestFatGetIsForwardedWithoutItsBody(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, passSite, o)
	x := request("GET http://www.example.org/cached/a")
	x.Body, x.Length = strings.NewReader("poison"), 6
	e.do(t, x)
	if _, body := o.last(t); body != "" {
		t.Errorf("the origin got %q", body)
	}
}

// P05: a request that has been here before is refused, and so is one that has been everywhere.
func TestLoops(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, oneSite, o)
	f := func(want int, fields ...string) {
		t.Helper()
		if got := e.status(t, "GET http://www.example.org/", fields...); got != want {
			t.Errorf("%q: %d, want %d", fields, got, want)
		}
	}
	f(200, "CDN-Loop: other, meridian-test2")
	f(508, "CDN-Loop: other, MERIDIAN-test1; v=1")
	f(508, "CDN-Loop: a, b, c, d, e", "cdn-loop: f, g, h, i, j")
}

// S29, S26, C06 as far as the router decides them.
func TestRefusedHeads(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, oneSite, o)
	f := func(code, line string, fields ...string) {
		t.Helper()
		response, body := e.do(t, request(line, fields...))
		if response.Status != 400 || !strings.Contains(body, code) {
			t.Errorf("%s %q: %d %q, want %s", line, fields, response.Status, body, code)
		}
	}
	f("E-REQUEST-FIELDNAME", "GET http://www.example.org/", "X_Forwarded_For: 203.0.113.9")
	f("E-ROUTE-BADHOST", "GET http://user@www.example.org/")
	f("E-ROUTE-BADTARGET", "GET http://www.example.org/%2e%2e/secret")
	if o.count() != 0 {
		t.Error("the origin was asked")
	}
}

// P04: a connection made for one distribution does not reach another.
func TestServerNameMustBelongToTheDistribution(t *testing.T) {
	a, b := named(t, "a"), named(t, "b")
	e := newEdge(t, `
version: 1
distributions:
  a: {domains: [a.example.org, "*.a.example.org"], origins: {o: {url: "http://ORIGIN0"}}}
  b: {domains: [b.example.org], origins: {o: {url: "http://ORIGIN1"}}}
`, a, b)
	for sni, want := range map[string]int{"a.example.org": 200, "X.a.example.org": 200, "b.example.org": 421, "": 421, "c.example.org": 421} {
		x := request("GET https://a.example.org/")
		x.TLS = &tls.ConnectionState{ServerName: sni}
		if response, _ := e.do(t, x); response.Status != want {
			t.Errorf("server name %q: %d, want %d", sni, response.Status, want)
		}
	}
}

// P10: what belongs to the connection upstream stays there.
func TestHopByHopResponseFieldsAreDropped(t *testing.T) {
	o := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Connection", "X-Hop")
		for _, name := range []string{"X-Hop", "Keep-Alive", "Proxy-Authenticate", "Alt-Svc", "Trailer", "Upgrade"} {
			h.Set(name, "x")
		}
		h.Set("X-End", "to-end")
		h.Set("Cache-Status", "shield; hit")
	})
	e := newEdge(t, passSite, o)
	response, _ := e.do(t, request("GET http://www.example.org/"))
	for _, name := range []string{"Connection", "X-Hop", "Keep-Alive", "Proxy-Authenticate", "Alt-Svc", "Trailer", "Upgrade"} {
		if v, ok := response.Fields.Lookup(name); ok {
			t.Errorf("%s: %s was delivered", name, v)
		}
	}
	if v, _ := response.Fields.Lookup("X-End"); v != "to-end" {
		t.Error("an end-to-end field was lost")
	}
	if v, _ := response.Fields.Get(httpwire.CacheStatus); !strings.HasPrefix(v, "shield; hit, test1; ") {
		t.Errorf("Cache-Status is %q", v)
	}
}

// S31: whatever a client sends, a log line is one line of JSON, without query values or credentials.
func TestAccessLogIsOneLineOfJSON(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, oneSite, o)
	e.do(t, request("GET http://www.example.org/a\"b%0Ac?token=secret", "Authorization: secret", "Cookie: secret"))
	e.do(t, request("GET http://www.example.org/a\"b\u00e9?token=secret", "Authorization: secret", "Cookie: secret"))
	e.stop()
	out := e.log.String()
	if strings.Contains(out, "secret") || strings.Count(out, "\n") != 2 {
		t.Fatalf("the log is %q", out)
	}
	type line struct {
		Method, Host, Path, Distribution, Cache, Endpoint, Client, Code string
		Status, Attempts                                                int
	}
	decode := json.NewDecoder(strings.NewReader(out))
	var first, second line
	if err := decode.Decode(&first); err != nil || first.Code != "E-ROUTE-BADTARGET" {
		t.Errorf("got %+v, %v", first, err)
	}
	if err := decode.Decode(&second); err != nil || second.Path != "/a\"b%C3%A9" || second.Status != 200 || second.Attempts != 1 ||
		second.Distribution != "www" || second.Client != "192.0.2.7" || second.Cache != "bypass" && second.Cache != "miss" {
		t.Errorf("got %+v, %v", second, err)
	}
	if err := decode.Decode(&second); err != io.EOF {
		t.Errorf("there is more: %v", err)
	}
}

// Law 3: explain runs the decision that serves.
func TestExplainSaysWhatHandleDoes(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, passSite, o)
	x := e.Explain("GET", "http://www.example.org/cached/a?b", netip.MustParseAddr("192.0.2.7"))
	if x.Distribution != "www" || x.Behavior != "/cached/*" || x.Refused != "" || x.Cache == nil || len(x.Candidates) != 1 {
		t.Fatalf("got %+v", x)
	}
	e.do(t, request("GET http://www.example.org/cached/a?b"))
	if got := o.URL; !strings.HasSuffix(got, x.Candidates[0].Endpoint) {
		t.Errorf("explain says %q, the request went to %q", x.Candidates[0].Endpoint, got)
	}
	for url, code := range map[string]string{
		"http://other.example.org/": "E-ROUTE-NOHOST", "http://www.example.org/%2f": "E-ROUTE-BADTARGET",
	} {
		if got := e.Explain("GET", url, netip.Addr{}); got.Refused != code {
			t.Errorf("%s: %q, want %q", url, got.Refused, code)
		}
	}
}

func TestPurgeTakesOneURLOut(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, oneSite, o)
	e.do(t, request("GET http://www.example.org/a"))
	e.do(t, request("GET http://www.example.org/b"))
	receipt, err := e.Purge(t.Context(), proxy.PurgeQuery{URL: "http://www.example.org/a"})
	if err != nil || receipt.Objects != 1 || receipt.Bytes == 0 {
		t.Fatalf("got %+v, %v", receipt, err)
	}
	e.do(t, request("GET http://www.example.org/a"))
	e.do(t, request("GET http://www.example.org/b"))
	if o.count() != 3 {
		t.Errorf("the origin was asked %d times, want 3", o.count())
	}
	if _, err := e.Purge(t.Context(), proxy.PurgeQuery{URL: "http://other.example.org/a"}); err == nil {
		t.Error("a URL nobody serves was purged")
	}
}

// C03: a parameter that is not keyed is not forwarded either; what is not stored is forwarded as it came.
func TestWhatIsKeyedIsWhatIsForwarded(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, `
version: 1
distributions:
  www:
    domains: [www.example.org]
    origins: {app: {url: "http://ORIGIN0"}}
    behaviors:
      - {path: /static/*, methods: all, cache: {key: {query: [v]}}}
      - {path: "*", methods: all, cache: off}
`, o)
	f := func(line, want string) {
		t.Helper()
		e.do(t, request(line))
		if q, _ := o.last(t); q.RequestURI != want {
			t.Errorf("%s was forwarded as %s, want %s", line, q.RequestURI, want)
		}
	}
	f("GET http://www.example.org/static/./a?utm=x&v=2", "/static/a?v=2")
	f("GET http://www.example.org/static/b?utm=x", "/static/b")
	f("POST http://www.example.org/static/a?utm=x&v=2", "/static/a?utm=x&v=2")
	f("GET http://www.example.org/x/../other?b=1;a=2&b=3", "/other?b=1;a=2&b=3")
}
