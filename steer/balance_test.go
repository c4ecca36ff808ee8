package steer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/steer"
)

// poolOf makes a pool in which endpoint i has slot i, leaf i and the i-th weight.
func poolOf(p steer.Policy, weights ...uint8) *steer.Group {
	g := &steer.Group{Name: "pool web", Policy: p}
	for i, w := range weights {
		g.Members = append(g.Members, steer.Member{ID: string(rune('a' + i)), Slot: steer.Slot(i), Leaf: i, Weight: w})
	}
	return g
}

// busyness is a Load for tests.
type busyness struct {
	out  []int
	took []time.Duration
}

func (b busyness) Outstanding(leaf int) int { return at(b.out, leaf) }

func (b busyness) Latency(leaf int) time.Duration { return at(b.took, leaf) }

func at[T any](list []T, i int) (zero T) {
	if i < len(list) {
		return list[i]
	}
	return zero
}

// tally counts the first picks of n requests that differ in everything drawn.
func tally(tree *steer.Tree, n int, c steer.Client, h steer.Health) map[string]int {
	count := map[string]int{}
	for i := range n {
		c.Random, c.Turn, c.Hash = uint64(i)*0x2545f4914f6cdd1d, uint64(i), steer.HashString(fmt.Sprint("client", i))
		if pick, ok := tree.Pick(&c, h); ok {
			count[pick.ID]++
		}
	}
	return count
}

func TestRoundRobinTakesTurns(t *testing.T) {
	tree := compile(t, poolOf(steer.RoundRobin, 1, 1, 1))
	var got strings.Builder
	for turn := range uint64(7) {
		pick, _ := tree.Pick(&steer.Client{Turn: turn}, board{})
		got.WriteString(pick.ID)
	}
	if got.String() != "abcabca" {
		t.Errorf("turns go to %s", got.String())
	}
	if count := tally(tree, 100, steer.Client{}, board{1: true}); count["a"] != 50 || count["c"] != 50 {
		t.Errorf("with b down: %v", count)
	}
}

// With weights no run of turns gives a member far more or less than its share.
func TestWeightedRoundRobinIsSmooth(t *testing.T) {
	tree := compile(t, poolOf(steer.RoundRobin, 5, 3, 2, 0))
	for _, from := range []uint64{0, 17, 1 << 40, 1<<64 - 50} {
		for _, n := range []int{10, 100, 1000} {
			count := map[string]float64{}
			for i := range n {
				pick, _ := tree.Pick(&steer.Client{Turn: from + uint64(i)}, board{})
				count[pick.ID]++
			}
			for id, share := range map[string]float64{"a": 0.5, "b": 0.3, "c": 0.2, "d": 0} {
				if off := count[id] - share*float64(n); off > 3 || off < -3 {
					t.Errorf("%d turns from %d: %s has %v, want %v", n, from, id, count[id], share*float64(n))
				}
			}
		}
	}
}

func TestLeastOutstandingGoesByWeight(t *testing.T) {
	tree := compile(t, poolOf(steer.LeastOutstanding, 1, 1, 4))
	f := func(want string, out ...int) {
		t.Helper()
		if got := strings.Join(firsts(tree, steer.Client{Load: busyness{out: out}}, board{}), " "); got != want {
			t.Errorf("outstanding %v: %q, want %q", out, got, want)
		}
	}
	f("a", 0, 1, 5)
	f("c", 1, 1, 5)     // seven for weight 4 are less than two for 1
	f("a b", 1, 1, 8)   // equals are drawn from
	f("a b c", 0, 0, 3) // (0+1)/1 = (3+1)/4
	if got := order(tree, steer.Client{Load: busyness{out: []int{0, 3, 90}}}, board{0: true}); got != "b c a?" {
		t.Errorf("with a down: %q", got)
	}
}

// The keys of a lost member move, and no others; they come back with it. Weights are shares of the keys.
func TestHashDisruptsNoOtherKeys(t *testing.T) {
	const n = 20_000
	tree := compile(t, poolOf(steer.Hash, 1, 2, 3, 4))
	for i := range n {
		c := steer.Client{Hash: steer.HashString(fmt.Sprint(i)), Random: uint64(i)}
		before, _ := tree.Pick(&c, board{})
		c.Random++
		after, _ := tree.Pick(&c, board{1: true})
		if before.ID != "b" && before != after || after.ID == "b" {
			t.Fatalf("key %d moved from %s to %s", i, before.ID, after.ID)
		}
	}
	for id, share := range map[string]float64{"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4} {
		if got := tally(tree, n, steer.Client{}, board{})[id]; !near(got, n, share) {
			t.Errorf("%s has %d of %d keys, want %v", id, got, n, share)
		}
	}
	fewer := compile(t, poolOf(steer.Hash, 1, 2, 3)) // d is taken out of the configuration
	for i := range 1000 {
		c := steer.Client{Hash: steer.HashString(fmt.Sprint(i))}
		before, _ := tree.Pick(&c, board{})
		if after, _ := fewer.Pick(&c, board{}); before.ID != "d" && before.ID != after.ID {
			t.Fatalf("key %d moved from %s to %s", i, before.ID, after.ID)
		}
	}
}

