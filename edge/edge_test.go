package edge_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/quic-go/quic-go/http3"
	"go.uber.org/goleak"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/edge"
	"github.com/meridian-edge/meridian/edge/admin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a running edge with its configuration file.
type node struct {
	*edge.Node
	path string
	log  *logBuffer
	stop func() // drains, and waits for the end
}

// logBuffer collects the node's log.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start writes yaml to a file of its own and runs a node with it. The file is not watched: tests reload when they mean to.
func start(t testing.TB, yaml string) *node {
	t.Helper()
	n := &node{path: filepath.Join(t.TempDir(), "meridian.yaml"), log: &logBuffer{}}
	n.write(t, yaml)
	cfg, _, err := config.Load(n.path)
	if err != nil {
		t.Fatal(err)
	}
	n.Node, err = edge.New(edge.Options{
		Config: cfg, Path: n.path, Watch: -1, Log: slog.New(slog.NewTextHandler(n.log, nil)), AccessLog: io.Discard, Version: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	n.run(t)
	return n
}

// run runs the node until the test ends, and waits until it is ready.
func (n *node) run(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(n.stop)
	select {
	case <-n.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("the node does not become ready")
	}
}

func (n *node) write(t testing.TB, yaml string) {
	t.Helper()
	if err := os.WriteFile(n.path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
}

// origin is a server that says its name, and can die as a killed process does.
type origin struct {
	*httptest.Server
	asked atomic.Int64
}

func newOrigin(t testing.TB, name string, handler http.HandlerFunc) *origin {
	o := &origin{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			return
		}
		o.asked.Add(1)
		if handler != nil {
			handler(w, r)
			return
		}
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprintf(w, "%s %s", name, r.URL.Path)
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *origin) addr() string { return strings.TrimPrefix(o.URL, "http://") }

// kill closes the listener and every connection at once.
func (o *origin) kill() {
	o.Listener.Close()
	o.CloseClientConnections()
}

// get fetches a path over plain HTTP for www.example.org.
func (n *node) get(t testing.TB, client *http.Client, path string) (int, http.Header, string) {
	t.Helper()
	status, header, body, err := n.fetch(client, path)
	if err != nil {
		t.Fatal(err)
	}
	return status, header, body
}

func (n *node) fetch(client *http.Client, path string) (int, http.Header, string, error) {
	request, err := http.NewRequest(http.MethodGet, "http://"+n.Addr("http", 0).String()+path, nil)
	if err != nil {
		return 0, nil, "", err
	}
	request.Host = "www.example.org"
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, response.Header, string(body), err
}

func plainClient(t testing.TB) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

const fullNode = `
version: 1
edge: {name: eu1, region: eu}
regions: {eu: {lat: 50.11, lon: 8.68}, us: {lat: 39.04, lon: -77.49}}
listeners:
  http: ["127.0.0.1:0"]
  https: ["127.0.0.1:0"]
  dns: ["127.0.0.1:0"]
  metrics: ["127.0.0.1:0"]
  admin: ["unix:./admin.sock"]
checks:
  web: {type: http, path: /healthz, interval: 100ms, timeout: 50ms, fall: 2, rise: 1}
pools:
  web:
    policy: latency
    check: web
    endpoints:
      - {address: "ORIGIN0", region: eu}
      - {address: "ORIGIN1", region: us}
distributions:
  www:
    domains: [www.example.org]
    certificate: self-signed
    origins: {web: {pool: web}}
    behaviors:
      - {path: /api/*, cache: off}
      - {path: "*"}
zones:
  example.org:
    nameservers: [ns1.example.org]
    records:
      - {name: ns1, type: A, ttl: 1h, values: [127.0.0.1]}
      - {name: www, type: A, ttl: 30s, values: [192.0.2.1]}
`

func fill(yaml string, origins ...*origin) string {
	for i, o := range origins {
		yaml = strings.ReplaceAll(yaml, fmt.Sprintf("ORIGIN%d", i), o.addr())
	}
	return yaml
}

func TestOneNodeSpeaksHTTP123AndDNS(t *testing.T) {
	n := start(t, fill(fullNode, newOrigin(t, "eu", nil), newOrigin(t, "us", nil)))
	trust := &tls.Config{InsecureSkipVerify: true, ServerName: "www.example.org"} //nolint:gosec // self-signed on purpose
	h1 := &http.Transport{TLSClientConfig: trust.Clone(), Protocols: protocols(false)}
	h2 := &http.Transport{TLSClientConfig: trust.Clone(), Protocols: protocols(true)}
	h3 := &http3.Transport{TLSClientConfig: trust.Clone()}
	defer h1.CloseIdleConnections()
	defer h2.CloseIdleConnections()
	defer h3.Close()
	for want, transport := range map[string]http.RoundTripper{"HTTP/1.1": h1, "HTTP/2.0": h2, "HTTP/3.0": h3} {
		request, _ := http.NewRequest(http.MethodGet, "https://"+n.Addr("https", 0).String()+"/a", nil)
		request.Host = "www.example.org"
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.Proto != want || string(body) != "eu /a" || response.StatusCode != 200 {
			t.Errorf("%s: %s %d %q, %v", want, response.Proto, response.StatusCode, body, err)
		}
		if alt := response.Header.Get("Alt-Svc"); (want == "HTTP/3.0") != (alt == "") {
			t.Errorf("%s: Alt-Svc is %q", want, alt)
		}
	}
	for _, network := range []string{"udp", "tcp"} {
		client := mdns.Client{Net: network}
		reply, _, err := client.Exchange(new(mdns.Msg).SetQuestion("www.example.org.", mdns.TypeA), n.Addr("dns", 0).String())
		if err != nil || len(reply.Answer) != 1 || !strings.Contains(reply.Answer[0].String(), "192.0.2.1") {
			t.Errorf("%s: %v, %v", network, reply, err)
		}
	}
}

func protocols(h2 bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(!h2)
	p.SetHTTP2(h2)
	return p
}

// load fetches paths over several connections until stop is called, which returns how many requests were made and what went
// wrong.
func (n *node) load(t testing.TB, paths string) (stop func() (int64, []string)) {
	client := plainClient(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failures []string
	var count atomic.Int64
	for range 8 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				status, _, body, err := n.fetch(client, fmt.Sprintf("%s%d", paths, i))
				count.Add(1)
				if err != nil || status != 200 || !strings.HasSuffix(body, fmt.Sprintf("%s%d", paths, i)) {
					mu.Lock()
					failures = append(failures, fmt.Sprintf("%d %q %v", status, body, err))
					mu.Unlock()
				}
			}
		})
	}
	return func() (int64, []string) {
		cancel()
		wg.Wait()
		return count.Load(), failures
	}
}

