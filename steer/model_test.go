package steer_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

// board is a health board for tests: the slots listed are down.
type board map[steer.Slot]bool

func (b board) Up(s steer.Slot) bool { return !b[s] }

// Since implements steer.Aged: slots came up 0, 30, 60, 90 seconds and so on before now.
func (b board) Since(s steer.Slot) time.Time { return now.Add(-time.Duration(s) * 30 * time.Second) }

var now = time.Unix(1_700_000_000, 0)

// advised is a board that knows more of some slots.
type advised struct {
	board
	advice map[steer.Slot]steer.Advice
}

func (a advised) Advised() bool { return len(a.advice) > 0 }

func (a advised) Advice(s steer.Slot) steer.Advice { return a.advice[s] }

// advice is what a board knows of a member.
func advice(m *steer.Member, b steer.Health) steer.Advice {
	if a, ok := b.(advised); ok && m.Slot != steer.Always {
		return a.advice[m.Slot]
	}
	return steer.Advice{}
}

// scale is how many times its weight a member asks for, up to a weight of 256.
func scale(m *steer.Member, b steer.Health) float64 {
	percent := advice(m, b).Weight
	if percent == 0 {
		return 1
	}
	return min(float64(percent)/100, max(1, 256/max(1, float64(m.Weight))))
}

// ordered reports whether an operator has taken out a member, or all there is below it.
func ordered(m *steer.Member, b steer.Health) bool {
	if advice(m, b).Ordered {
		return true
	}
	if m.Alias == nil || !m.EvaluateTargetHealth || healthy(m, b) {
		return false
	}
	return !slices.ContainsFunc(m.Alias.Members, func(t steer.Member) bool { return !ordered(&t, b) })
}

// load is what leaves are busy with, in tests: something different for each number.
type load int

func (l load) Outstanding(leaf int) int { return (leaf*int(l) + leaf/2) % 4 }

func (l load) Latency(leaf int) time.Duration {
	return time.Duration((leaf+1)*int(l)%5) * time.Millisecond
}

// model is the slow, obvious reading of Route 53's rules: the probability of each leaf to be the first candidate.
func model(g *steer.Group, c *steer.Client, b steer.Health) map[int]float64 {
	var fit, up, rest []*steer.Member // that apply, and of them the healthy, and what else nobody has taken out
	for i := range g.Members {
		m := &g.Members[i]
		if rank(g.Policy, m, c) == 0 {
			continue
		}
		fit = append(fit, m)
		if healthy(m, b) {
			up = append(up, m)
		} else if !ordered(m, b) {
			rest = append(rest, m)
		}
	}
	if len(up) == 0 && len(rest) == 0 {
		up = fit // the operator has taken out all of it
	} else if len(up) == 0 || len(up) < g.MinHealthy || 100*len(up) < g.Panic*len(fit) {
		up = append(up, rest...) // the mode of last resort, or panic
		slices.SortFunc(up, func(x, y *steer.Member) int { return slices.Index(fit, x) - slices.Index(fit, y) })
	}
	out := map[int]float64{}
	for m, p := range share(g, up, c, b) {
		if m.Alias == nil {
			out[m.Leaf] += p
			continue
		}
		for leaf, q := range model(m.Alias, c, b) {
			out[leaf] += p * q
		}
	}
	return out
}

func healthy(m *steer.Member, b steer.Health) bool {
	if m.Slot != steer.Always && !b.Up(m.Slot) {
		return false
	}
	if m.Alias == nil || !m.EvaluateTargetHealth {
		return true
	}
	return slices.ContainsFunc(m.Alias.Members, func(t steer.Member) bool { return healthy(&t, b) })
}

