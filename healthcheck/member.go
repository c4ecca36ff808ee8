package healthcheck

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/steer"
)

// scope is what an endpoint is a member of: a pool, or a group of an accelerator.
type scope struct {
	pool  bool
	name  string // of the pool or accelerator
	group string // region of an accelerator's group
}

// String is the name of the pool, or accelerator/region.
func (s scope) String() string {
	if s.group == "" {
		return s.name
	}
	return s.name + "/" + s.group
}

// member is what an endpoint of a pool or accelerator has beyond a row: what it follows, and what its requests came to.
type member struct {
	scope scope
	under *row // the row of its check; nil: no check
	used  bool // by the plan in force

	tally tally

	ejections int       // that its next ejection counts from
	ejected   time.Time // when the one under way began
	until     time.Time // when it ends; zero: none is under way
	why       string    // it began
	back      time.Time // when the last one ended
}

// group is a pool, or a group of an accelerator, whose endpoints are judged by their requests.
type group struct {
	rules   config.Passive
	members []*row
	sweep   time.Time // when success rates are compared next
}

// Member is a copy of what the board holds about an endpoint of a pool or accelerator.
type Member struct {
	Scope    string // name of the pool or accelerator
	Group    string // region of an accelerator's group; empty: it is a pool
	Endpoint string
	Up       bool      // what this edge may use: Reach
	Order    Order     // the operator's word about it; its Force is NoForce when there is none
	Judged   bool      // requests can eject it
	Ejected  time.Time // when the ejection under way began; zero: none is
	Until    time.Time // when it ends
	Reason   string    // empty: nothing looks at it
}

