package proxy_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy"
	"github.com/meridian-edge/meridian/proxy/origin"
	"github.com/meridian-edge/meridian/steer"
)

// poolSite is a site over a pool of three origins, which is balanced as the settings say.
func poolSite(settings string) string {
	return `
version: 1
edge: {name: test1}
pools:
  web:
    ` + settings + `
    endpoints: [{address: "ORIGIN0"}, {address: "ORIGIN1"}, {address: "ORIGIN2"}]
distributions:
  www:
    domains: [www.example.org]
    origins: {app: {pool: web}}
    behaviors: [{path: "/off*", origin: app, cache: off}, {path: "*", origin: app}]
`
}

// numbered starts n origins that answer with their number.
func numbered(t testing.TB, n int) []*recorder {
	var list []*recorder
	for i := range n {
		list = append(list, newRecorder(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, i) }))
	}
	return list
}

// netipAddr is the address of client i.
func netipAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 4711)
}

func TestRoundRobinOverOrigins(t *testing.T) {
	e := newEdge(t, poolSite("policy: round-robin"), numbered(t, 3)...)
	var got strings.Builder
	for range 6 {
		_, body := e.do(t, request("GET http://www.example.org/off"))
		got.WriteString(body)
	}
	if got.String() != "012012" {
		t.Errorf("turns go to %s", got.String())
	}
}

// What the key is made of decides; what it is not made of does not.
func TestHashKeepsKeysTogether(t *testing.T) {
	f := func(by string, same, different func(i int) *httpwire.Exchange) {
		t.Helper()
		e := newEdge(t, poolSite("policy: hash\n    hash: "+by), numbered(t, 3)...)
		for name, exchange := range map[string]func(int) *httpwire.Exchange{"same": same, "different": different} {
			seen := map[string]bool{}
			for i := range 30 {
				_, body := e.do(t, exchange(i))
				seen[body] = true
			}
			if want := map[string]int{"same": 1, "different": 3}[name]; len(seen) != want {
				t.Errorf("%s: %s keys go to %v, want %d origins", by, name, seen, want)
			}
		}
	}
	path := func(i int) *httpwire.Exchange { return request(fmt.Sprintf("GET http://www.example.org/off/%d", i)) }
	tenant := func(id, other int) *httpwire.Exchange {
		return request("GET http://www.example.org/off", fmt.Sprintf("X-Tenant: %d", id), fmt.Sprintf("Cookie: o=%d; user=u%d", other, id))
	}
	one := func(i int) *httpwire.Exchange { return tenant(1, i) }
	many := func(i int) *httpwire.Exchange { return tenant(i, 1) }
	f("{by: path}", func(i int) *httpwire.Exchange { return request(fmt.Sprintf("GET http://www.example.org/off?%d", i)) }, path)
	f("{by: header, name: X-Tenant}", one, many)
	f("{by: cookie, name: user}", one, many)
	f("{by: client}", path, func(i int) *httpwire.Exchange {
		x := request("GET http://www.example.org/off")
		x.Peer = netipAddr(i)
		return x
	})
	f("{by: cookie, name: user}", path, many) // without a cookie by client
}

func TestStickyClientStaysAndLearnsNothing(t *testing.T) {
	origins := numbered(t, 3)
	e := newEdge(t, poolSite("policy: round-robin\n    sticky: {cookie: lb, ttl: 1h, key: 0123456789abcdef}"), origins...)
	response, first := e.do(t, request("GET http://www.example.org/off"))
	set, _ := response.Fields.Get(httpwire.SetCookie)
	cookie, attributes, _ := strings.Cut(set, "; ")
	if !strings.HasPrefix(cookie, "lb=") || attributes != "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax" {
		t.Fatalf("Set-Cookie is %q", set)
	}
	for _, o := range origins {
		if host := strings.TrimPrefix(o.URL, "http://"); strings.Contains(set, host) {
			t.Errorf("the cookie tells the address %s: %s", host, set)
		}
	}
	for range 4 {
		if _, body := e.do(t, request("GET http://www.example.org/off", "Cookie: a=b; "+cookie)); body != first {
			t.Errorf("the client was at %s and went to %s", first, body)
		}
	}
	if _, body := e.do(t, request("GET http://www.example.org/off", "Cookie: lb=made-up")); body == first {
		t.Error("a made-up cookie must not keep a client from its turn")
	}
	origins[first[0]-'0'].Close() // the endpoint is lost: another answers, and is the client's from now on
	response, second := e.do(t, request("GET http://www.example.org/off", "Cookie: "+cookie))
	if set, _ := response.Fields.Get(httpwire.SetCookie); second == first || strings.HasPrefix(set, cookie) {
		t.Errorf("after its endpoint was lost the client got %q and %q", second, set)
	}
	other := newEdge(t, poolSite("policy: round-robin\n    sticky: {cookie: lb, key: 0123456789abcdef}"), origins...)
	if _, body := other.do(t, request("GET http://www.example.org/off", "Cookie: "+strings.Split(set, ";")[0])); body == "" {
		t.Error("another edge with the key must serve the cookie")
	}
}

