package steer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

// leaves makes members 0 to n-1 in slots of their own.
func leaves(n int) []steer.Member {
	list := make([]steer.Member, n)
	for i := range list {
		list[i] = steer.Member{ID: fmt.Sprint(i), Slot: steer.Slot(i), Leaf: i, Weight: 1}
	}
	return list
}

// ranking is the candidates of a tree; those of the last resort have a question mark.
func ranking(tree *steer.Tree, client *steer.Client, h steer.Health) string {
	var ids []string
	for p := range tree.Candidates(client, h) {
		id := p.ID
		if p.LastResort {
			id += "?"
		}
		ids = append(ids, id)
	}
	return strings.Join(ids, " ")
}

// What an operator has taken out of service is tried after what only fails, at every policy that keeps an order.
func TestWhatAnOperatorTookOutComesLast(t *testing.T) {
	tree := compile(t, &steer.Group{Policy: steer.Failover, Members: leaves(4)})
	out := func(slots ...steer.Slot) map[steer.Slot]steer.Advice {
		advice := map[steer.Slot]steer.Advice{}
		for _, s := range slots {
			advice[s] = steer.Advice{Ordered: true}
		}
		return advice
	}
	for _, c := range []struct {
		down    board
		ordered []steer.Slot
		want    string
	}{
		{board{0: true, 1: true}, []steer.Slot{0}, "2 3 1? 0?"},
		{board{0: true, 1: true, 2: true, 3: true}, []steer.Slot{0, 2}, "1? 3? 0? 2?"},
		{board{0: true, 1: true, 2: true, 3: true}, []steer.Slot{0, 1, 2, 3}, "0? 1? 2? 3?"},
	} {
		h := advised{c.down, out(c.ordered...)}
		if got := ranking(tree, &steer.Client{}, h); got != c.want {
			t.Errorf("down %v, ordered %v: %s, want %s", c.down, c.ordered, got, c.want)
		}
		pick, _ := tree.Pick(&steer.Client{}, h)
		if !strings.HasPrefix(c.want, pick.ID) {
			t.Errorf("down %v, ordered %v: Pick is %s, want the first of %s", c.down, c.ordered, pick.ID, c.want)
		}
	}
}

// Panic brings back what fails, and not what an operator has taken out.
func TestPanicSparesWhatAnOperatorTookOut(t *testing.T) {
	tree := compile(t, &steer.Group{Policy: steer.Failover, Members: leaves(4), Panic: 80})
	h := advised{board{0: true, 1: true}, map[steer.Slot]steer.Advice{0: {Ordered: true}}}
	if got := ranking(tree, &steer.Client{}, h); got != "1? 2 3 0?" {
		t.Errorf("candidates %s, want 1? 2 3 0?", got)
	}
	for p := range tree.Candidates(&steer.Client{}, h) {
		if want := p.ID != "0"; p.Causes&steer.Panicked != 0 != want {
			t.Errorf("%s: panicked is %v, want %v", p.ID, !want, want)
		}
	}
}

// An accelerator fails open into the closest group that has something an operator left in service.
func TestAcceleratorFailsOpenAroundTheOperatorsWord(t *testing.T) {
	acc := accelerator(t, steer.AffinityNone, group("east", virginia, 100, 0, 1, 1), group("west", oregon, 100, 10, 1))
	down := board{0: true, 1: true, 10: true}
	first := func(slots ...steer.Slot) string {
		h := advised{down, map[steer.Slot]steer.Advice{5: {Weight: 1}}}
		for _, s := range slots {
			h.advice[s] = steer.Advice{Ordered: true}
		}
		var list []string
		for d := range acc.Candidates(flow(1, newYork), h) {
			list = append(list, fmt.Sprintf("%d.%d", d.Group, d.Endpoint))
		}
		if p := acc.Pick(flow(1, newYork), h); fmt.Sprintf("%d.%d", p.Group, p.Endpoint) != list[0] {
			t.Errorf("Pick is %+v, Candidates begin with %s", p, list[0])
		}
		return strings.Join(list, " ")
	}
	if got := first(0); got != "0.1 0.0" {
		t.Errorf("one of the closest group is out: %s, want 0.1 0.0", got)
	}
	if got := first(0, 1); !strings.HasPrefix(got, "1.0 ") || strings.Count(got, " ") != 2 {
		t.Errorf("all of the closest group are out: %s, want 1.0 and then them", got)
	}
	if got := first(0, 1, 10); strings.Count(got, " ") != 1 || strings.Contains(got, "1.0") {
		t.Errorf("everything is out: %s, want the closest group", got)
	}
}

// The weight an endpoint asks for scales its share of an accelerator's group.
func TestAcceleratorScalesWeights(t *testing.T) {
	acc := accelerator(t, steer.AffinityNone, group("east", virginia, 100, 0, 128, 128))
	h := advised{board{}, map[steer.Slot]steer.Advice{0: {Weight: 25}}}
	const n = 20_000
	count := 0
	for i := range n {
		if acc.Pick(flow(i, newYork), h).Endpoint == 0 {
			count++
		}
	}
	if !near(count, n, 0.2) {
		t.Errorf("%d of %d flows, want a fifth: 32 of 32+128", count, n)
	}
}

