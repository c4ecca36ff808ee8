package healthcheck

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck/probe"
	"github.com/meridian-edge/meridian/healthcheck/quorum"
	"github.com/meridian-edge/meridian/healthcheck/rtt"
	"github.com/meridian-edge/meridian/steer"
)

// Board holds every verdict. Readers of health use slots, which never change their meaning, and take no lock. Its only
// writers are a Checker and, through it, the calculated checks.
type Board struct {
	// chunks is replaced by a longer slice when it is full. A chunk never moves, so what a reader found stays the live cell.
	chunks  atomic.Pointer[[]*chunk]
	epoch   atomic.Uint64
	advised atomic.Int64 // slots that have advice but a connect time

	mu sync.Mutex // guards the fields below and every row

	rows     []*row // by slot
	byKey    map[Key]*row
	groups   map[scope]*group       // pools and groups whose endpoints are judged by their requests
	orders   map[string]*Order      // by target
	saved    map[Key]*saved         // read from a file and not asked for yet
	lost     map[Key]*savedEjection // likewise
	forgetAt time.Time              // when saved is not believed any more
	soon     time.Time              // when an order or ejection ends, or a group is to be swept; zero: never
	events   []event                // for the log and the metrics, until Checker takes them
	doubt    doubt                  // what a file does not hold yet

	inForce    map[string]config.Check // the checks of the plan in force, by name
	edits      map[string]*edit        // checks that were edited and do not decide yet, by name
	savedEdits map[string]*savedEdit   // read from a file, until the first plan is in force

	wake chan struct{} // has room for one: soon has come forward, or there are events
}

const chunkSize = 1024

// chunk holds what is read without the lock: the word of each slot, when it came up or went down last, and its advice.
type chunk struct {
	words  [chunkSize]atomic.Uint32
	turned [chunkSize]atomic.Int64 // Unix nanoseconds; 0: never
	advice [chunkSize]atomic.Uint64
}

// row is the part of a slot that takes the lock to read. There are four kinds: a probed (or disabled) check, a calculated
// one, the inverse of either, and an endpoint of a pool or accelerator, which follows one of those.
type row struct {
	key   Key
	slot  steer.Slot
	names []string  // nil: the plan in force does not use it
	left  time.Time // when it was last used; zero while it is, or never was

	base    *row    // of an inverse: the row it is the opposite of; the fields below are then unused
	inverse *row    // the opposite of this row, when there is one
	parents []*row  // calculated rows that count this one
	members []*row  // endpoints of pools that follow this one
	edits   []*edit // trials that wait for what is found here

	said   word    // by probes, children, base or check, before anybody's word; what an inverse turns round
	order  *Order  // the operator's word in force here; nil: none
	member *member // nil: no endpoint of a pool

	calc    *calculation // nil: probed or disabled
	machine machine
	agent   *probe.AgentState // what an HAProxy agent said; nil: nothing
	connect rtt.Meter
	fleet   quorum.Opinion // what the votes say; with an Unknown state the fleet has no opinion but this node's
	proving bool           // down until the first success, instead of up
	hold    hold           // of the last result
	since   time.Time
	last    time.Time
	reason  string
	latency time.Duration
	probes  uint64
	flips   uint64
}

// NewBoard returns an empty board.
func NewBoard() *Board {
	b := &Board{
		byKey: map[Key]*row{}, groups: map[scope]*group{}, orders: map[string]*Order{}, saved: map[Key]*saved{},
		lost: map[Key]*savedEjection{}, inForce: map[string]config.Check{}, edits: map[string]*edit{},
		savedEdits: map[string]*savedEdit{}, wake: make(chan struct{}, 1),
	}
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

// Verdicts returns a copy of the verdict of every check the applied plan uses, sorted by first name, endpoint and check.
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
	v := Verdict{
		Key: r.key, Names: r.names, State: State(b.load(r.slot) & stateBits), Alive: b.load(r.slot)&aliveDown == 0,
		Since: from.since, Last: from.last, Reason: r.explained(from), Latency: from.latency,
		Successes: from.machine.successes, Failures: from.machine.failures, Probes: from.probes, Flips: from.flips,
		Proving:   from.proving && from.machine.state == Unknown,
		HeldUntil: from.machine.heldUntil(from.hold),
	}
	if r.order != nil {
		v.Order = *r.order
		v.Since = r.order.Given
	}
	return v
}

// explained is the reason of a row as one reads it.
func (r *row) explained(from *row) string {
	text := from.reason
	if held := from.machine.heldUntil(from.hold); from.machine.successes > 0 && !held.IsZero() {
		text += "; held down until " + clock(held) + " because it flaps"
	}
	if r != from && text != "" {
		text = "inverted: " + text
	}
	if r.order != nil {
		return r.order.words(text)
	}
	return text
}

