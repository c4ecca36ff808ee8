package healthcheck_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
	"github.com/meridian-edge/meridian/healthcheck/quorum"
	"github.com/meridian-edge/meridian/steer"
)

// world is a fleet of whole checkers that vote, on a fake clock: nodes e1, e2, e3 in eu, u1... in us, a1... in ap. Each node has
// its own way to every endpoint and to every other node.
type world struct {
	*testing.T
	names []string
	nodes map[string]*member

	mu   sync.Mutex // guards the fields below
	cut  map[[2]string]bool
	skew map[string]time.Duration
}

type member struct {
	name    string
	farm    *farm
	board   *healthcheck.Board
	checker *healthcheck.Checker
	fleet   *healthcheck.Fleet
	plan    *healthcheck.Plan
}

// post carries votes from one node to all others that it can reach.
type post struct {
	w    *world
	from string
}

func (p post) Publish(votes []quorum.Vote) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	copied := append([]quorum.Vote(nil), votes...)
	for i := range copied {
		copied[i].At = copied[i].At.Add(p.w.skew[p.from])
	}
	for _, to := range p.w.names {
		if to != p.from && !p.w.cut[[2]string{p.from, to}] {
			p.w.nodes[to].fleet.Take(copied)
		}
	}
}

const targets = 6 // 192.0.2.1:80 to 192.0.2.6:80, checks t1 to t6

func fleetOf(mode string) *config.Config {
	cfg := &config.Config{Quorum: config.Quorum{Mode: mode, HealthyAbove: 0.18, MinVoters: 3, HoldLast: 5 * time.Minute, Dwell: quorum.DefaultDwell}}
	for i := 1; i <= targets; i++ {
		cfg.Checks = append(cfg.Checks, tcp(fmt.Sprintf("t%d", i), fmt.Sprintf("192.0.2.%d:80", i)))
	}
	inverse := tcp("not1", one)
	inverse.Inverted = true
	cfg.Checks = append(cfg.Checks, inverse, config.Check{Name: "both", Type: "calculated", Of: []string{"t1", "t2"}, AtLeast: 2})
	return cfg
}

// simulate runs a fleet of nine until it is settled, then the test.
func simulate(t *testing.T, mode string, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, nodes: map[string]*member{}, cut: map[[2]string]bool{}, skew: map[string]time.Duration{}}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		cfg := fleetOf(mode)
		for _, region := range []string{"eu", "us", "ap"} {
			for i := 1; i <= 3; i++ {
				m := &member{name: fmt.Sprintf("%c%d", region[0], i), farm: newFarm(), board: healthcheck.NewBoard()}
				m.checker = healthcheck.NewChecker(healthcheck.Options{Board: m.board, Log: slog.New(slog.DiscardHandler), Dial: m.farm.dial})
				m.fleet = healthcheck.NewFleet(healthcheck.FleetOptions{
					Board: m.board, Rule: healthcheck.RuleOf(cfg.Quorum), Voter: m.name, Region: region, Publisher: post{w, m.name},
				})
				m.plan = healthcheck.NewPlan(cfg, m.board)
				w.names = append(w.names, m.name)
				w.nodes[m.name] = m
			}
		}
		for _, m := range w.nodes {
			m.checker.Apply(m.plan)
			running.Go(func() { _ = m.checker.Run(ctx) })
			running.Go(func() { _ = m.fleet.Run(ctx) })
		}
		w.pass(time.Minute)
		test(w)
	})
}

func (w *world) pass(d time.Duration) {
	time.Sleep(d) // on the bubble's clock
	synctest.Wait()
}

// lose makes endpoints unreachable from nodes: names of nodes, or first letters of regions.
func (w *world) lose(from string, lost bool, endpoints ...int) {
	for _, name := range w.names {
		if strings.Contains(" "+from+" ", " "+name+" ") || strings.Contains(" "+from+" ", " "+name[:1]+" ") {
			for _, e := range endpoints {
				w.nodes[name].farm.set(net.JoinHostPort(fmt.Sprintf("192.0.2.%d", e), "80"), lost)
			}
		}
	}
}

// partition cuts the nodes of one region off from all others, or joins them again.
func (w *world) partition(region string, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range w.names {
		for _, y := range w.names {
			if (x[:1] == region) != (y[:1] == region) {
				w.cut[[2]string{x, y}] = cut
			}
		}
	}
}