// rank is how well a member fits the client: 0 not at all.
func rank(p steer.Policy, m *steer.Member, c *steer.Client) float64 {
	switch p {
	case steer.Geolocation:
		switch {
		case m.Default:
			return 1
		case m.Subdivision != "" && m.Country == c.Place.Country && m.Subdivision == c.Place.Subdivision:
			return 4
		case m.Subdivision == "" && m.Country != "" && m.Country == c.Place.Country:
			return 3
		case m.Country == "" && m.Continent != "" && m.Continent == c.Place.Continent:
			return 2
		}
		return 0
	case steer.CIDR:
		best := 0.0
		if m.Default {
			best = 1
		}
		for _, block := range m.CIDRs {
			known := c.Bits
			if known == 0 {
				known = c.Addr.BitLen()
			}
			if block.Contains(c.Addr) && block.Bits() <= known {
				best = max(best, float64(1+block.Bits()))
			}
		}
		return best
	case steer.Latency, steer.Geoproximity:
		km := 1e6
		if c.From.Known() && m.Point.Known() {
			km = c.From.Kilometres(m.Point)
		}
		if p == steer.Geoproximity {
			km *= 1 - float64(m.Bias)/100
		}
		return 1e9 - km
	}
	return 1
}

// share divides probability 1 among members by policy.
func share(g *steer.Group, members []*steer.Member, c *steer.Client, b steer.Health) map[*steer.Member]float64 {
	out := map[*steer.Member]float64{}
	if len(members) == 0 {
		return out
	}
	switch p := g.Policy; p {
	case steer.RoundRobin, steer.LeastOutstanding, steer.Hash, steer.LeastLatency:
		balance(g, members, c, b, out)
	case steer.Simple, steer.Multivalue, steer.Weighted:
		sum := 0.0
		lots := func(m *steer.Member) float64 {
			if p == steer.Weighted {
				return float64(m.Weight) * ramp(g, m, c) * scale(m, b)
			}
			return ramp(g, m, c) * scale(m, b)
		}
		for _, m := range members {
			sum += lots(m)
		}
		for _, m := range members {
			if sum == 0 {
				out[m] = 1 / float64(len(members))
			} else if lots(m) > 0 {
				out[m] = lots(m) / sum
			}
		}
	default:
		best := members[0]
		for _, m := range members {
			if rank(p, m, c) > rank(p, best, c) {
				best = m
			}
		}
		out[best] = 1
	}
	return out
}

// ramp is the part of its weight that a member has in slow start.
func ramp(g *steer.Group, m *steer.Member, c *steer.Client) float64 {
	if g.SlowStart == 0 || m.Slot == steer.Always {
		return 1
	}
	return min(1, max(0.01, c.Now.Sub(board{}.Since(m.Slot)).Seconds()/g.SlowStart.Seconds()))
}

// balance divides probability 1 among members by the balancers.
func balance(g *steer.Group, members []*steer.Member, c *steer.Client, b steer.Health, out map[*steer.Member]float64) {
	weight := func(m *steer.Member) float64 { return float64(m.Weight) * ramp(g, m, c) * scale(m, b) }
	heavy := slices.DeleteFunc(slices.Clone(members), func(m *steer.Member) bool { return m.Weight == 0 })
	if len(heavy) == 0 {
		heavy = members
		weight = func(m *steer.Member) float64 { return ramp(g, m, c) * scale(m, b) }
	}
	sum := 0.0
	for _, m := range heavy {
		sum += weight(m)
	}
	switch g.Policy {
	case steer.Hash: // over all hashes
		for _, m := range heavy {
			out[m] = weight(m) / sum
		}
	case steer.RoundRobin:
		if !slices.ContainsFunc(heavy, func(m *steer.Member) bool { return weight(m) != weight(heavy[0]) }) {
			out[heavy[c.Turn%uint64(len(heavy))]] = 1
			return
		}
		at := float64(c.Turn*0x9e3779b97f4a7c15) / (1 << 64) * sum // turns walk round the circle by the golden ratio
		for _, m := range heavy {
			if at -= weight(m); at < 0 {
				out[m] = 1
				return
			}
		}
	case steer.LeastOutstanding:
		var least []*steer.Member
		for _, m := range heavy {
			switch {
			case least == nil || busy(m, c)/weight(m) < busy(least[0], c)/weight(least[0]):
				least = []*steer.Member{m}
			case busy(m, c)/weight(m) == busy(least[0], c)/weight(least[0]):
				least = append(least, m)
			}
		}
		for _, m := range least {
			out[m] = 1 / float64(len(least))
		}
	case steer.LeastLatency:
		betterOfTwo(heavy, out, func(m *steer.Member) float64 {
			took := time.Duration(0)
			if m.Alias == nil {
				took = c.Load.Latency(m.Leaf)
			}
			if took == 0 && busy(m, c) > 1 {
				took = time.Second
			}
			return float64(took) * busy(m, c) / weight(m)
		})
	}
}

