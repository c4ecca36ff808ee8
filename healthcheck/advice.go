package healthcheck

import (
	"time"

	"github.com/meridian-edge/meridian/healthcheck/probe"
	"github.com/meridian-edge/meridian/steer"
)

// advice is what a reader sees of one slot beside its word, in one atomic load: from the low end the percentage of its weight, how
// many requests it wants, and its connect time in microseconds, each 0 when nothing is known.
type advice = uint64

const (
	weightBits  = 15
	limitBits   = 21
	connectBits = 28

	loadAdvice advice = 1<<(weightBits+limitBits) - 1 // the part that changes decisions about weights and limits
)

// packAdvice makes the advice of a row.
func (r *row) packAdvice() advice {
	a := advice(min(r.connect.Value().Microseconds(), 1<<connectBits-1)) << (weightBits + limitBits)
	if r.agent == nil {
		return a
	}
	if weight := r.agent.Weight; weight != 100 { // all of it is as if nothing had been said
		a |= advice(weight)
	}
	return a | advice(r.agent.Limit)<<weightBits
}

// advise publishes what is known of a row beside its word. The caller holds mu.
func (b *Board) advise(r *row) {
	a := r.packAdvice()
	b.storeAdvice(r, a)
	for _, m := range r.members {
		b.storeAdvice(m, a)
	}
}

// storeAdvice writes one cell. The caller holds mu.
func (b *Board) storeAdvice(r *row, a advice) {
	c := (*b.chunks.Load())[r.slot/chunkSize]
	i := r.slot % chunkSize
	old := c.advice[i].Load()
	if old == a {
		return
	}
	w := c.words[i].Load()
	c.advice[i].Store(a)
	b.countAdvised(advises(w, old), advises(w, a))
	b.epoch.Add(1)
}

// advises reports whether a slot has something to say that changes decisions.
func advises(w word, a advice) bool { return w&(draining|orderedDown) != 0 || a&loadAdvice != 0 }

// countAdvised keeps count of the slots that have advice.
func (b *Board) countAdvised(was, is bool) {
	switch {
	case is && !was:
		b.advised.Add(1)
	case was && !is:
		b.advised.Add(-1)
	}
}

// advice reads a slot as steer wants it.
func (b *Board) advice(s steer.Slot) steer.Advice {
	i := uint(s)
	chunks := *b.chunks.Load()
	if i/chunkSize >= uint(len(chunks)) {
		return steer.Advice{}
	}
	c := chunks[i/chunkSize]
	w, a := c.words[i%chunkSize].Load(), c.advice[i%chunkSize].Load()
	return steer.Advice{
		Weight: int(a & (1<<weightBits - 1)), Limit: int(a >> weightBits & (1<<limitBits - 1)),
		Connect:  time.Duration(a>>(weightBits+limitBits)) * time.Microsecond,
		Draining: w&draining != 0, Ordered: w&orderedDown != 0,
	}
}

// Advised implements steer.Adviser.
func (r *reach) Advised() bool { return (*Board)(r).advised.Load() > 0 }

// Advice implements steer.Adviser with three atomic loads.
func (r *reach) Advice(s steer.Slot) steer.Advice { return (*Board)(r).advice(s) }

// Advised implements steer.Adviser.
func (a *alive) Advised() bool { return (*Board)(a).advised.Load() > 0 }

// Advice implements steer.Adviser.
func (a *alive) Advice(s steer.Slot) steer.Advice { return (*Board)(a).advice(s) }

// hear takes what a probe found beside success or failure into a row, and returns the result and the rules it is to be counted
// by: what an agent says about its state counts at once, and what it does not say stays. The caller holds mu.
func (r *row) hear(res result, by rules) (result, rules) {
	r.connect.Add(res.connect)
	if res.agent == nil {
		return res, by
	}
	if r.agent == nil {
		r.agent = new(probe.AgentState)
	}
	before := r.agent.Up()
	r.agent.Take(res.agent)
	res.ok = r.agent.Up()
	if kept := r.agent.Kept(res.agent); kept != "" && !res.ok {
		res.kind = string(probe.KindContent)
		res.reason += "; still " + kept
	}
	if res.agent.Decides() || res.ok != before {
		by.rise, by.fall, by.ok = 1, 1, 0
	}
	return res, by
}