// want checks both opinions of nodes about t1: "e1 reach alive" and a minus before what is down.
func (w *world) want(words ...string) {
	w.Helper()
	for _, word := range words {
		name, rest, _ := strings.Cut(word, " ")
		for _, full := range w.names {
			if full != name && full[:1] != name {
				continue
			}
			m := w.nodes[full]
			slot := m.plan.Check("t1")
			for _, o := range []struct {
				opinion string
				health  steer.Health
			}{{"reach", m.board.Reach()}, {"alive", m.board.Alive()}} {
				up := !strings.Contains(rest, "-"+o.opinion)
				if o.health.Up(slot) != up {
					w.Errorf("%v: %s: %s is %t, want %t: %s", time.Since(epoch), full, o.opinion, !up, up, o.health.(steer.Reasoner).Reason(slot))
				}
			}
			if m.board.Alive().Up(m.plan.Check("not1")) == m.board.Alive().Up(slot) {
				w.Errorf("%s: the inverted check agrees with the check", full)
			}
		}
	}
}

func TestOneRegionCutOffFromAnEndpointChangesOnlyItsReach(t *testing.T) {
	for _, mode := range []string{"r53", "regions", "any"} {
		simulate(t, mode, func(w *world) {
			w.lose("e", true, 1)
			w.pass(time.Minute)
			w.want("e -reach alive", "u reach alive", "a reach alive")
			if up := w.nodes["e1"].board.Alive().Up(w.nodes["e1"].plan.Check("both")); !up {
				t.Error("a calculated check does not count what the fleet believes")
			}
			if up := w.nodes["e1"].board.Reach().Up(w.nodes["e1"].plan.Check("both")); up {
				t.Error("a calculated check does not count what this node reaches")
			}
			why := w.nodes["e1"].board.Alive().(steer.Reasoner).Reason(w.nodes["e1"].plan.Check("t1"))
			if !strings.HasPrefix(why, "quorum: 6 of 9 up; here ") {
				t.Errorf("the reason is %q", why)
			}
		})
	}
	simulate(t, "all", func(w *world) {
		w.lose("e1", true, 1)
		w.pass(time.Minute)
		w.want("e1 -reach -alive", "e2 reach -alive", "u reach -alive")
	})
	simulate(t, "local", func(w *world) {
		w.lose("e", true, 1)
		w.pass(time.Minute)
		w.want("e -reach -alive", "u reach alive", "a reach alive")
	})
}

func TestADeadEndpointIsDeadEverywhereAndComesBack(t *testing.T) {
	simulate(t, "r53", func(w *world) {
		w.lose("e u a", true, 1)
		w.pass(time.Minute)
		w.want("e -reach -alive", "u -reach -alive", "a -reach -alive")
		w.lose("e u a", false, 1)
		w.pass(time.Minute)
		w.want("e reach alive", "u reach alive", "a reach alive")
	})
}

// Sides of a partition between nodes decide for themselves; when it ends they agree again.
func TestSidesOfAPartitionDecideForThemselves(t *testing.T) {
	simulate(t, "r53", func(w *world) {
		w.partition("e", true)
		w.lose("e", true, 1)
		w.pass(time.Minute)
		w.want("e -reach -alive", "u reach alive", "a reach alive")
		w.partition("e", false)
		w.pass(time.Minute)
		w.want("e -reach alive", "u reach alive", "a reach alive")
	})
}

// A node that hears nobody holds the last opinion for hold_last and then believes itself.
func TestALonelyNodeHoldsThenBelievesItself(t *testing.T) {
	simulate(t, "r53", func(w *world) {
		w.mu.Lock()
		for _, other := range w.names {
			w.cut[[2]string{other, "e1"}] = true
		}
		w.mu.Unlock()
		w.lose("e1", true, 1)
		w.pass(4 * time.Minute)
		w.want("e1 -reach alive", "e2 reach alive")
		w.pass(2 * time.Minute)
		w.want("e1 -reach -alive", "e2 reach alive")
	})
}

// One bad uplink takes nothing down, not even in mode all: the node abstains before its first verdict changes.
func TestABadUplinkAbstains(t *testing.T) {
	for _, mode := range []string{"all", "r53", "regions"} {
		simulate(t, mode, func(w *world) {
			w.lose("e1", true, 1, 2, 3, 4, 5, 6)
			for range 30 {
				w.pass(10 * time.Second)
				w.want("e2 reach alive", "u reach alive", "a reach alive")
			}
			w.want("e1 -reach alive")
			if doubt := w.nodes["e1"].fleet.Doubt(); doubt != "6 of 6 unrelated targets fail" {
				t.Errorf("it doubts itself: %q", doubt)
			}
			w.lose("e1", false, 1, 2, 3, 4, 5, 6)
			w.pass(time.Minute)
			w.want("e1 reach alive")
			if doubt := w.nodes["e1"].fleet.Doubt(); doubt != "" {
				t.Errorf("it still doubts itself: %q", doubt)
			}
		})
	}
}

