package healthcheck_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
	"github.com/meridian-edge/meridian/steer"
)

func TestPlanResolvesPools(t *testing.T) {
	web := config.Check{Name: "web", Type: "http", Path: "/healthz"}
	cfg := checks(web, tcp("fixed", "192.0.2.9:9"), config.Check{Name: "any", Type: "calculated", Of: []string{"fixed"}, AtLeast: 1})
	ends := []config.Endpoint{
		{Address: netip.MustParseAddrPort(one)},
		{Host: "Origin.example.org", Port: 8080},
		{Address: netip.MustParseAddrPort("[::ffff:192.0.2.1]:80")}, // the first again
	}
	cfg.Pools = []config.Pool{
		{Name: "own", Check: "web", Endpoints: ends},
		{Name: "target", Check: "fixed", Endpoints: ends},
		{Name: "calculated", Check: "any", Endpoints: ends},
		{Name: "none", Endpoints: ends},
	}
	board := healthcheck.NewBoard()
	p := healthcheck.NewPlan(cfg, board)
	slot := func(endpoint, check string) steer.Slot {
		return board.Slot(healthcheck.Key{Endpoint: endpoint, Check: check})
	}
	f := func(pool string, want ...steer.Slot) {
		t.Helper()
		for i, w := range want {
			if got := p.Endpoint(pool, i); got != w {
				t.Errorf("%s[%d] has slot %d, want %d", pool, i, got, w)
			}
		}
	}
	fixed := slot("192.0.2.9:9", "tcp")
	for _, pool := range []string{"own", "target", "calculated", "none"} { // an endpoint has a slot of its own in each pool
		first, named := slot(one, "member of pool "+pool), slot("origin.example.org:8080", "member of pool "+pool)
		f(pool, first, named, first, steer.Always)
	}
	f("no such pool", steer.Always)
	if p.Endpoint("own", -1) != steer.Always {
		t.Error("a negative index has a slot")
	}
	if p.Check("fixed") != fixed || p.Check("any") < 0 {
		t.Error("a check with a target has no slot of its own")
	}
	for _, name := range []string{"", "no such check", "web"} {
		if got := p.Check(name); got != steer.Always {
			t.Errorf("check %q has slot %d, want steer.Always", name, got)
		}
	}
}

func TestPlanResolvesAcceleratorGroups(t *testing.T) {
	cfg := checks(tcp("inline", one))
	cfg.Checks[0].Target = netip.AddrPort{}
	cfg.Accelerators = []config.Accelerator{{
		Name: "a",
		Listeners: []config.AcceleratorListener{
			{Protocol: "udp", Ports: []config.PortRange{{From: 53, To: 53}}},
			{Protocol: "tcp", Ports: []config.PortRange{{From: 7000, To: 7001}}},
		},
		Groups: []config.Group{{Check: "inline", Endpoints: []config.GroupEndpoint{
			{Address: netip.MustParseAddr("192.0.2.1"), Ports: map[uint16]uint16{7000: 9001}},
			{Address: netip.MustParseAddr("192.0.2.2")},
		}}, {Endpoints: []config.GroupEndpoint{{Address: netip.MustParseAddr("192.0.2.3")}}}},
	}}
	board := healthcheck.NewBoard()
	p := healthcheck.NewPlan(cfg, board)
	slot := func(endpoint string) steer.Slot {
		return board.Slot(healthcheck.Key{Endpoint: endpoint, Check: "member of accelerator a"})
	}
	f := func(name string, group, endpoint int, want steer.Slot) {
		t.Helper()
		if got := p.Group(name, group, endpoint); got != want {
			t.Errorf("%s group %d endpoint %d: slot %d, want %d", name, group, endpoint, got, want)
		}
	}
	f("a", 0, 0, slot("192.0.2.1:9001")) // where its flows go
	f("a", 0, 1, slot("192.0.2.2:7000"))
	f("a", 1, 0, slot("192.0.2.3:7000"))
	f("a", 0, 2, steer.Always)
	f("a", 2, 0, steer.Always)
	f("b", 0, 0, steer.Always)
}

func TestFingerprintIsWhatIsAsked(t *testing.T) {
	f := func(c config.Check, want string) {
		t.Helper()
		c.Name, c.Target = "c", netip.MustParseAddrPort(one)
		board := healthcheck.NewBoard()
		p := healthcheck.NewPlan(checks(c), board)
		if got := board.Slot(healthcheck.Key{Endpoint: one, Check: want}); got != p.Check("c") {
			t.Errorf("%+v has no fingerprint %q", c, want)
		}
	}
	f(config.Check{Type: "tcp", Interval: 5, Timeout: 1, Rise: 7, Fall: 9}, "tcp")
	f(config.Check{Type: "http"}, "http /")
	f(config.Check{Type: "http", Path: "a b", Host: "x.example.org"}, "http /a%20b host=x.example.org")
	f(config.Check{Type: "http", Expect: []config.StatusRange{{From: 200, To: 399}}}, "http /")
	f(config.Check{Type: "https", Verify: true, Expect: []config.StatusRange{{From: 200, To: 204}, {From: 304, To: 304}}},
		"https / expect=200-204,304 verify")
	f(config.Check{Type: "tcp", Inverted: true}, "!tcp")
	f(config.Check{Type: "http", Disabled: true}, "disabled")
	f(config.Check{Type: "http", Disabled: true, Inverted: true}, "!disabled")
}

