package healthcheck_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
)

// envoy is what `passive: on` means.
var envoy = config.Passive{
	ServerErrors: 5, GatewayFailures: 5, Deviations: 1.9, MinEndpoints: 5, MinRequests: 100,
	Interval: 10 * time.Second, BaseEjection: 30 * time.Second, MaxEjection: 300 * time.Second, MaxShare: 10,
}

// judged is a configuration with a pool of n endpoints that requests judge; check may be empty.
func judged(n int, check string, p config.Passive) *config.Config {
	var ends []string
	for i := range n {
		ends = append(ends, fmt.Sprintf("192.0.2.%d:80", i+1))
	}
	cfg := checks(with(tcp("t", one), func(c *config.Check) { c.Target = netip.AddrPort{} }))
	pool := web(check, ends...)
	pool.Passive = p
	cfg.Pools = []config.Pool{pool}
	return cfg
}

func (r *rig) saw(i int, outcomes ...healthcheck.Outcome) {
	for _, o := range outcomes {
		r.plan.Watch("web").Saw(i, o)
	}
	synctest.Wait()
}

func repeat(o healthcheck.Outcome, n int) []healthcheck.Outcome {
	list := make([]healthcheck.Outcome, n)
	for i := range list {
		list[i] = o
	}
	return list
}

func TestFailuresInARowEject(t *testing.T) {
	f := func(what string, rules config.Passive, ejects bool, outcomes ...healthcheck.Outcome) {
		t.Helper()
		inBubble(t, func(r *rig) {
			r.apply(judged(3, "", rules))
			r.saw(0, outcomes...)
			if r.wantReach(0, !ejects); r.Failed() {
				r.Errorf("^ %s", what)
			}
			r.wantAlive(0, true) // the fleet does not believe one edge's requests
		})
	}
	const good, server, gateway = healthcheck.Good, healthcheck.ServerError, healthcheck.GatewayError
	gatewayOnly := envoy
	gatewayOnly.ServerErrors, gatewayOnly.Deviations = 0, 0
	f("five gateway failures", gatewayOnly, true, repeat(gateway, 5)...)
	f("four", gatewayOnly, false, repeat(gateway, 4)...)
	f("not in a row", gatewayOnly, false, gateway, gateway, gateway, gateway, good, gateway, gateway)
	f("interrupted by another error", gatewayOnly, false, gateway, gateway, gateway, gateway, server, gateway)
	f("server errors do not count", gatewayOnly, false, repeat(server, 50)...)
	f("five server errors", envoy, true, repeat(server, 5)...)
	f("both kinds together", envoy, true, server, gateway, server, gateway, server)
	f("nothing", config.Passive{}, false, repeat(gateway, 50)...)
}

func TestEjectionGrowsAndDecays(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(judged(3, "", envoy))
		out := func() time.Duration {
			r.saw(0, repeat(healthcheck.GatewayError, 5)...)
			r.wantReach(0, false)
			began := time.Now()
			for slot := r.plan.Endpoint("web", 0); !r.board.Reach().Up(slot); {
				r.pass(time.Second)
			}
			return time.Since(began)
		}
		for _, want := range []time.Duration{30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300} {
			if got := out(); got != want*time.Second {
				t.Errorf("ejected for %v, want %d s", got, want)
			}
		}
		r.pass(time.Hour)
		if got := out(); got != 30*time.Second {
			t.Errorf("ejected for %v after an hour of peace, want 30s", got)
		}
	})
}

func TestNeverTooManyAndNeverTheLastAreEjected(t *testing.T) {
	out := func(r *rig) (n int) {
		for _, m := range r.board.Members() {
			if !m.Ejected.IsZero() {
				n++
			}
		}
		return n
	}
	f := func(endpoints int, share float64, want int) {
		t.Helper()
		inBubble(t, func(r *rig) {
			rules := envoy
			rules.MaxShare = share
			r.apply(judged(endpoints, "", rules))
			for i := range endpoints {
				r.saw(i, repeat(healthcheck.GatewayError, 100)...)
			}
			if n := out(r); n != want {
				t.Errorf("%d endpoints, %g %%: %d ejected, want %d", endpoints, share, n, want)
			}
		})
	}
	f(1, 100, 0)
	f(2, 10, 1)
	f(2, 100, 1)
	f(5, 10, 1)
	f(20, 10, 2)
	f(30, 50, 15)
	f(10, 100, 9)
}