// reason says why a slot is up or down, for explanations; empty: nothing looks at it. It takes the lock.
func (b *Board) reason(s steer.Slot) string {
	if s < 0 {
		return "no check"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if int(s) >= len(b.rows) {
		return "no such check"
	}
	return b.rowReason(b.rows[s])
}

func (b *Board) rowReason(r *row) string {
	if r.member != nil {
		return b.memberReason(r)
	}
	v := b.verdict(r)
	switch {
	case v.Reason == "" && v.Proving:
		return "new, and no success yet"
	case v.Proving:
		return v.Reason + "; new, and no success yet"
	}
	return cmp.Or(v.Reason, "no result yet")
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
	b.recall(r)
	if r.base != nil {
		r.said = invert(r.base.said)
	} else {
		r.said = r.pack(r.machine.state)
	}
	b.store(r, r.counts())
	b.advise(r)
	return r
}

// expire makes a row unknown again when nothing has used it for too long to believe it. The caller holds mu.
func (b *Board) expire(r *row, now time.Time) {
	if r.base != nil {
		b.expire(r.base, now)
		return
	}
	if r.calc != nil || r.member != nil || r.key.Check == disabledCheck || r.used() || r.left.IsZero() || now.Sub(r.left) < keepVerdict {
		return
	}
	*r = row{key: r.key, slot: r.slot, inverse: r.inverse, parents: r.parents, members: r.members, said: r.said}
	b.advise(r)
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
	connect time.Duration // until there was a connection; 0: none
	agent   *probe.AgentLine
}

// record counts the result of a probe for a slot, completes it by what is remembered of the slot, and returns the changes of
// state it led to and what the probes say since.
func (b *Board) record(s steer.Slot, res *result, rules rules) ([]change, State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rows[s]
	*res, rules = r.hear(*res, rules)
	was, steady := r.machine.state, r.machine.steady()
	r.last = time.Now()
	r.reason = res.reason
	r.latency = res.latency
	r.probes++
	r.hold = rules.hold
	var changes []change
	if r.machine.record(res.ok, r.last, rules) {
		r.since = r.last
		if was != Unknown {
			r.flips++
		}
	}
	b.publish(r, r.pack(r.machine.state), &changes) // an agent may drain without another state
	b.advise(r)
	b.doubt.note(!steady || !r.machine.steady())
	if res.ok {
		b.proven(r)
	}
	for _, e := range r.edits {
		b.weigh(e, r.last)
	}
	return changes, r.machine.state
}

// probed is what the probes of a slot say, whatever the operator says.
func (b *Board) probed(s steer.Slot) State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rows[s].machine.state
}

// publish takes what probes, children, base or check say about a row, and tells what is derived from it. Changes of rows in
// use are appended to changes when that is not nil. The caller holds mu.
func (b *Board) publish(r *row, w word, changes *[]change) {
	if r.said != w {
		r.said = w
		if r.inverse != nil {
			b.publish(r.inverse, invert(w), changes)
		}
	}
	if r.member != nil && w&reachDown != 0 && !r.member.until.IsZero() {
		b.readmit(r, "its check takes over: it is down", changes)
	}
	b.settle(r, changes)
}

// settle writes what a row counts as, tells everything that looks at it, and moves the epoch. The caller holds mu.
func (b *Board) settle(r *row, changes *[]change) {
	old, w := b.load(r.slot), r.counts()
	if old == w {
		return
	}
	b.store(r, w)
	b.noteChange(r, old, changes)
	for _, p := range r.parents {
		b.calculate(p, changes)
	}
	for _, m := range r.members {
		b.publish(m, m.inService(w), changes)
	}
	if r.member != nil && w&reachDown != 0 {
		b.relent(r, changes)
	}
}

// counts is what readers see of a row: the operator's word, else what is said, less what its requests came to.
func (r *row) counts() word {
	switch {
	case r.order != nil:
		return r.order.Force.word()
	case r.member != nil && !r.member.until.IsZero():
		return r.said | reachDown
	}
	return r.said
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
	a := c.advice[r.slot%chunkSize].Load()
	b.countAdvised(advises(old, a), advises(w, a))
	b.epoch.Add(1)
}

// adopt tells the board which rows the plan in force uses, and under which names.
func (b *Board) adopt(p *Plan) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for s := range p.names { // rows that come back too late start anew
		b.expire(b.rows[s], now)
	}
	for _, r := range b.rows {
		before := r.used()
		r.names = p.names[r.slot]
		r.members = nil
		if r.base != nil {
			continue // its base looks at it
		}
		if r.inverse != nil {
			r.inverse.names = p.names[r.inverse.slot]
		}
		switch after := r.used(); {
		case after:
			r.left = time.Time{}
		case before:
			r.left = now
		}
	}
	b.adoptMembers(p, now)
	b.obey(nil)
	b.adoptEdits(p, now)
}
