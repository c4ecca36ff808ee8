package steer_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

func accelerator(t testing.TB, a steer.Affinity, groups ...steer.EndpointGroup) *steer.Accelerator {
	t.Helper()
	acc, err := steer.CompileAccelerator("game", a, groups)
	if err != nil {
		t.Fatal(err)
	}
	return acc
}

// group makes a group of endpoints of equal weight in slots first, first+1, ...
func group(id string, at geo.Point, dial float64, first steer.Slot, weights ...uint8) steer.EndpointGroup {
	g := steer.EndpointGroup{ID: id, Point: at, Dial: dial}
	for i, w := range weights {
		g.Endpoints = append(g.Endpoints, steer.GroupEndpoint{ID: fmt.Sprintf("%s-%d", id, i), Slot: first + steer.Slot(i), Weight: w})
	}
	return g
}

// flow is the n-th of a population of flows from one place.
func flow(n int, from geo.Point) *steer.Flow {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	v := r.Uint32()
	return &steer.Flow{
		Protocol: 6, From: from,
		Source:      netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), uint16(r.Uint32())),
		Destination: netip.MustParseAddrPort("192.0.2.1:443"),
	}
}

// near reports whether a count is within five standard deviations of a share of n.
func near(count, n int, share float64) bool {
	diff := float64(count)/float64(n) - share
	return diff*diff <= 25*share*(1-share)/float64(n)+1e-12
}

var (
	virginia   = geo.At(38.9, -77.4)
	oregon     = geo.At(45.8, -119.7)
	newYork    = geo.At(40.7, -74.0)
	sanFrancis = geo.At(37.8, -122.4)
)

// The example of https://docs.aws.amazon.com/global-accelerator/latest/dg/about-endpoint-groups-traffic-dial.html: two groups,
// both dials at 50. Of the clients of each coast half stay and half go to the other coast, where no second dial is applied.
func TestBothDialsAtHalfGiveHalfToEach(t *testing.T) {
	const n = 20_000
	acc := accelerator(t, steer.AffinityNone, group("east", virginia, 50, 0, 128, 128), group("west", oregon, 50, 10, 128))
	for _, c := range []struct {
		from  geo.Point
		local int
	}{{newYork, 0}, {sanFrancis, 1}} {
		count := [2]int{}
		for i := range n {
			count[acc.Pick(flow(i, c.from), board{}).Group]++
		}
		if !near(count[c.local], n, 0.5) || count[0]+count[1] != n {
			t.Errorf("from %v: %v of %d flows, want half to each group", c.from, count, n)
		}
	}
}

func TestFullDialsSendEveryoneToTheNearest(t *testing.T) {
	acc := accelerator(t, steer.AffinityNone, group("east", virginia, 100, 0, 1), group("west", oregon, 100, 1, 1))
	for i := range 1000 {
		if acc.Pick(flow(i, newYork), board{}).Group != 0 || acc.Pick(flow(i, sanFrancis), board{}).Group != 1 {
			t.Fatalf("flow %d left the nearest group", i)
		}
	}
}

// Raising a dial only brings flows to the group, lowering it only takes some away: a canary's population is stable.
func TestDialIsMonotone(t *testing.T) {
	const n = 2000
	for changed := range 3 {
		before := make([]int, n)
		for step, dial := range []float64{0, 1, 10, 33.3, 50, 75, 99, 100} {
			groups := []steer.EndpointGroup{
				group("east", virginia, 60, 0, 10, 20), group("west", oregon, 30, 2, 10), group("eu", frankfurt, 80, 3, 5)}
			groups[changed].Dial = dial
			acc := accelerator(t, steer.AffinityNone, groups...)
			for i := range n {
				now := acc.Pick(flow(i, newYork), board{}).Group
				if step > 0 && now != before[i] && now != changed {
					t.Fatalf("group %d to %v %%: flow %d moved from %d to %d", changed, dial, i, before[i], now)
				}
				before[i] = now
			}
		}
	}
}