// betterOfTwo goes through all pairs.
func betterOfTwo(members []*steer.Member, out map[*steer.Member]float64, wait func(*steer.Member) float64) {
	if len(members) == 1 {
		out[members[0]] = 1
	}
	for i, a := range members {
		for j, b := range members {
			switch {
			case i == j:
			case wait(b) < wait(a):
				out[b] += 1 / float64(len(members)*(len(members)-1))
			default:
				out[a] += 1 / float64(len(members)*(len(members)-1))
			}
		}
	}
}

// busy is the requests of a member, with one more.
func busy(m *steer.Member, c *steer.Client) float64 {
	if m.Alias != nil {
		return 1
	}
	return float64(1 + c.Load.Outstanding(m.Leaf))
}

// reachable counts the leaves that apply to the client.
func reachable(g *steer.Group, c *steer.Client) int {
	n := 0
	for i := range g.Members {
		m := &g.Members[i]
		switch {
		case rank(g.Policy, m, c) == 0:
		case m.Alias != nil:
			n += reachable(m.Alias, c)
		default:
			n++
		}
	}
	return n
}

func sum(shares map[int]float64) float64 {
	total := 0.0
	for _, p := range shares {
		total += p
	}
	return total
}

var (
	places = []geo.Place{
		{Country: "GB", Continent: "EU", Point: geo.At(54, -2), Bits: 20},
		{Country: "US", Continent: "NA", Subdivision: "CA", Point: geo.At(37, -120), Bits: 16},
		{Country: "US", Continent: "NA", Subdivision: "NY", Point: geo.At(43, -75), Bits: 16},
		{Country: "JP", Continent: "AS", Point: geo.At(36, 138), Bits: 12},
		{Bits: 8},
	}
	points = []geo.Point{geo.At(50.11, 8.68), geo.At(39.04, -77.49), geo.At(35.68, 139.69), {}}
	blocks = []netip.Prefix{
		netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("198.51.0.0/16"),
		netip.MustParsePrefix("198.51.100.0/22"), netip.MustParsePrefix("192.0.2.0/24"),
	}
)

// trees draws random groups: every policy, aliases with and without target health, shared slots.
type trees struct {
	leaf, slot, groups int
	balance            bool // with slow start and thresholds
}

func (g *trees) draw(t *rapid.T, depth int) *steer.Group {
	g.groups++
	group := &steer.Group{Name: fmt.Sprint("g", g.groups), Policy: steer.Policy(rapid.IntRange(0, int(steer.LeastLatency)).Draw(t, "policy"))}
	if g.balance && rapid.Bool().Draw(t, "thresholds") {
		group.Panic = rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "panic")
		group.MinHealthy = rapid.IntRange(0, 3).Draw(t, "min healthy")
	}
	if g.balance && rapid.Bool().Draw(t, "slow") {
		group.SlowStart = 100 * time.Second
	}
	for range rapid.IntRange(1, 5).Draw(t, "members") {
		m := steer.Member{
			Slot: steer.Always, Weight: uint8(rapid.SampledFrom([]int{0, 1, 3, 255}).Draw(t, "weight")),
			Point: rapid.SampledFrom(points).Draw(t, "point"), Bias: rapid.IntRange(-99, 99).Draw(t, "bias"),
		}
		if rapid.Bool().Draw(t, "checked") {
			m.Slot = steer.Slot(g.slot)
			g.slot++
		}
		switch rapid.IntRange(0, 3).Draw(t, "where") {
		case 0:
			m.Default = true
		case 1:
			m.Continent = rapid.SampledFrom([]string{"EU", "NA", "AS"}).Draw(t, "continent")
		case 2:
			m.Country = rapid.SampledFrom([]string{"GB", "US", "JP"}).Draw(t, "country")
			m.CIDRs = blocks[rapid.IntRange(0, 3).Draw(t, "block"):][:1]
		case 3:
			m.Country, m.Subdivision = "US", rapid.SampledFrom([]string{"CA", "NY"}).Draw(t, "state")
			m.CIDRs = blocks[:2]
		}
		if depth < 3 && rapid.IntRange(0, 3).Draw(t, "alias") == 0 {
			m.Alias = g.draw(t, depth+1)
			m.EvaluateTargetHealth = rapid.Bool().Draw(t, "eth")
		} else {
			m.Leaf = g.leaf
			g.leaf++
		}
		group.Members = append(group.Members, m)
	}
	return group
}

