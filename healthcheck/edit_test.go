package healthcheck_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
)

// trialPool is a pool of four endpoints whose check is made at a port of their own.
func trialPool(check config.Check) *config.Config {
	check.Target = netip.AddrPort{}
	p := config.Pool{Name: "app", Check: check.Name}
	for i := range 4 {
		p.Endpoints = append(p.Endpoints, config.Endpoint{Address: netip.MustParseAddrPort(fmt.Sprintf("192.0.2.%d:80", i+1))})
	}
	cfg := checks(check)
	cfg.Pools = []config.Pool{p}
	return cfg
}

// at is the check of trialPool, asked at another port.
func at(port uint16) config.Check {
	return with(tcp("web", one), func(c *config.Check) { c.Port = port })
}

// refuseAt makes the first n endpoints of trialPool refuse at a port.
func (r *rig) refuseAt(port, n int) {
	for i := range n {
		r.farm.set(fmt.Sprintf("192.0.2.%d:%d", i+1, port), true)
	}
}

// upAt are the ports at which the endpoints that count as up in trialPool are asked.
func (r *rig) upInPool() int {
	up := 0
	for i := range 4 {
		if r.board.Reach().Up(r.plan.Endpoint("app", i)) {
			up++
		}
	}
	return up
}

// asked lists the endpoints of the verdicts in force.
func (r *rig) asked() string {
	var list []string
	for _, v := range r.board.Verdicts() {
		list = append(list, v.Key.Endpoint)
	}
	return strings.Join(list, " ")
}

func TestAnEditThatTakesDownTooMuchIsRefused(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(trialPool(at(80)))
		r.pass(time.Minute)
		r.refuseAt(81, 3)
		edited := trialPool(at(81))
		r.apply(edited)
		if e := r.board.Edits(); len(e) != 1 || e[0].State != healthcheck.Shadow || len(e[0].Ends) != 4 {
			t.Fatalf("edits: %+v", e)
		}
		r.pass(time.Minute)
		if r.upInPool() != 4 || strings.Contains(r.asked(), ":81") {
			t.Errorf("%d up, asked %s: the old check no longer decides", r.upInPool(), r.asked())
		}
		e := r.board.Edits()
		if len(e) != 1 || e[0].State != healthcheck.Refused || e[0].Reason != "it would take down 3 of 4 up in app, more than max_flip allows, 50 %" {
			t.Fatalf("edits: %+v", e)
		}
		first := e[0].Ends[0]
		if first.Scope != "app" || first.Endpoint != one || first.Old != healthcheck.Up || first.New != healthcheck.Down ||
			first.Reason != "connect: connection refused" {
			t.Errorf("the first endpoint: %+v", first)
		}
		probes := len(r.farm.times("192.0.2.1:81"))
		r.pass(10 * time.Minute)
		r.apply(edited) // as after a change of something else
		r.pass(10 * time.Minute)
		if n := len(r.farm.times("192.0.2.1:81")); n != probes || r.board.Edits()[0].State != healthcheck.Refused {
			t.Errorf("a refused check was probed %d times more", n-probes)
		}
		r.apply(trialPool(at(80)))
		if len(r.board.Edits()) != 0 {
			t.Error("the edit was taken back and still waits")
		}
	})
}

func TestAnEditThatPassesDecidesWithTheNextPlan(t *testing.T) {
	told := 0
	inBubble(t, func(r *rig) {
		r.apply(trialPool(at(80)))
		r.pass(time.Minute)
		r.refuseAt(81, 2) // half of it, which is not more than half
		edited := trialPool(at(81))
		r.apply(edited)
		if r.board.Passed() {
			t.Error("it has passed before anything was probed")
		}
		r.pass(time.Minute)
		if told != 1 || !r.board.Passed() || r.upInPool() != 4 {
			t.Fatalf("told %d times, passed %t, %d up", told, r.board.Passed(), r.upInPool())
		}
		r.apply(edited)
		if r.upInPool() != 2 || strings.Contains(r.asked(), ":80") || len(r.board.Edits()) != 0 || r.board.Passed() {
			t.Errorf("%d up, asked %s", r.upInPool(), r.asked())
		}
		before := len(r.farm.times("192.0.2.3:81"))
		r.pass(time.Minute)
		if n := len(r.farm.times("192.0.2.3:81")) - before; n < 5 || n > 7 {
			t.Errorf("%d probes a minute after the trial, want about 6", n)
		}
	}, func(o *healthcheck.Options) { o.Passed = func() { told++ } })
}

