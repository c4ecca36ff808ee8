package healthcheck_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
)

func TestFirstProbeIsImmediateAndOneSuccessIsEnough(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(checks(tcp("a", one)))
		if got := r.farm.times(one); len(got) != 1 || !got[0].Equal(epoch) {
			t.Fatalf("probed at %v, want once at the start", got)
		}
		v := r.verdict("a")
		if v.State != healthcheck.Up || !v.Since.Equal(epoch) || v.Probes != 1 || v.Successes != 1 || v.Flips != 0 {
			t.Errorf("verdict %+v, want up since the start after 1 probe", v)
		}
		if v.Reason != "connected in 0s" {
			t.Errorf("reason %q", v.Reason)
		}
	})
}

func TestDeadFromTheStartIsKnownWithinOneInterval(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.farm.set(one, true)
		r.apply(checks(tcp("a", one)))
		r.wantState("a", healthcheck.Unknown)
		r.wantUp("a", true)
		r.pass(6 * time.Second)
		r.wantState("a", healthcheck.Unknown)
		r.pass(time.Second) // third failure at 2 x 10s/3
		r.wantState("a", healthcheck.Down)
		r.wantUp("a", false)
		if got := len(r.farm.times(one)); got != 3 {
			t.Errorf("%d probes, want 3", got)
		}
	})
}

func TestKnownStatesChangeAtTheConfiguredInterval(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(checks(tcp("a", one)))
		r.pass(time.Minute)
		r.wantState("a", healthcheck.Up)
		r.farm.set(one, true)
		before := len(r.farm.times(one))
		began := time.Now()
		for r.state("a") == healthcheck.Up {
			r.pass(100 * time.Millisecond)
		}
		if took := time.Since(began); took < 19*time.Second || took > 31600*time.Millisecond {
			t.Errorf("down after %v, want 2 to 3 intervals", took)
		}
		if got := len(r.farm.times(one)) - before; got != 3 {
			t.Errorf("down after %d failures, want 3", got)
		}
		v := r.verdict("a")
		if v.Failures != 3 || v.Flips != 1 || v.Reason != "connect: connection refused" || !v.Since.Equal(v.Last) {
			t.Errorf("verdict %+v", v)
		}
		r.farm.set(one, false)
		before = len(r.farm.times(one))
		for r.state("a") == healthcheck.Down {
			r.pass(100 * time.Millisecond)
		}
		if got := len(r.farm.times(one)) - before; got != 2 {
			t.Errorf("up after %d successes, want 2", got)
		}
	})
}

func TestGapsBetweenProbesStayWithinTheJitter(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(checks(tcp("a", one)))
		r.pass(time.Hour)
		times := r.farm.times(one)
		if len(times) < 340 || len(times) > 380 {
			t.Errorf("%d probes in an hour, want about 360", len(times))
		}
		for i := 2; i < len(times); i++ {
			if gap := times[i].Sub(times[i-1]); gap < 9500*time.Millisecond || gap > 10500*time.Millisecond {
				t.Errorf("gap %d is %v, want 9.5s to 10.5s", i, gap)
			}
		}
	})
}

func TestManyTargetsAreProbedEvenly(t *testing.T) {
	inBubble(t, func(r *rig) {
		const targets = 1000
		var list []config.Check
		for i := range targets {
			list = append(list, tcp(fmt.Sprint("c", i), fmt.Sprintf("192.0.2.1:%d", 1000+i)))
		}
		r.apply(checks(list...))
		r.pass(990 * time.Millisecond)
		if n := r.farm.count(); n < 980 || n > targets {
			t.Errorf("%d probes in the first second, want all %d spread over it", n, targets)
		}
		r.pass(time.Minute)
		worst := 0
		for range 100 { // tenths of a second, about 10 probes in each
			before := r.farm.count()
			r.pass(100 * time.Millisecond)
			worst = max(worst, r.farm.count()-before)
		}
		if worst > 30 {
			t.Errorf("%d probes in a tenth of a second, want about 10", worst)
		}
	})
}

