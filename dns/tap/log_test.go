package tap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/meridian-edge/meridian/dns/tap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var when = time.Date(2017, 12, 13, 8, 16, 2, 130e6, time.UTC)

func event(name string) tap.Event {
	wire := make([]byte, 256)
	n, err := mdns.PackDomainName(name, wire, 0, nil, false)
	if err != nil {
		panic(err)
	}
	return tap.Event{
		Time: when, Client: netip.MustParseAddrPort("192.168.1.1:5353"), Transport: "udp", Zone: "example.com.",
		Name: wire[:n], Type: mdns.TypeA, Query: make([]byte, 40), Reply: make([]byte, 56),
	}
}

// lines returns what a log writes for events.
func lines(t testing.TB, o tap.LogOptions, events ...tap.Event) string {
	t.Helper()
	var out bytes.Buffer
	l := tap.NewLog(&out, o)
	for _, e := range events {
		l.Observe(e)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestRoute53Lines(t *testing.T) {
	with := event("example.com.")
	with.Subnet, with.Scope = netip.MustParsePrefix("192.168.222.0/24"), 24
	odd := event(`a\032b.*.example.com.`)
	odd.Type, odd.RCode, odd.Transport, odd.Client = 65280, mdns.RcodeNameError, "doh", netip.MustParseAddrPort("[2001:db8::1]:1")
	any := event("www.example.com.")
	any.Type, any.RCode, any.Transport = mdns.TypeANY, mdns.RcodeBadVers, "doq"
	outside, dropped, nothing := event("example.net."), event("example.com."), event("example.com.")
	outside.Zone, dropped.Dropped, nothing.Name = "", "rate_limited", nil
	got := lines(t, tap.LogOptions{Format: tap.Route53, Edge: "DFW3", ZoneID: func(zone string) string {
		return map[string]string{"example.com.": "Z123412341234"}[zone]
	}}, with, odd, any, outside, dropped, nothing)
	want := `1.0 2017-12-13T08:16:02.130Z Z123412341234 example.com A NOERROR UDP DFW3 192.168.1.1 192.168.222.0/24
1.0 2017-12-13T08:16:02.130Z Z123412341234 a\032b.*.example.com TYPE65280 NXDOMAIN TCP DFW3 2001:db8::1 -
1.0 2017-12-13T08:16:02.130Z Z123412341234 www.example.com ANY BADVERS UDP DFW3 192.168.1.1 -
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := lines(t, tap.LogOptions{Format: tap.Route53}, with); !strings.Contains(got, "Z example.com example.com A NOERROR UDP - 192.168.1.1") {
		t.Errorf("without ids: %s", got)
	}
}

func TestJSONLines(t *testing.T) {
	full := event("www.example.com.")
	full.Subnet, full.Scope, full.Truncated = netip.MustParsePrefix("2001:db8::/56"), 48, true
	bare := event("example.com.")
	bare.Name, bare.Zone, bare.RCode, bare.Reply, bare.Dropped = nil, "", mdns.RcodeFormatError, nil, "source_port"
	odd := event(`a\"b\\c\010d.example.com.`)
	odd.Zone, odd.RCode, odd.Type = ".", 4000, 65280
	root := event(".")
	got := lines(t, tap.LogOptions{Edge: "fra \"1\"\n"}, full, bare, odd, root)
	want := `{"time":"2017-12-13T08:16:02.130Z","client":"192.168.1.1","port":5353,"proto":"udp","edge":"fra \"1\"\u000a","zone":"example.com","name":"www.example.com","type":"A","rcode":"NOERROR","subnet":"2001:db8::/56","scope":48,"query_bytes":40,"reply_bytes":56,"truncated":true}
{"time":"2017-12-13T08:16:02.130Z","client":"192.168.1.1","port":5353,"proto":"udp","edge":"fra \"1\"\u000a","rcode":"FORMERR","query_bytes":40,"reply_bytes":0,"dropped":"source_port"}
{"time":"2017-12-13T08:16:02.130Z","client":"192.168.1.1","port":5353,"proto":"udp","edge":"fra \"1\"\u000a","zone":".","name":"a\\\"b\\\\c\\010d.example.com","type":"TYPE65280","rcode":"RCODE4000","query_bytes":40,"reply_bytes":56}
{"time":"2017-12-13T08:16:02.130Z","client":"192.168.1.1","port":5353,"proto":"udp","edge":"fra \"1\"\u000a","zone":"example.com","name":".","type":"A","rcode":"NOERROR","query_bytes":40,"reply_bytes":56}
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// FuzzName: whatever a name is made of, its line is one line, of valid JSON or of ten fields, and the name can be read back.
func FuzzName(f *testing.F) {
	f.Add([]byte("www"), []byte("example"))
	f.Add([]byte("a b\n\"\\"), []byte{0, 255, '.'})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a) == 0 || len(b) == 0 || len(a) > 63 || len(b) > 63 {
			return
		}
		wire := append(append(append([]byte{byte(len(a))}, a...), byte(len(b))), b...)
		wire = append(wire, 0)
		e := event(".")
		e.Name = wire
		got := lines(t, tap.LogOptions{}, e)
		var record struct{ Name string }
		if err := json.Unmarshal([]byte(got), &record); err != nil || strings.Count(got, "\n") != 1 {
			t.Fatalf("%v in %q", err, got)
		}
		back := make([]byte, 256)
		n, err := mdns.PackDomainName(record.Name+".", back, 0, nil, false)
		if err != nil || !bytes.Equal(back[:n], wire) {
			t.Fatalf("%q became %q: %v", wire, record.Name, err)
		}
		if fields := strings.Fields(lines(t, tap.LogOptions{Format: tap.Route53}, e)); len(fields) != 10 {
			t.Fatalf("%q", fields)
		}
	})
}

func TestSamplingKeepsTheShare(t *testing.T) {
	e := event("www.example.com.")
	for _, share := range []float64{0, 0.25, 1} {
		n := 0
		for range 5 {
			events := make([]tap.Event, 2000)
			for i := range events {
				events[i] = e
			}
			n += strings.Count(lines(t, tap.LogOptions{Share: share}, events...), "\n")
		}
		want := 10_000 * share
		if share == 0 {
			want = 10_000
		}
		if d := float64(n) - want; d > 400 || d < -400 { // nine standard deviations
			t.Errorf("share %v: %d of 10,000", share, n)
		}
	}
}

// TestObserveNeverWaits: with nobody to write, what does not fit is dropped and counted.
func TestObserveNeverWaits(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	m := tap.NewMetrics(reg)
	l, d := tap.NewLog(&bytes.Buffer{}, tap.LogOptions{Metrics: m}), tap.NewDnstap(tap.DnstapOptions{Metrics: m})
	for range 10_000 {
		l.Observe(event("www.example.com."))
		d.Observe(event("www.example.com."))
	}
	want := `
# HELP meridian_dns_tap_dropped_total Queries missing from a log because its queue was full or it could not be written, by log.
# TYPE meridian_dns_tap_dropped_total counter
meridian_dns_tap_dropped_total{log="dnstap"} 1808
meridian_dns_tap_dropped_total{log="lines"} 1808
# HELP meridian_dns_tap_events_total Queries queued for a log, after sampling, by log.
# TYPE meridian_dns_tap_events_total counter
meridian_dns_tap_events_total{log="dnstap"} 8192
meridian_dns_tap_events_total{log="lines"} 8192
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "meridian_dns_tap_dropped_total", "meridian_dns_tap_events_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// flaky is a writer that fails on demand, and a file that can be moved away.
type flaky struct {
	mu   sync.Mutex // guards the fields below
	err  error
	file *os.File
}

func (f *flaky) set(t *testing.T, err error, path string) {
	t.Helper()
	file, e := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if e != nil {
		t.Fatal(e)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != nil {
		f.file.Close()
	}
	f.err, f.file = err, file
}

func (f *flaky) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return 0, f.err
	}
	return f.file.Write(b)
}

// TestWriterComesBack: a file that fails or is opened again loses nothing but what failed, and that is counted.
func TestWriterComesBack(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "1"), filepath.Join(dir, "2")
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		out := &flaky{}
		out.set(t, nil, first)
		l := tap.NewLog(out, tap.LogOptions{Metrics: tap.NewMetrics(reg)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		say := func(n int) {
			for range n {
				l.Observe(event("www.example.com."))
				synctest.Wait()
			}
		}
		say(3)
		out.set(t, errors.New("no space"), first)
		say(5)
		out.set(t, nil, second)
		say(2)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		out.file.Close()
		for path, want := range map[string]int{first: 3, second: 2} {
			b, err := os.ReadFile(path)
			if n := bytes.Count(b, []byte("\n")); err != nil || n != want {
				t.Errorf("%d lines in %s, want %d: %v", n, filepath.Base(path), want, err)
			}
		}
		families, _ := reg.Gather()
		lost := 0.0
		for _, f := range families {
			if f.GetName() == "meridian_dns_tap_dropped_total" {
				for _, m := range f.Metric {
					lost += m.GetCounter().GetValue()
				}
			}
		}
		if lost != 5 {
			t.Errorf("%v lost", lost)
		}
	})
}

func TestSampledOutAllocatesNothing(t *testing.T) {
	l, d := tap.NewLog(&bytes.Buffer{}, tap.LogOptions{Share: 1e-18}), tap.NewDnstap(tap.DnstapOptions{Share: 1e-18})
	e := event("www.example.com.")
	if n := testing.AllocsPerRun(1000, func() { l.Observe(e); d.Observe(e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	e := event("www.example.com.")
	e.Subnet = netip.MustParsePrefix("192.0.2.0/24")
	for name, o := range map[string]interface{ Observe(tap.Event) }{
		"json": tap.NewLog(&bytes.Buffer{}, tap.LogOptions{}), "route53": tap.NewLog(&bytes.Buffer{}, tap.LogOptions{Format: tap.Route53}),
		"dnstap": tap.NewDnstap(tap.DnstapOptions{}), "sampled out": tap.NewLog(&bytes.Buffer{}, tap.LogOptions{Share: 1e-18}),
	} {
		b.Run(name, func(b *testing.B) { // the queue is soon full: this is the way of a packet without the writer's
			b.ReportAllocs()
			for b.Loop() {
				o.Observe(e)
			}
		})
	}
}