func TestTheOnlyOneItsCheckCallsUpIsKept(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.farm.set(two, true)
		r.apply(judged(2, "t", envoy))
		r.pass(time.Minute)
		r.wantReach(1, false)
		r.saw(0, repeat(healthcheck.GatewayError, 50)...)
		r.wantReach(0, true)
		// And when it was ejected before the other died, it comes back.
		r.farm.set(two, false)
		r.pass(time.Minute)
		r.farm.hold(one, true) // its probes say nothing for a while
		r.saw(0, repeat(healthcheck.GatewayError, 5)...)
		r.wantReach(0, false)
		r.order("web/"+two, healthcheck.ForceDown, time.Hour)
		r.wantReach(0, true)
	})
}

func TestASuccessfulProbeReadmits(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(judged(2, "t", envoy))
		r.pass(time.Minute)
		r.saw(0, repeat(healthcheck.GatewayError, 5)...)
		r.wantReach(0, false)
		r.pass(10500 * time.Millisecond)
		r.wantReach(0, true)
		r.saw(0, repeat(healthcheck.GatewayError, 4)...)
		r.wantReach(0, true) // it was counted from nothing
	})
}

func TestACheckThatFindsItDownTakesOver(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(judged(2, "t", envoy))
		r.pass(time.Minute)
		r.farm.set(one, true)
		r.saw(0, repeat(healthcheck.GatewayError, 5)...)
		r.pass(time.Minute)
		m := r.board.Members()[0]
		if m.Up || !m.Ejected.IsZero() || m.Reason != "connect: connection refused" {
			t.Errorf("member %+v", m)
		}
	})
}

func TestOutlierOfThePoolIsEjected(t *testing.T) {
	f := func(requests int, bad []int, want ...int) {
		t.Helper()
		inBubble(t, func(r *rig) {
			rules := envoy
			rules.ServerErrors, rules.GatewayFailures, rules.MaxShare = 0, 0, 50
			r.apply(judged(len(bad), "", rules))
			for i, failed := range bad { // of each hundred
				for n := range requests {
					o := healthcheck.Good
					if n%100 < failed {
						o = healthcheck.ServerError
					}
					r.plan.Watch("web").Saw(i, o)
				}
			}
			r.pass(10 * time.Second)
			var out []int
			for i := range bad {
				if !r.board.Reach().Up(r.plan.Endpoint("web", i)) {
					out = append(out, i)
				}
			}
			if fmt.Sprint(out) != fmt.Sprint(want) {
				t.Errorf("%v: ejected %v, want %v", bad, out, want)
			}
		})
	}
	f(200, []int{1, 2, 1, 0, 40, 1}, 4)
	f(99, []int{1, 2, 1, 0, 40, 1})   // too few requests
	f(200, []int{1, 2, 40, 1})        // too few endpoints
	f(200, []int{40, 40, 40, 40, 40}) // all alike
	f(200, []int{0, 0, 0, 0, 0})      //
	f(200, []int{30, 38, 33, 36, 34}) // nobody is out of line
}

func TestEjectionsSurviveAReloadAndAreTold(t *testing.T) {
	var out bytes.Buffer
	reg := prometheus.NewPedanticRegistry()
	inBubble(t, func(r *rig) {
		cfg := judged(2, "", envoy)
		r.apply(cfg)
		r.saw(0, repeat(healthcheck.GatewayError, 5)...)
		r.apply(cfg)
		r.wantReach(0, false)
		if err := testutil.GatherAndCompare(reg, strings.NewReader(`
			# HELP meridian_health_ejected Whether an endpoint of a pool, or of a group (accelerator/region), is ejected (1) because of the requests it served, or not (0).
			# TYPE meridian_health_ejected gauge
			meridian_health_ejected{endpoint="192.0.2.1:80",pool="web"} 1
			meridian_health_ejected{endpoint="192.0.2.2:80",pool="web"} 0
			# HELP meridian_health_ejections_total Endpoints of pools and groups (accelerator/region) ejected because of the requests they served, by cause.
			# TYPE meridian_health_ejections_total counter
			meridian_health_ejections_total{cause="gateway_failures",pool="web"} 1
		`), "meridian_health_ejected", "meridian_health_ejections_total"); err != nil {
			t.Error(err)
		}
		const why = "ejected until 2000-01-01T00:00:30Z: 5 requests in a row did not reach it or got 502, 503 or 504"
		if m := r.board.Members()[0]; m.Reason != why || m.Scope != "web" || m.Up || !m.Judged {
			t.Errorf("member %+v", m)
		}
		cfg = judged(2, "", config.Passive{})
		r.apply(cfg)
		r.wantReach(0, true)
		if r.plan.Watch("web") != nil {
			t.Error("a pool that is not judged has a watch")
		}
		if n, err := testutil.GatherAndCount(reg, "meridian_health_ejections_total", "meridian_health_ejected"); err != nil || n != 0 {
			t.Errorf("%d series are left, %v", n, err)
		}
	}, func(o *healthcheck.Options) { o.Registerer = reg; o.Log = slog.New(slog.NewTextHandler(&out, nil)) })
	if got := out.String(); strings.Count(got, "endpoint ejected") != 1 || strings.Count(got, "endpoint readmitted") != 1 {
		t.Errorf("log:\n%s", got)
	}
}