func TestOneProbeOfATargetAtATime(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.farm.hold(one, true)
		r.apply(checks(with(tcp("a", one), func(c *config.Check) {
			c.Interval, c.Timeout = time.Second, 999*time.Millisecond
		})))
		r.pass(time.Minute)
		if n := r.farm.atOnce(); n != 1 {
			t.Errorf("%d probes at once, want 1", n)
		}
		v := r.verdict("a")
		if v.State != healthcheck.Down || v.Reason != "timeout after 999ms (connect)" || v.Latency != 999*time.Millisecond {
			t.Errorf("verdict %+v", v)
		}
	})
}

func TestProbesUnderWayAreLimitedAndNoneIsLeftOut(t *testing.T) {
	inBubble(t, func(r *rig) {
		const targets, limit = 3000, 2048
		var list []config.Check
		for i := range targets {
			c := tcp(fmt.Sprint("c", i), fmt.Sprintf("192.0.2.1:%d", 1000+i))
			r.farm.hold(c.Target.String(), true)
			list = append(list, c)
		}
		r.apply(checks(list...))
		r.pass(1900 * time.Millisecond) // all are due by now, and none has timed out
		if n := r.farm.count(); n != limit {
			t.Errorf("%d probes under way, want %d", n, limit)
		}
		if err := r.checker.Settled(r.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(epoch); took > 10*time.Second {
			t.Errorf("all probed after %v, want two rounds of timeouts", took)
		}
	})
}

func TestSamePlanAgainChangesNothing(t *testing.T) {
	run := func(again bool) []time.Time {
		var times []time.Time
		inBubble(t, func(r *rig) {
			cfg := checks(tcp("a", one))
			r.apply(cfg)
			for range 100 {
				r.pass(time.Second)
				if again {
					r.apply(cfg)
				}
			}
			times = r.farm.times(one)
			if v := r.verdict("a"); v.Probes != uint64(len(times)) || v.Successes != len(times) {
				t.Errorf("verdict %+v after %d probes", v, len(times))
			}
		})
		return times
	}
	quiet, busy := run(false), run(true)
	if len(quiet) != len(busy) {
		t.Fatalf("%d probes with reloads, %d without", len(busy), len(quiet))
	}
	for i := range quiet {
		if !quiet[i].Equal(busy[i]) {
			t.Errorf("probe %d at %v with reloads, %v without", i, busy[i], quiet[i])
		}
	}
}

func TestStateSurvivesAReload(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.farm.set(one, true)
		r.apply(checks(tcp("a", one)))
		r.pass(10 * time.Second)
		before := r.verdict("a")
		r.apply(checks(tcp("a", one), tcp("b", two)))
		if after := r.verdict("a"); after.State != healthcheck.Down || after.Since != before.Since || after.Probes != before.Probes {
			t.Errorf("verdict after reload %+v, before %+v", after, before)
		}
		r.wantState("b", healthcheck.Up)
	})
}

func TestChangedSettingsKeepTheVerdict(t *testing.T) {
	inBubble(t, func(r *rig) {
		slow := with(tcp("a", one), func(c *config.Check) { c.Interval, c.Timeout = time.Hour, 500*time.Millisecond })
		r.apply(checks(slow))
		r.pass(2 * time.Hour)
		slot, probes := r.plan.Check("a"), r.verdict("a").Probes

		r.apply(checks(with(slow, func(c *config.Check) { c.Interval = time.Second; c.Fall = 1 })))
		if r.plan.Check("a") != slot || r.verdict("a").Probes < probes {
			t.Error("a changed interval lost the verdict")
		}
		before := len(r.farm.times(one))
		r.pass(10 * time.Second)
		if n := len(r.farm.times(one)) - before; n < 9 || n > 12 {
			t.Errorf("%d probes in 10 s at the new interval, want about 10", n)
		}
		r.farm.set(one, true)
		r.pass(1100 * time.Millisecond)
		r.wantState("a", healthcheck.Down) // by the new fall
	})
}

func TestRemovedTargetIsProbedNoMore(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.farm.hold(one, true)
		r.apply(checks(tcp("a", one), tcp("b", two)))
		r.apply(checks(tcp("b", two)))
		if r.farm.underway(one) != 0 {
			t.Error("the probe of a removed target is still under way")
		}
		r.pass(time.Hour)
		if n := len(r.farm.times(one)); n != 1 {
			t.Errorf("%d probes of a removed target, want the first only", n)
		}
		if all := r.board.Verdicts(); len(all) != 1 || all[0].Names[0] != "b" {
			t.Errorf("verdicts %+v, want b's only", all)
		}
	})
}