func TestLongFingerprintsStayDifferent(t *testing.T) {
	long := strings.Repeat("/x", 100)
	a := config.Check{Name: "a", Type: "http", Path: long + "a", Target: netip.MustParseAddrPort(one)}
	b := a
	b.Name, b.Path = "b", long+"b"
	p := healthcheck.NewPlan(checks(a, b), healthcheck.NewBoard())
	if p.Check("a") == p.Check("b") {
		t.Error("different questions share a slot")
	}
}

func TestManualChecksAndKindsNobodyKnowsAreUnknownAndNotProbed(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(checks(
			config.Check{Name: "a", Type: "manual"}, config.Check{Name: "b", Type: "manual"},
			with(tcp("c", one), func(c *config.Check) { c.Type = "of another version" })))
		for _, name := range []string{"a", "b", "c"} {
			r.wantState(name, healthcheck.Unknown)
			r.wantUp(name, true)
		}
		if r.farm.count() != 0 {
			t.Error("one was probed")
		}
		if r.plan.Check("a") == r.plan.Check("b") {
			t.Error("two manual checks are one")
		}
		if err := r.checker.Settled(r.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestManualCheckOfAPoolIsOneForEachEndpoint(t *testing.T) {
	cfg := checks(config.Check{Name: "m", Type: "manual"}, config.Check{Name: "k", Type: "calculated", Of: []string{"m"}, AtLeast: 1})
	cfg.Pools = []config.Pool{{Name: "p", Check: "m", Endpoints: []config.Endpoint{
		{Address: netip.MustParseAddrPort(one)}, {Address: netip.MustParseAddrPort(two)},
	}}}
	board := healthcheck.NewBoard()
	p := healthcheck.NewPlan(cfg, board)
	asked := applied(board, p)
	for _, k := range []healthcheck.Key{{Endpoint: one, Check: "manual m"}, {Endpoint: two, Check: "manual m"}} {
		if !slices.Contains(asked, k) {
			t.Errorf("there is no verdict of %v: %v", k, asked)
		}
	}
	if p.Check("m") != board.Slot(healthcheck.Key{Check: "manual m"}) {
		t.Error("the check has no slot of its own for answers")
	}
}

func TestPortTakesThePlaceOfTheEndpoints(t *testing.T) {
	c := config.Check{Name: "a", Type: "agent", Port: 9777}
	cfg := checks(c)
	cfg.Pools = []config.Pool{{Name: "p", Check: "a", Endpoints: []config.Endpoint{
		{Address: netip.MustParseAddrPort("[2001:db8::1]:80")}, {Host: "origin.example.org", Port: 80},
	}}}
	board := healthcheck.NewBoard()
	asked := applied(board, healthcheck.NewPlan(cfg, board))
	for _, want := range []string{"[2001:db8::1]:9777", "origin.example.org:9777"} {
		if !slices.Contains(asked, healthcheck.Key{Endpoint: want, Check: "agent"}) {
			t.Errorf("nothing is probed at %s: %v", want, asked)
		}
	}
}

func TestProbesOverUDPTakeTheUDPListenersPort(t *testing.T) {
	cfg := checks(config.Check{Name: "u", Type: "udp", Send: "x"})
	cfg.Accelerators = []config.Accelerator{{
		Name: "a",
		Listeners: []config.AcceleratorListener{
			{Protocol: "tcp", Ports: []config.PortRange{{From: 7000, To: 7000}}},
			{Protocol: "udp", Ports: []config.PortRange{{From: 53, To: 53}}},
		},
		Groups: []config.Group{{Check: "u", Endpoints: []config.GroupEndpoint{{Address: netip.MustParseAddr("192.0.2.1")}}}},
	}}
	board := healthcheck.NewBoard()
	asked := applied(board, healthcheck.NewPlan(cfg, board))
	if !slices.ContainsFunc(asked, func(k healthcheck.Key) bool { return k.Endpoint == "192.0.2.1:53" && strings.HasPrefix(k.Check, "udp") }) {
		t.Errorf("it is not probed at port 53: %v", asked)
	}
}

// applied puts a plan in force, without a probe, and returns the keys of its verdicts.
func applied(board *healthcheck.Board, p *healthcheck.Plan) []healthcheck.Key {
	healthcheck.NewChecker(healthcheck.Options{Board: board}).Apply(p)
	var keys []healthcheck.Key
	for _, v := range board.Verdicts() {
		keys = append(keys, v.Key)
	}
	return keys
}