// The limit an endpoint tells holds beside the configured one, whichever is less, and what is full makes way.
func TestToldLimitIsALimit(t *testing.T) {
	for _, c := range []struct {
		configured, told int
		full             bool
	}{{0, 2, true}, {0, 3, false}, {5, 2, true}, {2, 5, true}, {5, 3, false}} {
		tree := compile(t, &steer.Group{Policy: steer.Failover, Members: leaves(3), MaxOutstanding: c.configured})
		h := advised{board{}, map[steer.Slot]steer.Advice{0: {Limit: c.told}}}
		pick, _ := tree.Pick(&steer.Client{Load: outstanding{0: 2}}, h)
		if full := pick.ID != "0"; full != c.full || full != (pick.Causes&steer.Spilled != 0) {
			t.Errorf("configured %d, told %d, 2 outstanding: pick %s, causes %d", c.configured, c.told, pick.ID, pick.Causes)
		}
	}
}

type outstanding map[int]int

func (o outstanding) Outstanding(leaf int) int { return o[leaf] }
func (outstanding) Latency(int) time.Duration  { return 0 }

// A draining endpoint goes on to serve the clients it has, and gets no others.
func TestDrainingKeepsItsClients(t *testing.T) {
	tree := compile(t, &steer.Group{Policy: steer.Failover, Members: leaves(3)})
	h := advised{board{0: true}, map[steer.Slot]steer.Advice{0: {Draining: true}}}
	if got := ranking(tree, &steer.Client{}, h); got != "1 2 0?" {
		t.Errorf("a new client gets %s, want 1 2 0?", got)
	}
	if got := ranking(tree, &steer.Client{Prefer: 1}, h); got != "0 1 2" {
		t.Errorf("its client gets %s, want 0 1 2", got)
	}
	if p, _ := tree.Pick(&steer.Client{Prefer: 1}, h); p.ID != "0" || p.Causes != steer.Stuck {
		t.Errorf("its client's pick is %+v", p)
	}
}

// A measured group goes by connect times where they are known, and elsewhere by what the distance makes likely.
func TestMeasuredGroupsGoByConnectTimes(t *testing.T) {
	members := leaves(4)
	members[0].Point, members[1].Point, members[2].Point = virginia, oregon, geo.At(50, 8) // 3 has none
	client := &steer.Client{From: newYork}
	h := advised{board: board{}, advice: map[steer.Slot]steer.Advice{}}
	for _, c := range []struct {
		connect map[steer.Slot]time.Duration
		want    string
	}{
		{nil, "0 1 2 3"},
		{map[steer.Slot]time.Duration{0: 120 * time.Millisecond, 3: time.Millisecond}, "0 1 2 3"}, // not all are known
		{map[steer.Slot]time.Duration{0: 40 * time.Millisecond, 1: 30 * time.Millisecond, 2: time.Millisecond, 3: time.Millisecond}, "0 1 2 3"},
		{map[steer.Slot]time.Duration{0: 160 * time.Millisecond, 1: 110 * time.Millisecond, 2: 60 * time.Millisecond, 3: time.Millisecond}, "3 2 1 0"},
	} {
		clear(h.advice)
		for s, took := range c.connect {
			h.advice[s] = steer.Advice{Connect: took}
		}
		tree := compile(t, &steer.Group{Policy: steer.Latency, Measured: true, Members: slices.Clone(members)})
		if got := ranking(tree, client, h); got != c.want {
			t.Errorf("%v: %s, want %s", c.connect, got, c.want)
		}
	}
	tree := compile(t, &steer.Group{Policy: steer.Latency, Members: members})
	if got := ranking(tree, client, h); got != "0 1 2 3" {
		t.Errorf("a group for clients elsewhere: %s, want the distances' 0 1 2 3", got)
	}
	measured := compile(t, &steer.Group{Policy: steer.Latency, Measured: true, Members: members})
	_, trace := measured.Explain(client, h)
	if text := fmt.Sprint(trace); !strings.Contains(text, "connects in 1ms") {
		t.Errorf("the trace does not tell the time:\n%s", text)
	}
}

// Advice costs no memory.
func TestAdvisedPickDoesNotAllocate(t *testing.T) {
	tree, client := benchTree(t)
	var h steer.Health = advised{board{}, map[steer.Slot]steer.Advice{1: {Weight: 50}}}
	if n := testing.AllocsPerRun(100, func() { client.Random++; tree.Pick(&client, h) }); n != 0 {
		t.Errorf("a pick allocates %v times", n)
	}
}

func BenchmarkPickAdvised(b *testing.B) {
	tree, client := benchTree(b)
	var h steer.Health = advised{board{}, map[steer.Slot]steer.Advice{1: {Weight: 50}}}
	b.ReportAllocs()
	for b.Loop() {
		client.Random++
		tree.Pick(&client, h)
	}
}
