package healthcheck

import (
	"time"

	"github.com/meridian-edge/meridian/healthcheck/quorum"
	"github.com/meridian-edge/meridian/steer"
)

// A word is what a reader sees of one slot, in one atomic load: the state in the low bits, and for each of the two opinions
// whether the slot counts as down in it.
type word = uint32

const (
	stateBits word = 0b11
	reachDown word = 1 << 2
	aliveDown word = 1 << 3

	draining    word = 1 << 4 // it is down, and goes on to serve the clients it has
	orderedDown word = 1 << 5 // it is down by the operator's word
)

// pack makes a word of a state this node found out itself. Until other nodes vote, the fleet believes what this node sees.
func pack(s State) word {
	if s == Down {
		return word(s) | reachDown | aliveDown
	}
	return word(s)
}

// pack makes a word of the state of a row, in which the fleet has its own opinion once there are votes.
func (r *row) pack(s State) word {
	w := pack(s)
	if r.proving && s == Unknown {
		w = unproven
	}
	if s == Down && r.agent != nil && r.agent.Draining() {
		w |= draining
	}
	switch r.fleet.State {
	case quorum.Up:
		w &^= aliveDown
	case quorum.Down:
		w |= aliveDown
	case quorum.Unknown, quorum.Abstained:
	}
	return w
}

// unproven is the word of a slot that counts as down until its first success.
const unproven = word(Unknown) | reachDown | aliveDown

// invert makes the word of an inverted check. An inverted check is down until there is data (Route 53,
// HealthCheckConfig.Inverted), which is the same rule turned round: unknown counts as up, and inverted as down.
func invert(w word) word {
	if w == unproven {
		return w // the opposite of a check without data has none either
	}
	return word(State(w&stateBits).opposite()) | (w^reachDown^aliveDown)&(reachDown|aliveDown)
}

// reach is a Board seen as what this edge itself can use.
type reach Board

// Up implements steer.Health with two atomic loads.
func (r *reach) Up(s steer.Slot) bool { return (*Board)(r).load(s)&reachDown == 0 }

// Reason implements steer.Reasoner.
func (r *reach) Reason(s steer.Slot) string { return (*Board)(r).reason(s) }

// Since implements steer.Aged with three atomic loads at most.
func (r *reach) Since(s steer.Slot) time.Time { return (*Board)(r).turned(s) }

// alive is a Board seen as what the fleet believes.
type alive Board

// Up implements steer.Health with two atomic loads.
func (a *alive) Up(s steer.Slot) bool { return (*Board)(a).load(s)&aliveDown == 0 }

// Reason implements steer.Reasoner.
func (a *alive) Reason(s steer.Slot) string { return (*Board)(a).fleetReason(s) }

// Since implements steer.Aged with three atomic loads at most.
func (a *alive) Since(s steer.Slot) time.Time { return (*Board)(a).turned(s) }
