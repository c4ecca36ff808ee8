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
