package proxy_test

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy"
	"github.com/meridian-edge/meridian/proxy/origin"
	"github.com/meridian-edge/meridian/steer"
)

// A failover pool goes by roles where there are some, and by listing otherwise.
func TestFailoverPoolsGoByRole(t *testing.T) {
	second, first := named(t, "second"), named(t, "first")
	e := newEdge(t, `
version: 1
pools:
  p:
    policy: failover
    endpoints: [{address: "ORIGIN0", role: secondary}, {address: "ORIGIN1", role: primary}]
distributions:
  www: {domains: [www.example.org], origins: {app: {pool: p}}}
`, second, first)
	if _, body := e.do(t, request("GET http://www.example.org/")); body != "first" {
		t.Errorf("the %s endpoint serves, want the primary", body)
	}
}

// Every request has its log line, those that a front refuses too.
func TestRequestsRefusedByTheFrontAreLogged(t *testing.T) {
	e := newEdge(t, oneSite, newRecorder(t, nil))
	response := e.Refuse(request("GET http://www.example.org/long"), fault.New(fault.TargetTooLong, nil))
	if response.Status != 414 || response.Done == nil {
		t.Fatalf("got %d, and Done is missing: %v", response.Status, response.Done == nil)
	}
	response.Done(response.Length, nil)
	e.stop()
	if out := e.log.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, `"status":414`) || !strings.Contains(out, "E-LIMIT-TARGET") ||
		!strings.Contains(out, `"client":"192.0.2.7"`) {
		t.Errorf("the log is %q", out)
	}
}

// RFC 9209 section 2 and RFC 9651 section 3.3.4: a name that does not start with a letter is a string, not a token.
func TestProxyStatusIsAStructuredField(t *testing.T) {
	for name, want := range map[string]string{"eu1": `eu1; error=`, "4f3a": `"4f3a"; error=`} {
		e := newEdge(t, strings.Replace(oneSite, "test1", name, 1), newRecorder(t, nil))
		response, _ := e.do(t, request("GET http://other.example.org/"))
		if got, _ := response.Fields.Get(httpwire.ProxyStatus); !strings.HasPrefix(got, want) {
			t.Errorf("Proxy-Status is %q, want %q", got, want)
		}
	}
}

// T02, P04: a client that sends no server name got the catch-all's certificate, and reaches that distribution alone.
func TestNoServerNameReachesTheCatchAll(t *testing.T) {
	a, all := named(t, "a"), named(t, "all")
	e := newEdge(t, `
version: 1
distributions:
  a: {domains: [a.example.org], origins: {o: {url: "http://ORIGIN0"}}}
  all: {domains: ["*"], origins: {o: {url: "http://ORIGIN1"}}}
`, a, all)
	for _, c := range []struct {
		sni, host string
		want      int
	}{
		{"", "127.0.0.1", 200}, {"", "a.example.org", 421}, {"c.example.org", "d.example.org", 200}, {"c.example.org", "a.example.org", 421},
	} {
		x := request("GET https://" + c.host + "/")
		x.TLS = &tls.ConnectionState{ServerName: c.sni}
		if response, _ := e.do(t, x); response.Status != c.want {
			t.Errorf("server name %q, host %s: %d, want %d", c.sni, c.host, response.Status, c.want)
		}
	}
}

// P08: TRACE and its relative are refused even where every method is allowed.
func TestTraceAndTrackAreRefused(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, oneSite, o)
	for _, method := range []string{"TRACE", "TRACK"} {
		if got := e.status(t, method+" http://www.example.org/"); got != 405 {
			t.Errorf("%s: %d", method, got)
		}
	}
	if o.count() != 0 {
		t.Error("the origin was asked")
	}
}

// RFC 9110 section 7.6.2: Max-Forwards of OPTIONS is counted down, and at 0 the answer is ours.
func TestMaxForwards(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, oneSite, o)
	response, _ := e.do(t, request("OPTIONS http://www.example.org/", "Max-Forwards: 0"))
	if allow, _ := response.Fields.Get(httpwire.Allow); response.Status != 200 || response.Length != 0 || !strings.Contains(allow, "GET") || o.count() != 0 {
		t.Errorf("at 0: %d of length %d, Allow is %q, %d requests went on", response.Status, response.Length, allow, o.count())
	}
	for line, want := range map[string]string{"OPTIONS 3": "2", "OPTIONS x": "", "GET 0": ""} {
		method, value, _ := strings.Cut(line, " ")
		e.do(t, request(method+" http://www.example.org/"+method, "Max-Forwards: "+value))
		if q, _ := o.last(t); q.Method != method || q.Header.Get("Max-Forwards") != want {
			t.Errorf("%s went on as %s with %q, want %q", line, q.Method, q.Header.Get("Max-Forwards"), want)
		}
	}
}

// OPTIONS * has no path to redirect to (RFC 9112 section 3.2.4).
func TestAsteriskIsRedirectedToTheHost(t *testing.T) {
	e := newEdge(t, `
version: 1
distributions:
  www:
    domains: [www.example.org]
    origins: {app: {url: "http://192.0.2.1"}}
    behaviors: [{path: "*", redirect_to_https: true}]
`)
	x := request("OPTIONS http://www.example.org/")
	x.Head.Target = "*"
	response, _ := e.do(t, x)
	if location, _ := response.Fields.Get(httpwire.Location); response.Status != 307 || location != "https://www.example.org" {
		t.Errorf("got %d to %q", response.Status, location)
	}
}

