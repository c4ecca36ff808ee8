package edge_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/meridian-edge/meridian/edge"
)

const foundNode = `
version: 1
edge: {name: eu1}
log: {access: off}
listeners: {http: ["127.0.0.1:0"], metrics: ["127.0.0.1:0"]}
checks:
  web: {type: http, path: /healthz, interval: 100ms, timeout: 90ms, rise: 1, fall: 2}
pools:
  web:
    check: web
    max_vanish: MAX
    discover: [{file: FILE, interval: 1s}]
distributions:
  www:
    domains: [www.example.org]
    origins: {web: {pool: web}}
    behaviors: [{path: "*", origin: web, cache: off}]
`

// list writes the endpoints of origins to a file in file_sd form.
func list(t *testing.T, path string, addrs ...string) {
	t.Helper()
	replace(t, path, fmt.Appendf(nil, `[{"targets": ["%s"]}]`, strings.Join(addrs, `", "`)))
}

// Discovered endpoints get traffic after their check has passed, and not before; what vanishes gets none.
func TestDiscoveredEndpointsGetTrafficOnceTheyPass(t *testing.T) {
	one := newOrigin(t, "one", nil)
	var ready atomic.Bool
	two := newOrigin(t, "two", nil)
	inner := two.Config.Handler
	two.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" && !ready.Load() {
			w.WriteHeader(503)
			return
		}
		inner.ServeHTTP(w, r)
	})
	path := filepath.Join(t.TempDir(), "web.json")
	list(t, path, one.addr())
	n := start(t, strings.NewReplacer("FILE", path, "MAX", "100").Replace(foundNode))
	client := plainClient(t)
	ask := func() string {
		t.Helper()
		status, _, body := n.get(t, client, "/")
		if status != 200 {
			t.Fatalf("status %d: %s", status, body)
		}
		return body
	}
	if got := ask(); got != "one /" { // ready means that the sources have been looked at
		t.Fatalf("answered by %q", got)
	}
	before := n.metric(t, "meridian_config_generation")
	list(t, path, two.addr(), one.addr())
	waitFor(t, "the second endpoint", func() bool { return n.metric(t, `meridian_discovery_endpoints{pool="web"}`) == "2" })
	waitFor(t, "its generation", func() bool { return n.metric(t, "meridian_config_generation") != before })
	for range 200 {
		if got := ask(); got != "one /" {
			t.Fatalf("an endpoint that has not passed its check answered: %q", got)
		}
	}
	ready.Store(true)
	waitFor(t, "traffic for the second endpoint", func() bool { return ask() == "two /" })
	list(t, path, two.addr())
	waitFor(t, "the end of the first", func() bool { return n.metric(t, `meridian_discovery_endpoints{pool="web"}`) == "1" })
	waitFor(t, "traffic for the second only", func() bool {
		for range 20 {
			if ask() != "two /" {
				return false
			}
		}
		return true
	})
	status, ok := n.Status("status").(edge.Status)
	if !ok || len(status.Discovery) != 1 || status.Discovery[0].Endpoints != 1 {
		t.Errorf("status %+v", status.Discovery)
	}
}

// A pool may be empty until something is found: requests get an error that says so, and the node runs.
func TestPoolWithoutEndpointsYet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web.json")
	n := start(t, strings.NewReplacer("FILE", path, "MAX", "100").Replace(foundNode))
	client := plainClient(t)
	status, header, _ := n.get(t, client, "/")
	if status != 503 || !strings.Contains(fmt.Sprint(header), "NOENDPOINT") && !strings.Contains(fmt.Sprint(header), "destination_unavailable") {
		t.Errorf("status %d, %v", status, header)
	}
	one := newOrigin(t, "one", nil)
	list(t, path, one.addr())
	waitFor(t, "the first endpoint", func() bool { status, _, _ := n.get(t, client, "/"); return status == 200 })
}

// A reload by the operator gives up what is held, although the configuration is the same.
func TestReloadAcceptsWhatVanished(t *testing.T) {
	one, two := newOrigin(t, "one", nil), newOrigin(t, "two", nil)
	path := filepath.Join(t.TempDir(), "web.json")
	list(t, path, one.addr(), two.addr())
	n := start(t, strings.NewReplacer("FILE", path, "MAX", "20").Replace(foundNode))
	list(t, path, two.addr())
	waitFor(t, "the hold", func() bool { return n.metric(t, `meridian_discovery_held{pool="web"}`) == "1" })
	if err := n.Reload(); err != nil && err != edge.ErrUnchanged { //nolint:errorlint // whichever generation came first
		t.Fatal(err)
	}
	if got := n.metric(t, `meridian_discovery_endpoints{pool="web"}`); got != "1" {
		t.Errorf("%s endpoints after the reload", got)
	}
	waitFor(t, "traffic for the second only", func() bool {
		for range 20 {
			if _, _, body := n.get(t, plainClient(t), "/"); body != "two /" {
				return false
			}
		}
		return true
	})
}
