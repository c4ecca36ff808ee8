package healthcheck_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
)

// provePool is a configuration with one pool of 127.0.0.1 at ports; those of discovered were found by a source.
func provePool(discovered bool, inverted bool, ports ...uint16) *config.Config {
	pool := config.Pool{Name: "p", Check: "c"}
	for _, port := range ports {
		at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)
		pool.Endpoints = append(pool.Endpoints, config.Endpoint{Address: at, ID: at.String(), Discovered: discovered})
	}
	return &config.Config{Checks: []config.Check{{Name: "c", Type: "tcp", Inverted: inverted}}, Pools: []config.Pool{pool}}
}

// A discovered endpoint gets no traffic before its check has passed; one that the operator wrote down does.
func TestDiscoveredEndpointsMustProveThemselves(t *testing.T) {
	board := healthcheck.NewBoard()
	plan := healthcheck.NewPlan(provePool(true, false, 81), board)
	slot := plan.Endpoint("p", 0)
	if board.Reach().Up(slot) || board.Alive().Up(slot) {
		t.Error("an endpoint nobody has probed is up")
	}
	checker := healthcheck.NewChecker(healthcheck.Options{Board: board})
	checker.Apply(plan)
	if v := board.Verdicts()[0]; v.Up() || !v.Proving || v.State != healthcheck.Unknown {
		t.Errorf("verdict %+v", v)
	}
	written := healthcheck.NewPlan(provePool(false, false, 82), board)
	if !board.Reach().Up(written.Endpoint("p", 0)) {
		t.Error("an endpoint of the configuration must not wait")
	}
}

// What counted as up stays up when it is found by a source as well.
func TestKnownEndpointsNeedNoNewProof(t *testing.T) {
	board := healthcheck.NewBoard()
	checker := healthcheck.NewChecker(healthcheck.Options{Board: board})
	checker.Apply(healthcheck.NewPlan(provePool(false, false, 81), board))
	plan := healthcheck.NewPlan(provePool(true, false, 81), board)
	if !board.Reach().Up(plan.Endpoint("p", 0)) {
		t.Error("an endpoint in use went down because a source names it too")
	}
	both := provePool(true, false, 83)
	both.Pools = append(both.Pools, provePool(false, false, 83).Pools[0])
	both.Pools[1].Name = "q"
	if !board.Reach().Up(healthcheck.NewPlan(both, board).Endpoint("q", 0)) {
		t.Error("an endpoint of the configuration waits because another pool found it")
	}
}

// An inverted check is down without data, whichever way one looks at it.
func TestProvingAnInvertedCheckKeepsItDown(t *testing.T) {
	board := healthcheck.NewBoard()
	inverted := healthcheck.NewPlan(provePool(true, true, 81), board)
	plain := healthcheck.NewPlan(provePool(true, false, 81), board)
	if board.Reach().Up(inverted.Endpoint("p", 0)) || board.Reach().Up(plain.Endpoint("p", 0)) {
		t.Error("an endpoint nobody has probed is up")
	}
}

// A Global Accelerator's endpoint must pass its check before it gets flows (facts §2.1); a pool that shares the check is not touched.
func TestAcceleratorEndpointsAreNotInServiceBeforeTheyPass(t *testing.T) {
	inBubble(t, func(r *rig) {
		cfg := checks(tcp("c", one), config.Check{Name: "m", Type: "manual"})
		cfg.Checks[0].Target = netip.AddrPort{}
		group := func(check, address string) config.Group {
			return config.Group{Check: check, Endpoints: []config.GroupEndpoint{{Address: netip.MustParseAddr(address)}}}
		}
		cfg.Accelerators = []config.Accelerator{{
			Name:      "a",
			Listeners: []config.AcceleratorListener{{Protocol: "tcp", Ports: []config.PortRange{{From: 80, To: 80}}}},
			Groups:    []config.Group{group("c", "192.0.2.1"), group("c", "192.0.2.2"), group("", "192.0.2.3"), group("m", "192.0.2.4")},
		}}
		cfg.Pools = []config.Pool{{Name: "p", Check: "c", Endpoints: []config.Endpoint{{Address: netip.MustParseAddrPort(one)}}}}
		r.farm.hold(one, true)
		r.farm.set(two, true)
		r.plan = healthcheck.NewPlan(cfg, r.board)
		want := func(when string, up ...bool) {
			r.Helper()
			for i, w := range up {
				slot := r.plan.Group("a", i, 0)
				if reach, alive := r.board.Reach().Up(slot), r.board.Alive().Up(slot); reach != w || alive != w {
					r.Errorf("%s: group %d up = %t and %t, want %t", when, i, reach, alive, w)
				}
			}
		}
		want("before the first probe", false, false, true, true)
		r.checker.Apply(r.plan)
		r.pass(time.Second)
		want("while it hangs", false, false, true, true)
		if !r.board.Reach().Up(r.plan.Endpoint("p", 0)) {
			r.Error("the pool's endpoint waits too")
		}
		for _, m := range r.board.Members() {
			if m.Scope == "a" && m.Endpoint == one && m.Reason != "no result yet; not in service before its check has passed" {
				r.Errorf("reason %q", m.Reason)
			}
		}
		r.farm.hold(one, false)
		r.pass(20 * time.Second)
		want("after a success", true, false, true, true)
	})
}
