package steer

import (
	"math"
	"time"
)

// Advice is what is known of a slot beyond whether it is up. The zero Advice is that of a slot of which nothing else is known.
type Advice struct {
	// Weight is the percentage of its configured weight that the endpoint asks for, 1 to MaxAdvised; 0: it asks for nothing. An
	// endpoint that wants none of its weight is down and Draining.
	Weight int
	// Limit is how many requests it wants to have outstanding at most; 0: any number.
	Limit int
	// Draining is true for an endpoint that is down for new clients and goes on to serve those that it served before.
	Draining bool
	// Ordered is true for an endpoint that is down because an operator says so. Of all that is down it is tried last.
	Ordered bool
	// Connect is how long it takes to connect to it from here, steadied; 0: not known.
	Connect time.Duration
}

// MaxAdvised is the most that an endpoint can ask for, in percent of its weight.
const MaxAdvised = 25_600

// Adviser is a Health that knows more of its slots than whether they are up. Its methods must not block, and must be safe for
// concurrent use.
type Adviser interface {
	// Advised reports whether any slot has advice other than a connect time. Decisions ask for the advice of single slots only
	// then, and in groups that go by connect times.
	Advised() bool
	// Advice returns what is known of a slot.
	Advice(Slot) Advice
}

// adviserOf is the adviser that a decision has to ask; nil: none has anything to say.
func adviserOf(h Health, measured bool) Adviser {
	a, ok := h.(Adviser)
	if !ok || !measured && !a.Advised() {
		return nil
	}
	return a
}

// advice is what is known of a member itself, not of what is below it.
func (w *walker) advice(m *member) Advice {
	if w.adviser == nil || m.slot == Always {
		return Advice{}
	}
	return w.adviser.Advice(m.slot)
}

// scale is the part of its weight that a member asks for.
func (w *walker) scale(m *member) float64 {
	if weight := w.advice(m).Weight; weight > 0 {
		return asked(int(m.weight), weight)
	}
	return 1
}

// asked is how many times its weight an endpoint gets that asks for a percentage of it. No weight grows beyond 256, as in
// HAProxy (configuration manual, agent-check).
func asked(weight, percent int) float64 {
	return min(float64(percent)/100, max(1, 256/float64(max(1, weight))))
}

// limit is how many requests a leaf may have outstanding, by the configuration and by its own word; 0: any number.
func (w *walker) limitOf(n *node, m *member) int {
	limit := n.capacity(m)
	if own := w.advice(m).Limit; own > 0 && (limit == 0 || own < limit) {
		return own
	}
	return limit
}

// persists reports whether a leaf that is down for new clients goes on to serve this one.
func (w *walker) persists(m *member) bool {
	return w.adviser != nil && w.client.Prefer > 0 && m.target == nil && m.Leaf == w.client.Prefer-1 && w.advice(m).Draining
}

// takeOrdered moves from s the members that an operator has taken out of service, into the set it returns.
func (w *walker) takeOrdered(n *node, s *set) set {
	var ordered set
	if w.adviser == nil || s.empty() {
		return ordered
	}
	for i := s.next(0); i >= 0; i = s.next(i + 1) {
		if w.isOrdered(&n.members[i]) {
			ordered.add(i)
		}
	}
	*s = s.without(ordered)
	return ordered
}

// isOrdered reports whether an operator has taken a member out of service: itself, or everything below it.
func (w *walker) isOrdered(m *member) bool {
	if w.advice(m).Ordered {
		return true
	}
	if !m.below {
		return false
	}
	for i := range m.target.members {
		if !w.isOrdered(&m.target.members[i]) {
			return false
		}
	}
	return true
}

// millisecondsPerKilometre is what a kilometre counts for a member that nobody has connected to yet: light needs 1 ms for the
// way there and back of 100 km of fibre, and cables take detours.
const millisecondsPerKilometre = 1.5 / 100

// latencyStep is the difference of connect times, in milliseconds, that is worth leaving a nearer member for: within a step
// distances decide, so that noise on ways that are about as long never does.
const latencyStep = 50

// allMeasured reports whether there is a connect time of every member that is up. Until there is, distances decide: a time that was
// measured and one that is guessed say nothing about each other.
func (w *walker) allMeasured(n *node) bool {
	for i := range n.members {
		m := &n.members[i]
		if w.advice(m).Connect == 0 && (m.Slot == Always || w.health.Up(m.Slot)) {
			return false
		}
	}
	return true
}

// nearness is what latency orders the members of a measured group by: first the steps of the time to connect, measured or guessed
// from the distance, then the distance.
func (w *walker) nearness(m *member) float64 {
	km := distance(w.client.From, m.Point)
	took := w.advice(m).Connect
	ms := float64(took) / float64(time.Millisecond)
	switch {
	case took > 0:
	case km != farAway:
		ms = km * millisecondsPerKilometre
	default:
		return farAway * farAway
	}
	return math.Floor(ms/latencyStep)*10*farAway + km
}
