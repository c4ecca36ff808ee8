package healthcheck_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
)

// web is a pool of endpoints without a target of their own in the check.
func web(check string, endpoints ...string) config.Pool {
	p := config.Pool{Name: "web", Check: check}
	for _, e := range endpoints {
		p.Endpoints = append(p.Endpoints, config.Endpoint{Address: netip.MustParseAddrPort(e), ID: e})
	}
	return p
}

func (r *rig) order(target string, f healthcheck.Force, d time.Duration) {
	r.Helper()
	if _, err := r.board.Order(target, f, d); err != nil {
		r.Error(err)
	}
}

func (r *rig) wantReach(i int, want bool) {
	r.Helper()
	slot := r.plan.Endpoint("web", i)
	if got := r.board.Reach().Up(slot); got != want {
		r.Errorf("endpoint %d: Reach up = %t, want %t", i, got, want)
	}
}

func (r *rig) wantAlive(i int, want bool) {
	r.Helper()
	if got := r.board.Alive().Up(r.plan.Endpoint("web", i)); got != want {
		r.Errorf("endpoint %d: Alive up = %t, want %t", i, got, want)
	}
}

func TestOrderBeatsEveryProbe(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.farm.set(two, true)
		r.apply(checks(tcp("a", one), tcp("b", two), with(tcp("not-a", one), func(c *config.Check) { c.Inverted = true }),
			config.Check{Name: "both", Type: "calculated", Of: []string{"a", "b"}, AtLeast: 2}))
		r.pass(time.Minute)
		r.wantUp("both", false)
		r.order("b", healthcheck.ForceUp, 0)
		r.wantUp("b", true) // at once
		r.wantUp("both", true)
		r.order("a", healthcheck.ForceDown, 0)
		r.wantUp("a", false)
		r.wantUp("both", false)
		r.wantUp("not-a", false) // looks at the probe, not at what was said about another check
		r.pass(time.Hour)
		r.wantUp("a", false)
		r.wantUp("b", true)
		v := r.verdict("a")
		if v.State != healthcheck.Down || v.Order.Force != healthcheck.ForceDown || v.Flips != 0 ||
			v.Reason != "forced down by the operator (connected in 0s)" {
			t.Errorf("verdict %+v", v)
		}
		r.order("a", healthcheck.NoForce, 0)
		r.order("b", healthcheck.NoForce, 0)
		r.wantUp("a", true)
		r.wantUp("b", false)
		r.order("b", healthcheck.NoForce, 0) // again is no error
		if all := r.board.Orders(); len(all) != 0 {
			t.Errorf("orders %+v", all)
		}
	})
}

func TestOrderEndsByItself(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(checks(tcp("a", one)))
		r.pass(time.Minute)
		r.order(one, healthcheck.Drain, 10*time.Minute)
		r.wantUp("a", false)
		if reason := r.verdict("a").Reason; reason != "draining by the operator's word until 2000-01-01T00:11:00Z (connected in 0s)" {
			t.Error(reason)
		}
		r.pass(10*time.Minute - time.Millisecond)
		r.wantUp("a", false)
		r.pass(time.Millisecond)
		r.wantUp("a", true)
		if all := r.board.Orders(); len(all) != 0 {
			t.Errorf("orders %+v", all)
		}
	})
}

func TestOrderIsAboutCheckEndpointOrEndpointOfAPool(t *testing.T) {
	inBubble(t, func(r *rig) {
		cfg := checks(with(tcp("t", one), func(c *config.Check) { c.Target = netip.AddrPort{} }), tcp("own", one))
		other := web("t", one)
		other.Name = "other"
		cfg.Pools = []config.Pool{web("t", one, two), other}
		r.apply(cfg)
		r.pass(time.Minute)
		f := func(target string, first, second, otherUp, check bool) {
			t.Helper()
			r.order(target, healthcheck.Drain, 0)
			r.wantReach(0, first)
			r.wantReach(1, second)
			r.wantAlive(0, first)
			if got := r.board.Reach().Up(r.plan.Endpoint("other", 0)); got != otherUp {
				t.Errorf("%s: other is up = %t", target, got)
			}
			r.wantUp("own", check)
			r.order(target, healthcheck.NoForce, 0)
			r.wantReach(0, true)
			r.wantReach(1, true)
		}
		f(one, false, true, false, false)
		f("web/"+one, false, true, true, true)
		f("web/[::ffff:192.0.2.1]:80", false, true, true, true)
		f("t", false, false, false, false) // own asks the same of the first, so they share a verdict
	})
}

