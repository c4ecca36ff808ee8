package healthcheck

import (
	"cmp"
	"container/heap"
	"context"
	"hash/fnv"
	"io"
	"slices"
	"time"
)

// target is one probe on the schedule. Everything in it is guarded by Checker.mu.
type target struct {
	planned
	at      time.Time // when the next probe is due
	started time.Time // when the last one began
	round   uint64    // how many began
	index   int       // in the queue; -1: a probe is under way
	phased  bool      // the phase of the key is in the schedule
	settled bool      // there was a result
	gone    bool      // not planned any more
	cancel  context.CancelFunc
}

// hash spreads keys over the schedule, the same way on every node and in every run.
func (k Key) hash() uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, k.Endpoint+"\x00"+k.Check)
	return h.Sum64()
}

// share returns the n-th number of a sequence in [0,1) that belongs to a hash (SplitMix64).
func share(hash, n uint64) float64 {
	x := hash + (n+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return float64((x^x>>31)>>11) / (1 << 53)
}

// times scales a duration.
func times(d time.Duration, by float64) time.Duration { return time.Duration(float64(d) * by) }

// gap is the time from the start of the last probe to the start of the next one. While nothing is known the endpoint has
// failed so far, and probes follow each other so quickly that `fall` of them take one interval. The first gap after that is
// between 10 % and 110 % of the interval, which gives every key a phase of its own; later ones are the interval with a
// jitter of 5 % either way.
func (t *target) gap(state State) time.Duration {
	interval := t.settings.interval
	switch {
	case state == Unknown || t.shadow && t.round < uint64(max(t.settings.rules.rise, t.settings.rules.fall)):
		return min(interval, max(interval/time.Duration(max(t.settings.rules.fall, 1)), minFastGap))
	case !t.phased:
		t.phased = true
		return times(interval, 0.1+share(t.hash, 0))
	}
	return times(interval, 0.96+0.09*share(t.hash, t.round)) // and up to 1 % less by onTick
}

// onTick moves a due time back to the grid of ticks that began at zero. It keeps the monotonic clock.
func (t *target) onTick(zero, due time.Time) time.Time {
	tick := max(min(maxTick, t.settings.interval/100), 1)
	since := due.Sub(zero)
	return zero.Add(since - since%tick)
}

// firstTimes gives new targets their first probe: at once when they are few, else evenly over a short window.
func firstTimes(fresh []*target, now time.Time) {
	for _, t := range fresh {
		t.at = now
	}
	if len(fresh) <= firstAtOnce {
		return
	}
	slices.SortFunc(fresh, func(a, b *target) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.slot, b.slot)) })
	for i, t := range fresh {
		window := min(t.settings.interval, firstWindow)
		t.at = now.Add(window * time.Duration(i) / time.Duration(len(fresh)))
	}
}

// queue is a heap of targets by the time they are due.
type queue []*target

var _ heap.Interface = (*queue)(nil)

// Len, Less, Swap, Push and Pop are for package heap.
func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is for package heap.
func (q *queue) Push(x any) {
	t := x.(*target)
	t.index = len(*q)
	*q = append(*q, t)
}

// Pop is for package heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	t.index = -1
	return t
}