func TestShadowProbesComeOneAtATimeAndNotAsAFlood(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(trialPool(at(80)))
		r.pass(time.Minute)
		r.farm.hold("192.0.2.1:81", true)
		r.apply(trialPool(at(81)))
		r.pass(10 * time.Second)
		if n := len(r.farm.times("192.0.2.1:81")); n != 3 {
			t.Errorf("%d probes of an endpoint that hangs in one interval, want as many as a verdict takes", n)
		}
		r.pass(10 * time.Minute) // it has passed, and nobody applies a plan
		if n := len(r.farm.times("192.0.2.1:81")); n > 3+63 {
			t.Errorf("%d probes of an endpoint that hangs", n)
		}
		if r.farm.atOnce() != 1 {
			t.Errorf("%d probes of one endpoint at once", r.farm.atOnce())
		}
	})
}

func TestMaxFlipIsTheCheckSOwn(t *testing.T) {
	for share, want := range map[float64]bool{1: false, 24: false, 25: true, 100: true} {
		inBubble(t, func(r *rig) {
			r.apply(trialPool(at(80)))
			r.pass(time.Minute)
			lost := 1
			if share == 100 {
				lost = 4
			}
			r.refuseAt(81, lost)
			r.apply(trialPool(with(at(81), func(c *config.Check) { c.MaxFlip = share })))
			r.pass(time.Minute)
			if r.board.Passed() != want {
				t.Errorf("max_flip %g: passed %t with %d of 4 lost", share, !want, lost)
			}
		})
	}
}

func TestOnlyWhatIsUpCanBeTakenDown(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.refuseAt(80, 2)
		r.apply(trialPool(at(80)))
		r.pass(time.Minute)
		r.refuseAt(81, 3) // two of which are down already, so half of the rest
		r.apply(trialPool(at(81)))
		r.pass(time.Minute)
		if !r.board.Passed() {
			t.Errorf("refused: %+v", r.board.Edits())
		}
	})
}

func TestTheOperatorsWordIsNoEvidence(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(trialPool(at(80)))
		r.pass(time.Minute)
		r.order("app/"+one, healthcheck.ForceUp, 0)
		r.order(two, healthcheck.Drain, 0)
		r.refuseAt(81, 3)
		r.apply(trialPool(at(81)))
		r.pass(time.Minute)
		if !r.board.Passed() { // one of the two that are left
			t.Errorf("refused: %+v", r.board.Edits())
		}
	})
}

func TestAcceptPutsAnEditInForce(t *testing.T) {
	told := 0
	inBubble(t, func(r *rig) {
		unknown := (*healthcheck.UnknownEdit)(nil)
		if err := r.board.Accept("web"); !errors.As(err, &unknown) || err.Error() != `no edit of check "web" waits, nor of any other` {
			t.Errorf("accepting nothing: %v", err)
		}
		r.apply(trialPool(at(80)))
		r.pass(time.Minute)
		r.refuseAt(81, 4)
		edited := trialPool(at(81))
		r.apply(edited)
		r.pass(time.Minute)
		if err := r.board.Accept("wbe"); err == nil || err.Error() != `no edit of check "wbe" waits; there is one of web` {
			t.Errorf("accepting another: %v", err)
		}
		if err := r.board.Accept("web"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if told != 1 {
			t.Errorf("told %d times", told)
		}
		r.apply(edited)
		if r.upInPool() != 0 {
			t.Errorf("%d up by the accepted check", r.upInPool())
		}
	}, func(o *healthcheck.Options) { o.Passed = func() { told++ } })
}

func TestWhatIsNoQuestionTakesEffectAtOnce(t *testing.T) {
	base := tcp("web", one)
	for name, change := range map[string]func(*config.Check){
		"another target":   func(c *config.Check) { c.Target = netip.MustParseAddrPort(two) },
		"another pace":     func(c *config.Check) { c.Interval, c.Rise, c.Fall = time.Minute, 5, 5 },
		"more patience":    func(c *config.Check) { c.Timeout = 5 * time.Second },
		"disabled":         func(c *config.Check) { c.Disabled = true },
		"forced down":      func(c *config.Check) { c.Disabled, c.Inverted = true, true },
		"manual":           func(c *config.Check) { *c = config.Check{Name: "web", Type: "manual"} },
		"another max_flip": func(c *config.Check) { c.MaxFlip = 10 },
	} {
		inBubble(t, func(r *rig) {
			r.apply(checks(base))
			r.pass(time.Minute)
			r.apply(checks(with(base, change)))
			if e := r.board.Edits(); name != "manual" && len(e) != 0 || len(e) != 0 && name == "manual" && e[0].State == healthcheck.Shadow {
				t.Errorf("%s: %+v", name, e)
			}
		})
	}
	for name, change := range map[string]func(*config.Check){
		"inverted":      func(c *config.Check) { c.Inverted = true },
		"less patience": func(c *config.Check) { c.Timeout = time.Millisecond },
		"another type":  func(c *config.Check) { c.Type = "http" },
	} {
		inBubble(t, func(r *rig) {
			r.apply(checks(base))
			r.pass(time.Minute)
			if name == "less patience" {
				r.farm.hold(one, true)
			}
			r.apply(checks(with(base, change)))
			r.wantUp("web", true)
			r.pass(9 * time.Second)
			if name != "less patience" { // there the old one finds it down as well
				r.pass(5 * time.Minute)
			}
			if e := r.board.Edits(); len(e) != 1 || e[0].State != healthcheck.Refused {
				t.Errorf("%s: %+v", name, e)
			}
		})
	}
}

func TestACalculatedCheckIsWeighedAtOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		any := config.Check{Name: "any", Type: "calculated", Of: []string{"a", "b"}, AtLeast: 1}
		r.farm.set(two, true)
		r.apply(checks(tcp("a", one), tcp("b", two), any))
		r.pass(time.Minute)
		r.apply(checks(tcp("a", one), tcp("b", two), with(any, func(c *config.Check) { c.AtLeast = 2 })))
		if e := r.board.Edits(); len(e) != 1 || e[0].State != healthcheck.Refused || e[0].Ends[0].Reason != "1 of 2 healthy, want 2" {
			t.Errorf("edits: %+v", e)
		}
		r.wantUp("any", true)
	})
}