// When everything fails for everybody, nobody trusts himself: answers stay as they were for hold_last.
func TestMassFailureHoldsTheLastOpinion(t *testing.T) {
	simulate(t, "r53", func(w *world) {
		w.lose("e u a", true, 1, 2, 3, 4, 5, 6)
		w.pass(4 * time.Minute)
		w.want("e -reach alive", "u -reach alive", "a -reach alive")
		w.pass(2 * time.Minute)
		w.want("e -reach -alive", "u -reach -alive", "a -reach -alive")
	})
}

// Voters whose clocks are wrong by hours count as the others do, also when a clock is put right.
func TestClocksMayBeWrong(t *testing.T) {
	simulate(t, "r53", func(w *world) {
		set := func(by time.Duration) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for i, name := range w.names[3:] {
				w.skew[name] = by * time.Duration(i-3)
			}
		}
		for _, by := range []time.Duration{time.Hour, -time.Hour, 0} {
			set(by)
			w.pass(2 * time.Minute)
			w.lose("e u a", true, 1)
			w.pass(time.Minute)
			w.want("e -reach -alive", "u -reach -alive")
			w.lose("e u a", false, 1)
			w.pass(time.Minute)
			w.want("e reach alive", "u reach alive")
			o := w.nodes["e1"].board.Opinions()[0]
			if o.Votes.Up != 9 || o.Votes.Expired != 0 || o.Reach != healthcheck.Up || o.Alive != healthcheck.Up {
				t.Errorf("clocks off by %v: %+v", by, o)
			}
		}
	})
}

// Voters that flap around the threshold turn the opinion at most once in a dwell.
func TestFlappingVotersAreDamped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board := healthcheck.NewBoard()
		cfg := fleetOf("regions")
		plan := healthcheck.NewPlan(cfg, board)
		checker := healthcheck.NewChecker(healthcheck.Options{Board: board})
		checker.Apply(plan)
		fleet := healthcheck.NewFleet(healthcheck.FleetOptions{Board: board, Rule: healthcheck.RuleOf(cfg.Quorum), Voter: "e1", Region: "eu"})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = fleet.Run(ctx) }()
		defer func() { cancel(); <-ended }()
		synctest.Wait() // it watches the targets
		slot := plan.Check("t1")
		flips, last := 0, true
		const minutes = 60
		for i := range minutes * 60 {
			state := quorum.Down
			if i%3 == 0 {
				state = quorum.Up
			}
			votes := make([]quorum.Vote, 5)
			for j := range votes {
				votes[j] = quorum.Vote{
					Voter: fmt.Sprint(j), Region: fmt.Sprint(j), Target: quorum.Target{Endpoint: one, Check: "tcp"}, State: state, Seq: uint64(i + 1),
				}
			}
			if got := fleet.Take(votes); got != 5 {
				t.Fatalf("%d votes taken", got)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if up := board.Alive().Up(slot); up != last {
				flips, last = flips+1, up
			}
		}
		if most := minutes * 60 / 10; flips > most || flips < 10 {
			t.Errorf("%d flips in %d minutes, at most one in 10 s", flips, minutes)
		}
	})
}

// Until others vote, Alive follows Reach at once, without waiting for a round.
func TestOneNodeAliveFollowsReachAtOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		cfg := fleetOf("r53")
		fleet := healthcheck.NewFleet(healthcheck.FleetOptions{Board: r.board, Rule: healthcheck.RuleOf(cfg.Quorum), Voter: "e1"})
		ctx, cancel := context.WithCancel(r.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = fleet.Run(ctx) }()
		defer func() { cancel(); <-ended }()
		r.apply(cfg)
		for i := range 400 {
			r.farm.set(one, i/100%2 == 1)
			r.pass(500 * time.Millisecond)
			for _, name := range []string{"t1", "not1", "both"} {
				if slot := r.plan.Check(name); r.board.Reach().Up(slot) != r.board.Alive().Up(slot) {
					r.Fatalf("%v: %s: reach and alive differ", time.Since(epoch), name)
				}
			}
		}
	})
}

