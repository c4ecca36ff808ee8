package discover_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/edge/discover"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lines collects a log.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

// watched is a Watcher at work on a configuration.
type watched struct {
	*discover.Watcher
	cfg      *config.Config
	log      *lines
	registry *prometheus.Registry
	changes  chan struct{}
}

// watch parses a configuration and follows its sources until the test ends.
func watch(t *testing.T, yaml string, o discover.Options) *watched {
	t.Helper()
	w := &watched{cfg: parse(t, yaml), log: &lines{}, registry: prometheus.NewRegistry(), changes: make(chan struct{}, 1000)}
	o.Log, o.Registerer = slog.New(slog.NewTextHandler(w.log, nil)), w.registry
	o.Changed = func() { w.changes <- struct{}{} }
	w.Watcher = discover.New(o)
	w.Apply(w.cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

func parse(t *testing.T, yaml string) *config.Config {
	t.Helper()
	cfg, _, err := config.Parse("meridian.yaml", []byte("version: 1\n"+yaml), config.Env{Dir: "/"})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// endpoints are those of the first pool, as "192.0.2.1:80" or, where they say more, "192.0.2.1:80 weight 5 region eu".
func (w *watched) endpoints() []string {
	filled, _ := w.Fill(w.cfg)
	var list []string
	for _, e := range filled.Pools[0].Endpoints {
		s := e.ID
		if e.Weight != 1 {
			s += " weight " + strconv.Itoa(e.Weight)
		}
		if e.Region != "" {
			s += " region " + e.Region
		}
		list = append(list, s)
	}
	return list
}

func (w *watched) expect(t *testing.T, when string, want ...string) {
	t.Helper()
	if got := w.endpoints(); !slices.Equal(got, want) {
		t.Errorf("%s: endpoints %q, want %q", when, got, want)
	}
}

// settle waits for the first look at every source.
func (w *watched) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.Settled(ctx); err != nil {
		t.Fatal(err)
	}
}

// until waits for a state that looks lead to, on a real clock.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("never: %s", what)
		}
	}
}

// listFile is a file in file_sd form.
type listFile struct {
	path    string
	version int
}

func newFile(t *testing.T) *listFile {
	return &listFile{path: filepath.Join(t.TempDir(), "endpoints.json")}
}

// put writes the file anew. Each version has a time of its own, whatever the steps of the clock.
func (f *listFile) put(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f.version++
	at := time.Unix(1_700_000_000+int64(f.version), 0)
	if err := os.Chtimes(f.path, at, at); err != nil {
		t.Fatal(err)
	}
}

// targets writes a list of 192.0.2.N:80.
func (f *listFile) targets(t *testing.T, numbers ...int) {
	t.Helper()
	f.put(t, fmt.Sprintf(`[{"targets": [%s]}]`, strings.Join(numbered(`"192.0.2.%d:80"`, numbers...), ",")))
}

func numbered(format string, numbers ...int) []string {
	var list []string
	for _, n := range numbers {
		list = append(list, fmt.Sprintf(format, n))
	}
	return list
}

// oneLook is longer than the interval of a file with its jitter, and shorter than two.
const oneLook = 5600 * time.Millisecond

func (f *listFile) pool(more string) string {
	return "pools: {web: {discover: [{file: " + f.path + "}], " + more + "}}\n"
}

func TestFileIsReadAgainWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t)
		f.put(t, `[{"targets": ["192.0.2.1:80", "origin.example.org:80"], "labels": {"weight": "5", "region": "eu", "team": "a"}},
			{"targets": ["[2001:db8::1]:80", "192.0.2.1:80"]}]`)
		w := watch(t, f.pool("max_vanish: 100"), discover.Options{})
		synctest.Wait()
		w.settle(t)
		w.expect(t, "at the start", "192.0.2.1:80 weight 5 region eu", "origin.example.org:80 weight 5 region eu", "[2001:db8::1]:80")
		f.put(t, "- targets: ['192.0.2.2:80']\n  labels: {weight: 7}\n")
		w.expect(t, "before it is looked at", "192.0.2.1:80 weight 5 region eu", "origin.example.org:80 weight 5 region eu", "[2001:db8::1]:80")
		time.Sleep(oneLook)
		w.expect(t, "after that", "192.0.2.2:80 weight 7")
		if len(w.changes) != 2 {
			t.Errorf("%d changes were told", len(w.changes))
		}
		filled, _ := w.Fill(w.cfg)
		if !filled.Pools[0].Endpoints[0].Discovered {
			t.Error("a found endpoint is not marked, so it would get traffic unproven")
		}
		if len(w.cfg.Pools[0].Endpoints) != 0 {
			t.Error("the configuration itself was written to")
		}
	})
}