// A response for everyone must not carry one client's cookie.
func TestStoredResponseHasNoStickyCookie(t *testing.T) {
	o := newRecorder(t, nil) // max-age=60
	e := newEdge(t, poolSite("sticky: {cookie: lb}"), o, newRecorder(t, nil), newRecorder(t, nil))
	for _, when := range []string{"miss", "hit"} {
		response, _ := e.do(t, request("GET http://www.example.org/a"))
		if set, ok := response.Fields.Get(httpwire.SetCookie); ok {
			t.Errorf("%s: Set-Cookie %q", when, set)
		}
	}
	if response, _ := e.do(t, request("GET http://www.example.org/off")); !response.Fields.Has(httpwire.SetCookie) {
		t.Error("a response that is not stored has the cookie")
	}
}

// An endpoint with as many requests as it may have is passed over; when all are, the answer is 503.
func TestMaxOutstandingSpillsThenRefuses(t *testing.T) {
	arrived, release := make(chan int), make(chan struct{})
	var origins []*recorder
	for i := range 3 {
		origins = append(origins, newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
			arrived <- i
			<-release
		}))
	}
	e := newEdge(t, poolSite("policy: failover\n    max_outstanding: 1"), origins...)
	done := make(chan struct{})
	seen := map[int]bool{}
	for range 3 {
		go func() {
			defer func() { done <- struct{}{} }()
			e.do(t, request("GET http://www.example.org/off"))
		}()
		seen[<-arrived] = true // the next request finds this one outstanding
	}
	if len(seen) != 3 {
		t.Errorf("three requests at once went to %v, want one each", seen)
	}
	x := e.Explain("GET", "http://www.example.org/off", netipAddr(1).Addr())
	if text := fmt.Sprint(x.Trace); strings.Count(text, "full: 1 of 1 outstanding") != 3 {
		t.Errorf("the explanation does not say what is full: %s", text)
	}
	if response, _ := e.do(t, request("GET http://www.example.org/off")); response.Status != 503 {
		t.Errorf("status %d when every endpoint is full, want 503", response.Status)
	}
	close(release)
	for range 3 {
		<-done
	}
}

// Explain names the endpoint that the next request goes to, and counts no turn.
func TestExplainForetellsTheTurn(t *testing.T) {
	origins := numbered(t, 3)
	e := newEdge(t, poolSite("policy: round-robin"), origins...)
	for range 4 {
		e.Explain("GET", "http://www.example.org/off", netipAddr(1).Addr())
		x := e.Explain("GET", "http://www.example.org/off", netipAddr(1).Addr())
		_, body := e.do(t, request("GET http://www.example.org/off"))
		if want := strings.TrimPrefix(origins[body[0]-'0'].URL, "http://"); x.Candidates[0].Endpoint != want {
			t.Errorf("Explain says %v, the request went to %s", x.Candidates, want)
		}
	}
}

// Two transports have different secrets, so that without a key cookies of one process mean nothing to another.
func TestSecretsDiffer(t *testing.T) {
	a, b := origin.NewTransport(origin.Options{}), origin.NewTransport(origin.Options{})
	if string(a.Secret()) == string(b.Secret()) || len(a.Secret()) != 32 {
		t.Error("secrets must differ")
	}
}

// sick is a board on which endpoint 0 is down and endpoint 1 came up just now.
type sick struct{}

func (sick) Up(s steer.Slot) bool { return s != 0 }

func (sick) Since(s steer.Slot) time.Time {
	if s == 1 {
		return time.Now()
	}
	return time.Time{}
}

// Slow start and the thresholds of a pool reach the decision, and its explanation.
func TestPoolSettingsReachSteering(t *testing.T) {
	f := func(settings string, want ...string) {
		t.Helper()
		text := strings.NewReplacer("ORIGIN0", "192.0.2.1:80", "ORIGIN1", "192.0.2.2:80", "ORIGIN2", "192.0.2.3:80").Replace(poolSite(settings))
		cfg, _, err := config.Parse("test.yaml", []byte(text), config.Env{})
		if err != nil {
			t.Fatal(err)
		}
		store := cache.New(cache.Options{Memory: 16 << 20, Node: "test1", Log: slog.New(slog.DiscardHandler)})
		defer store.Close()
		router, err := proxy.Build(cfg, proxy.Deps{
			Cache: store, Origin: origin.NewTransport(origin.Options{}), Metrics: proxy.NewMetrics(nil),
			Health: sick{}, Slot: func(_ string, endpoint int) steer.Slot { return steer.Slot(endpoint) },
		})
		if err != nil {
			t.Fatal(err)
		}
		trace := fmt.Sprint(router.Explain("GET", "http://www.example.org/off", netipAddr(1).Addr()).Trace)
		for _, part := range want {
			if !strings.Contains(trace, part) {
				t.Errorf("%s: the trace lacks %q: %s", settings, part, trace)
			}
		}
	}
	f("slow_start: 60s", "slow start at 1 %")
	f("panic: 70", "panic: only 2 of 3 healthy")
	f("min_healthy: 3", "panic: only 2 of 3 healthy (panic 0 %, min_healthy 3)")
	f("panic: 66", "last resort down")
}
