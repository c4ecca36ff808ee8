package healthcheck_test

import (
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
)

// TestWeek plays a week on the fake clock: an endpoint that goes up and down all the time, one that loses every third probe,
// one that is drained each night, and one that nothing happens to.
func TestWeek(t *testing.T) {
	inBubble(t, func(r *rig) {
		const three, four = "192.0.2.3:80", "192.0.2.4:80"
		quick := func(name, target string) config.Check {
			return with(tcp(name, target), func(c *config.Check) { c.Rise, c.Fall = 1, 1 })
		}
		held := with(quick("held", one), func(c *config.Check) {
			c.HoldDown = &config.HoldDown{Min: 10 * time.Second, Max: 5 * time.Minute, HalfLife: 5 * time.Minute}
		})
		counted := with(tcp("counted", three), func(c *config.Check) { c.Count = &config.Counting{Up: 20, OK: 10, Down: 10} })
		r.apply(checks(held, quick("flapping", two), counted, tcp("rows", four)))
		r.wantState("held", healthcheck.Up)
		upTime := map[string]time.Duration{}
		longest := time.Duration(0)
		const step = 10 * time.Second
		for i := range int(7 * 24 * time.Hour / step) {
			flap := i/6%2 == 1 // a minute up, a minute down
			r.farm.set(one, flap)
			r.farm.set(two, flap)
			lossy := i%10 == 0 || i%10 == 3 || i%10 == 6
			r.farm.set(three, lossy)
			r.farm.set(four, lossy)
			if i%8640 == 0 { // midnight
				r.order("rows", healthcheck.Drain, time.Hour)
			}
			r.pass(step)
			for _, v := range r.board.Verdicts() {
				name := v.Names[0]
				if v.State == healthcheck.Up {
					upTime[name] += step
				}
				if name == "held" && v.State == healthcheck.Down {
					longest = max(longest, time.Since(v.Since))
				}
			}
		}
		const week = 7 * 24 * time.Hour
		if up := upTime["flapping"]; up < week*4/10 || up > week*6/10 {
			t.Errorf("flapping: up for %v, want about half of the week", up)
		}
		if flips := r.verdict("flapping").Flips; flips < 9000 {
			t.Errorf("flapping: %d changes, want about 10,080", flips)
		}
		if up := upTime["held"]; up > upTime["flapping"]/2 {
			t.Errorf("held: up for %v, want far less than %v", up, upTime["flapping"])
		}
		if flips := r.verdict("held").Flips; flips > 4200 || flips < 1000 {
			t.Errorf("held: %d changes, want one each few minutes", flips)
		}
		if longest > 6*time.Minute || longest < 4*time.Minute {
			t.Errorf("held for %v at the longest, want about 5 minutes", longest)
		}
		if up := upTime["counted"]; up > week/20 {
			t.Errorf("counted: up for %v with a third of the probes lost", up)
		}
		// Rows never see the loss, so all that was missing are the hours of the drain.
		if up := upTime["rows"]; up < week-7*time.Hour-10*time.Minute || up > week-7*time.Hour+10*time.Minute {
			t.Errorf("rows: up for %v, want the week without seven hours", up)
		}
		if orders := r.board.Orders(); len(orders) != 0 {
			t.Errorf("orders %+v", orders)
		}
		// Peace heals: after an hour up the first flap costs what it did at the start.
		r.farm.set(one, false)
		r.pass(2 * time.Hour)
		r.farm.set(one, true)
		for r.state("held") == healthcheck.Up {
			r.pass(time.Second)
		}
		if v := r.verdict("held"); v.HeldUntil.Sub(v.Since) > 11*time.Second {
			t.Errorf("held for %v after two hours of peace", v.HeldUntil.Sub(v.Since))
		}
		if n := r.farm.atOnce(); n != 1 {
			t.Errorf("%d probes of one endpoint at once", n)
		}
	})
}