// F33: a source that fails or says that there is nothing changes nothing, and is reported once.
func TestLastGoodEndpointsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t)
		f.targets(t, 1, 2)
		w := watch(t, f.pool("policy: simple"), discover.Options{})
		good := numbered("192.0.2.%d:80", 1, 2)
		time.Sleep(time.Second) // the first look is over
		w.expect(t, "at first", good...)
		for _, bad := range []string{"", "[]", "null", `[{"targets": []}]`, `[{"targets": ["192.0.2.3:80", "192.0.2.4"]}]`,
			`{"targets": 1}`, `[{"targets": ["192.0.2.3:80"], "labels": {"weight": "256"}}]`, strings.Repeat(" ", 1<<20+1)} {
			f.put(t, bad)
			time.Sleep(30 * time.Second)
			w.expect(t, fmt.Sprintf("with %.20q", bad), good...)
		}
		if err := os.Remove(f.path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		w.expect(t, "without the file", good...)
		if n := w.log.count("discovery failed"); n != 1 {
			t.Errorf("the failure was logged %d times", n)
		}
		if s := w.Status()[0]; s.Failure == "" || s.Endpoints != 2 || s.LastGood.IsZero() {
			t.Errorf("status %+v", s)
		}
		f.targets(t, 1, 2, 3)
		time.Sleep(time.Minute + oneLook)
		w.expect(t, "when it is back", numbered("192.0.2.%d:80", 1, 2, 3)...)
		if w.log.count("discovery works again") != 1 || w.Status()[0].Failure != "" {
			t.Error("nobody says that it works again")
		}
	})
}

// What vanishes beyond max_vanish is held, with an alarm, until the source has said so several times; what is new joins at once.
func TestTooMuchMustNotVanishAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t)
		f.targets(t, 1, 2, 3, 4)
		w := watch(t, f.pool("max_vanish: 50"), discover.Options{})
		time.Sleep(time.Second)
		f.targets(t, 1, 2)
		time.Sleep(oneLook)
		w.expect(t, "half of it went", numbered("192.0.2.%d:80", 1, 2)...)
		f.targets(t, 7, 8, 9)
		time.Sleep(oneLook)
		w.expect(t, "all of it went", numbered("192.0.2.%d:80", 7, 8, 9, 1, 2)...)
		held := "# HELP meridian_discovery_held Endpoints of a pool that its sources no longer name and that are kept until that is confirmed.\n" +
			"# TYPE meridian_discovery_held gauge\nmeridian_discovery_held{pool=\"web\"} 2\n"
		if err := testutil.GatherAndCompare(w.registry, strings.NewReader(held), "meridian_discovery_held"); err != nil {
			t.Error(err)
		}
		time.Sleep(3 * 5500 * time.Millisecond)
		w.expect(t, "while it is held", numbered("192.0.2.%d:80", 7, 8, 9, 1, 2)...)
		if n := w.log.count("too much of a pool vanished"); n != 1 {
			t.Errorf("the alarm was logged %d times", n)
		}
		time.Sleep(3 * 5500 * time.Millisecond)
		w.expect(t, "once confirmed", numbered("192.0.2.%d:80", 7, 8, 9)...)
	})
}

// A hold ends when the endpoints come back, and starts anew with the next loss.
func TestHoldEndsWhenEndpointsComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t)
		f.targets(t, 1, 2)
		w := watch(t, f.pool("max_vanish: 40"), discover.Options{})
		time.Sleep(time.Second)
		for range 3 {
			f.targets(t, 1)
			time.Sleep(4 * 5500 * time.Millisecond)
			w.expect(t, "after a loss", numbered("192.0.2.%d:80", 1, 2)...)
			f.targets(t, 1, 2)
			time.Sleep(oneLook)
		}
		if n := w.log.count("too much of a pool vanished"); n != 3 {
			t.Errorf("%d alarms for three losses", n)
		}
		f.targets(t, 1)
		time.Sleep(oneLook)
		w.Accept()
		w.expect(t, "the operator knows", "192.0.2.1:80")
	})
}

