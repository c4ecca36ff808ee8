package edge_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/meridian-edge/meridian/edge"
	"github.com/meridian-edge/meridian/edge/admin"
	"github.com/meridian-edge/meridian/proxy"
)

const prefetchNode = `
version: 1
edge: {name: eu1}
state_dir: STATE
listeners: {http: ["127.0.0.1:0"], admin: ["unix:./admin.sock"]}
cache: {memory: 16MiB, disk: {path: DISK, size: 64MiB}}
distributions:
  www: {domains: [www.example.org], origins: {web: {url: "http://ORIGIN0"}}, behaviors: [{path: "*", compress: on}]}
`

// Many prefetches at a time, over the admin socket: every URL is asked for once, whoever asks, and is there for clients, in the coding that was
// asked for, and on the disk after a restart.
func TestPrefetchesFillTheCache(t *testing.T) {
	const urls, twice = 40, 2
	page := strings.Repeat("all that is asked for often\n", 1000)
	o := newOrigin(t, "web", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, page+r.URL.Path)
	})
	yaml := strings.NewReplacer("STATE", t.TempDir(), "DISK", t.TempDir()).Replace(fill(prefetchNode, o))
	n := start(t, yaml)
	client := admin.NewClient(n.Config().Listeners.Admin[0]).Patient()
	ask := func(i int) proxy.Prefetched {
		var p proxy.Prefetched
		query := url.Values{"url": {fmt.Sprintf("http://www.example.org/%d", i)}, "header": {"Accept-Encoding: br"}}
		if err := client.Call(t.Context(), "POST", "/v1/prefetch", query, &p); err != nil {
			t.Error(err)
		}
		return p
	}
	var wg sync.WaitGroup
	for i := range urls * twice {
		wg.Go(func() {
			if p := ask(i % urls); !p.Stored || p.Coding != "br" || p.Status != 200 {
				t.Errorf("%+v", p)
			}
		})
	}
	wg.Wait()
	if asked := o.asked.Load(); asked != urls {
		t.Errorf("the origin was asked %d times for %d URLs", asked, urls)
	}
	for i := range urls {
		if p := ask(i); p.Result() != proxy.PrefetchFresh {
			t.Errorf("%d: %+v", i, p)
		}
		status, header, body := n.get(t, plainClient(t), fmt.Sprintf("/%d", i))
		if status != 200 || !strings.HasPrefix(header.Get("Cache-Status"), "eu1; hit") || body != fmt.Sprintf("%s/%d", page, i) {
			t.Fatalf("/%d: %d, %q, %d bytes", i, status, header.Get("Cache-Status"), len(body))
		}
	}
	waitFor(t, "all is on the disk", func() bool {
		st, _ := n.Status("status").(edge.Status)
		return st.Disk != nil && st.Disk.Objects == urls && st.Disk.Queued == 0
	})
	n.stop()

	again := start(t, yaml)
	client = admin.NewClient(again.Config().Listeners.Admin[0]).Patient()
	for i := range urls {
		if p := ask(i); p.Result() != proxy.PrefetchFresh {
			t.Errorf("after a restart, %d: %+v", i, p)
		}
	}
	if asked := o.asked.Load(); asked != urls {
		t.Errorf("after a restart the origin was asked %d times more", asked-urls)
	}
}

// What a behavior pins outlasts any number of other objects; without pin it would not.
func TestPinnedBehaviorsKeepWhatIsPrefetched(t *testing.T) {
	body := strings.Repeat("x", 20_000)
	o := newOrigin(t, "web", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		_, _ = io.WriteString(w, body)
	})
	n := start(t, fill(`
version: 1
edge: {name: eu1}
listeners: {http: ["127.0.0.1:0"]}
cache: {memory: 2MiB}
distributions:
  www:
    domains: [www.example.org]
    origins: {web: {url: "http://ORIGIN0"}}
    behaviors: [{path: "/pinned/*", cache: {pin: on}}, {path: "*"}]
`, o))
	prefetch := func(path string) string {
		t.Helper()
		v, err := n.Prefetch(t.Context(), "http://www.example.org"+path, nil)
		p, ok := v.(proxy.Prefetched)
		if err != nil || !ok {
			t.Fatalf("%s: %v, %v", path, v, err)
		}
		return p.Result()
	}
	for i := range 10 {
		prefetch(fmt.Sprintf("/pinned/%d", i))
		prefetch(fmt.Sprintf("/other/%d", i))
	}
	for i := range 500 { // five times the memory
		prefetch(fmt.Sprintf("/flood/%d", i))
	}
	others := 0
	for i := range 10 {
		if got := prefetch(fmt.Sprintf("/pinned/%d", i)); got != proxy.PrefetchFresh {
			t.Errorf("/pinned/%d is %s", i, got)
		}
		if prefetch(fmt.Sprintf("/other/%d", i)) == proxy.PrefetchFresh {
			others++
		}
	}
	if others == 10 {
		t.Error("nothing was evicted, so nothing was shown")
	}
}
