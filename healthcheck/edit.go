package healthcheck

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/steer"
)

// edit is a check whose question was changed in the configuration. It is asked in shadow, beside the old question, which goes
// on to decide, until it has an opinion about every endpoint; then it takes the place of the old one, or is refused.
type edit struct {
	name   string
	sign   string       // of the new question
	old    config.Check // in force
	share  float64      // percent of what is up that it may take down
	rules  rules
	span   time.Duration // how long the trial may take
	pairs  []pair
	shadow map[steer.Slot]*planned // what is probed for it alone

	// The fields below are the board's.

	state    EditState
	deadline time.Time
	ready    int    // pairs before this one have an opinion
	why      string // it was refused
	ends     []EditEnd
}

// pair is an endpoint under the old question and under the new one.
type pair struct {
	scope, endpoint string
	member          steer.Slot // of the endpoint in its pool; steer.Always: the check stands alone
	old, next       steer.Slot
	probed          bool // the old question is asked, so an answer will come
}

// EditState is what became of an edited check.
type EditState uint8

// The states of an edited check.
const (
	Shadow  EditState = iota // on trial: the old one decides
	Refused                  // the old one decides until the file is edited again or Accept is called
	passed                   // the next plan has it
)

// String returns shadow, refused or passed.
func (s EditState) String() string { return [...]string{"shadow", "refused", "passed"}[s] }

// Edit is a copy of what the board holds about an edited check that does not decide.
type Edit struct {
	Check  string
	State  EditState
	Until  time.Time // of Shadow: when it is decided at the latest
	Reason string    // of Refused: how much it would take down
	Ends   []EditEnd // sorted by scope and endpoint; those of Refused are as they were when it was refused
}

// EditEnd is one endpoint under an edited check.
type EditEnd struct {
	Scope    string // pool or accelerator; empty: a check with a target of its own, or a calculated one
	Endpoint string
	Old, New State
	Reason   string // of the new question's last probe; empty: none has ended
}

// signature says what a check asks wherever it is asked, and how patiently. It holds no secrets.
func signature(c *config.Check) string {
	if c.Type == "calculated" {
		return fmt.Sprintf("calculated %d of %q inverted=%t", c.AtLeast, c.Of, c.Inverted)
	}
	a := newAsk(c, "endpoint:1")
	return fmt.Sprintf("%s %s port=%d inverted=%t disabled=%t timeout=%s",
		c.Type, a.fingerprint(), c.Port, c.Inverted, c.Disabled, newSettings(c).timeout)
}

// guarded reports whether an edited check has to prove itself before it takes the place of the old one. Another target is
// another thing, not another question; disabling a check and making it manual are the operator's word; and more patience
// takes nothing down.
func guarded(old, c *config.Check) bool {
	if c.Disabled || c.Type == "manual" || old.Target != c.Target {
		return false
	}
	patient := *c
	if was := newSettings(old).timeout; newSettings(c).timeout > was {
		patient.Timeout, patient.Interval = was, max(c.Interval, was+1)
	}
	return signature(old) != signature(&patient)
}

// inForce returns the check that decides under a name: the edited one, or the old question at the new pace with the edit that
// waits.
func (b *planner) inForce(c *config.Check) (config.Check, *edit) {
	b.board.mu.Lock()
	defer b.board.mu.Unlock()
	old, known := b.board.inForce[c.Name]
	if !known || !guarded(&old, c) {
		return *c, nil
	}
	sign := signature(c)
	if e := b.board.edits[c.Name]; e != nil && e.sign == sign && e.state == passed {
		return *c, nil
	}
	kept := old
	kept.Interval, kept.Rise, kept.Fall, kept.Count, kept.HoldDown = c.Interval, c.Rise, c.Fall, c.Count, c.HoldDown
	s := newSettings(c)
	return kept, &edit{
		name: c.Name, sign: sign, old: kept, share: cmp.Or(c.MaxFlip, defaultMaxFlip), rules: s.rules,
		span: min(max(3*s.interval+time.Duration(s.rules.rise+s.rules.fall)*s.timeout, leastTrial), mostTrial),
	}
}

