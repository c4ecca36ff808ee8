package healthcheck

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/steer"
)

// calculation is a check that counts others. It never changes: other children make another key.
type calculation struct {
	atLeast  int
	children []*row
	always   int // children without a slot, which are always healthy
}

// calculatedSlot returns the slot of "at least so many of these are healthy", evaluated. Children may be steer.Always. With
// inverted it is the opposite.
func (b *Board) calculatedSlot(atLeast int, children []steer.Slot, inverted bool) steer.Slot {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := Key{Check: b.calculatedPrint(atLeast, children)}
	r := b.row(k, time.Now())
	if r.calc == nil {
		r.calc = &calculation{atLeast: atLeast}
		for _, s := range children {
			if s < 0 {
				r.calc.always++
				continue
			}
			r.calc.children = append(r.calc.children, b.rows[s])
			b.rows[s].parents = append(b.rows[s].parents, r)
		}
		b.calculate(r, nil)
		b.recallCalculated(r)
	}
	if inverted {
		return b.row(Key{Check: invertedPrefix + k.Check}, time.Now()).slot
	}
	return r.slot
}

const calculatedPrefix = "calculated "

func calculated(k Key) bool { return strings.HasPrefix(k.Check, calculatedPrefix) }

// calculatedPrint is the fingerprint of a calculated check: the count, and a hash over what is counted. The caller holds mu.
func (b *Board) calculatedPrint(atLeast int, children []steer.Slot) string {
	h := fnv.New64a()
	for _, s := range children {
		var k Key
		if s >= 0 {
			k = b.rows[s].key
		}
		fmt.Fprintf(h, "%s\x00%s\x00", k.Endpoint, k.Check)
	}
	return fmt.Sprintf(calculatedPrefix+"%d of %d #%016x", atLeast, len(children), h.Sum64())
}

// calculate evaluates a calculated row and publishes it when it changed. Each opinion counts its own. The state is Unknown
// while the row is up only because children are that nothing is known about. The caller holds mu.
func (b *Board) calculate(r *row, changes *[]change) {
	c := r.calc
	known, reachable, living := c.always, c.always, c.always
	for _, child := range c.children {
		w := b.load(child.slot)
		if w&stateBits == word(Up) {
			known++
		}
		if w&reachDown == 0 {
			reachable++
		}
		if w&aliveDown == 0 {
			living++
		}
	}
	state := Down
	switch {
	case known >= c.atLeast:
		state = Up
	case reachable >= c.atLeast:
		state = Unknown
	}
	w := word(state)
	if reachable < c.atLeast {
		w |= reachDown
	}
	if living < c.atLeast {
		w |= aliveDown
	}
	now := time.Now()
	r.last = now
	r.reason = fmt.Sprintf("%d of %d healthy, want %d", reachable, c.always+len(c.children), c.atLeast)
	if was := r.machine.state; was != state {
		r.since = now
		if was != Unknown && state != Unknown {
			r.flips++
		}
		r.machine.state = state
		if state == Unknown {
			r.since = time.Time{}
		}
	}
	b.publish(r, w, changes)
}
