package healthcheck

import (
	"strings"
	"testing"
	"time"
)

func TestMachineNeedsResultsInARow(t *testing.T) {
	// + is a success and - a failure; the second string is the state after each: ? unknown, U up, D down.
	f := func(rise, fall int, results, want string) {
		t.Helper()
		var m machine
		var got strings.Builder
		for _, r := range results {
			before := m.state
			if changed := m.record(r == '+', time.Time{}, rules{rise: rise, fall: fall}); changed != (m.state != before) {
				t.Errorf("rise %d fall %d %s: record says changed=%t, state %s -> %s", rise, fall, results, changed, before, m.state)
			}
			got.WriteByte("?UD"[m.state])
		}
		if got.String() != want {
			t.Errorf("rise %d fall %d %s: %s, want %s", rise, fall, results, got.String(), want)
		}
	}
	f(2, 3, "+", "U")                   // one success is enough at the start
	f(2, 3, "-+", "?U")                 // also after failures
	f(2, 3, "---", "??D")               // but fall failures are needed
	f(2, 3, "--+---", "??UUUD")         // a success ends the row of failures
	f(2, 3, "+--+--+---", "UUUUUUUUUD") // two in a row are not three
	f(2, 3, "---++", "??DDU")           // rise successes
	f(2, 3, "---+-++", "??DDDDU")       // in a row
	f(1, 1, "+-+-", "UDUD")             //
	f(3, 1, "-++-+++", "DDDDDDU")       //
	f(0, 0, "-+-", "DUD")               // thresholds below 1 mean 1
}

func TestMachineCountsRows(t *testing.T) {
	var m machine
	for range 5 {
		m.record(true, time.Time{}, rules{rise: 2, fall: 3})
	}
	m.record(false, time.Time{}, rules{rise: 2, fall: 3})
	m.record(false, time.Time{}, rules{rise: 2, fall: 3})
	if m.successes != 0 || m.failures != 2 || m.state != Up {
		t.Errorf("got %+v, want 0 successes, 2 failures, up", m)
	}
}

// play feeds results to a machine, one each step, and returns the state after each.
func play(m *machine, r rules, step time.Duration, results string) string {
	var got strings.Builder
	at := time.Unix(0, 0)
	if !m.flapped.IsZero() {
		at = m.flapped
	}
	for _, x := range results {
		at = at.Add(step)
		m.record(x == '+', at, r)
		got.WriteByte("?UD"[m.state])
	}
	return got.String()
}

func TestCountingForgivesOnlyAfterARowOfSuccesses(t *testing.T) {
	f := func(results, want string) {
		t.Helper()
		if got := play(&machine{}, rules{rise: 4, ok: 3, fall: 3}, time.Second, results); got != want {
			t.Errorf("%s: %s, want %s", results, got, want)
		}
	}
	f("+-+-+-", "UUUUUD")                       // no three in a row, and yet
	f("+--+++--+++--", strings.Repeat("U", 13)) // three successes forgive
	f("+--++-", "UUUUUD")                       // two do not
	f("+---++++", "UUUDDDDU")                   // up again only after four
	f("+---+++-++++", "UUUDDDDDDDDU")
	f("---", "??D")               // nothing known, nothing forgiven
	f("+---++++--", "UUUDDDDUUU") // a new state begins to count anew
}

func TestCountingCatchesALossThatRowsNeverSee(t *testing.T) {
	lossy := "+" + strings.Repeat("-++-++-+++", 20) // 30 %
	if got := play(&machine{}, rules{rise: 2, fall: 3}, time.Second, lossy); strings.Contains(got, "D") {
		t.Errorf("three in a row: %s, there is no such row", got)
	}
	gdnsd := rules{rise: 20, ok: 10, fall: 10}
	if got := strings.IndexByte(play(&machine{}, gdnsd, time.Second, lossy), 'D'); got < 0 || got > 40 {
		t.Errorf("counted: down after %d results, want about 33", got)
	}
	rare := "+" + strings.Repeat("-+++++++++++", 50) // one of twelve
	if got := play(&machine{}, gdnsd, time.Second, rare); strings.Contains(got, "D") {
		t.Error("a failure now and then is forgiven")
	}
}

func TestHoldDoublesWithEachFlapAndDecays(t *testing.T) {
	r := rules{rise: 1, fall: 1, hold: hold{least: 10 * time.Second, most: 5 * time.Minute, halfLife: 5 * time.Minute}}
	var m machine
	at := time.Unix(1000, 0)
	cycle := func() time.Duration { // goes down, and succeeds each second until it is up
		m.record(false, at, r)
		began := at
		for m.state == Down {
			at = at.Add(time.Second)
			m.record(true, at, r)
		}
		return at.Sub(began)
	}
	m.record(true, at, r)
	before := time.Duration(0)
	for i, want := range []time.Duration{10, 20, 40, 80, 160, 300} { // seconds
		got := cycle()
		if got <= before || got != want*time.Second {
			t.Errorf("hold %d is %v, want about %d s", i, got, want)
		}
		before = got
	}
	for range 2000 {
		if got := cycle(); got != 5*time.Minute {
			t.Errorf("held for %v, want 5 minutes at most", got)
		}
	}
	at = at.Add(5 * time.Minute) // half of it is forgiven, which is still more than the most
	if got := cycle(); got != 5*time.Minute {
		t.Errorf("after one half-life held for %v", got)
	}
	at = at.Add(12 * time.Hour)
	if got := cycle(); got != 10*time.Second {
		t.Errorf("after half a day of peace held for %v, want 10s", got)
	}
}

func TestWithoutHoldNothingIsHeld(t *testing.T) {
	var m machine
	if got := play(&m, rules{rise: 1, fall: 1}, time.Second, "+-+-+-+"); got != "UDUDUDU" || m.flaps != 0 {
		t.Errorf("%s with %g flaps", got, m.flaps)
	}
	// An endpoint that was dead from the start has not flapped.
	m = machine{}
	if got := play(&m, rules{rise: 1, fall: 1, hold: hold{least: time.Hour, most: time.Hour, halfLife: time.Hour}}, time.Second, "-+"); got != "DU" {
		t.Error(got)
	}
}