// trial resolves what an edited check asks at every endpoint that the old one judges. Without any there is nothing to try.
func (b *planner) trial(cfg *config.Config, c *config.Check, e *edit) {
	scratch := b.scratch() // what is resolved here is no part of the plan
	old := b.scratch()
	was, is := newAsk(&e.old, ""), newAsk(c, "")
	if was.fingerprint() == is.fingerprint() && c.Port == e.old.Port && c.Type != "calculated" {
		scratch.within = " within " + newSettings(c).timeout.String() // else both would be one verdict
	}
	ask := func(scope string, member steer.Slot, endpoint string) {
		p := pair{scope: scope, endpoint: endpoint, member: member, old: old.at(&e.old, endpoint), next: scratch.at(c, endpoint)}
		if t := b.plan.targets[b.board.baseOf(p.old)]; t != nil {
			p.probed = t.ask.probed()
		}
		e.pairs = append(e.pairs, p)
	}
	if _, alone := b.plan.checks[c.Name]; alone && (c.Target.IsValid() || c.Type == "calculated") {
		endpoint := ""
		if c.Target.IsValid() {
			endpoint = addrText(c.Target)
		}
		ask("", steer.Always, endpoint)
	}
	for i := range cfg.Pools {
		if p := &cfg.Pools[i]; p.Check == c.Name {
			for j := range p.Endpoints {
				endpoint := endpointText(&p.Endpoints[j])
				ask(p.Name, b.plan.Endpoint(p.Name, j), endpoint)
			}
		}
	}
	for i := range cfg.Accelerators {
		a := &cfg.Accelerators[i]
		for j := range a.Groups {
			if a.Groups[j].Check != c.Name {
				continue
			}
			port := probePort(a.Listeners, &e.old)
			for k := range a.Groups[j].Endpoints {
				endpoint := groupEndpointText(&a.Groups[j].Endpoints[k], port)
				ask(a.Name, b.plan.Group(a.Name, j, k), endpoint)
			}
		}
	}
	e.shadow = scratch.plan.targets
	for slot := range e.shadow {
		if b.plan.targets[slot] != nil {
			delete(e.shadow, slot) // another check asks it already
			continue
		}
		e.shadow[slot].names, e.shadow[slot].shadow = nil, true
	}
	slices.SortStableFunc(e.pairs, func(x, y pair) int {
		return cmp.Or(strings.Compare(x.scope, y.scope), strings.Compare(x.endpoint, y.endpoint))
	})
	if len(e.pairs) > 0 {
		b.plan.edits = append(b.plan.edits, e)
	}
}

// scratch returns a planner that resolves as b does and leaves b's plan alone.
func (b *planner) scratch() planner {
	return planner{board: b.board, byName: b.byName, plan: &Plan{
		checks: b.plan.checks, names: map[steer.Slot][]string{}, targets: map[steer.Slot]*planned{},
	}}
}

// at resolves a check at an endpoint, without looking at what is in force under its name.
func (b *planner) at(c *config.Check, endpoint string) steer.Slot {
	if c.Type == "calculated" {
		return b.calculated(c)
	}
	return b.probed(c, endpoint)
}

// baseOf is the slot whose probes decide a slot.
func (b *Board) baseOf(s steer.Slot) steer.Slot {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s >= 0 && int(s) < len(b.rows) && b.rows[s].base != nil {
		return b.rows[s].base.slot
	}
	return s
}

// adoptEdits begins the trials of a plan, goes on with those that are under way, and forgets the others. The caller holds mu.
func (b *Board) adoptEdits(p *Plan, now time.Time) {
	b.inForce = p.inForce
	old := b.edits
	b.edits = make(map[string]*edit, len(p.edits))
	for _, r := range b.rows {
		r.edits = nil
	}
	for _, e := range p.edits {
		b.edits[e.name] = e
		before := old[e.name]
		if before == nil || before.sign != e.sign {
			b.beginTrial(e, now)
		} else {
			e.state, e.deadline, e.why, e.ends = before.state, before.deadline, before.why, before.ends
		}
		if e.state != Shadow {
			continue
		}
		for slot := range e.shadow {
			b.rows[slot].edits = append(b.rows[slot].edits, e)
		}
		b.sooner(e.deadline)
		b.weigh(e, now)
	}
	clear(b.savedEdits)
	if len(old) > 0 || len(b.edits) > 0 {
		b.doubt.note(true)
	}
}

// beginTrial starts a trial, unless an earlier process has refused the same. The caller holds mu.
func (b *Board) beginTrial(e *edit, now time.Time) {
	if s := b.savedEdits[e.name]; s != nil && s.Sign == e.sign && s.Refused {
		e.state, e.why, e.ends = Refused, s.Why, s.Ends
		return
	}
	e.deadline = now.Add(e.span)
	for slot := range e.shadow {
		if r := b.rows[slot]; !r.used() && len(r.edits) == 0 { // what an older trial found is no evidence
			r.machine, r.agent, r.reason, r.last, r.proving = machine{}, nil, "", time.Time{}, false
			b.publish(r, pack(Unknown), nil)
		}
	}
	b.happened(event{kind: "edit", cause: Shadow.String(), endpoint: e.name})
}

// weigh decides a trial when every endpoint has an opinion, or when its time is over. The caller holds mu.
func (b *Board) weigh(e *edit, now time.Time) {
	if e.state != Shadow {
		return
	}
	late := !now.Before(e.deadline)
	for !late && e.ready < len(e.pairs) {
		if p := &e.pairs[e.ready]; !b.opinionated(p.next, e.rules.rise) || p.probed && !b.opinionated(p.old, 1) {
			return
		}
		e.ready++
	}
	e.ends = b.endsOf(e)
	e.state, e.why = passed, b.losses(e)
	if e.why != "" {
		e.state = Refused
	}
	b.doubt.note(true)
	b.happened(event{kind: "edit", cause: e.state.String(), endpoint: e.name, reason: e.why, ends: e.ends})
}