func TestLeastLatencyTakesTheBetterOfTwo(t *testing.T) {
	const n = 10_000
	ms := time.Millisecond
	tree := compile(t, poolOf(steer.LeastLatency, 1, 1, 1))
	count := tally(tree, n, steer.Client{Load: busyness{took: []time.Duration{10 * ms, 20 * ms, 30 * ms}}}, board{})
	if !near(count["a"], n, 2.0/3) || !near(count["b"], n, 1.0/3) || count["c"] != 0 {
		t.Errorf("shares are %v, want two thirds, one third, none", count)
	}
	queue := steer.Client{Load: busyness{took: []time.Duration{10 * ms, 20 * ms, 0}, out: []int{5, 0, 3}}}
	if got := firsts(tree, queue, board{}); slices.Equal(got, []string{"a", "b"}) == false {
		t.Errorf("a queue of five at 10 ms and one unknown but busy: %v", got) // b beats both, a the unknown
	}
	if got := firsts(tree, steer.Client{Load: busyness{took: []time.Duration{ms, ms}}}, board{0: true}); len(got) != 1 || got[0] != "c" {
		t.Errorf("one that is idle and unknown is tried at once, got %v", got)
	}
}

// aged is a board whose slots came up some time ago.
type aged struct {
	board
	ago map[steer.Slot]time.Duration
}

func (a aged) Since(s steer.Slot) time.Time {
	if ago, ok := a.ago[s]; ok {
		return now.Add(-ago)
	}
	return time.Time{}
}

// The share of a member that came up 15 s ago, with 60 s of slow start, is a quarter of its weight: 0.25 / 1.25.
func TestSlowStartIsLinear(t *testing.T) {
	const n = 20_000
	for _, p := range []steer.Policy{steer.Simple, steer.Weighted, steer.RoundRobin, steer.Hash} {
		g := poolOf(p, 1, 1)
		g.SlowStart = time.Minute
		tree := compile(t, g)
		for _, c := range []struct {
			ago   time.Duration
			share float64
		}{{0, 0.01 / 1.01}, {15 * time.Second, 0.2}, {30 * time.Second, 1.0 / 3}, {time.Minute, 0.5}, {time.Hour, 0.5}} {
			h := aged{ago: map[steer.Slot]time.Duration{1: c.ago}}
			if got := tally(tree, n, steer.Client{Now: now}, h)["b"]; !near(got, n, c.share) {
				t.Errorf("%v after %v: %d of %d, want a share of %.3f", p, c.ago, got, n, c.share)
			}
		}
		if got := tally(tree, n, steer.Client{}, aged{ago: map[steer.Slot]time.Duration{1: 0}})["b"]; !near(got, n, 0.5) {
			t.Errorf("%v without a time of decision: %d of %d, want half", p, got, n)
		}
	}
}

func TestPanicIgnoresHealthBelowTheThreshold(t *testing.T) {
	f := func(panics, least int, down board, want string, resort bool) {
		t.Helper()
		g := poolOf(steer.Simple, 1, 1, 1, 1)
		g.Panic, g.MinHealthy = panics, least
		tree := compile(t, g)
		if got := strings.Join(firsts(tree, steer.Client{}, down), " "); got != want {
			t.Errorf("panic %d, min_healthy %d, down %v: %q, want %q", panics, least, down, got, want)
		}
		marked := false
		for pick := range tree.Candidates(&steer.Client{}, down) {
			if pick.LastResort && !down[steer.Slot(pick.Leaf)] {
				t.Errorf("%s is healthy and marked as a last resort", pick.ID)
			}
			marked = marked || pick.LastResort
		}
		if marked != resort {
			t.Errorf("last resorts are marked: %v", marked)
		}
	}
	half, most := board{0: true, 1: true}, board{0: true, 1: true, 2: true}
	f(0, 0, most, "d", true)
	f(50, 0, half, "c d", true) // half is not below half
	f(51, 0, half, "a b c d", true)
	f(50, 0, most, "a b c d", true)
	f(0, 2, half, "c d", true)
	f(0, 3, half, "a b c d", true)
	f(100, 4, board{}, "a b c d", false)
}

// What a full endpoint cannot take spreads over the next three by the room they have; it does not all fall on the next.
func TestFullEndpointSpillsByFreeCapacity(t *testing.T) {
	const n = 20_000
	g := poolOf(steer.Failover, 1, 1, 1, 1, 1)
	g.MaxOutstanding = 10
	g.Members[3].Capacity = 30
	tree := compile(t, g)
	f := func(out []int, down board, want map[string]float64) {
		t.Helper()
		count := tally(tree, n, steer.Client{Load: busyness{out: out}}, down)
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			if !near(count[id], n, want[id]) {
				t.Errorf("outstanding %v: %s has %d of %d, want %v", out, id, count[id], n, want[id])
			}
		}
	}
	f([]int{9}, board{}, map[string]float64{"a": 1})
	f([]int{10}, board{}, map[string]float64{"b": 0.2, "c": 0.2, "d": 0.6})
	f([]int{10, 8, 10, 10, 0}, board{}, map[string]float64{"b": 2.0 / 32, "d": 20.0 / 32, "e": 10.0 / 32})
	f([]int{10, 0, 0, 0, 0}, board{1: true}, map[string]float64{"c": 0.2, "d": 0.6, "e": 0.2})
	f([]int{10, 10, 10, 30, 10}, board{}, map[string]float64{"a": 1}) // all full: the caller's limit says no
	if got := order(tree, steer.Client{Load: busyness{out: []int{10, 10, 10, 0, 10}}}, board{4: true}); got != "d a b c e?" {
		t.Errorf("full endpoints come after those with room and before the unhealthy, got %q", got)
	}
}

