package doctest_test

import (
	"context"
	"fmt"
	"go/ast"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/edge"
)

// metric is a row of the table in operations.md.
type metric struct {
	kind   string
	labels []string // sorted
}

func documentedMetrics(t *testing.T) map[string]metric {
	t.Helper()
	out := map[string]metric{}
	for _, r := range table(t, pageNamed(t, "operations.md"), "metric", "type", "labels") {
		labels := r.code(2)
		slices.Sort(labels)
		out[r.code(0)[0]] = metric{r[1], labels}
	}
	return out
}

// TestMetricNames compares the table with the names in the sources; most are in a metrics.go.
func TestMetricNames(t *testing.T) {
	files := sources(t, ".", func(string) bool { return true })
	name := regexp.MustCompile(`^meridian_[a-z0-9_]+$`)
	real := strs(t, files, func(n ast.Node, emit func(string)) {
		if l, ok := n.(*ast.BasicLit); ok {
			literals(l, func(s string) {
				if name.MatchString(s) {
					emit(s)
				}
			})
		}
	})
	same(t, "metric", slices.Sorted(maps.Keys(documentedMetrics(t))), real)
	for _, p := range pages(t) {
		for _, m := range regexp.MustCompile(`\bmeridian_[a-z0-9_]+\b`).FindAllString(p.text, -1) {
			if !slices.Contains(real, m) {
				t.Errorf("%s: there is no metric %s", p.name, m)
			}
		}
	}
}

// TestMetricTypesAndLabels compares the table with what a node that has served a little shows on /metrics.
func TestMetricTypesAndLabels(t *testing.T) {
	documented := documentedMetrics(t)
	kinds, labels := scrape(t, serveALittle(t))
	for name, m := range documented {
		kind, shown := kinds[name]
		switch {
		case !shown:
			t.Errorf("%s is not on /metrics", name)
		case kind != m.kind:
			t.Errorf("%s is a %s, and documented as a %s", name, kind, m.kind)
		case !slices.Equal(labels[name], m.labels):
			t.Errorf("%s has the labels %q, and %q are documented", name, labels[name], m.labels)
		}
	}
}

// serveALittle runs a node, makes it count at least once under every name, and returns its metrics.
func serveALittle(t *testing.T) string {
	t.Helper()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "max-age=60") }))
	t.Cleanup(origin.Close)
	address := origin.Listener.Addr().String()
	found := filepath.Join(t.TempDir(), "found.yaml")
	if err := os.WriteFile(found, []byte("- targets: [192.0.2.1:80]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := fmt.Sprintf(`
version: 1
listeners: {http: ["127.0.0.1:0"], dns: ["127.0.0.1:0"], metrics: ["127.0.0.1:0"]}
cache: {disk: {path: ./cache, size: 10MiB}}
checks: {c: {type: tcp, target: %q}, edited: {type: tcp, target: %q, rise: 1000}}
pools:
  found: {check: c, discover: [{file: %q}]}
  judged: {policy: failover, endpoints: [{address: %q}, {address: %q}]}
distributions:
  site: {domains: [www.example.org], origins: {app: {url: "http://%s"}}}
  other: {domains: [judged.example.org], origins: {app: {pool: judged}}}
zones: {example.org: {nameservers: [ns1.example.net]}}
`, address, address, found, dead(t), address, address)
	node := run(t, yaml)
	edited, _, err := config.Parse("meridian.yaml", []byte(strings.Replace(yaml, "edited: {type: tcp", "edited: {type: http", 1)), config.Env{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Apply(edited); err != nil { // its trial takes as many probes
		t.Fatal(err)
	}
	if _, err := node.Force("c", "drain", time.Hour); err != nil {
		t.Fatal(err)
	}
	hosts := []string{"www.example.org", "nobody.example.org"}
	for range 5 { // failures in a row that eject
		hosts = append(hosts, "judged.example.org")
	}
	for i, host := range hosts {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+node.Addr("http", 0).String()+fmt.Sprint("/", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		fetch(t, request)
	}
	query := new(mdns.Msg).SetQuestion("example.org.", mdns.TypeSOA)
	if _, err := mdns.ExchangeContext(t.Context(), query, node.Addr("dns", 0).String()); err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+node.Addr("metrics", 0).String()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	text := fetch(t, request)
	for range 1000 { // a request is counted just after its answer
		if strings.Contains(text, "meridian_http_faults_total{") && strings.Contains(text, "meridian_health_ejections_total{") &&
			strings.Contains(text, "meridian_health_edits_total{") {
			break
		}
		text = fetch(t, request)
	}
	return text
}

// dead is an address at which nothing listens.
func dead(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// run starts a node and stops it at the end of the test.
func run(t *testing.T, yaml string) *edge.Node {
	t.Helper()
	cfg, _, err := config.Parse("meridian.yaml", []byte(yaml), config.Env{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	node, err := edge.New(edge.Options{Config: cfg, AccessLog: io.Discard, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-node.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("the node does not become ready")
	}
	for _, kind := range []string{"http", "dns", "metrics"} {
		if node.Addr(kind, 0) == (netip.AddrPort{}) {
			t.Fatalf("no %s listener", kind)
		}
	}
	return node
}

// fetch returns the body of an answer, over a connection of its own.
func fetch(t *testing.T, request *http.Request) string {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

var (
	typeLine   = regexp.MustCompile(`^# TYPE (\S+) (\S+)$`)
	sampleLine = regexp.MustCompile(`^([a-z0-9_]+?)(_bucket|_sum|_count)?(?:\{(.*)\})? \S+$`)
	labelName  = regexp.MustCompile(`([a-zA-Z_]+)="(?:[^"\\]|\\.)*"`)
)

// scrape reads the text format: types and, of each metric, the names of its labels.
func scrape(t *testing.T, text string) (kinds map[string]string, labels map[string][]string) {
	t.Helper()
	kinds, labels = map[string]string{}, map[string][]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := typeLine.FindStringSubmatch(line); m != nil {
			kinds[m[1]] = m[2]
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name := m[1]
		if kinds[name] == "" {
			name += m[2]
		}
		var names []string
		for _, l := range labelName.FindAllStringSubmatch(m[3], -1) {
			if l[1] != "le" {
				names = append(names, l[1])
			}
		}
		slices.Sort(names)
		labels[name] = names
	}
	return kinds, labels
}
