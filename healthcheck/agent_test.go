package healthcheck_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
	"github.com/meridian-edge/meridian/steer"
)

// agent is an endpoint's agent that says what the test wants; "" refuses.
type agent struct {
	mu   sync.Mutex
	line string
}

func (a *agent) say(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.line = line
}

func (a *agent) dial(context.Context, string, string) (net.Conn, error) {
	a.mu.Lock()
	line := a.line
	a.mu.Unlock()
	if line == "" {
		return nil, errRefused
	}
	near, far := net.Pipe()
	go func() {
		_, _ = far.Write([]byte(line + "\n"))
		_ = far.Close()
	}()
	return near, nil
}

// agentPool is a pool of one endpoint that an agent looks after.
func agentPool() *config.Config {
	c := tcp("load", one)
	c.Type, c.Target = "agent", netip.AddrPort{}
	return &config.Config{
		Checks: []config.Check{c},
		Pools:  []config.Pool{{Name: "web", Check: "load", Endpoints: []config.Endpoint{config.Endpoint{Address: netip.MustParseAddrPort(one), ID: one}}}},
	}
}

// A line moves weight and limit at once, its words of state at the first line, and what it does not name stays.
func TestAgentSteersItsEndpoint(t *testing.T) {
	a := &agent{line: "up 100%"}
	inBubble(t, func(r *rig) {
		r.apply(agentPool())
		slot := r.plan.Endpoint("web", 0)
		for _, c := range []struct {
			line   string
			up     bool
			advice steer.Advice
			reason string
		}{
			{"up 100%", true, steer.Advice{}, "agent: up 100% in 0s"},
			{"75%", true, steer.Advice{Weight: 75}, "agent: 75% in 0s"},
			{"maxconn:30", true, steer.Advice{Weight: 75, Limit: 30}, "agent: maxconn 30 in 0s"},
			{"drain", false, steer.Advice{Weight: 75, Limit: 30, Draining: true}, "agent: drain"},
			{"up", false, steer.Advice{Weight: 75, Limit: 30, Draining: true}, "agent: up in 0s; still drain"},
			{"ready 50% maxconn:0", true, steer.Advice{Weight: 50}, "agent: ready 50% maxconn 0 in 0s"},
			{"0%", false, steer.Advice{Draining: true}, "agent: 0%"},
			{"200%", true, steer.Advice{Weight: 200}, "agent: 200% in 0s"},
			{"maint", false, steer.Advice{Weight: 200}, "agent: maint"},
			{"ready", true, steer.Advice{Weight: 200}, "agent: ready in 0s"},
			{"stopped # deploy", false, steer.Advice{Weight: 200}, "agent: stopped (deploy)"},
			{"100%", false, steer.Advice{}, "agent: 100% in 0s; still stopped"},
			{"up", true, steer.Advice{}, "agent: up in 0s"},
		} {
			a.say(c.line)
			r.pass(11 * time.Second) // one probe
			for name, h := range map[string]steer.Health{"reach": r.board.Reach(), "alive": r.board.Alive()} {
				got := h.(steer.Adviser).Advice(slot)
				got.Connect = 0
				if h.Up(slot) != c.up || got != c.advice {
					t.Errorf("after %q %s: up %v, %+v; want %v, %+v", c.line, name, h.Up(slot), got, c.up, c.advice)
				}
				if any := h.(steer.Adviser).Advised(); any != (c.advice != steer.Advice{}) {
					t.Errorf("after %q %s: advised is %v", c.line, name, any)
				}
			}
			if v := r.verdict("load"); v.Reason != c.reason {
				t.Errorf("after %q: %s, want %s", c.line, v.Reason, c.reason)
			}
		}
	}, func(o *healthcheck.Options) { o.Dial = a.dial })
}

// An agent that is not there any more takes its endpoint down after fall probes, like any check, and what it said last stays.
func TestAgentThatIsGoneTakesFallProbes(t *testing.T) {
	a := &agent{line: "up 75%"}
	inBubble(t, func(r *rig) {
		r.apply(agentPool())
		a.say("")
		r.pass(15 * time.Second)
		r.wantState("load", healthcheck.Up)
		r.pass(20 * time.Second)
		r.wantState("load", healthcheck.Down)
		if got := r.board.Reach().(steer.Adviser).Advice(r.plan.Endpoint("web", 0)); got.Weight != 75 || got.Draining {
			t.Errorf("%+v, want the last weight and no draining", got)
		}
		a.say("60%") // no word of state: rise probes
		r.pass(11 * time.Second)
		r.wantState("load", healthcheck.Down)
		r.pass(11 * time.Second)
		r.wantState("load", healthcheck.Up)
	}, func(o *healthcheck.Options) { o.Dial = a.dial })
}