func TestVerdictIsBelievedFor5MinutesAfterItsCheckLeft(t *testing.T) {
	f := func(away time.Duration, want healthcheck.State) {
		t.Helper()
		inBubble(t, func(r *rig) {
			r.farm.set(one, true)
			cfg := checks(tcp("a", one))
			r.apply(cfg)
			r.pass(time.Minute)
			slot := r.plan.Check("a")
			r.apply(checks())
			r.pass(away)
			r.farm.hold(one, true) // nothing new is learnt
			r.apply(cfg)
			r.wantState("a", want)
			if r.plan.Check("a") != slot {
				t.Error("the key came back with another slot")
			}
		})
	}
	f(4*time.Minute, healthcheck.Down)
	f(6*time.Minute, healthcheck.Unknown)
}

func TestInvertedIsTheOppositeOfOneSharedProbe(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.farm.hold(one, true)
		r.apply(checks(tcp("a", one), with(tcp("not-a", one), func(c *config.Check) { c.Inverted = true })))
		if r.plan.Check("a") == r.plan.Check("not-a") {
			t.Fatal("both have the same slot")
		}
		r.wantState("not-a", healthcheck.Unknown)
		r.wantUp("a", true)
		r.wantUp("not-a", false) // down until there is data

		r.pass(time.Minute) // it times out
		r.wantUp("a", false)
		r.wantUp("not-a", true)
		if reason := r.verdict("not-a").Reason; reason != "inverted: timeout after 2s (connect)" {
			t.Errorf("reason %q", reason)
		}

		r.farm.hold(one, false)
		r.pass(time.Minute)
		r.wantState("a", healthcheck.Up)
		r.wantState("not-a", healthcheck.Down)
		r.wantUp("not-a", false)
		if v := r.verdict("a"); uint64(len(r.farm.times(one))) != v.Probes {
			t.Errorf("%d probes for two checks, want the %d of one", len(r.farm.times(one)), v.Probes)
		}
	})
}

func TestInvertedAloneIsProbed(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(checks(with(tcp("a", one), func(c *config.Check) { c.Inverted = true })))
		r.wantState("a", healthcheck.Down)
		if all := r.board.Verdicts(); len(all) != 1 || all[0].Key.Check != "!tcp" {
			t.Errorf("verdicts %+v, want the inverted one only", all)
		}
	})
}

func TestDisabledIsNeverProbed(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.farm.set(one, true)
		off := with(tcp("off", one), func(c *config.Check) { c.Disabled = true })
		forced := with(off, func(c *config.Check) { c.Name = "forced-down"; c.Inverted = true })
		r.apply(checks(off, forced))
		r.pass(time.Hour)
		r.wantUp("off", true)
		r.wantState("off", healthcheck.Up)
		r.wantUp("forced-down", false)
		r.wantState("forced-down", healthcheck.Down)
		if n := r.farm.count(); n != 0 {
			t.Errorf("%d probes, want none", n)
		}
	})
}

func TestEqualProbesAreMadeOnceAtTheShortestInterval(t *testing.T) {
	inBubble(t, func(r *rig) {
		cfg := checks(tcp("a", one), with(tcp("b", one), func(c *config.Check) { c.Interval = time.Second; c.Timeout = 500 * time.Millisecond }))
		r.apply(cfg)
		r.pass(30 * time.Second)
		if n := len(r.farm.times(one)); n < 28 || n > 33 {
			t.Errorf("%d probes in 30 s, want about 30", n)
		}
		if v := r.verdict("a"); len(v.Names) != 2 || v.Names[0] != "a" || v.Names[1] != "b" {
			t.Errorf("names %v, want both", v.Names)
		}
	})
}

