package healthcheck_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
	"github.com/meridian-edge/meridian/steer"
)

func TestSameKeyHasTheSameSlot(t *testing.T) {
	b := healthcheck.NewBoard()
	plain := b.Slot(healthcheck.Key{Endpoint: one, Check: "tcp"})
	inverted := b.Slot(healthcheck.Key{Endpoint: one, Check: "!tcp"})
	other := b.Slot(healthcheck.Key{Endpoint: two, Check: "tcp"})
	if plain == inverted || plain == other || inverted == other {
		t.Errorf("slots %d, %d, %d are not three", plain, inverted, other)
	}
	for i := range 5000 { // over several growths
		b.Slot(healthcheck.Key{Endpoint: fmt.Sprint(i), Check: "tcp"})
	}
	if again := b.Slot(healthcheck.Key{Endpoint: one, Check: "!tcp"}); again != inverted {
		t.Errorf("slot %d became %d", inverted, again)
	}
	if again := b.Slot(healthcheck.Key{Endpoint: "4999", Check: "tcp"}); again != other+5000 {
		t.Errorf("slot %d, want %d", again, other+5000)
	}
}

func TestUnknownCountsAsUp(t *testing.T) {
	b := healthcheck.NewBoard()
	slot := b.Slot(healthcheck.Key{Endpoint: one, Check: "tcp"})
	for name, health := range map[string]steer.Health{"reach": b.Reach(), "alive": b.Alive()} {
		for _, s := range []steer.Slot{slot, steer.Always, -7, slot + 1, 1 << 30} {
			if !health.Up(s) {
				t.Errorf("%s: slot %d is down", name, s)
			}
		}
	}
	if len(b.Verdicts()) != 0 {
		t.Error("a slot no plan uses has a verdict")
	}
}

func TestReasons(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.farm.hold(two, true)
		r.apply(checks(tcp("a", one), with(tcp("not-a", one), func(c *config.Check) { c.Inverted = true }), tcp("b", two),
			with(tcp("off", two), func(c *config.Check) { c.Disabled = true; c.Inverted = true })))
		for _, health := range []steer.Health{r.board.Reach(), r.board.Alive()} {
			why, ok := health.(steer.Reasoner)
			if !ok {
				t.Fatalf("%T gives no reasons", health)
			}
			for slot, want := range map[steer.Slot]string{
				r.plan.Check("a"):     "connected in 0s",
				r.plan.Check("not-a"): "inverted: connected in 0s",
				r.plan.Check("b"):     "no result yet",
				r.plan.Check("off"):   "inverted: disabled",
				steer.Always:          "no check",
				9999:                  "no such check",
			} {
				if got := why.Reason(slot); got != want {
					t.Errorf("slot %d: %q, want %q", slot, got, want)
				}
			}
		}
	})
}

// TestReadersSeeTheBoardGrow is for the race detector.
func TestReadersSeeTheBoardGrow(t *testing.T) {
	b := healthcheck.NewBoard()
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			reach := b.Reach()
			for s := steer.Slot(0); ; s = (s + 1) % 4000 {
				select {
				case <-done:
					return
				default:
				}
				if !reach.Up(s) {
					t.Error("an unknown slot is down")
					return
				}
				b.Epoch()
			}
		})
	}
	for i := range 4000 {
		b.Slot(healthcheck.Key{Endpoint: fmt.Sprint(i), Check: "tcp"})
	}
	close(done)
	readers.Wait()
}

func TestVerdictsAreSorted(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(checks(tcp("b", two), tcp("a", "192.0.2.9:1"), tcp("c", one)))
		r.pass(time.Second)
		var names string
		for _, v := range r.board.Verdicts() {
			names += v.Names[0]
		}
		if names != "abc" {
			t.Errorf("order %s, want abc", names)
		}
	})
}

func TestStateNames(t *testing.T) {
	if got := fmt.Sprint(healthcheck.Unknown, healthcheck.Up, healthcheck.Down); got != "unknown up down" {
		t.Error(got)
	}
}

// What was never down has no age, so nothing begins slowly when a node starts; what comes back has one from then on.
func TestSinceIsTheLastTurn(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(checks(tcp("a", one)))
		aged := r.board.Reach().(steer.Aged)
		slot := r.plan.Check("a")
		r.pass(time.Minute)
		if since := aged.Since(slot); !since.IsZero() {
			t.Errorf("up from the start, but since %v", since)
		}
		r.farm.set(one, true)
		r.pass(time.Minute)
		r.wantUp("a", false)
		r.farm.set(one, false)
		r.pass(time.Minute)
		r.wantUp("a", true)
		if since := aged.Since(slot); !since.Equal(r.verdict("a").Since) {
			t.Errorf("came up %v, want %v", since, r.verdict("a").Since)
		}
		for _, s := range []steer.Slot{steer.Always, -7, slot + 1, 1 << 30} {
			if since := aged.Since(s); !since.IsZero() {
				t.Errorf("slot %d has turned %v", s, since)
			}
		}
	})
}