func drawClient(t *rapid.T) steer.Client {
	place := rapid.SampledFrom(places).Draw(t, "place")
	return steer.Client{
		Addr: netip.AddrFrom4([4]byte{198, 51, byte(rapid.IntRange(96, 104).Draw(t, "third")), 7}),
		Bits: rapid.SampledFrom([]int{0, 16, 24}).Draw(t, "bits"), Place: place, From: place.Point,
		Random: rapid.Uint64().Draw(t, "random"), Hash: rapid.Uint64().Draw(t, "hash"), Turn: rapid.Uint64().Draw(t, "turn"),
		Now: now, Load: load(rapid.IntRange(0, 7).Draw(t, "load")),
	}
}

// Candidates agrees with the model on the first pick, yields every leaf at most once, and healthy ones before last resorts.
func TestCandidatesAgreeWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := trees{balance: true}
		group := g.draw(t, 1)
		down := board{}
		for s := range g.slot {
			if rapid.Bool().Draw(t, "down") {
				down[steer.Slot(s)] = true
			}
		}
		tree, err := steer.Compile(group)
		if err != nil {
			t.Fatal(err)
		}
		client := drawClient(t)
		want := model(group, &client, down)

		seen := map[int]bool{}
		first := true
		for pick := range tree.Candidates(&client, down) {
			if first && sum(want) > 0.999 && want[pick.Leaf] == 0 {
				t.Fatalf("first pick is leaf %d, the model allows %v", pick.Leaf, want)
			}
			if seen[pick.Leaf] {
				t.Fatalf("leaf %d twice", pick.Leaf)
			}
			seen[pick.Leaf], first = true, false
		}
		if all := reachable(group, &client); len(seen) != all {
			t.Fatalf("%d candidates, want all %d that apply", len(seen), all)
		}
		low := advised{board: down, advice: map[steer.Slot]steer.Advice{}}
		for s := range g.slot {
			low.advice[steer.Slot(s)] = steer.Advice{Weight: rapid.SampledFrom([]int{0, 1, 75, 100, 2000}).Draw(t, "asks for"), Ordered: down[steer.Slot(s)] && rapid.Bool().Draw(t, "ordered")}
		}
		checkState(t, drawn{group: group}, tree, client, low)
		picks, trace := tree.Explain(&client, down)
		pick, ok := tree.Pick(&client, down)
		if ok && (len(picks) == 0 || picks[0] != pick) {
			t.Fatalf("Explain says %v, Pick says %v\n%v", picks, pick, trace)
		}
	})
}