func TestTrialsEndInTime(t *testing.T) {
	inBubble(t, func(r *rig) {
		slow := func(port uint16) *config.Config {
			return trialPool(with(at(port), func(c *config.Check) { c.Interval, c.Timeout, c.Rise = time.Hour, 20*time.Minute, 9 }))
		}
		r.apply(slow(80))
		r.pass(2 * time.Hour)
		for i := range 4 {
			r.farm.hold(fmt.Sprintf("192.0.2.%d:81", i+1), true)
		}
		r.apply(slow(81))
		r.pass(4 * time.Minute)
		if e := r.board.Edits(); e[0].State != healthcheck.Shadow {
			t.Errorf("after 4 minutes: %+v", e)
		}
		r.pass(61 * time.Second)
		if e := r.board.Edits(); len(e) != 1 || e[0].State != healthcheck.Refused { // silence is no success
			t.Errorf("after 5 minutes: %+v", e)
		}
	})
}

func TestARefusalSurvivesARestart(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(trialPool(at(80)))
		r.pass(time.Minute)
		r.refuseAt(81, 4)
		edited := trialPool(at(81))
		r.apply(edited)
		r.pass(time.Minute)
		was := r.board.Edits()
		text := r.save()
		r.restart(text, func(n *rig) {
			n.apply(edited)
			if e := n.board.Edits(); len(e) != 1 || e[0].State != healthcheck.Refused || e[0].Reason != was[0].Reason || !slices.Equal(e[0].Ends, was[0].Ends) {
				t.Errorf("after the restart: %+v", e)
			}
			if n.upInPool() != 4 || strings.Contains(n.asked(), ":81") {
				t.Errorf("%d up, asked %s", n.upInPool(), n.asked())
			}
		})
		r.restart(text, func(n *rig) { // another edit meanwhile is tried anew
			n.apply(trialPool(at(82)))
			if e := n.board.Edits(); len(e) != 1 || e[0].State != healthcheck.Shadow {
				t.Errorf("another edit: %+v", e)
			}
			n.pass(time.Minute)
			if !n.board.Passed() {
				t.Errorf("another edit: %+v", n.board.Edits())
			}
		})
		r.restart(text, func(n *rig) { // taken back while the node was stopped
			n.apply(trialPool(at(80)))
			if e := n.board.Edits(); len(e) != 0 {
				t.Errorf("taken back: %+v", e)
			}
		})
	})
}

func TestSecretsOfAnEditAreNotWritten(t *testing.T) {
	inBubble(t, func(r *rig) {
		secret := with(at(80), func(c *config.Check) { c.Send, c.Reply = "hunter2", "" })
		r.apply(trialPool(secret))
		r.apply(trialPool(with(secret, func(c *config.Check) { c.Port = 81 })))
		if len(r.board.Edits()) != 1 || strings.Contains(string(r.save()), "hunter2") {
			t.Errorf("edits %+v, or the file has what the probe sends", r.board.Edits())
		}
	})
}