// RFC 9110 section 7.6.3: Via tells how the message was received, and responses are received over HTTP/1.1.
func TestViaOfAResponseNamesTheOriginsProtocol(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, passSite, o)
	x := request("GET https://www.example.org/")
	x.Head.Proto = httpwire.HTTP2
	response, _ := e.do(t, x)
	if via, _ := response.Fields.Joined(httpwire.Via); via != "1.1 test1" {
		t.Errorf("Via of the response is %q", via)
	}
	if q, _ := o.last(t); q.Header.Get("Via") != "2 test1" {
		t.Errorf("Via of the request is %q", q.Header.Get("Via"))
	}
}

// P12, P07: no field of the family X-Forwarded is taken from somebody who is not trusted, on any route.
func TestForwardedFamilyIsNotTakenFromClients(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, passSite, o)
	for peer, want := range map[string]string{"192.0.2.7:1": "", "198.51.100.1:1": "//evil"} {
		x := request("GET http://www.example.org/", "X-Forwarded-Prefix: //evil", "x-forwarded-user: //evil")
		x.Peer = netip.MustParseAddrPort(peer)
		e.do(t, x)
		q, _ := o.last(t)
		for _, name := range []string{"X-Forwarded-Prefix", "X-Forwarded-User"} {
			if got := q.Header.Get(name); got != want {
				t.Errorf("from %s: %s is %q, want %q", peer, name, got, want)
			}
		}
	}
}

// C01: a field that steers origins is forwarded where it is part of the key.
func TestListedFieldsAreForwarded(t *testing.T) {
	o := newRecorder(t, nil)
	e := newEdge(t, `
version: 1
distributions:
  www:
    domains: [www.example.org]
    origins: {app: {url: "http://ORIGIN0"}}
    behaviors: [{path: "*", cache: {key: {headers: [X-Host]}}}]
`, o)
	for _, value := range []string{"one", "two"} {
		e.do(t, request("GET http://www.example.org/", "X-Host: "+value))
		if q, _ := o.last(t); q.Header.Get("X-Host") != value {
			t.Errorf("X-Host arrived as %q, want %q", q.Header.Get("X-Host"), value)
		}
	}
}

func TestExplainWithoutAClientNamesNobody(t *testing.T) {
	e := newEdge(t, oneSite, newRecorder(t, nil))
	if x := e.Explain("GET", "http://www.example.org/", netip.Addr{}); x.Client != "" {
		t.Errorf("the client is %q", x.Client)
	}
}

// brokenHealth is a bug somewhere below the router.
type brokenHealth struct{}

func (brokenHealth) Up(steer.Slot) bool { panic("a bug") }

// A panic costs one request; it does not stay in flight for ever.
func TestPanicDoesNotStayInFlight(t *testing.T) {
	cfg, _, err := config.Parse("test.yaml", []byte(strings.Replace(oneSite, "ORIGIN0", "192.0.2.1:80", 1)), config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	store := cache.New(cache.Options{})
	defer store.Close()
	registry := prometheus.NewRegistry()
	slot := func(string, int) steer.Slot { return 0 }
	router, err := proxy.Build(cfg, proxy.Deps{
		Cache: store, Origin: origin.NewTransport(origin.Options{}), Health: brokenHealth{}, Slot: slot, Metrics: proxy.NewMetrics(registry),
	})
	if err != nil {
		t.Fatal(err)
	}
	x := request("POST http://www.example.org/")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing panicked")
			}
		}()
		router.Handle(t.Context(), x)
	}()
	response := router.Refuse(x, fault.New(fault.Unexpected, nil)) // as the front does then
	response.Done(0, nil)
	want := "# HELP meridian_http_requests_in_flight Requests whose response is not written yet.\n" +
		"# TYPE meridian_http_requests_in_flight gauge\nmeridian_http_requests_in_flight 0\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "meridian_http_requests_in_flight"); err != nil {
		t.Error(err)
	}
}

// A URL is read as a client reads it: schemes have no case, a fragment is not sent, and other schemes are not ours.
func TestExplainReadsURLsAsClientsDo(t *testing.T) {
	e := newEdge(t, oneSite, newRecorder(t, nil))
	want := e.Explain("GET", "http://www.example.org/a?b", netip.Addr{})
	got := e.Explain("GET", "HTTP://www.example.org/a?b#part", netip.Addr{})
	if got.Refused != "" || got.Cache == nil || got.Cache.Key != want.Cache.Key {
		t.Errorf("got %+v, want the key %q", got, want.Cache.Key)
	}
	if got := e.Explain("GET", "ftp://www.example.org/", netip.Addr{}); got.Refused != "E-ROUTE-BADTARGET" {
		t.Errorf("ftp: refused is %q", got.Refused)
	}
	if _, err := e.Purge(t.Context(), proxy.PurgeQuery{URL: "ftp://www.example.org/"}); err == nil {
		t.Error("ftp: purged")
	}
}

// P05, P06: a quote that a client leaves open does not hide what others have added behind it in the same line.
func TestAnOpenQuoteHidesNothing(t *testing.T) {
	e := newEdge(t, passSite, newRecorder(t, nil))
	if got := e.status(t, "GET http://www.example.org/", `CDN-Loop: "x, meridian-test1`); got != 508 {
		t.Errorf("a loop behind a quote: %d", got)
	}
	x := request("GET http://www.example.org/client", `X-Forwarded-For: "x, 203.0.113.9, 198.51.100.8`)
	x.Peer = netip.MustParseAddrPort("198.51.100.1:1")
	e.do(t, x)
	e.stop()
	if out := e.log.String(); !strings.Contains(out, `"client":"203.0.113.9"`) {
		t.Errorf("the client is another in %q", out)
	}
}