func TestFullMemberOfABalancerIsPassedOver(t *testing.T) {
	for _, p := range []steer.Policy{steer.Simple, steer.RoundRobin, steer.LeastOutstanding, steer.Hash, steer.LeastLatency} {
		g := poolOf(p, 1, 1, 1)
		g.MaxOutstanding = 4
		count := tally(compile(t, g), 300, steer.Client{Load: busyness{out: []int{1, 4, 1}}}, board{})
		if count["b"] != 0 || count["a"] == 0 || count["c"] == 0 {
			t.Errorf("%v: %v, want none for b", p, count)
		}
	}
}

func TestPreferredEndpointComesFirst(t *testing.T) {
	g := poolOf(steer.Weighted, 100, 1, 0)
	g.Members[2].Capacity = 2
	tree := compile(t, g)
	f := func(prefer int, down board, load busyness, want string) {
		t.Helper()
		if got := firsts(tree, steer.Client{Prefer: prefer, Load: load}, down); !slices.Contains(got, want) || len(got) > 1 && want != "a" {
			t.Errorf("prefer %d, down %v: %v, want %s", prefer, down, got, want)
		}
	}
	f(2, board{}, busyness{}, "b")
	f(3, board{}, busyness{}, "c") // weight 0 takes no new clients, and keeps its old ones
	f(3, board{}, busyness{out: []int{0, 0, 2}}, "a")
	f(2, board{1: true}, busyness{}, "a")
	f(9, board{}, busyness{}, "a")
}

func TestBalancersExplain(t *testing.T) {
	g := poolOf(steer.LeastLatency, 1, 2)
	g.SlowStart, g.MaxOutstanding, g.Panic = time.Minute, 5, 60
	tree := compile(t, g)
	client := steer.Client{Now: now, Load: busyness{out: []int{1, 5}, took: []time.Duration{time.Millisecond}}}
	_, trace := tree.Explain(&client, aged{board: board{0: true}, ago: map[steer.Slot]time.Duration{1: 15 * time.Second}})
	text := fmt.Sprint(trace)
	for _, want := range []string{
		"panic: only 1 of 2 healthy (panic 60 %, min_healthy 0), so everything is treated as healthy",
		"latency 1ms, 1 outstanding, weight 1, 1 of 5 outstanding, down",
		"latency unknown, 5 outstanding, weight 2, slow start at 25 %, full: 5 of 5 outstanding, up",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the trace lacks %q:\n%s", want, text)
		}
	}
	for p, want := range map[steer.Policy]string{steer.RoundRobin: "turn 7, weight 1", steer.Hash: "hash 0000000000000003, score 1.2", steer.LeastOutstanding: "0 outstanding"} {
		if _, trace := compile(t, poolOf(p, 1)).Explain(&steer.Client{Turn: 7, Hash: 3}, board{}); !strings.Contains(fmt.Sprint(trace), want) {
			t.Errorf("%v: the trace lacks %q: %v", p, want, trace)
		}
	}
}

func TestBalancersDoNotAllocate(t *testing.T) {
	for _, p := range []steer.Policy{steer.RoundRobin, steer.LeastOutstanding, steer.Hash, steer.LeastLatency} {
		tree, client := benchPool(t, p)
		if n := testing.AllocsPerRun(100, func() { client.Random++; tree.Pick(&client, board(nil)) }); n != 0 {
			t.Errorf("%v: a pick allocates %v times", p, n)
		}
	}
}

// benchPool has ten endpoints with limits and slow start.
func benchPool(t testing.TB, p steer.Policy) (*steer.Tree, steer.Client) {
	g := poolOf(p, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0)
	g.SlowStart, g.MaxOutstanding, g.Panic = time.Minute, 100, 50
	l := busyness{out: make([]int, 10), took: make([]time.Duration, 10)}
	for i := range 10 {
		l.out[i], l.took[i] = i, time.Duration(i)*time.Millisecond
	}
	return compile(t, g), steer.Client{Now: now, Load: l}
}

func BenchmarkPickBalanced(b *testing.B) {
	for _, p := range []steer.Policy{steer.Weighted, steer.RoundRobin, steer.LeastOutstanding, steer.Hash, steer.LeastLatency} {
		b.Run(p.String(), func(b *testing.B) {
			tree, client := benchPool(b, p)
			b.ReportAllocs()
			for b.Loop() {
				client.Random++
				client.Turn++
				client.Hash = client.Random
				tree.Pick(&client, board(nil))
			}
		})
	}
}