// Dial and weight are independent: the flows a small dial lets in share the group by weight.
func TestWeightsHoldInsideADial(t *testing.T) {
	const n = 60_000
	acc := accelerator(t, steer.AffinityNone, group("east", virginia, 20, 0, 1, 255, 0, 64), group("west", oregon, 100, 9, 1))
	count := [4]int{}
	stayed := 0
	for i := range n {
		if to := acc.Pick(flow(i, newYork), board{}); to.Group == 0 {
			count[to.Endpoint]++
			stayed++
		}
	}
	if !near(stayed, n, 0.2) {
		t.Errorf("%d of %d flows stayed, want a fifth", stayed, n)
	}
	for i, w := range []float64{1, 255, 0, 64} {
		if !near(count[i], stayed, w/320) {
			t.Errorf("endpoint %d of weight %v has %d of %d", i, w, count[i], stayed)
		}
	}
}

func directions(acc *steer.Accelerator, f *steer.Flow, h steer.Health) string {
	var out []string
	for to := range acc.Candidates(f, h) {
		mark := ""
		if to.LastResort {
			mark = "?"
		}
		out = append(out, fmt.Sprintf("%d.%d%s", to.Group, to.Endpoint, mark))
	}
	return strings.Join(out, " ")
}

func TestFailoverIgnoresDialsOverTheThreeClosest(t *testing.T) {
	groups := []steer.EndpointGroup{
		group("east", virginia, 100, 0, 128), group("west", oregon, 0, 1, 128),
		group("eu", frankfurt, 0, 2, 128), group("ap", tokyo, 0, 3, 128),
	}
	acc := accelerator(t, steer.AffinityNone, groups...)
	f := func(down board, want string) {
		t.Helper()
		if got := directions(acc, flow(1, newYork), down); got != want {
			t.Errorf("down %v: %q, want %q", down, got, want)
		}
	}
	f(board{}, "0.0 1.0 2.0")
	f(board{0: true}, "1.0 2.0 0.0?")           // a dial of 0 does not matter
	f(board{0: true, 1: true}, "2.0 0.0?")      // the third closest
	f(board{0: true, 1: true, 2: true}, "0.0?") // the fourth is not tried: fail open in the closest
}

func TestWeightZeroIsForTheLastResort(t *testing.T) {
	acc := accelerator(t, steer.AffinityNone, group("east", virginia, 100, 0, 0, 128), group("west", oregon, 100, 2, 128))
	f := func(down board, want string) {
		t.Helper()
		if got := directions(acc, flow(3, newYork), down); got != want {
			t.Errorf("down %v: %q, want %q", down, got, want)
		}
	}
	f(board{}, "0.1 1.0 0.0?")
	f(board{1: true}, "1.0 0.0? 0.1?") // the only healthy one has weight 0: another group, not fail open here
	drained := accelerator(t, steer.AffinityNone, group("east", virginia, 100, 0, 0, 0), group("west", oregon, 100, 2, 0))
	seen := [2]int{}
	for i := range 400 {
		to := drained.Pick(flow(i, newYork), board{0: true})
		if to.Group != 0 || !to.LastResort {
			t.Fatalf("no weight anywhere: got %v, want fail open in the closest group", to)
		}
		seen[to.Endpoint]++
	}
	if !near(seen[0], 400, 0.5) {
		t.Errorf("fail open is alike among all endpoints, got %v", seen)
	}
}

func TestAffinityKeepsASourceTogether(t *testing.T) {
	groups := []steer.EndpointGroup{group("east", virginia, 50, 0, 1, 1, 1, 1), group("west", oregon, 50, 8, 1, 1, 1)}
	source, none := accelerator(t, steer.AffinitySource, groups...), accelerator(t, steer.AffinityNone, groups...)
	places := map[steer.Direction]bool{}
	for i := range 50 {
		f := flow(i, newYork)
		want := source.Pick(f, board{})
		for port := range uint16(40) {
			g := *f
			g.Protocol, g.Source = 17, netip.AddrPortFrom(netip.AddrFrom16(f.Source.Addr().As16()), port)
			g.Destination = netip.AddrPortFrom(f.Destination.Addr(), 1000+port)
			if got := source.Pick(&g, board{}); got != want {
				t.Fatalf("flows of one source go to %v and %v", want, got)
			}
			places[none.Pick(&g, board{})] = true
		}
	}
	if len(places) != 7 {
		t.Errorf("without affinity ports spread over %d endpoints, want all 7", len(places))
	}
}

