package healthcheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck/probe"
)

// doubt is what a file does not hold yet.
type doubt struct {
	urgent bool // a state, an order, an ejection, or a row that leads to one
	stale  bool // how often and when something was probed last
}

// note remembers that something changed.
func (d *doubt) note(urgent bool) {
	d.stale = true
	d.urgent = d.urgent || urgent
}

// savedFormat is the version of the file. A file of another one is not read.
const savedFormat = 1

// savedBoard is what a board leaves behind for the next process.
type savedBoard struct {
	Format    int             `json:"format"`
	Saved     time.Time       `json:"saved"`
	Checks    []saved         `json:"checks,omitempty"`
	Orders    []savedOrder    `json:"orders,omitempty"`
	Ejections []savedEjection `json:"ejections,omitempty"`
	Edits     []savedEdit     `json:"edits,omitempty"`
}

// savedEdit is an edited check that does not decide, and what decides instead.
type savedEdit struct {
	Old     config.Check `json:"old"`
	Sign    string       `json:"sign"`
	Refused bool         `json:"refused,omitempty"`
	Why     string       `json:"why,omitempty"`
	Ends    []EditEnd    `json:"ends,omitempty"`
}

// saved is a probed or calculated row.
type saved struct {
	Endpoint  string        `json:"endpoint,omitempty"`
	Check     string        `json:"check"`
	State     string        `json:"state"`
	Since     time.Time     `json:"since,omitzero"`
	Last      time.Time     `json:"last,omitzero"`
	Reason    string        `json:"reason,omitempty"`
	Latency   time.Duration `json:"latency_ns,omitempty"`
	Successes int           `json:"successes,omitempty"`
	Failures  int           `json:"failures,omitempty"`
	Counted   int           `json:"counted,omitempty"`
	Flaps     float64       `json:"flaps,omitempty"`
	Flapped   time.Time     `json:"flapped,omitzero"`
	Rose      time.Time     `json:"rose,omitzero"`
	Probes    uint64        `json:"probes,omitempty"`
	Flips     uint64        `json:"flips,omitempty"`
	Connect   time.Duration `json:"connect_ns,omitempty"`

	Agent *probe.AgentState `json:"agent,omitempty"`
}

type savedOrder struct {
	Target string    `json:"target"`
	Force  string    `json:"state"`
	Given  time.Time `json:"given"`
	Until  time.Time `json:"until,omitzero"`
}