// Endpoints of the configuration count for the share that may vanish, come first, and are not added twice.
func TestWrittenEndpointsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFile(t)
		f.targets(t, 1, 2)
		w := watch(t, f.pool(`endpoints: [{address: "192.0.2.1:80"}, {address: "192.0.2.9:80"}, {address: "192.0.2.10:80"}]`), discover.Options{})
		time.Sleep(time.Second)
		w.expect(t, "at the start", "192.0.2.1:80", "192.0.2.9:80", "192.0.2.10:80", "192.0.2.2:80")
		f.targets(t, 3)
		time.Sleep(oneLook)
		w.expect(t, "one of four went", "192.0.2.1:80", "192.0.2.9:80", "192.0.2.10:80", "192.0.2.3:80")
	})
}

func TestPoolsHaveNoMoreEndpointsThanAGroupTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g := newFile(t), newFile(t)
		var many []string
		for i := range 257 {
			many = append(many, fmt.Sprintf(`"198.51.100.1:%d"`, i+1))
		}
		f.put(t, `[{"targets": [`+strings.Join(many[:200], ",")+`]}]`)
		g.put(t, `[{"targets": [`+strings.Join(many[100:], ",")+`]}]`)
		w := watch(t, "pools: {web: {discover: [{file: "+f.path+"}, {file: "+g.path+"}]}}", discover.Options{})
		time.Sleep(time.Second)
		if n := len(w.endpoints()); n != 256 {
			t.Errorf("%d endpoints", n)
		}
		g.put(t, `[{"targets": [`+strings.Join(many, ",")+`]}]`)
		time.Sleep(oneLook)
		if w.log.count("more endpoints than a pool can have") != 1 {
			t.Error("a list that is too long is not refused")
		}
	})
}

// A reload keeps what sources in both configurations have found, and forgets the rest.
func TestFoundEndpointsSurviveAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g := newFile(t), newFile(t)
		f.targets(t, 1)
		g.targets(t, 2)
		w := watch(t, "pools: {web: {discover: [{file: "+f.path+"}]}, other: {discover: [{file: "+g.path+"}]}}", discover.Options{})
		time.Sleep(time.Second)
		version := w.Version()
		w.cfg = parse(t, "\n\n"+f.pool("check: c, policy: simple")+"checks: {c: {type: tcp}}\n")
		w.expect(t, "before it is applied", "192.0.2.1:80")
		w.Apply(w.cfg)
		w.expect(t, "after it is applied", "192.0.2.1:80")
		time.Sleep(oneLook)
		if w.Version() != version {
			t.Error("a reload changed the endpoints")
		}
		if n, err := testutil.GatherAndCount(w.registry, "meridian_discovery_endpoints"); n != 1 || err != nil {
			t.Errorf("%d pools in the metrics, %v", n, err)
		}
		w.cfg = parse(t, "pools: {web: {policy: failover, discover: [{file: "+f.path+", interval: 1m, weight: 3}]}}\n")
		w.expect(t, "looked at in another way, before it is applied", "192.0.2.1:80")
		w.Apply(w.cfg)
		// The first look may be over already; at no moment is the pool without its endpoint.
		if got := w.endpoints(); len(got) != 1 || !strings.HasPrefix(got[0], "192.0.2.1:80") {
			t.Errorf("around the first look: endpoints %q", got)
		}
		time.Sleep(time.Second)
		w.expect(t, "after it", "192.0.2.1:80 weight 3")
		plain := parse(t, `pools: {web: {endpoints: [{address: "192.0.2.7:80"}]}}`)
		if filled, _ := w.Fill(plain); filled != plain {
			t.Error("a configuration without sources was copied")
		}
	})
}

func TestMetricsAreWellFormed(t *testing.T) {
	registry := prometheus.NewRegistry()
	w := discover.New(discover.Options{Registerer: registry})
	w.Apply(parse(t, "pools: {web: {discover: [{file: /nowhere}]}}"))
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}
