package healthcheck

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-edge/meridian/healthcheck/quorum"
	"github.com/meridian-edge/meridian/steer"
)

// Board holds every verdict. Readers of health use slots, which never change their meaning, and take no lock. Its only
// writers are a Checker and, through it, the calculated checks.
type Board struct {
	// chunks is replaced by a longer slice when it is full. A chunk never moves, so what a reader found stays the live cell.
	chunks atomic.Pointer[[]*chunk]
	epoch  atomic.Uint64

	mu sync.Mutex // guards the fields below and every row

	rows  []*row // by slot
	byKey map[Key]*row
}

const chunkSize = 1024

// chunk holds what is read without the lock: the word of each slot, and when it came up or went down last.
type chunk struct {
	words  [chunkSize]atomic.Uint32
	turned [chunkSize]atomic.Int64 // Unix nanoseconds; 0: never
}

// row is the part of a slot that takes the lock to read. There are three kinds: a probed (or disabled) check, a calculated
// one, and the inverse of either.
type row struct {
	key   Key
	slot  steer.Slot
	names []string  // nil: the plan in force does not use it
	left  time.Time // when it was last used; zero while it is, or never was

	base    *row   // of an inverse: the row it is the opposite of; the fields below are then unused
	inverse *row   // the opposite of this row, when there is one
	parents []*row // calculated rows that count this one

	calc    *calculation // nil: probed or disabled
	machine machine
	fleet   quorum.Opinion // what the votes say; with an Unknown state the fleet has no opinion but this node's
	proving bool           // down until the first success, instead of up
	since   time.Time
	last    time.Time
	reason  string
	latency time.Duration
	probes  uint64
	flips   uint64
}

// NewBoard returns an empty board.
func NewBoard() *Board {
	b := &Board{byKey: map[Key]*row{}}
	b.chunks.Store(new([]*chunk))
	return b
}

// Slot returns the slot of a key, and makes one if it is the first to ask. The same key has the same slot as long as the
// board lives. A new slot is Unknown until a Checker reports a result.
func (b *Board) Slot(k Key) steer.Slot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.row(k, time.Now()).slot
}

// Reach returns what this edge itself can use, for the proxy. It also implements steer.Reasoner.
func (b *Board) Reach() steer.Health { return (*reach)(b) }

// Alive returns what the fleet believes, for DNS answers and failover. On a single node it equals Reach. It also implements
// steer.Reasoner.
func (b *Board) Alive() steer.Health { return (*alive)(b) }

// Epoch changes after any slot has changed. Who remembers a decision reads the epoch first and the slots after it.
func (b *Board) Epoch() uint64 { return b.epoch.Load() }

// Verdicts returns a copy of every verdict the applied plan uses, sorted by first name, endpoint and check.
func (b *Board) Verdicts() []Verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Verdict
	for _, r := range b.rows {
		if r.names != nil {
			all = append(all, b.verdict(r))
		}
	}
	slices.SortFunc(all, func(x, y Verdict) int {
		return cmp.Or(
			strings.Compare(x.Names[0], y.Names[0]),
			strings.Compare(x.Key.Endpoint, y.Key.Endpoint),
			strings.Compare(x.Key.Check, y.Key.Check))
	})
	return all
}

// verdict copies a row. The caller holds mu.
func (b *Board) verdict(r *row) Verdict {
	from := r
	if r.base != nil {
		from = r.base
	}
	return Verdict{
		Key: r.key, Names: r.names, State: State(b.load(r.slot) & stateBits),
		Since: from.since, Last: from.last, Reason: r.explained(from), Latency: from.latency,
		Successes: from.machine.successes, Failures: from.machine.failures, Probes: from.probes, Flips: from.flips,
		Proving: from.proving && from.machine.state == Unknown,
	}
}

// explained is the reason of a row as one reads it.
func (r *row) explained(from *row) string {
	if r == from || from.reason == "" {
		return from.reason
	}
	return "inverted: " + from.reason
}