// What leaves the plan takes the fleet's opinion with it; nobody votes on it, and nobody votes in our name.
func TestOpinionsLeaveWithTheirTargets(t *testing.T) {
	simulate(t, "r53", func(w *world) {
		m := w.nodes["e1"]
		slot := m.plan.Check("t1")
		w.lose("u a", true, 1)
		w.lose("e2 e3", true, 1)
		w.pass(time.Minute)
		w.want("e1 reach -alive")
		m.checker.Apply(healthcheck.NewPlan(&config.Config{}, m.board))
		w.pass(10 * time.Second)
		if !m.board.Alive().Up(slot) {
			t.Error("the opinion stayed")
		}
		vote := quorum.Vote{Voter: "e1", Target: quorum.Target{Endpoint: one, Check: "tcp"}, State: quorum.Down, Seq: 1 << 63}
		if n := w.nodes["e2"].fleet.Take([]quorum.Vote{vote}); n != 1 {
			t.Error("a vote of another node is refused")
		}
		if n := m.fleet.Take([]quorum.Vote{vote}); n != 0 {
			t.Error("somebody votes in our name, on what nobody watches")
		}
	})
}

// A node that loses most of its references abstains, its page shows who said what, and the numbers follow.
func TestReferencesMakeANodeAbstain(t *testing.T) {
	inBubble(t, func(r *rig) {
		cfg := fleetOf("r53")
		registry := prometheus.NewPedanticRegistry()
		fleet := healthcheck.NewFleet(healthcheck.FleetOptions{
			Board: r.board, Rule: healthcheck.RuleOf(cfg.Quorum), Voter: "e1", Region: "eu", References: []string{"t1", "t2", "t3"}, Registerer: registry,
		})
		r.apply(cfg)
		ctx, cancel := context.WithCancel(r.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); _ = fleet.Run(ctx) }()
		defer func() { cancel(); <-ended }()
		r.pass(time.Minute)
		r.farm.set(one, true)
		r.farm.set(two, true)
		r.pass(10 * time.Second)
		if got := fleet.Doubt(); got != "2 of 3 reference targets fail" {
			t.Fatalf("doubt %q", got)
		}
		for i := range 4 {
			fleet.Take([]quorum.Vote{{
				Voter: fmt.Sprintf("o%d", i), Region: "us", Target: quorum.Target{Endpoint: one, Check: "tcp"}, State: quorum.Up, Seq: 1,
			}})
		}
		fleet.Take([]quorum.Vote{{Voter: "x", Target: quorum.Target{Endpoint: "nobody's"}}})
		r.pass(2 * time.Second)
		var page string
		for _, o := range fleet.Opinions() {
			if o.Key.Endpoint != one {
				continue
			}
			page = fmt.Sprintf("reach %s, alive %s, %s:", o.Reach, o.Alive, o.Votes)
			for _, v := range o.Voices {
				page += fmt.Sprintf(" %s/%s=%s", v.Region, v.Voter, v.State)
			}
		}
		if want := "reach up, alive up, quorum: 4 of 4 up, 1 abstained: eu/e1=abstained us/o0=up us/o1=up us/o2=up us/o3=up"; page != want {
			t.Errorf("the page says %s\nwant %s", page, want)
		}
		err := testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP meridian_votes_abstaining Whether this node doubts itself and abstains from voting (1) or not (0).
# TYPE meridian_votes_abstaining gauge
meridian_votes_abstaining 1
# HELP meridian_votes_received_total Votes that came in from other nodes, by whether they were of use (taken) or not (refused).
# TYPE meridian_votes_received_total counter
meridian_votes_received_total{result="refused"} 1
meridian_votes_received_total{result="taken"} 4
# HELP meridian_votes_targets Targets by what the fleet's opinion about them stands on: quorum, held, dwelling, self.
# TYPE meridian_votes_targets gauge
meridian_votes_targets{basis="dwelling"} 0
meridian_votes_targets{basis="held"} 0
meridian_votes_targets{basis="quorum"} 1
meridian_votes_targets{basis="self"} 5
# HELP meridian_votes_voters Nodes whose votes have not expired, this one included.
# TYPE meridian_votes_voters gauge
meridian_votes_voters 5
`), "meridian_votes_abstaining", "meridian_votes_received_total", "meridian_votes_targets", "meridian_votes_voters")
		if err != nil {
			t.Error(err)
		}
		if lint, err := testutil.GatherAndLint(registry); err != nil || len(lint) > 0 {
			t.Errorf("lint: %v, %v", lint, err)
		}
		fleet.SetRule(healthcheck.RuleOf(cfg.Quorum)) // without references; two of six unrelated targets are no reason
		r.pass(2 * time.Second)
		if got := fleet.Doubt(); got != "" {
			t.Errorf("doubt %q", got)
		}
	})
}