func TestCalculatedCountsItsChildren(t *testing.T) {
	inBubble(t, func(r *rig) {
		calc := func(name string, atLeast int, of ...string) config.Check {
			return config.Check{Name: name, Type: "calculated", Of: of, AtLeast: atLeast}
		}
		r.apply(checks(
			calc("any", 1, "a", "b"), // before its children in the file
			tcp("a", one), tcp("b", two),
			with(tcp("off", "192.0.2.3:80"), func(c *config.Check) { c.Disabled = true }),
			calc("both", 2, "a", "b"),
			calc("free", 0, "a"),
			calc("never", 3, "a", "b"),
			calc("with-disabled", 2, "a", "b", "off"),
			with(calc("not-any", 1, "a", "b"), func(c *config.Check) { c.Inverted = true }),
		))
		f := func(oneDown, twoDown bool, anyUp, bothUp, disabledUp bool) {
			t.Helper()
			r.farm.set(one, oneDown)
			r.farm.set(two, twoDown)
			r.pass(time.Minute)
			r.wantUp("any", anyUp)
			r.wantUp("not-any", !anyUp)
			r.wantUp("both", bothUp)
			r.wantUp("free", true)
			r.wantUp("never", false)
			r.wantUp("with-disabled", disabledUp)
		}
		f(false, false, true, true, true)
		f(true, false, true, false, true)
		f(false, true, true, false, true)
		f(true, true, false, false, false)
		f(false, false, true, true, true)
		if reason := r.verdict("never").Reason; reason != "2 of 2 healthy, want 3" {
			t.Errorf("reason %q", reason)
		}
	})
}

func TestCalculatedIsUnknownUntilItsChildrenDecide(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.farm.hold(one, true)
		r.farm.hold(two, true)
		r.apply(checks(tcp("a", one), tcp("b", two), config.Check{Name: "any", Type: "calculated", Of: []string{"a", "b"}, AtLeast: 1}))
		r.wantState("any", healthcheck.Unknown)
		r.wantUp("any", true)
		r.pass(time.Minute)
		r.wantState("any", healthcheck.Down)
	})
}

func TestEpochMovesWithStatesOnly(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.apply(checks(tcp("a", one)))
		r.pass(time.Minute) // until there is a connect time
		before := r.board.Epoch()
		r.pass(time.Minute)
		if r.board.Epoch() != before {
			t.Error("the epoch moved without a change")
		}
		r.farm.set(one, true)
		r.pass(time.Minute)
		if r.board.Epoch() == before {
			t.Error("the epoch did not move with a change")
		}
	})
}

func TestSettledWaitsForEveryFirstResult(t *testing.T) {
	inBubble(t, func(r *rig) {
		if err := r.checker.Settled(r.Context()); err != nil {
			t.Errorf("without a plan: %v", err)
		}
		r.farm.hold(one, true)
		cfg := checks(tcp("a", one), tcp("b", two))
		r.apply(cfg)
		short, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if err := r.checker.Settled(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before the first result: %v", err)
		}
		began := time.Now()
		if err := r.checker.Settled(r.Context()); err != nil || time.Since(began) != time.Second {
			t.Errorf("settled after %v with %v, want 1 s later at the probe's timeout", time.Since(began), err)
		}
		r.apply(cfg)
		if err := r.checker.Settled(short); err != nil {
			t.Errorf("after a reload: %v", err)
		}
	})
}

func TestSettledForgetsRemovedTargets(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.farm.hold(one, true)
		r.apply(checks(tcp("a", one)))
		done := make(chan error)
		go func() { done <- r.checker.Settled(r.Context()) }()
		synctest.Wait()
		r.apply(checks())
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRunEndsWithItsContextAndCanBeRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm()
		f.hold(one, true)
		board := healthcheck.NewBoard()
		c := healthcheck.NewChecker(healthcheck.Options{Board: board, Dial: f.dial})
		c.Apply(healthcheck.NewPlan(checks(tcp("a", one)), board))
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := c.Run(ctx); err != nil {
				t.Error(err)
			}
			cancel()
		}
		if n := len(f.times(one)); n != 2 {
			t.Errorf("%d probes, want one in each run", n)
		}
		if v := board.Verdicts()[0]; v.Probes != 0 {
			t.Errorf("a probe that was broken off at the end counts: %+v", v)
		}
	})
}