func TestEndpointsWithoutCheckCanBeDrained(t *testing.T) {
	inBubble(t, func(r *rig) {
		cfg := checks()
		cfg.Pools = []config.Pool{web("", one, two)}
		r.apply(cfg)
		r.wantReach(0, true)
		r.order("web/"+one, healthcheck.Drain, time.Hour)
		r.wantReach(0, false)
		r.wantReach(1, true)
		r.apply(cfg) // a reload does not forget it
		r.wantReach(0, false)
		r.pass(time.Hour)
		r.wantReach(0, true)
	})
}

func TestLatestOrderCountsAndSurvivesAnEditedCheck(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(checks(tcp("a", one)))
		r.order("a", healthcheck.ForceDown, time.Minute)
		r.pass(time.Second)
		r.order(one, healthcheck.ForceUp, time.Hour)
		r.wantUp("a", true)
		r.order(one, healthcheck.NoForce, 0)
		r.wantUp("a", false)
		edited := with(tcp("a", one), func(c *config.Check) { c.Type = "http"; c.Path = "/other" })
		r.apply(checks(edited))
		r.wantUp("a", false) // another question, the same name
		r.apply(checks(tcp("b", two)))
		r.pass(2 * time.Minute)
		r.apply(checks(edited))
		r.wantUp("a", true)
	})
}

func TestUnknownTargetIsExplained(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(checks(tcp("edge-a", one), tcp("edge-b", two)))
		f := func(target, want string) {
			t.Helper()
			_, err := r.board.Order(target, healthcheck.Drain, 0)
			var unknown *healthcheck.UnknownTarget
			if !errors.As(err, &unknown) || err.Error() != want {
				t.Errorf("%s: %v", target, err)
			}
		}
		const there = " There are 192.0.2.1:80, 192.0.2.2:80, edge-a, edge-b"
		f("egde-a", `no target "egde-a"; did you mean "edge-a"?`+there)
		f("192.0.2.1:88", `no target "192.0.2.1:88"; did you mean "192.0.2.1:80"?`+there)
		f("something else", `no target "something else".`+there)
		f("", `no target "".`+there)
		for i := range 1001 {
			_, err := r.board.Order("edge-a", healthcheck.Drain, time.Duration(i+1)*time.Second)
			if err != nil {
				t.Fatal("an order takes the place of the one before:", err)
			}
		}
	})
}

func TestOrdersAreLoggedAndCounted(t *testing.T) {
	var out bytes.Buffer
	reg := prometheus.NewPedanticRegistry()
	inBubble(t, func(r *rig) {
		r.apply(checks(tcp("a", one)))
		r.pass(time.Minute)
		r.order("a", healthcheck.ForceDown, time.Minute)
		r.pass(time.Second)
		if err := testutil.GatherAndCompare(reg, strings.NewReader(`
			# HELP meridian_health_ordered 1 for each operator's word in force, by what it is about and what it says.
			# TYPE meridian_health_ordered gauge
			meridian_health_ordered{state="down",target="a"} 1
			# HELP meridian_health_up Whether a check counts an endpoint as up (1) or down (0); unknown counts as up, or as down when inverted.
			# TYPE meridian_health_up gauge
			meridian_health_up{check="a",endpoint="192.0.2.1:80"} 0
		`), "meridian_health_up", "meridian_health_ordered"); err != nil {
			t.Error(err)
		}
		if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}
		r.pass(time.Hour)
	}, func(o *healthcheck.Options) { o.Registerer = reg; o.Log = slog.New(slog.NewTextHandler(&out, nil)) })
	for _, want := range []string{
		`msg="health down" check=a from=up reason="forced down by the operator until 2000-01-01T00:02:00Z (connected in 0s)"`,
		`msg="order expired" target=a`, `msg="health up" check=a from=down reason="connected in 0s"`,
	} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("not once in the log: %s\n%s", want, out.String())
		}
	}
}

func TestForceNames(t *testing.T) {
	var names []string
	for _, f := range []healthcheck.Force{healthcheck.NoForce, healthcheck.ForceUp, healthcheck.ForceDown, healthcheck.Drain} {
		names = append(names, f.String())
		if again, err := healthcheck.ParseForce(f.String()); err != nil || again != f {
			t.Errorf("%s is read as %s, %v", f, again, err)
		}
	}
	if !slices.Equal(names, []string{"clear", "up", "down", "drain"}) {
		t.Error(names)
	}
	if _, err := healthcheck.ParseForce("sideways"); err == nil {
		t.Error("sideways is a force")
	}
}
