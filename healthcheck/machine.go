package healthcheck

import (
	"math"
	"time"
)

// machine turns results of probes into a state. It is a plain value: time is given to it, and it takes no locks.
//
//	Unknown -- success --> Up        Up   -- fall failures --> Down
//	Unknown -- fall failures --> Down    Down -- rise successes in a row, and not held --> Up
//
// Failures count in a row, or, with rules.ok, as gdnsd counts them: what was counted is forgotten only after that many
// successes in a row, so that an endpoint that loses every third probe goes down too.
type machine struct {
	state     State
	successes int // in a row
	failures  int // in a row
	counted   int // failures since state began or since rules.ok successes in a row; 0 without rules.ok

	flaps   float64   // how often it went from Up to Down, each counting half as much after every half-life it was up
	flapped time.Time // when it last went from Up to Down under a hold
	rose    time.Time // when it last came up
}

// rules are the thresholds of a machine. Thresholds below 1 mean 1.
type rules struct {
	rise, fall int
	ok         int // successes in a row that forgive counted failures; 0: one does
	hold       hold
}

// hold is how long an endpoint that went down stays down at least: least after the first time, twice as long after each
// further one, and never longer than most.
type hold struct {
	least, most time.Duration // most 0: no hold
	halfLife    time.Duration
}

// record counts one result and reports whether it changed the state.
func (m *machine) record(ok bool, now time.Time, r rules) bool {
	if ok {
		return m.success(now, r)
	}
	m.failures++
	m.successes = 0
	if m.state == Down {
		return false
	}
	count := m.failures
	if r.ok > 0 {
		m.counted++
		count = m.counted
	}
	if count < r.fall {
		return false
	}
	if m.state == Up {
		m.flap(now, r.hold)
	}
	m.enter(Down)
	return true
}

func (m *machine) success(now time.Time, r rules) bool {
	m.successes++
	m.failures = 0
	switch {
	case m.state == Unknown:
	case m.state == Down && m.successes >= r.rise && !now.Before(m.heldUntil(r.hold)):
	default:
		if m.successes >= r.ok {
			m.counted = 0
		}
		return false
	}
	m.enter(Up)
	m.rose = now
	return true
}

// enter begins a state; the rows go on, what was counted for the old one does not.
func (m *machine) enter(s State) {
	m.state = s
	m.counted = 0
}

// flap counts a change from Up to Down.
func (m *machine) flap(now time.Time, h hold) {
	if h.most <= 0 {
		m.flaps, m.flapped = 0, time.Time{}
		return
	}
	if h.halfLife > 0 { // only being up is peace; else a long hold would make the next one short
		m.flaps *= math.Exp2(-max(0, now.Sub(m.rose).Seconds()) / h.halfLife.Seconds())
	}
	m.flaps++
	m.flapped = now
}

// heldUntil is when the machine may come up again; zero: there is nothing to wait for.
func (m *machine) heldUntil(h hold) time.Time {
	if m.state != Down || h.most <= 0 || m.flapped.IsZero() {
		return time.Time{}
	}
	grown := float64(h.least) * math.Exp2(m.flaps-1)
	return m.flapped.Add(time.Duration(min(grown, float64(h.most))))
}

// steady reports whether a result like the last one changes nothing but the length of a row.
func (m *machine) steady() bool {
	return m.state == Up && m.failures == 0 && m.counted == 0 || m.state == Down && m.successes == 0
}