// reason says why a slot is up or down, for explanations. It takes the lock.
func (b *Board) reason(s steer.Slot) string {
	if s < 0 {
		return "no check"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if int(s) >= len(b.rows) {
		return "no such check"
	}
	v := b.verdict(b.rows[s])
	switch {
	case v.Reason == "" && v.Proving:
		return "new, and no success yet"
	case v.Reason == "":
		return "no result yet"
	case v.Proving:
		return v.Reason + "; new, and no success yet"
	}
	return v.Reason
}

// prove makes a slot that nothing is known of, and that no plan in force uses, count as down until its first success: the slot of
// an endpoint that has been discovered. Groups in which nothing else is up try it all the same (steer fails open).
func (b *Board) prove(s steer.Slot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s < 0 || int(s) >= len(b.rows) {
		return
	}
	r := b.rows[s]
	if r.base != nil || r.calc != nil || r.machine.state != Unknown || r.key.Check == disabledCheck || r.used() {
		return // an inverted check is down without data anyway
	}
	r.proving = true
	b.publish(r, unproven, nil)
}

// load reads a slot. A slot nobody handed out is unknown and so counts as up: health fails open.
func (b *Board) load(s steer.Slot) word {
	i := uint(s) // Always becomes a number beyond every chunk
	chunks := *b.chunks.Load()
	if i/chunkSize >= uint(len(chunks)) {
		return word(Unknown)
	}
	return chunks[i/chunkSize].words[i%chunkSize].Load()
}

// turned is when a slot came up or went down last; zero: never.
func (b *Board) turned(s steer.Slot) time.Time {
	i := uint(s)
	chunks := *b.chunks.Load()
	if i/chunkSize >= uint(len(chunks)) {
		return time.Time{}
	}
	if at := chunks[i/chunkSize].turned[i%chunkSize].Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// row finds or makes the row of a key. The caller holds mu.
func (b *Board) row(k Key, now time.Time) *row {
	if r := b.byKey[k]; r != nil {
		b.expire(r, now)
		return r
	}
	r := &row{key: k, slot: steer.Slot(len(b.rows))}
	if check, inverted := strings.CutPrefix(k.Check, invertedPrefix); inverted {
		r.base = b.row(Key{k.Endpoint, check}, now)
		r.base.inverse = r
		r.slot = steer.Slot(len(b.rows)) // the base may have taken one
	}
	b.byKey[k] = r
	b.rows = append(b.rows, r)
	if chunks := *b.chunks.Load(); int(r.slot)/chunkSize == len(chunks) {
		grown := append(slices.Clip(chunks), new(chunk))
		b.chunks.Store(&grown)
	}
	if k.Check == disabledCheck {
		r.machine.state = Up
		r.reason = "disabled"
	}
	if r.base != nil {
		b.store(r, invert(b.load(r.base.slot)))
	} else {
		b.store(r, r.pack(r.machine.state))
	}
	return r
}

// expire makes a row unknown again when nothing has used it for too long to believe it. The caller holds mu.
func (b *Board) expire(r *row, now time.Time) {
	if r.base != nil {
		b.expire(r.base, now)
		return
	}
	if r.calc != nil || r.key.Check == disabledCheck || r.used() || r.left.IsZero() || now.Sub(r.left) < keepVerdict {
		return
	}
	*r = row{key: r.key, slot: r.slot, inverse: r.inverse, parents: r.parents}
	b.publish(r, pack(Unknown), nil)
}

// used reports whether the plan in force uses the row, itself or by its inverse.
func (r *row) used() bool {
	return r.names != nil || r.inverse != nil && r.inverse.names != nil
}

// change is a state that began, of a row in use.
type change struct {
	verdict Verdict
	from    State
}

// result is what one probe found.
type result struct {
	ok      bool
	kind    string        // for the metric: a phase, success, timeout or status
	reason  string        // for people
	latency time.Duration // to the answer, or to giving up
}

// record counts the result of a probe for a slot, and returns the changes of state it led to and the state since.
func (b *Board) record(s steer.Slot, res result, rise, fall int) ([]change, State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rows[s]
	was := r.machine.state
	r.last = time.Now()
	r.reason = res.reason
	r.latency = res.latency
	r.probes++
	var changes []change
	if r.machine.record(res.ok, rise, fall) {
		r.since = r.last
		if was != Unknown {
			r.flips++
		}
		b.publish(r, r.pack(r.machine.state), &changes)
	}
	return changes, r.machine.state
}

// publish writes the word of a row and of everything derived from it, then moves the epoch. Changes of rows in use are
// appended to changes when that is not nil. The caller holds mu.
func (b *Board) publish(r *row, w word, changes *[]change) {
	old := b.load(r.slot)
	if old == w {
		return
	}
	b.store(r, w)
	b.noteChange(r, old, changes)
	if r.inverse != nil {
		b.publish(r.inverse, invert(w), changes)
	}
	for _, p := range r.parents {
		b.calculate(p, changes)
	}
}

func (b *Board) noteChange(r *row, old word, changes *[]change) {
	from := State(old & stateBits)
	if v := b.verdict(r); changes != nil && r.names != nil && v.State != from {
		*changes = append(*changes, change{verdict: v, from: from})
	}
}

// store writes one cell. The epoch follows it, so a reader of the new epoch sees the new cell.
func (b *Board) store(r *row, w word) {
	c := (*b.chunks.Load())[r.slot/chunkSize]
	old := c.words[r.slot%chunkSize].Load() // mu is held: nobody else writes
	if old == w {
		return
	}
	if (old^w)&reachDown != 0 { // an endpoint is not seen up before it is seen to have come up just now
		c.turned[r.slot%chunkSize].Store(time.Now().UnixNano())
	}
	c.words[r.slot%chunkSize].Store(w)
	b.epoch.Add(1)
}

// adopt tells the board which rows the plan in force uses, and under which names.
func (b *Board) adopt(names map[steer.Slot][]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for s := range names { // rows that come back too late start anew
		b.expire(b.rows[s], now)
	}
	for _, r := range b.rows {
		before := r.used()
		r.names = names[r.slot]
		if r.base != nil {
			continue // its base looks at it
		}
		if r.inverse != nil {
			r.inverse.names = names[r.inverse.slot]
		}
		switch after := r.used(); {
		case after:
			r.left = time.Time{}
		case before:
			r.left = now
		}
	}
}