// Weights come out as they are given: each leaf's share is within five standard deviations of its probability.
func TestSharesAreBinomial(t *testing.T) {
	const draws = 20_000
	rapid.Check(t, func(t *rapid.T) {
		g := trees{balance: true}
		group := g.draw(t, 2)
		tree, err := steer.Compile(group)
		if err != nil {
			t.Fatal(err)
		}
		client := drawClient(t)
		draw := rand.New(rand.NewPCG(client.Random, 0))
		low := advised{advice: map[steer.Slot]steer.Advice{}}
		for s := range g.slot {
			low.advice[steer.Slot(s)] = steer.Advice{Weight: rapid.SampledFrom([]int{0, 0, 10, 75, 100, 250}).Draw(t, "asks for")}
		}
		want := model(group, &client, low)
		if sum(want) < 0.999 {
			t.Skip("a branch in which nothing applies is passed over: the model has no share for that")
		}
		got := map[int]float64{}
		for range draws {
			client.Random, client.Hash = draw.Uint64(), draw.Uint64()
			if pick, ok := tree.Pick(&client, low); ok {
				got[pick.Leaf]++
			}
		}
		for leaf := range maps.Keys(want) {
			p := want[leaf]
			if diff := got[leaf]/draws - p; diff*diff > 25*p*(1-p)/draws+1e-9 {
				t.Fatalf("leaf %d has %.4f of the draws, want %.4f", leaf, got[leaf]/draws, p)
			}
		}
	})
}

// Random trees x clients x health states: the first pick is one the model allows, Explain and Candidates begin with it, and
// where every alias evaluates its target's health and no threshold ignores it, an unhealthy leaf never comes before a healthy
// one. See states for how many.
func TestStatesAgreeWithModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	trees := rapid.Custom(func(t *rapid.T) drawn {
		g := trees{balance: rapid.Bool().Draw(t, "balance")}
		group := g.draw(t, 1)
		return drawn{group: group, slots: g.slot, strict: strict(group)}
	})
	clients := rapid.Custom(drawClient)
	for state, seed := 0, 0; state < states(); seed++ {
		d := trees.Example(seed)
		tree := compile(t, d.group)
		for k := range 10 {
			client := clients.Example(seed*10 + k)
			for range 10 {
				state++
				client.Random, client.Hash, client.Turn = r.Uint64(), r.Uint64(), r.Uint64()
				down := drawBoard(r, d.slots)
				checkState(t, d, tree, client, down)
				checkState(t, d, tree, client, drawAdvice(r, down))
			}
		}
	}
}

type drawn struct {
	group  *steer.Group
	slots  int
	strict bool // no member is healthy while nothing below it is, and health is never ignored before that
}

func strict(g *steer.Group) bool {
	ok := g.Panic == 0 && g.MinHealthy <= 1 && g.Policy != steer.Geolocation && g.Policy != steer.CIDR
	for i := range g.Members {
		m := &g.Members[i]
		ok = ok && (m.Alias == nil || m.EvaluateTargetHealth && m.Slot == steer.Always && strict(m.Alias))
	}
	return ok
}

func drawBoard(r *rand.Rand, slots int) board {
	down, share := board{}, r.Float64()
	for s := range slots {
		if r.Float64() < share {
			down[steer.Slot(s)] = true
		}
	}
	return down
}

// drawAdvice makes an operator take out some of what is down, and some of the rest ask for another weight.
func drawAdvice(r *rand.Rand, down board) advised {
	a := advised{board: down, advice: map[steer.Slot]steer.Advice{}}
	for s := range 16 {
		slot := steer.Slot(s)
		switch {
		case down[slot] && r.IntN(2) == 0:
			a.advice[slot] = steer.Advice{Ordered: true}
		case r.IntN(3) == 0:
			a.advice[slot] = steer.Advice{Weight: []int{1, 50, 75, 100, 300, steer.MaxAdvised}[r.IntN(6)]}
		}
	}
	return a
}

func checkState(t interface {
	Helper()
	Fatalf(string, ...any)
}, d drawn, tree *steer.Tree, client steer.Client, down steer.Health) {
	t.Helper()
	want := model(d.group, &client, down)
	pick, ok := tree.Pick(&client, down)
	if whole := sum(want) > 0.999; whole && (!ok || want[pick.Leaf] == 0) || ok != (len(want) > 0) && whole {
		t.Fatalf("pick is %+v (%v), the model allows %v", pick, ok, want)
	}
	for first := range tree.Candidates(&client, down) {
		if first != pick {
			t.Fatalf("Candidates begin with %+v, Pick is %+v", first, pick)
		}
		break
	}
	if d.strict && ok && pick.LastResort && tree.Healthy(down) {
		t.Fatalf("pick %+v is unhealthy although something healthy was in reach", pick)
	}
}