// waitFor waits until condition holds.
func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline.C:
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

// The main promise: an origin that dies under load costs no request, whether health knows of it yet or not.
func TestOriginKilledUnderLoadCostsNoRequest(t *testing.T) {
	eu, us := newOrigin(t, "eu", nil), newOrigin(t, "us", nil)
	n := start(t, fill(fullNode, eu, us))
	stop := n.load(t, "/api/")
	waitFor(t, "load on eu", func() bool { return eu.asked.Load() > 100 })
	eu.kill()
	waitFor(t, "load on us", func() bool { return us.asked.Load() > 100 })
	waitFor(t, "the verdict", func() bool { return strings.Contains(n.log.String(), "health down") })
	count, failures := stop()
	if len(failures) > 0 {
		t.Errorf("%d of %d requests failed, such as %s", len(failures), count, failures[0])
	}
}

func TestReloadUnderLoadCostsNoRequest(t *testing.T) {
	eu, us := newOrigin(t, "eu", nil), newOrigin(t, "us", nil)
	yaml := fill(fullNode, eu, us)
	n := start(t, yaml)
	stop := n.load(t, "/mixed/")
	for i := range 20 {
		before := eu.asked.Load() + us.asked.Load()
		n.write(t, fmt.Sprintf("%s# change %d\n", yaml, i))
		if err := n.Reload(); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "traffic between reloads", func() bool { return eu.asked.Load()+us.asked.Load() > before+20 })
	}
	count, failures := stop()
	if len(failures) > 0 {
		t.Errorf("%d of %d requests failed, such as %s", len(failures), count, failures[0])
	}
}