type savedEjection struct {
	Endpoint string    `json:"endpoint"`
	Member   string    `json:"member"`
	Count    int       `json:"count"`
	Began    time.Time `json:"began,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	Why      string    `json:"why,omitempty"`
}

// Save returns what the board knows as a file holds it: the verdicts, the operator's orders, the ejections.
func (b *Board) Save() ([]byte, error) {
	b.mu.Lock()
	all := savedBoard{Format: savedFormat, Saved: time.Now().UTC(), Checks: make([]saved, 0, len(b.rows))}
	for _, r := range b.rows {
		b.saveRow(r, &all)
	}
	for _, o := range b.orders {
		all.Orders = append(all.Orders, savedOrder{Target: o.Target, Force: o.Force.String(), Given: o.Given.UTC(), Until: utc(o.Until)})
	}
	for _, e := range b.edits {
		// What a probe sends may be a secret, which is in no file of ours.
		if e.state != passed && len(e.old.Headers) == 0 && e.old.Send == "" {
			all.Edits = append(all.Edits, savedEdit{Old: e.old, Sign: e.sign, Refused: e.state == Refused, Why: e.why, Ends: e.ends})
		}
	}
	b.doubt = doubt{}
	b.mu.Unlock()
	text, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("encode health: %w", err)
	}
	return append(text, '\n'), nil
}

func (b *Board) saveRow(r *row, all *savedBoard) {
	switch {
	case r.member != nil:
		if m := r.member; m.used && (m.ejections > 0 || !m.until.IsZero()) {
			all.Ejections = append(all.Ejections, savedEjection{
				Endpoint: r.key.Endpoint, Member: r.key.Check, Count: m.ejections, Began: utc(m.ejected), Until: utc(m.until), Why: m.why,
			})
		}
	case r.base != nil || r.key.Check == disabledCheck || r.last.IsZero() || r.calc == nil && !r.used() || len(all.Checks) >= maxSavedChecks:
	default:
		m := &r.machine
		var agent *probe.AgentState
		if r.agent != nil { // a copy: it is written after the lock is released
			said := *r.agent
			agent = &said
		}
		all.Checks = append(all.Checks, saved{
			Endpoint: r.key.Endpoint, Check: r.key.Check, State: m.state.String(), Since: utc(r.since), Last: utc(r.last),
			Reason: r.reason, Latency: r.latency, Successes: m.successes, Failures: m.failures, Counted: m.counted,
			Flaps: m.flaps, Flapped: utc(m.flapped), Rose: utc(m.rose), Probes: r.probes, Flips: r.flips,
			Connect: r.connect.Value(), Agent: agent,
		})
	}
}

// utc is a time as it is written; zero stays zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

// errForeign is wrapped by errors about a file that Save did not write.
var errForeign = errors.New("not a health file of this version")

// Restore takes what an earlier board has saved, before any slot is asked for. Verdicts and ejections are believed when they
// were saved within keepVerdict of now, whatever the clock did since; orders until their own time is over. It returns how
// many verdicts and orders it took, and takes nothing of a text that is damaged.
func (b *Board) Restore(text []byte) (verdicts, orders int, err error) {
	var all savedBoard
	if err := json.Unmarshal(text, &all); err != nil {
		return 0, 0, fmt.Errorf("%w: %w", errForeign, err)
	}
	if err := all.check(); err != nil {
		return 0, 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, o := range all.Orders {
		if !o.Until.IsZero() && !now.Before(o.Until) {
			continue
		}
		force, _ := ParseForce(o.Force)
		b.orders[o.Target] = &Order{Target: o.Target, Force: force, Given: o.Given, Until: o.Until}
		if !o.Until.IsZero() {
			b.sooner(o.Until)
		}
		orders++
	}
	for i := range all.Edits {
		e := &all.Edits[i]
		b.inForce[e.Old.Name], b.savedEdits[e.Old.Name] = e.Old, e
	}
	if age := now.Sub(all.Saved); age < -keepVerdict || age > keepVerdict {
		return 0, orders, nil
	}
	for i := range all.Checks {
		s := &all.Checks[i]
		b.saved[Key{Endpoint: s.Endpoint, Check: s.Check}] = s
	}
	for i := range all.Ejections {
		e := &all.Ejections[i]
		b.lost[Key{Endpoint: e.Endpoint, Check: e.Member}] = e
	}
	b.forgetAt = now.Add(keepVerdict)
	return len(all.Checks), orders, nil
}

// check refuses what Save cannot have written.
func (s *savedBoard) check() error {
	if s.Format != savedFormat {
		return fmt.Errorf("%w: format %d, want %d", errForeign, s.Format, savedFormat)
	}
	if len(s.Checks) > maxSavedChecks || len(s.Orders) > maxOrders || len(s.Ejections) > maxSavedChecks {
		return fmt.Errorf("%w: %d checks, %d orders, %d ejections", errForeign, len(s.Checks), len(s.Orders), len(s.Ejections))
	}
	for i := range s.Checks {
		c := &s.Checks[i]
		if _, ok := parseState(c.State); !ok || c.Check == "" || c.Successes < 0 || c.Failures < 0 || c.Counted < 0 ||
			!(c.Flaps >= 0 && c.Flaps <= maxSavedFlaps) || c.Agent != nil && !c.Agent.Valid() {
			return fmt.Errorf("%w: check %d", errForeign, i)
		}
	}
	if len(s.Edits) > maxEdits {
		return fmt.Errorf("%w: %d edits", errForeign, len(s.Edits))
	}
	for i := range s.Edits {
		if e := &s.Edits[i]; e.Old.Name == "" || e.Old.Type == "" || slices.ContainsFunc(e.Ends, func(end EditEnd) bool { return end.Old > Down || end.New > Down }) {
			return fmt.Errorf("%w: edit %d", errForeign, i)
		}
	}
	for i, o := range s.Orders {
		if force, err := ParseForce(o.Force); err != nil || force == NoForce || o.Target == "" {
			return fmt.Errorf("%w: order %d", errForeign, i)
		}
	}
	for i, e := range s.Ejections {
		if e.Count < 0 || e.Count > maxEjections || e.Until.IsZero() != e.Began.IsZero() {
			return fmt.Errorf("%w: ejection %d", errForeign, i)
		}
	}
	return nil
}

func parseState(name string) (State, bool) {
	for i, n := range stateNames {
		if n == name {
			return State(i), true
		}
	}
	return Unknown, false
}

// recall gives a new row what was saved of it. The caller holds mu.
func (b *Board) recall(r *row) {
	s := b.saved[r.key]
	if s == nil {
		return
	}
	if time.Now().After(b.forgetAt) {
		clear(b.saved)
		return
	}
	if calculated(r.key) {
		return // its children decide; recallCalculated takes the rest
	}
	delete(b.saved, r.key)
	state, _ := parseState(s.State)
	r.machine = machine{
		state: state, successes: s.Successes, failures: s.Failures, counted: s.Counted, flaps: s.Flaps, flapped: s.Flapped,
		rose: s.Rose,
	}
	r.since, r.last, r.reason, r.latency, r.probes, r.flips = s.Since, s.Last, probe.Clean(s.Reason), s.Latency, s.Probes, s.Flips
	r.agent = s.Agent
	r.connect.Recall(s.Connect)
}

// recallCalculated gives a calculated row, which its children have decided, the time since when and the count of changes if
// nothing has changed. The caller holds mu.
func (b *Board) recallCalculated(r *row) {
	s := b.saved[r.key]
	delete(b.saved, r.key)
	if s == nil || s.State != r.machine.state.String() {
		return
	}
	r.since, r.flips = s.Since, s.Flips
}

// recallEjection gives a new member the ejection that was saved of it. The caller holds mu.
func (b *Board) recallEjection(r *row) {
	e := b.lost[r.key]
	if e == nil {
		return
	}
	delete(b.lost, r.key)
	m := r.member
	m.ejections = e.Count
	if time.Now().Before(e.Until) {
		m.ejected, m.until, m.why = e.Began, e.Until, probe.Clean(e.Why)
		b.sooner(m.until)
	}
}