// An endpoint that is lost moves its own flows only, and takes them back when it returns.
func TestLostEndpointMovesOnlyItsFlows(t *testing.T) {
	acc := accelerator(t, steer.AffinityNone, group("east", virginia, 100, 0, 10, 20, 30, 40))
	for i := range 2000 {
		before, after := acc.Pick(flow(i, newYork), board{}), acc.Pick(flow(i, newYork), board{2: true})
		if before.Endpoint != 2 && before != after {
			t.Fatalf("flow %d moved from %v to %v", i, before, after)
		}
		if after.Endpoint == 2 {
			t.Fatalf("flow %d goes to a dead endpoint", i)
		}
	}
}

func TestExplainTellsTheDial(t *testing.T) {
	acc := accelerator(t, steer.AffinityNone, group("east", virginia, 0.001, 0, 128), group("west", oregon, 50, 1, 128), group("eu", frankfurt, 0, 2, 0))
	all, trace := acc.Explain(flow(1, newYork), board{})
	var lines []string
	for _, s := range trace {
		lines = append(lines, s.Group+" "+s.Member+" "+s.Result+": "+s.Detail)
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{"game/east  group: 353 km, dial 0.001 %: hash 0.", "is not below 0.000010, goes on", "dial 50 %",
		"game/eu  group: 6203 km, dial 0", "the last group with a dial takes what is left", "game/west west-0 chosen: weight 128, hash score", ", up"} {
		if !strings.Contains(text, want) {
			t.Errorf("the trace lacks %q:\n%s", want, text)
		}
	}
	if len(all) != 2 || all[0] != acc.Pick(flow(1, newYork), board{}) {
		t.Errorf("Explain says %v", all)
	}
}

func TestCompileAcceleratorRefuses(t *testing.T) {
	for want, groups := range map[string][]steer.EndpointGroup{
		"0 groups": nil, "two groups a": {group("a", virginia, 1, 0, 1), group("a", oregon, 1, 0, 1)},
		"0 endpoints": {group("a", virginia, 1, 0)}, "dial 101": {group("a", virginia, 101, 0, 1)},
	} {
		if _, err := steer.CompileAccelerator("x", steer.AffinityNone, groups); !errors.Is(err, steer.ErrGroup) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestAcceleratorOfConfig(t *testing.T) {
	file := `version: 1
regions: {east: {lat: 38.9, lon: -77.4}, west: {lat: 45.8, lon: -119.7}}
accelerators:
  game:
    affinity: source-ip
    listeners: [{protocol: tcp, address: 192.0.2.1, ports: ["443"]}]
    groups:
      - {region: west, endpoints: [{address: 198.51.100.1}]}
      - {region: east, dial: 0, endpoints: [{address: 198.51.100.2, weight: 0}, {address: 198.51.100.3}]}
`
	cfg, _, err := config.Parse("meridian.yaml", []byte(file), config.Env{Dir: "/"})
	if err != nil {
		t.Fatal(err)
	}
	regions := map[string]geo.Point{"east": virginia, "west": oregon}
	acc, err := steer.AcceleratorOf(&cfg.Accelerators[0], regions, func(g, e int) steer.Slot { return steer.Slot(g*10 + e) })
	if err != nil {
		t.Fatal(err)
	}
	if got := directions(acc, flow(1, newYork), board{}); got != "0.0 1.1 1.0?" {
		t.Errorf("directions are %q", got)
	}
	if got := directions(acc, flow(1, newYork), board{0: true}); got != "1.1 1.0?" {
		t.Errorf("with west down directions are %q", got)
	}
}

// directionModel is the slow, obvious reading of the rules: the groups a flow may go to first, and the endpoints.
func directionModel(groups []steer.EndpointGroup, from geo.Point, h board) (allowed map[steer.Direction]bool) {
	order := make([]int, len(groups))
	for i := range order {
		order[i] = i
	}
	km := func(i int) float64 {
		if !from.Known() || !groups[i].Point.Known() {
			return 1e6
		}
		return from.Kilometres(groups[i].Point)
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case km(a) < km(b):
			return -1
		case km(a) > km(b):
			return 1
		}
		return 0
	})
	usable := func(i int) (out []int) {
		for j, e := range groups[i].Endpoints {
			if e.Weight > 0 && (e.Slot == steer.Always || !h[e.Slot]) {
				out = append(out, j)
			}
		}
		return out
	}
	allowed = map[steer.Direction]bool{}
	allow := func(i int) {
		for _, j := range usable(i) {
			allowed[steer.Direction{Group: i, Endpoint: j}] = true
		}
	}
	var eligible []int
	for _, i := range order {
		if groups[i].Dial > 0 && len(usable(i)) > 0 {
			eligible = append(eligible, i)
		}
	}
	for _, i := range eligible {
		allow(i)
		if groups[i].Dial == 100 {
			break
		}
	}
	for _, i := range order[:min(3, len(order))] {
		if len(allowed) > 0 {
			return allowed
		}
		allow(i)
	}
	if len(allowed) == 0 {
		for j := range groups[order[0]].Endpoints {
			allowed[steer.Direction{Group: order[0], Endpoint: j, LastResort: true}] = true
		}
	}
	return allowed
}

// Random accelerators x flows x health states agree with the model: never no answer, never an unhealthy endpoint while a group
// that is tried has a healthy one; Explain decides alike, and no direction comes twice.
func TestAcceleratorAgreesWithModel(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 13))
	all := append([]geo.Point{newYork, sanFrancis, virginia, oregon}, points...)
	for state := 0; state < states(); {
		var groups []steer.EndpointGroup
		slot := steer.Slot(0)
		for i := range 1 + r.IntN(6) {
			g := steer.EndpointGroup{ID: fmt.Sprint(i), Point: all[r.IntN(len(all))], Dial: []float64{0, 0, 30, 99.5, 100}[r.IntN(5)]}
			for j := range 1 + r.IntN(4) {
				e := steer.GroupEndpoint{ID: fmt.Sprint(j), Slot: steer.Always, Weight: []uint8{0, 1, 128, 255}[r.IntN(4)]}
				if r.IntN(5) > 0 {
					e.Slot = slot
					slot++
				}
				g.Endpoints = append(g.Endpoints, e)
			}
			groups = append(groups, g)
		}
		acc := accelerator(t, steer.AffinityNone, groups...)
		for range 50 {
			state++
			down := board{}
			share := r.Float64()
			for s := range slot {
				if r.Float64() < share {
					down[s] = true
				}
			}
			f := flow(state, all[r.IntN(len(all))])
			want := directionModel(groups, f.From, down)
			first := acc.Pick(f, down)
			if !want[first] {
				t.Fatalf("state %d: %v, the model allows %v\n%+v down %v", state, first, want, groups, down)
			}
			seen := map[[2]int]bool{}
			for to := range acc.Candidates(f, down) {
				if len(seen) == 0 && to != first || seen[[2]int{to.Group, to.Endpoint}] {
					t.Fatalf("state %d: %v comes first or twice", state, to)
				}
				seen[[2]int{to.Group, to.Endpoint}] = true
			}
			if directions, _ := acc.Explain(f, down); directions[0] != first || len(directions) != len(seen) {
				t.Fatalf("state %d: Explain says %v, Pick %v", state, directions, first)
			}
		}
	}
}

func TestDirectingDoesNotAllocate(t *testing.T) {
	acc, f := benchAccelerator(t)
	if n := testing.AllocsPerRun(100, func() { acc.Pick(f, board(nil)) }); n != 0 {
		t.Errorf("a pick allocates %v times", n)
	}
}

func benchAccelerator(t testing.TB) (*steer.Accelerator, *steer.Flow) {
	return accelerator(t, steer.AffinityNone, group("east", virginia, 50, 0, 128, 128, 64, 0), group("west", oregon, 80, 10, 128, 128),
		group("eu", frankfurt, 100, 20, 128, 128, 128), group("ap", tokyo, 100, 30, 128)), flow(1, newYork)
}

func BenchmarkDirect(b *testing.B) {
	acc, f := benchAccelerator(b)
	b.ReportAllocs()
	for port := uint16(0); b.Loop(); port++ {
		f.Source = netip.AddrPortFrom(f.Source.Addr(), port)
		acc.Pick(f, board(nil))
	}
}