// metric reads one sample from the metrics listener.
func (n *node) metric(t testing.TB, name string) string {
	t.Helper()
	response, err := plainClient(t).Get("http://" + n.Addr("metrics", 0).String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func TestBadReloadKeepsTheOldConfigurationAndSaysWhyOnce(t *testing.T) {
	eu, us := newOrigin(t, "eu", nil), newOrigin(t, "us", nil)
	good := fill(fullNode, eu, us)
	n := start(t, good)
	f := func(yaml, why string) {
		t.Helper()
		n.write(t, yaml)
		before := strings.Count(n.log.String(), why)
		if err := n.Reload(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("reload said %v, want %q", err, why)
		}
		if got := strings.Count(n.log.String(), why) - before; got != 1 {
			t.Errorf("the log says %q %d times", why, got)
		}
		if got := n.metric(t, "meridian_config_last_reload_successful"); got != "0" {
			t.Errorf("last_reload_successful is %s", got)
		}
		if status, _, body := n.get(t, plainClient(t), "/api/x"); status != 200 || body != "eu /api/x" {
			t.Errorf("the old configuration does not serve: %d %q", status, body)
		}
	}
	f(strings.Replace(good, "policy: latency", "polcy: latency", 1), "unknown key")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f(strings.Replace(good, `http: ["127.0.0.1:0"]`, `http: ["127.0.0.1:0", "`+taken.Addr().String()+`"]`, 1), "address already in use")

	n.write(t, good)
	if err := n.Reload(); err != edge.ErrUnchanged { //nolint:errorlint // the value itself is promised
		t.Errorf("the good file again: %v", err)
	}
	if got := n.metric(t, "meridian_config_last_reload_successful"); got != "1" {
		t.Errorf("last_reload_successful is %s after the good file came back", got)
	}
}

// Verdicts belong to the organs: a reload neither forgets one nor probes again out of turn.
func TestVerdictsSurviveAReload(t *testing.T) {
	eu, us := newOrigin(t, "eu", nil), newOrigin(t, "us", nil)
	yaml := strings.Replace(fill(fullNode, eu, us), "interval: 100ms, timeout: 50ms, fall: 2", "interval: 1s, timeout: 900ms, fall: 1", 1)
	n := start(t, yaml)
	eu.kill()
	waitFor(t, "the verdict", func() bool { return strings.Contains(n.log.String(), "health down") })
	n.write(t, yaml+"# again\n")
	if err := n.Reload(); err != nil {
		t.Fatal(err)
	}
	x := n.ExplainURL("GET", "http://www.example.org/", n.Addr("http", 0).Addr())
	if len(x.Candidates) != 2 || x.Candidates[0].Endpoint != us.addr() || !x.Candidates[1].LastResort {
		t.Errorf("after the reload the candidates are %+v", x.Candidates)
	}
}

func TestListenersFollowTheConfiguration(t *testing.T) {
	eu, us := newOrigin(t, "eu", nil), newOrigin(t, "us", nil)
	yaml := fill(fullNode, eu, us)
	n := start(t, yaml)
	dns := n.Addr("dns", 0)
	n.write(t, strings.Replace(yaml, `dns: ["127.0.0.1:0"]`, `dns: []`, 1))
	if err := n.Reload(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the DNS listener is gone", func() bool {
		conn, err := net.Dial("tcp", dns.String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	if status, _, _ := n.get(t, plainClient(t), "/a"); status != 200 {
		t.Errorf("the other listener answers %d", status)
	}
}

func TestDrainFinishesWhatIsUnderWay(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	slow := newOrigin(t, "slow", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		close(entered)
		<-release
		_, _ = io.WriteString(w, "last")
	})
	n := start(t, fill(fullNode, slow, newOrigin(t, "us", nil)))
	result := make(chan string, 1)
	client := plainClient(t)
	go func() {
		_, _, body, err := n.fetch(client, "/api/slow")
		result <- fmt.Sprint(body, err)
	}()
	<-entered
	stopped := make(chan struct{})
	go func() { n.stop(); close(stopped) }()
	waitFor(t, "the drain", func() bool { return !n.Healthy() })
	waitFor(t, "the listener is closed", func() bool {
		conn, err := net.Dial("tcp", n.Addr("http", 0).String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(release)
	if got := <-result; got != "first last<nil>" {
		t.Errorf("the request under way ended as %q", got)
	}
	<-stopped
}

func TestSecondNodeOnTheSameAddressIsRefused(t *testing.T) {
	eu, us := newOrigin(t, "eu", nil), newOrigin(t, "us", nil)
	n := start(t, fill(fullNode, eu, us))
	for _, kind := range []string{"http", "https", "dns"} {
		yaml := strings.Replace(fill(fullNode, eu, us), kind+`: ["127.0.0.1:0"]`, kind+`: ["`+n.Addr(kind, 0).String()+`"]`, 1)
		cfg, _, err := config.Parse(filepath.Join(t.TempDir(), "other.yaml"), []byte(yaml), config.Env{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := edge.New(edge.Options{Config: cfg, AccessLog: io.Discard}); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestAdminAPI(t *testing.T) {
	eu, us := newOrigin(t, "eu", nil), newOrigin(t, "us", nil)
	n := start(t, fill(fullNode, eu, us))
	socket := n.Config().Listeners.Admin[0]
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	client := admin.NewClient(socket)
	var status edge.Status
	if err := client.Call(t.Context(), "GET", "/v1/status", nil, &status); err != nil || status.Edge != "eu1" || status.State != "serving" || len(status.Listeners) != 5 {
		t.Errorf("status is %+v, %v", status, err)
	}
	n.get(t, plainClient(t), "/purged")
	var receipt struct{ Objects int }
	query := map[string][]string{"url": {"http://www.example.org/purged"}}
	if err := client.Call(t.Context(), "POST", "/v1/purge", query, &receipt); err != nil || receipt.Objects != 1 {
		t.Errorf("purge gave %+v, %v", receipt, err)
	}
	n.write(t, "version: 2\nlisteners: {}\n")
	err := client.Call(t.Context(), "POST", "/v1/reload", nil, nil)
	if refused, ok := err.(*admin.RemoteError); !ok || len(refused.Items) == 0 { //nolint:errorlint // Call returns it bare
		t.Errorf("a bad reload gave %v", err)
	}
	if err := client.Call(t.Context(), "GET", "/v1/purge", query, nil); err == nil {
		t.Error("a purge by GET was done")
	}
}

// A02: what a browser could be made to send is refused.
func TestAdminRefusesBrowsers(t *testing.T) {
	eu, us := newOrigin(t, "eu", nil), newOrigin(t, "us", nil)
	n := start(t, fill(fullNode, eu, us))
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", n.Config().Listeners.Admin[0])
	}}
	defer transport.CloseIdleConnections()
	for _, c := range []struct{ host, origin string }{{"localhost", ""}, {"meridian", "http://evil.example"}, {"evil.example", ""}} {
		request, _ := http.NewRequest(http.MethodPost, "http://"+c.host+"/v1/reload", nil)
		if c.origin != "" {
			request.Header.Set("Origin", c.origin)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("%+v: %d", c, response.StatusCode)
		}
	}
}

// Log rotation: a file that was moved away goes on being written until the log is opened again under its old name.
func TestAccessLogIsOpenedAgain(t *testing.T) {
	eu, us := newOrigin(t, "eu", nil), newOrigin(t, "us", nil)
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	yaml := strings.Replace(fill(fullNode, eu, us), "version: 1\n", "version: 1\nlog: {access: "+path+"}\n", 1)
	cfg, _, err := config.Parse(filepath.Join(dir, "meridian.yaml"), []byte(yaml), config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	inner, err := edge.New(edge.Options{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = inner.Run(ctx) }()
	n := &node{Node: inner}
	content := func(path string) string { b, _ := os.ReadFile(path); return string(b) }

	n.get(t, plainClient(t), "/first")
	waitFor(t, "the first line", func() bool { return strings.Contains(content(path), "/first") })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	n.get(t, plainClient(t), "/second")
	waitFor(t, "the second line in the moved file", func() bool { return strings.Contains(content(path+".1"), "/second") })
	if err := n.ReopenLogs(); err != nil {
		t.Fatal(err)
	}
	n.get(t, plainClient(t), "/third")
	waitFor(t, "the third line in the new file", func() bool { return strings.Contains(content(path), "/third") })
	cancel()
	<-done
}
