package edge_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/edge"
)

// Real clients decode what a behavior with compress sends, stored or not, over HTTP/1.1 and HTTP/2.
func TestCurlDecodesWhatIsEncoded(t *testing.T) {
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "<li>item %d costs %d</li>\n", i, i*i%997)
	}
	page := b.String()
	o := newOrigin(t, "app", func(w http.ResponseWriter, r *http.Request) {
		if coding := r.Header.Get("Accept-Encoding"); coding != "identity" {
			t.Errorf("the origin is asked for %q", coding)
		}
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, page)
	})
	n := start(t, fill(`
version: 1
listeners: {http: ["127.0.0.1:0"], https: ["127.0.0.1:0"], metrics: ["127.0.0.1:0"]}
distributions:
  www:
    domains: [www.example.org]
    certificate: self-signed
    origins: {app: {url: "http://ORIGIN0"}}
    behaviors:
      - {path: "/api/*", cache: off, compress: true}
      - {path: "*", compress: true}
`, o))
	f := func(scheme, version, path, coding string, curl ...string) {
		t.Helper()
		args := append([]string{"-q", "-sSk", "--max-time", "30", version, "--connect-to", "::" + n.Addr(scheme, 0).String(),
			"-D", "-", scheme + "://www.example.org" + path}, curl...)
		head, body, _ := strings.Cut(output(t, "curl", args...), "\n\n")
		if body != page {
			t.Errorf("%s %s: %d bytes for %d, %q", path, coding, len(body), len(page), head)
		}
		if got := strings.Contains(strings.ToLower(head), "content-encoding: "+coding+"\n"); !got {
			t.Errorf("%s: no %s in %q", path, coding, head)
		}
	}
	for _, path := range []string{"/a", "/a", "/api/a"} {
		for _, coding := range []string{"gzip", "br", "zstd"} {
			f("http", "--http1.1", path, coding, "--compressed", "-H", "Accept-Encoding: "+coding)
			f("https", "--http2", path, coding, "--compressed", "-H", "Accept-Encoding: "+coding)
		}
	}
	if status, ok := n.Status("status").(edge.Status); !ok || len(status.Unserved) > 0 {
		t.Errorf("not served: %v", status.Unserved)
	}
	if got := n.metric(t, `meridian_encode_responses_total{coding="br"}`); got != "6" {
		t.Errorf("%s responses in br", got)
	}
	if got := n.metric(t, `meridian_encode_runs_total{coding="br"}`); got != "4" { // http, https, and twice for /api
		t.Errorf("%s bodies encoded to br", got)
	}
}