// opinionated reports whether enough probes have been made for a verdict that can be relied on. The caller holds mu.
func (b *Board) opinionated(s steer.Slot, rise int) bool {
	if s < 0 {
		return true
	}
	r := b.rows[s]
	if r.base != nil {
		r = r.base
	}
	m := &r.machine
	return r.calc != nil || r.key.Check == disabledCheck || m.state == Down || m.state == Up && m.successes >= rise ||
		m.state == Up && m.failures > 0
}

// losses says how much of what is up an edited check would take down, if that is too much. An endpoint that is under the
// operator's word is his; one that the new check says nothing about in all its time counts as lost. The caller holds mu.
func (b *Board) losses(e *edit) string {
	for i := 0; i < len(e.pairs); {
		scope, up, lost := e.pairs[i].scope, 0, 0
		for ; i < len(e.pairs) && e.pairs[i].scope == scope; i++ {
			p := &e.pairs[i]
			ordered := p.old >= 0 && b.rows[p.old].order != nil || p.member >= 0 && b.rows[p.member].order != nil
			if ordered || b.load(p.old)&stateBits != word(Up) {
				continue
			}
			up++
			if b.load(p.next)&stateBits != word(Up) {
				lost++
			}
		}
		if float64(lost)*100 > e.share*float64(up) {
			where := "where it stands alone"
			if scope != "" {
				where = "in " + scope
			}
			return fmt.Sprintf("it would take down %d of %d up %s, more than max_flip allows, %g %%", lost, up, where, e.share)
		}
	}
	return ""
}

// endsOf says what both questions found. The caller holds mu.
func (b *Board) endsOf(e *edit) []EditEnd {
	ends := make([]EditEnd, 0, len(e.pairs))
	for _, p := range e.pairs {
		end := EditEnd{Scope: p.scope, Endpoint: p.endpoint}
		end.Old = State(b.load(p.old) & stateBits)
		if p.next >= 0 {
			end.New, end.Reason = State(b.load(p.next)&stateBits), b.rowReason(b.rows[p.next])
		}
		ends = append(ends, end)
	}
	return ends
}

// endTrials decides the trials whose time is over. The caller holds mu.
func (b *Board) endTrials(now time.Time) {
	for _, e := range b.edits {
		if e.state == Shadow {
			b.weigh(e, now)
		}
		if e.state == Shadow {
			b.sooner(e.deadline)
		}
	}
}

// Edits returns a copy of every edited check of the applied plan that does not decide (yet), sorted by name.
func (b *Board) Edits() []Edit {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Edit
	for _, e := range b.edits {
		switch e.state {
		case Shadow:
			all = append(all, Edit{Check: e.name, Until: e.deadline, Ends: b.endsOf(e)})
		case Refused:
			all = append(all, Edit{Check: e.name, State: Refused, Reason: e.why, Ends: slices.Clone(e.ends)})
		case passed: // the next plan has it
		}
	}
	slices.SortFunc(all, func(x, y Edit) int { return strings.Compare(x.Check, y.Check) })
	return all
}

// Passed reports whether an edited check waits for the next plan to take it over.
func (b *Board) Passed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.edits {
		if e.state == passed {
			return true
		}
	}
	return false
}

// Accept lets an edited check take the place of the old one whatever it takes down, as the operator's word. The Checker tells
// Options.Passed, and the next plan has it. It fails with an *UnknownEdit.
func (b *Board) Accept(check string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.edits[check]
	if e == nil {
		unknown := &UnknownEdit{Check: check}
		for name := range b.edits {
			unknown.Known = append(unknown.Known, name)
		}
		slices.Sort(unknown.Known)
		return unknown
	}
	if e.state != passed {
		e.state = passed
		b.doubt.note(true)
		b.happened(event{kind: "edit", cause: "accepted", endpoint: e.name})
	}
	return nil
}

// UnknownEdit is the error of accepting a check that no edit of waits.
type UnknownEdit struct {
	Check string
	Known []string // checks of which one does, sorted
}

// Error names the edits that wait.
func (u *UnknownEdit) Error() string {
	if len(u.Known) == 0 {
		return fmt.Sprintf("no edit of check %q waits, nor of any other", u.Check)
	}
	return fmt.Sprintf("no edit of check %q waits; there is one of %s", u.Check, strings.Join(u.Known, ", "))
}

// tried reports whether a trial that is not over waits for a slot.
func (b *Board) tried(s steer.Slot) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.rows[s].edits, func(e *edit) bool { return e.state != Refused })
}

// trials adds to the targets of a plan what is probed in shadow.
func (b *Board) trials(p *Plan) map[steer.Slot]*planned {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := p.targets
	for _, e := range b.edits {
		if e.state == Refused || len(e.shadow) == 0 {
			continue
		}
		if len(all) == len(p.targets) {
			all = make(map[steer.Slot]*planned, len(p.targets)+len(e.shadow))
			for slot, t := range p.targets {
				all[slot] = t
			}
		}
		for slot, t := range e.shadow {
			all[slot] = t
		}
	}
	return all
}
