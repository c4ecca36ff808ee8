package guard_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/dns/guard"
)

var (
	client = netip.MustParseAddr("192.0.2.1")
	www    = guard.Answer{Class: guard.Positive, Name: []byte("\x03www\x07example\x03org\x00"), Type: 1}
	epoch  = time.Now()
)

func after(d time.Duration) time.Time { return epoch.Add(time.Hour + d) }

func newGuard(t testing.TB, o guard.Options) *guard.Guard {
	t.Helper()
	g, err := guard.New(o, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// sent counts what n responses at one instant come to.
func sent(g *guard.Guard, at time.Duration, n int, from netip.Addr, a guard.Answer) (sent, slipped, dropped int) {
	for i := range n {
		switch g.Limit(after(at), from, a, uint64(i)) {
		case guard.Send:
			sent++
		case guard.Slip:
			slipped++
		case guard.Drop:
			dropped++
		}
	}
	return sent, slipped, dropped
}

func TestNothingIsLimitedByDefault(t *testing.T) {
	g := newGuard(t, guard.Options{Rates: [guard.Classes]int{1, 1, 1, 1, 1, 1}, Total: 1})
	if n, _, _ := sent(g, 0, 10_000, client, www); n != 10_000 {
		t.Errorf("%d of 10,000 were sent", n)
	}
}

// TestD01RateAndSlip: what is above the rate is dropped, but for every second response, which is sent with TC.
func TestD01RateAndSlip(t *testing.T) {
	g := newGuard(t, guard.Options{Rate: 50})
	for second := range 5 {
		n, slip, drop := sent(g, time.Duration(second)*time.Second, 1050, client, www)
		if n != 50 || slip < 499 || slip > 501 || slip+drop != 1000 {
			t.Errorf("second %d: %d sent, %d slipped, %d dropped", second, n, slip, drop)
		}
	}
	if n, slip, drop := sent(newGuard(t, guard.Options{Rate: 50, Slip: 1}), 0, 100, client, www); n != 50 || slip != 50 || drop != 0 {
		t.Errorf("slip 1: %d sent, %d slipped, %d dropped", n, slip, drop)
	}
	if n, slip, drop := sent(newGuard(t, guard.Options{Rate: 50, Slip: -1}), 0, 100, client, www); n != 50 || slip != 0 || drop != 50 {
		t.Errorf("no slip: %d sent, %d slipped, %d dropped", n, slip, drop)
	}
}

func TestQuietNetworksSaveUpOneWindow(t *testing.T) {
	g := newGuard(t, guard.Options{Rate: 10, Window: 3 * time.Second})
	for i, step := range []struct {
		at   time.Duration
		want int
	}{{0, 30}, {0, 0}, {time.Second, 10}, {time.Second, 0}, {time.Hour, 30}, {14 * 24 * time.Hour, 30}} {
		if n, _, _ := sent(g, step.at, 100, client, www); n != step.want {
			t.Errorf("step %d: %d sent, want %d", i, n, step.want)
		}
	}
}

// TestKinds: what counts together and what does not.
func TestKinds(t *testing.T) {
	type query struct {
		from string
		a    guard.Answer
	}
	name := func(n string) []byte { return []byte(n) }
	for _, test := range []struct {
		name     string
		a, b     query
		together bool
	}{
		{"one network", query{"192.0.2.1", www}, query{"192.0.2.255", www}, true},
		{"two networks", query{"192.0.2.1", www}, query{"192.0.3.1", www}, false},
		{"mapped into IPv6", query{"192.0.2.1", www}, query{"::ffff:192.0.2.7", www}, true},
		{"one /56", query{"2001:db8:0:1::1", www}, query{"2001:db8:0:ff::1", www}, true},
		{"two /56", query{"2001:db8:0:1::1", www}, query{"2001:db8:0:100::1", www}, false},
		{"two names", query{"192.0.2.1", www}, query{"192.0.2.1", guard.Answer{Name: name("a"), Type: 1}}, false},
		{"two types", query{"192.0.2.1", www}, query{"192.0.2.1", guard.Answer{Name: www.Name, Type: 28}}, false},
		{"two names that do not exist", query{"192.0.2.1", guard.Answer{Class: guard.NXDomain, Zone: 1, Name: name("a")}},
			query{"192.0.2.1", guard.Answer{Class: guard.NXDomain, Zone: 1, Name: name("b")}}, true},
		{"two zones", query{"192.0.2.1", guard.Answer{Class: guard.NXDomain, Zone: 1}}, query{"192.0.2.1", guard.Answer{Class: guard.NXDomain, Zone: 2}}, false},
		{"NODATA and NXDOMAIN", query{"192.0.2.1", guard.Answer{Class: guard.NoData, Zone: 1}}, query{"192.0.2.1", guard.Answer{Class: guard.NXDomain, Zone: 1}}, false},
		{"two names of a wildcard", query{"192.0.2.1", guard.Answer{Class: guard.Wildcard, Zone: 1, Name: name("a"), Type: 1}},
			query{"192.0.2.1", guard.Answer{Class: guard.Wildcard, Zone: 1, Name: name("b"), Type: 16}}, true},
		{"one delegation", query{"192.0.2.1", guard.Answer{Class: guard.Referral, Name: name("a"), Type: 1}},
			query{"192.0.2.1", guard.Answer{Class: guard.Referral, Name: name("a"), Type: 28}}, true},
		{"two delegations", query{"192.0.2.1", guard.Answer{Class: guard.Referral, Name: name("a")}}, query{"192.0.2.1", guard.Answer{Class: guard.Referral, Name: name("b")}}, false},
		{"errors", query{"192.0.2.1", guard.Answer{Class: guard.Failure, Zone: 1, Name: name("a")}}, query{"192.0.2.1", guard.Answer{Class: guard.Failure, Name: name("b")}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newGuard(t, guard.Options{Rate: 5})
			sent(g, 0, 5, netip.MustParseAddr(test.a.from), test.a.a)
			n, _, _ := sent(g, 0, 5, netip.MustParseAddr(test.b.from), test.b.a)
			if (n == 0) != test.together || (n == 5) == test.together {
				t.Errorf("%d more were sent", n)
			}
		})
	}
}

func TestRatesOfClassesAndTheTotal(t *testing.T) {
	o := guard.Options{Rate: 10, Total: 25}
	o.Rates[guard.NXDomain], o.Rates[guard.Failure] = 3, -1
	g := newGuard(t, o)
	for _, step := range []struct {
		a    guard.Answer
		want int
	}{
		{guard.Answer{Class: guard.NXDomain}, 3},
		{guard.Answer{Class: guard.Failure}, 0}, // the total is used up by what was refused as well
	} {
		if n, _, _ := sent(g, 0, 100, client, step.a); n != step.want {
			t.Errorf("%s: %d sent, want %d", step.a.Class, n, step.want)
		}
	}
	if n, _, _ := sent(g, 2*time.Second, 100, client, guard.Answer{Class: guard.Failure}); n != 25 {
		t.Errorf("errors without a rate of their own: %d sent, want the total", n)
	}
}

func TestExemptNetworksAndLogOnly(t *testing.T) {
	g := newGuard(t, guard.Options{Rate: 1, Exempt: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/25")}})
	if n, _, _ := sent(g, 0, 100, client, www); n != 100 {
		t.Errorf("exempt: %d sent", n)
	}
	if n, _, _ := sent(g, 0, 1, netip.MustParseAddr("192.0.2.200"), www); n != 1 {
		t.Error("whoever is exempt has used up the rate of a neighbour")
	}
	reg := prometheus.NewPedanticRegistry()
	g, err := guard.New(guard.Options{Rate: 1, LogOnly: true}, nil, reg)
	if err != nil {
		t.Fatal(err)
	}
	if n, _, _ := sent(g, 0, 100, client, www); n != 100 {
		t.Errorf("log only: %d sent", n)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := 0.0
	for _, f := range families {
		for _, m := range f.Metric {
			got += m.GetCounter().GetValue()
		}
	}
	if got != 99 {
		t.Errorf("%v counted", got)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// TestClientsBelowTheRateAreNeverLimited, whoever else asks for whatever at the same time.
func TestClientsBelowTheRateAreNeverLimited(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.IntRange(1, 40).Draw(t, "rate")
		g, err := guard.New(guard.Options{Rate: rate, Entries: 1 << 14}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		victim, at := netip.MustParseAddr("198.51.100.7"), time.Duration(0)
		// A client that keeps to the rate over every window: each second in slots, at most rate of them used.
		for range 3 * rate {
			at += time.Second/time.Duration(rate) + time.Duration(r.Int64N(int64(time.Millisecond))) + time.Microsecond
			for range 20 { // a flood from everywhere
				from := netip.AddrFrom4([4]byte{byte(r.Uint32N(198)), byte(r.Uint32()), byte(r.Uint32()), 1})
				g.Limit(after(at), from, www, r.Uint64())
				g.Limit(after(at), netip.MustParseAddr("203.0.113.9"), www, r.Uint64())
			}
			if action := g.Limit(after(at), victim, www, r.Uint64()); action != guard.Send {
				t.Fatalf("limited at %s", at)
			}
		}
	})
}

// TestD06FloodsOfNamesNeedNoMemory: names that cannot exist, and networks without number.
func TestD06FloodsOfNamesNeedNoMemory(t *testing.T) {
	g := newGuard(t, guard.Options{Rate: 10, Entries: 1 << 12, Total: 1000})
	name := make([]byte, 40)
	flood := func() {
		for i := range 50_000 {
			binary.BigEndian.PutUint64(name, rand.Uint64())
			from := netip.AddrFrom4([4]byte{byte(i >> 8), byte(i >> 16), byte(i), 1})
			g.Limit(after(time.Duration(i)*time.Microsecond), from, guard.Answer{Class: guard.Class(i % guard.Classes), Name: name, Type: uint16(i)}, uint64(i))
		}
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	flood()
	runtime.ReadMemStats(&now)
	if grown := now.TotalAlloc - before.TotalAlloc; grown > 64<<10 {
		t.Errorf("%d octets were allocated", grown)
	}
}

// TestWorkersTogetherKeepTheRate: what many workers let through at once is the rate, give or take a worker each.
func TestWorkersTogetherKeepTheRate(t *testing.T) {
	g := newGuard(t, guard.Options{Rate: 1000})
	var through atomic.Int64
	var wg sync.WaitGroup
	const workers = 8
	for range workers {
		wg.Go(func() {
			n, _, _ := sent(g, 0, 2000, client, www)
			through.Add(int64(n))
		})
	}
	wg.Wait()
	// Two that start a key at the same time may both do so, each with a rate of its own; eight losses in a row let one go.
	if n := through.Load(); n < 1000 || n > 1000*workers/2 {
		t.Errorf("%d were sent", n)
	}
}

func TestUpdateKeepsWhatIsUsed(t *testing.T) {
	g := newGuard(t, guard.Options{Rate: 10})
	sent(g, 0, 10, client, www)
	if err := g.Update(guard.Options{Rate: 20}); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := sent(g, 0, 100, client, www); n >= 20 {
		t.Errorf("%d sent after a reload", n)
	}
	if err := g.Update(guard.Options{Rate: -1}); err == nil {
		t.Error("a negative rate was taken")
	}
	if n, _, _ := sent(g, 0, 100, client, www); n != 0 {
		t.Errorf("%d sent after a reload that was refused", n)
	}
	if err := g.Update(guard.Options{}); err != nil {
		t.Fatal(err)
	}
	if n, _, _ := sent(g, 0, 100, client, www); n != 100 {
		t.Errorf("%d sent after limits were switched off", n)
	}
}

func TestOptionsOutOfTheirLimits(t *testing.T) {
	for name, o := range map[string]guard.Options{
		"rate":     {Rate: guard.MaxRate + 1},
		"class":    {Rate: 1, Rates: [guard.Classes]int{guard.MaxRate + 1}},
		"total":    {Total: -1},
		"window":   {Window: guard.MaxWindow + 1},
		"v4":       {PrefixV4: 33},
		"v6":       {PrefixV6: 65},
		"entries":  {Entries: guard.MaxEntries + 1},
		"secrets":  {Secrets: make([]guard.Secret, guard.MaxSecrets+1)},
		"rotation": {Rotate: time.Minute},
		"size":     {NoCookieSize: 511},
	} {
		if _, err := guard.New(o, nil, nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestLimitAllocatesNothing(t *testing.T) {
	g := newGuard(t, guard.Options{Rate: 50, Total: 100, Cookies: true})
	i := uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		g.Limit(after(0), client, www, i)
		i++
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLimit(b *testing.B) {
	for name, spread := range map[string]uint32{"one network": 1, "a million networks": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			g := newGuard(b, guard.Options{Rate: 50})
			b.ReportAllocs()
			i, now := uint32(0), after(0)
			for b.Loop() {
				i++
				n := (i % spread) << 8
				g.Limit(now, netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), 1}), www, uint64(i))
			}
		})
	}
}

func BenchmarkLimitParallel(b *testing.B) {
	g := newGuard(b, guard.Options{Rate: 50})
	now := after(0)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			g.Limit(now, client, www, 1)
		}
	})
}