// Members returns a copy of every endpoint of pools and accelerators in the applied plan, sorted.
func (b *Board) Members() []Member {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Member
	for _, r := range b.rows {
		if r.member == nil || !r.member.used {
			continue
		}
		m := Member{
			Scope: r.member.scope.name, Group: r.member.scope.group, Endpoint: r.key.Endpoint, Up: b.load(r.slot)&reachDown == 0, Until: r.member.until,
			Judged: b.groupOf(r) != nil, Reason: b.memberReason(r),
		}
		if !m.Until.IsZero() {
			m.Ejected = r.member.ejected
		}
		if r.order != nil {
			m.Order = *r.order
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(x, y Member) int {
		return cmp.Or(strings.Compare(x.Scope, y.Scope), strings.Compare(x.Group, y.Group), strings.Compare(x.Endpoint, y.Endpoint))
	})
	return all
}

// memberReason is why a member counts as it does; empty: it has no check, and nothing else is known. The caller holds mu.
func (b *Board) memberReason(r *row) string {
	text := ""
	if r.member.under != nil {
		text = b.rowReason(r.member.under)
	}
	if r.said == unproven && !r.member.scope.pool {
		text += "; not in service before its check has passed"
	}
	if m := r.member; !m.until.IsZero() {
		under := text
		text = "ejected until " + clock(m.until) + ": " + m.why
		if under != "" {
			text += "; its check: " + under
		}
	}
	// A word about an address is about its check too: it is said once.
	if under := r.member.under; r.order != nil && (under == nil || under.order == nil || *under.order != *r.order) {
		return r.order.words(text)
	}
	return text
}

// groupOf is the pool or group whose requests judge a member; nil: none do.
func (b *Board) groupOf(r *row) *group {
	return b.groups[r.member.scope]
}

// memberSlot returns the slot of an endpoint of a pool or else an accelerator, which follows that of its check.
func (b *Board) memberSlot(in scope, endpoint string, under steer.Slot) steer.Slot {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := Key{Endpoint: endpoint, Check: "member of accelerator " + in.String()}
	if in.pool {
		k.Check = "member of pool " + in.name
	}
	r := b.row(k, time.Now())
	if r.member == nil {
		r.member = &member{scope: in}
		b.recallEjection(r)
		b.follow(r, under)
	}
	return r.slot
}

// follow makes a member follow the row of its check. The caller holds mu.
func (b *Board) follow(r *row, under steer.Slot) {
	said, known := word(Unknown), advice(0)
	r.member.under = nil
	if under >= 0 {
		r.member.under = b.rows[under]
		said, known = b.load(under), r.member.under.packAdvice()
	}
	b.storeAdvice(r, known)
	b.publish(r, r.inService(said), nil)
}

// inService is what the word of its check makes of a member. An accelerator's endpoint gets no flows before it has passed its
// check, as in Global Accelerator; one of a pool counts as up until something is known about it, as an answer of Route 53 does.
func (r *row) inService(w word) word {
	m := r.member
	if m.scope.pool || m.under == nil || State(w&stateBits) != Unknown || strings.HasPrefix(m.under.key.Check, manualCheck) {
		return w
	}
	return unproven
}

// adoptMembers makes the members of a plan follow its checks, and forgets groups and ejections it does not have. The caller
// holds mu.
func (b *Board) adoptMembers(p *Plan, now time.Time) {
	for _, r := range b.rows {
		if r.member != nil {
			r.member.used = false
		}
	}
	groups := make(map[scope]*group, len(p.judged))
	for scope, rules := range p.judged {
		groups[scope] = &group{rules: rules, sweep: now.Add(rules.Interval)}
		if old := b.groups[scope]; old != nil && old.rules.Interval == rules.Interval {
			groups[scope].sweep = old.sweep
		}
		b.sooner(groups[scope].sweep)
	}
	b.groups = groups
	for _, m := range p.members {
		r := b.rows[m.slot]
		if m.check >= 0 {
			under := b.rows[m.check]
			under.members = append(under.members, r)
		}
		if g := b.groupOf(r); g != nil && !r.member.used {
			g.members = append(g.members, r)
		}
		r.member.used = true
		b.follow(r, m.check)
	}
	for _, r := range b.rows {
		if r.member != nil && !r.member.until.IsZero() && (!r.member.used || b.groupOf(r) == nil) {
			b.readmit(r, "judged no more", nil)
		}
	}
}

// eject makes a member count as down for this edge, for a while that grows with each time, unless too many of its pool are
// out already, or nothing else in it is up. The caller holds mu.
func (b *Board) eject(r *row, cause, why string) {
	g := b.groupOf(r)
	m := r.member
	if g == nil || !m.used || !m.until.IsZero() || r.order != nil {
		return
	}
	out, others := 0, 0
	for _, o := range g.members {
		switch {
		case o == r:
		case !o.member.until.IsZero():
			out++
		case b.load(o.slot)&reachDown == 0:
			others++
		}
	}
	if most := max(1, int(float64(len(g.members))*g.rules.MaxShare/100)); out >= most || others == 0 {
		return
	}
	m.ejections = min(m.ejections+1, maxEjections)
	now := time.Now()
	lasts := min(float64(g.rules.BaseEjection)*float64(m.ejections), float64(g.rules.MaxEjection))
	m.ejected, m.until, m.why = now, now.Add(time.Duration(lasts)), why
	m.tally.clear()
	b.doubt.note(true)
	b.sooner(m.until)
	b.settle(r, nil)
	b.happened(event{kind: "ejected", scope: m.scope, endpoint: r.key.Endpoint, cause: cause, reason: why, until: m.until})
}

// readmit ends an ejection. The caller holds mu.
func (b *Board) readmit(r *row, why string, changes *[]change) {
	m := r.member
	m.ejected, m.until, m.why, m.back = time.Time{}, time.Time{}, "", time.Now()
	m.tally.clear()
	b.doubt.note(true)
	b.settle(r, changes)
	b.happened(event{kind: "readmitted", scope: m.scope, endpoint: r.key.Endpoint, reason: why})
}

// proven readmits the members that follow a row whose probe has just succeeded, when it began after they were ejected. The
// caller holds mu.
func (b *Board) proven(r *row) {
	began := r.last.Add(-r.latency)
	for _, m := range r.members {
		if !m.member.until.IsZero() && !began.Before(m.member.ejected) {
			b.readmit(m, "its check succeeded: "+r.reason, nil)
		}
	}
}

// relent readmits the ejected members of a pool when nothing else in it is up any more: an endpoint that fails some requests
// is better than those its check calls dead, and when all are equal the order of the policy decides. The caller holds mu.
func (b *Board) relent(r *row, changes *[]change) {
	g := b.groupOf(r)
	if g == nil || slices.ContainsFunc(g.members, func(o *row) bool { return b.load(o.slot)&reachDown == 0 }) {
		return
	}
	for _, o := range g.members {
		if !o.member.until.IsZero() && o.said&reachDown == 0 {
			b.readmit(o, "nothing else in its pool is up", changes)
		}
	}
}

// sweepGroup ends an interval of a pool: success rates are compared, and a member that was in for all of it has one ejection
// less to answer for. The caller holds mu.
func (b *Board) sweepGroup(g *group, now time.Time) {
	var rated []*row
	var rates []float64
	for _, r := range g.members {
		requests, good := r.member.tally.take()
		if !r.member.until.IsZero() {
			continue
		}
		if now.Sub(r.member.back) >= g.rules.Interval {
			r.member.ejections = max(0, r.member.ejections-1)
		}
		if requests >= uint64(g.rules.MinRequests) {
			rated = append(rated, r)
			rates = append(rates, float64(good)/float64(requests))
		}
	}
	if g.rules.Deviations <= 0 || len(rated) < g.rules.MinEndpoints {
		return
	}
	least := leastRate(rates, g.rules.Deviations)
	for i, r := range rated {
		if rates[i] < least {
			b.eject(r, causeSuccessRate, rateReason(rates[i], least))
		}
	}
}

// leastRate is the success rate below which an endpoint is out of line: so many standard deviations below the mean.
func leastRate(rates []float64, deviations float64) float64 {
	mean, variance := 0.0, 0.0
	for _, r := range rates {
		mean += r / float64(len(rates))
	}
	for _, r := range rates {
		variance += (r - mean) * (r - mean) / float64(len(rates))
	}
	return mean - deviations*math.Sqrt(variance)
}