// TestWatchIsSafeForAll is for the race detector.
func TestWatchIsSafeForAll(t *testing.T) {
	board := healthcheck.NewBoard()
	plan := healthcheck.NewPlan(judged(4, "", envoy), board)
	healthcheck.NewChecker(healthcheck.Options{Board: board}).Apply(plan)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := range 2000 {
				plan.Watch("web").Saw((g+n)%4, healthcheck.Outcome(n%3))
			}
		})
	}
	wg.Wait()
	plan.Watch("web").Saw(-1, healthcheck.GatewayError)
	plan.Watch("web").Saw(4, healthcheck.GatewayError)
	plan.Watch("nobody").Saw(0, healthcheck.GatewayError)
}

func BenchmarkWatchSaw(b *testing.B) {
	board := healthcheck.NewBoard()
	plan := healthcheck.NewPlan(judged(4, "", envoy), board)
	healthcheck.NewChecker(healthcheck.Options{Board: board}).Apply(plan)
	w := plan.Watch("web")
	b.ReportAllocs()
	for b.Loop() {
		w.Saw(1, healthcheck.Good)
	}
}

// The flows of an accelerator judge the endpoints of each group for themselves, as requests do those of a pool.
func TestFlowsJudgeTheEndpointsOfAGroup(t *testing.T) {
	inBubble(t, func(r *rig) {
		rules := envoy
		rules.GatewayFailures = 3
		group := func(region string, p config.Passive, hosts ...string) config.Group {
			g := config.Group{Region: region, Passive: p}
			for _, h := range hosts {
				g.Endpoints = append(g.Endpoints, config.GroupEndpoint{Address: netip.MustParseAddr(h), Weight: 128})
			}
			return g
		}
		cfg := &config.Config{
			Accelerators: []config.Accelerator{{
				Name: "web", Listeners: []config.AcceleratorListener{{Protocol: "tcp", Ports: []config.PortRange{{From: 80, To: 80}}}},
				Groups: []config.Group{
					group("eu", rules, "192.0.2.1", "192.0.2.2"), group("us", rules, "192.0.2.1", "192.0.2.3"),
					group("ap", config.Passive{}, "192.0.2.1", "192.0.2.4"),
				},
			}},
			Pools: judged(2, "", envoy).Pools, // of the same name, with the same endpoint
		}
		r.apply(cfg)
		for range 3 {
			r.plan.WatchGroup("web", 0).Saw(0, healthcheck.GatewayError)
			r.plan.WatchGroup("web", 2).Saw(0, healthcheck.GatewayError)
		}
		synctest.Wait()
		up := func() string {
			text := ""
			for g := range 3 {
				text += fmt.Sprint(r.board.Reach().Up(r.plan.Group("web", g, 0)), r.board.Alive().Up(r.plan.Group("web", g, 0)), " ")
			}
			return text + fmt.Sprint(r.board.Reach().Up(r.plan.Endpoint("web", 0)))
		}
		if got, want := up(), "false true true true true true true"; got != want {
			t.Errorf("reach and alive of each group, and the pool: %s, want %s", got, want)
		}
		if r.plan.WatchGroup("web", 2) != nil || r.plan.WatchGroup("web", 3) != nil || r.plan.WatchGroup("none", 0) != nil {
			t.Error("somebody hears what nobody asked for")
		}
		text, err := r.board.Save()
		if err != nil || !strings.Contains(string(text), `"member of accelerator web/eu"`) {
			t.Errorf("the ejection is not saved: %s, %v", text, err)
		}
		for _, m := range r.board.Members() {
			if want := m.Scope == "web" && m.Group == "eu" && m.Endpoint == one; m.Ejected.IsZero() == want {
				t.Errorf("%s/%s %s: ejected is %v", m.Scope, m.Group, m.Endpoint, !want)
			}
		}
		r.pass(31 * time.Second)
		if got, want := up(), "true true true true true true true"; got != want {
			t.Errorf("after the ejection: %s", got)
		}
	})
}