// What an agent said, and how long a connection takes, outlives the process.
func TestAdviceSurvivesARestart(t *testing.T) {
	a := &agent{line: "drain 75% maxconn:7"}
	var text []byte
	inBubble(t, func(r *rig) {
		r.apply(agentPool())
		r.pass(time.Minute)
		var err error
		if text, err = r.board.Save(); err != nil {
			t.Fatal(err)
		}
		want := steer.Advice{Weight: 75, Limit: 7, Draining: true, Connect: time.Microsecond}
		board := healthcheck.NewBoard()
		if _, _, err := board.Restore(text); err != nil {
			t.Fatal(err)
		}
		plan := healthcheck.NewPlan(agentPool(), board)
		if got := board.Reach().(steer.Adviser).Advice(plan.Endpoint("web", 0)); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}, func(o *healthcheck.Options) { o.Dial = a.dial })
}

// The operator's word is marked as one, at the endpoint and through its check, and hides what the agent says of its state.
func TestOrdersAreMarked(t *testing.T) {
	a := &agent{line: "drain"}
	inBubble(t, func(r *rig) {
		r.apply(agentPool())
		slot := r.plan.Endpoint("web", 0)
		for _, c := range []struct {
			target string
			force  healthcheck.Force
			want   steer.Advice
			up     bool
		}{
			{"web/" + one, healthcheck.ForceDown, steer.Advice{Ordered: true}, false},
			{"web/" + one, healthcheck.NoForce, steer.Advice{Draining: true}, false},
			{"load", healthcheck.Drain, steer.Advice{Ordered: true}, false},
			{"load", healthcheck.ForceUp, steer.Advice{}, true},
			{"load", healthcheck.NoForce, steer.Advice{Draining: true}, false},
		} {
			if _, err := r.board.Order(c.target, c.force, 0); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			h := r.board.Reach()
			if got := h.(steer.Adviser).Advice(slot); got != c.want || h.Up(slot) != c.up || h.(steer.Adviser).Advised() != (c.want != steer.Advice{}) && c.force != healthcheck.ForceUp {
				t.Errorf("%s %s: %+v, up %v; want %+v, %v", c.target, c.force, got, h.Up(slot), c.want, c.up)
			}
		}
	}, func(o *healthcheck.Options) { o.Dial = a.dial })
}

// Connect times are known after a few probes, steadied, and move the epoch only when they move.
func TestConnectTimesReachTheBoard(t *testing.T) {
	var mu sync.Mutex
	took := 20 * time.Millisecond
	dial := func(context.Context, string, string) (net.Conn, error) {
		mu.Lock()
		d := took
		mu.Unlock()
		time.Sleep(d)
		near, far := net.Pipe()
		_ = far.Close()
		return near, nil
	}
	inBubble(t, func(r *rig) {
		r.apply(&config.Config{
			Checks: []config.Check{with(tcp("c", one), func(c *config.Check) { c.Target = netip.AddrPort{} })},
			Pools:  []config.Pool{{Name: "web", Check: "c", Endpoints: []config.Endpoint{config.Endpoint{Address: netip.MustParseAddrPort(one), ID: one}}}},
		})
		known := func() time.Duration {
			return r.board.Reach().(steer.Adviser).Advice(r.plan.Endpoint("web", 0)).Connect
		}
		if known() != 0 {
			t.Errorf("%s before there are enough probes", known())
		}
		r.pass(time.Minute)
		if known() != 20*time.Millisecond || r.board.Reach().(steer.Adviser).Advised() {
			t.Errorf("%s, want 20ms, which is no advice about weights", known())
		}
		before := r.board.Epoch()
		r.pass(time.Hour)
		if r.board.Epoch() != before {
			t.Error("the epoch moved without a change")
		}
		mu.Lock()
		took = 60 * time.Millisecond
		mu.Unlock()
		r.pass(10 * time.Minute)
		if got := known(); got < 51*time.Millisecond || got > 60*time.Millisecond {
			t.Errorf("%s after a lasting change to 60ms", got)
		}
	}, func(o *healthcheck.Options) { o.Dial = dial })
}
