package demo

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/steer/geo"
)

func TestEveryCountryIsInTheEmbeddedDatabase(t *testing.T) {
	db, err := geo.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	known, err := knownCountries(db)
	if err != nil || len(known) != len(candidates()) {
		t.Errorf("%d of %d countries known, %v", len(known), len(candidates()), err)
	}
	nearest := map[string]int{}
	for _, c := range known {
		best := location{}
		for _, e := range theEdges() {
			p := db.Place(c.Subnet.Addr().Next()).Point
			if best.Name == "" || p.Kilometres(e.point()) < p.Kilometres(best.point()) {
				best = e
			}
		}
		nearest[best.Name]++
	}
	for _, e := range theEdges() {
		if nearest[e.Name] == 0 {
			t.Errorf("no country is nearest to edge %s", e.Name)
		}
	}
}

func TestEachEdgeHasAnOriginNearby(t *testing.T) {
	w := smallWorld()
	for i, e := range w.Edges {
		for j, o := range w.Origins {
			near, other := w.delays(w.Origins[i])[e.Name], w.delays(o)[e.Name]
			if i != j && near*3 > other {
				t.Errorf("%s is %v from %s and %v from %s", e.Name, near, w.Origins[i].Name, other, o.Name)
			}
		}
	}
}

func TestConfigurationsLoadWithoutWarnings(t *testing.T) {
	w := smallWorld()
	w.Dir = t.TempDir()
	w.Ports = ports{Origin: 9001, HTTP: 8080, HTTPS: 8443, DNS: 5353, Metrics: 9180}
	for _, e := range w.Edges {
		cfg, err := w.writeConfig(e)
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Edge.Name != e.Name || cfg.Listeners.Admin[0] != w.socket(e) || len(cfg.Pools) != 1 || len(cfg.Zones[0].Records) != 4 {
			t.Errorf("edge %s: %+v", e.Name, cfg)
		}
	}
}

func TestTakenPortIsReplaced(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).AddrPort()
	got, err := freePort(taken.Port(), []netip.Addr{taken.Addr()}, true, false)
	if err != nil || got == taken.Port() {
		t.Errorf("port %d, %v", got, err)
	}
	if _, err := freePort(1, []netip.Addr{netip.MustParseAddr("192.0.2.1")}, false, false); err == nil {
		t.Error("a port on an address that is not ours")
	}
}

func TestPortsAreAllDifferent(t *testing.T) {
	p, err := choosePorts(smallWorld(), true)
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint16]bool{}
	for _, port := range []uint16{p.Origin, p.HTTP, p.HTTPS, p.DNS, p.Metrics} {
		if port == 0 || seen[port] {
			t.Errorf("ports %+v", p)
		}
		seen[port] = true
	}
}

func TestOriginIsAsFarAsTheEdgeThatAsks(t *testing.T) {
	o := newOrigin("lon", netip.AddrPort{}, map[string]time.Duration{"eu": 12 * time.Millisecond, "ap": 129 * time.Millisecond}, theAssets())
	f := func(path, via string, want time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			if via != "" {
				r.Header.Set("Via", via)
			}
			start := time.Now()
			o.ServeHTTP(httptest.NewRecorder(), r)
			if took := time.Since(start); took != want {
				t.Errorf("%s via %q took %v, want %v", path, via, took, want)
			}
		})
	}
	f("/", "1.1 eu", 12*time.Millisecond)
	f("/", "2 us, 1.1 ap", 129*time.Millisecond)
	f("/", "1.1 ap, 3 eu (comment)", 12*time.Millisecond)
	f("/", "", 0)
	f("/", "broken", 0)
	f("/healthz", "1.1 ap", 0)
	f(apiPath, "1.1 eu", 12*time.Millisecond)
}

func TestOriginAnswersCanBeVerified(t *testing.T) {
	o := newOrigin("lon", netip.AddrPort{}, nil, theAssets())
	for path, a := range o.assets {
		rec := httptest.NewRecorder()
		o.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if rec.Code != 200 || rec.Body.String() != a.Body || rec.Header().Get("Repr-Digest") != digest(rec.Body.String()) {
			t.Errorf("%s: %d, %v", path, rec.Code, rec.Header())
		}
		again := httptest.NewRequest(http.MethodGet, path, nil)
		again.Header.Set("If-None-Match", rec.Header().Get("ETag"))
		rec = httptest.NewRecorder()
		if o.ServeHTTP(rec, again); rec.Code != http.StatusNotModified {
			t.Errorf("%s with its ETag: %d", path, rec.Code)
		}
	}
	rec := httptest.NewRecorder()
	o.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, apiPath, nil))
	if rec.Header().Get("Cache-Control") != "no-store" || rec.Header().Get("Repr-Digest") != digest(rec.Body.String()) {
		t.Errorf("%v", rec.Header())
	}
	rec = httptest.NewRecorder()
	if o.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/nothing", nil)); rec.Code != http.StatusNotFound {
		t.Errorf("unknown path: %d", rec.Code)
	}
}

func TestKilledOriginResetsRequestsUnderWayAndComesBack(t *testing.T) {
	noLeaks(t)
	o := newOrigin("lon", netip.MustParseAddrPort("127.0.0.1:0"), map[string]time.Duration{"eu": time.Hour}, theAssets())
	if err := o.start(); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	sent := make(chan struct{}, 3)
	get := func(via string) (*http.Response, error) {
		trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent <- struct{}{} }}
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, "http://"+o.addr.String()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if via != "" {
			r.Header.Set("Via", via)
		}
		return transport.RoundTrip(r)
	}
	failed := make(chan error, 1)
	go func() {
		response, err := get("1.1 eu")
		if err == nil {
			_ = response.Body.Close()
		}
		failed <- err
	}()
	<-sent
	o.kill()
	if err := <-failed; err == nil {
		t.Error("a killed origin answered")
	}
	if _, err := get(""); err == nil { //nolint:bodyclose // there is none
		t.Error("a killed origin took a connection")
	}
	o.kill() // twice does no harm
	if err := o.start(); err != nil {
		t.Fatal(err)
	}
	response, err := get("")
	if err != nil || response.StatusCode != 200 {
		t.Errorf("after its return: %v, %v", response, err)
	} else {
		_ = response.Body.Close()
	}
	o.kill()
}

func TestBannerNamesWhatRuns(t *testing.T) {
	w := smallWorld()
	w.Dir, w.Ports = "/tmp/x", ports{Origin: 9001, HTTP: 8080, HTTPS: 8443, DNS: 5353, Metrics: 9180}
	text := strings.Join(banner(w, newScreen(nil, plain, false, 0), "1.0", false), "\n")
	for _, want := range []string{
		"lon 127.0.1.1:9001", "eu  127.0.2.1", "dig @127.0.2.1 -p 5353 www.demo.test +subnet=81.2.69.0/24",
		"--resolve www.demo.test:8443:127.0.2.1 https://www.demo.test:8443/", "-c /tmp/x/eu.yaml", "Ctrl-C stops and cleans up",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
