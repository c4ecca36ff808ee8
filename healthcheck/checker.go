package healthcheck

import (
	"cmp"
	"container/heap"
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/steer"
)

// Options are what a Checker needs.
type Options struct {
	Board      *Board                // required; one Checker writes to it
	Log        *slog.Logger          // nil: no log
	Registerer prometheus.Registerer // nil: no metrics
	Dial       Dial                  // nil: a net.Dialer, which resolves names anew for every probe
	RootCAs    *x509.CertPool        // for checks that verify; nil: the system's
	// Passed is called when an edited check has proven itself: the next plan has it, so one should be made and applied. It
	// must not block; nil: whoever applies plans asks Board.Passed.
	Passed func()
}

// Checker probes what the applied plan asks for and writes verdicts to its board. One goroutine keeps the schedule; each
// probe under way has one of its own.
type Checker struct {
	board   *Board
	log     *slog.Logger
	metrics *metrics
	prober  prober
	passed  func()
	wake    chan struct{} // the board's: the head of the queue may have changed too

	zero time.Time // of the grid of ticks

	mu sync.Mutex // guards the fields below and every target; taken before Board.mu

	names    []string                 // of the checks of the applied plan
	judged   map[scope]config.Passive // pools and groups of the applied plan
	targets  map[steer.Slot]*target
	queue    queue
	underway int
	pending  int           // targets without a result
	settled  chan struct{} // closed when pending becomes 0
}

// NewChecker returns a checker without a plan. It starts nothing; it panics when the registerer already has its metrics.
func NewChecker(o Options) *Checker {
	if o.Board == nil {
		panic("BUG: healthcheck: checker without a board")
	}
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: -1}).DialContext
	}
	passed := o.Passed
	if passed == nil {
		passed = func() {}
	}
	return &Checker{
		passed:  passed,
		board:   o.Board,
		log:     cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
		metrics: newMetrics(o.Registerer, o.Board),
		prober:  prober{dial: dial, roots: o.RootCAs},
		wake:    o.Board.wake,
		zero:    time.Now(),
		targets: map[steer.Slot]*target{},
		settled: make(chan struct{}),
	}
}

// Apply makes p, which must be of the checker's board, the plan in force. It cannot fail and does not wait for the network.
// Probes that are in both plans keep their schedule and counters, new ones start at once, and those that are gone are
// broken off. It may be called before Run, and at any time from any goroutine.
func (c *Checker) Apply(p *Plan) {
	c.mu.Lock()
	c.board.adopt(p)
	wanted := c.board.trials(p)
	for slot, t := range c.targets {
		if wanted[slot] == nil {
			c.remove(t)
		}
	}
	now := time.Now()
	var fresh []*target
	for slot, next := range wanted {
		switch t := c.targets[slot]; {
		case !next.ask.probed():
		case t != nil:
			c.update(t, next, now)
		default:
			fresh = append(fresh, c.add(next))
		}
	}
	firstTimes(fresh, now)
	for _, t := range fresh {
		t.at = t.onTick(c.zero, t.at)
		heap.Push(&c.queue, t)
	}
	for scope := range c.judged {
		if _, kept := p.judged[scope]; !kept {
			c.metrics.ejections.DeletePartialMatch(prometheus.Labels{"pool": scope.String()})
		}
	}
	c.judged = p.judged
	old := c.names
	c.names = p.allNames()
	lost := slices.DeleteFunc(old, func(name string) bool {
		_, kept := slices.BinarySearch(c.names, name)
		return kept
	})
	c.metrics.forget(lost) // under the lock: a probe that ends now must not bring them back
	c.mu.Unlock()
	c.nudge()
}

// add makes a target. The caller holds mu.
func (c *Checker) add(p *planned) *target {
	t := &target{planned: *p}
	c.targets[p.slot] = t
	if p.shadow || c.board.probed(p.slot) != Unknown {
		t.settled = true // nobody waits for it, or a verdict from before is still believed
		return t
	}
	if c.pending == 0 {
		c.settled = make(chan struct{})
	}
	c.pending++
	return t
}

// update gives a target what may change. A probe that was waiting for a longer interval than there is now comes forward.
// The caller holds mu.
func (c *Checker) update(t *target, next *planned, now time.Time) {
	changed := t.settings != next.settings
	t.planned = *next
	if !changed || t.index < 0 || t.round == 0 {
		return
	}
	state := c.board.probed(t.slot)
	if due := t.onTick(c.zero, t.started.Add(t.gap(state))); due.Before(t.at) {
		t.at = due
		if due.Before(now) {
			t.at = now
		}
		heap.Fix(&c.queue, t.index)
	}
}

// remove takes a target off the schedule and breaks off its probe. The caller holds mu.
func (c *Checker) remove(t *target) {
	t.gone = true
	delete(c.targets, t.slot)
	if t.index >= 0 {
		heap.Remove(&c.queue, t.index)
	}
	if t.cancel != nil {
		t.cancel()
	}
	c.settle(t)
}

// settle notes that nobody has to wait for a target any longer. The caller holds mu.
func (c *Checker) settle(t *target) {
	if t.settled {
		return
	}
	t.settled = true
	if c.pending--; c.pending == 0 {
		close(c.settled)
	}
}

// nudge makes Run look at the queue again.
func (c *Checker) nudge() { c.board.nudge() }

// attend lets the board do what is due and tells what happened there. It returns how long to wait for the next time; without
// one a nudge will come.
func (c *Checker) attend() (time.Duration, bool) {
	now := time.Now()
	events, next := c.board.attend(now)
	for i := range events {
		if e := &events[i]; e.change != nil {
			c.metrics.changed(&e.change.verdict)
			c.tell(e.change)
		} else {
			c.report(e)
		}
	}
	return max(0, next.Sub(now)), !next.IsZero()
}

// report logs and counts what happened to an endpoint of a pool, or to an order.
func (c *Checker) report(e *event) {
	switch e.kind {
	case "ejected":
		c.mu.Lock()
		if _, used := c.judged[e.scope]; used { // else Apply has just removed the series
			c.metrics.ejections.WithLabelValues(e.scope.String(), e.cause).Inc()
		}
		c.mu.Unlock()
		c.log.Warn("endpoint ejected", "pool", e.scope.String(), "endpoint", e.endpoint, "reason", e.reason, "until", clock(e.until))
	case "readmitted":
		c.log.Info("endpoint readmitted", "pool", e.scope.String(), "endpoint", e.endpoint, "reason", e.reason)
	case "edit":
		c.edited(e)
	case "expired":
		c.log.Info("order expired", "target", e.endpoint, "order", e.reason)
	}
}

// edited logs and counts what became of an edited check, takes its probes off the schedule when it is refused, and asks for a
// plan when it has passed.
func (c *Checker) edited(e *event) {
	c.metrics.edits.WithLabelValues(e.cause).Inc()
	switch e.cause {
	case Shadow.String():
		c.log.Info("edited check runs in shadow, the old one decides", "check", e.endpoint)
		return
	case Refused.String():
		for _, end := range e.ends {
			if end.Old != end.New {
				c.log.Warn("edited check would change a verdict", "check", e.endpoint, "scope", end.Scope, "endpoint", end.Endpoint,
					"from", end.Old.String(), "to", end.New.String(), "reason", end.Reason)
			}
		}
		c.log.Error("edited check refused, the old one stays", "check", e.endpoint, "reason", e.reason)
		c.mu.Lock()
		for _, t := range c.targets {
			if t.shadow && !c.board.tried(t.slot) {
				c.remove(t)
			}
		}
		c.mu.Unlock()
		return
	case "accepted":
		c.log.Warn("edited check accepted by the operator", "check", e.endpoint)
	default:
		c.log.Info("edited check has proven itself", "check", e.endpoint)
	}
	c.passed()
}

// Run probes until ctx is done, then breaks off what is under way and returns nil when all of it has ended. It must not be
// called twice at the same time.
func (c *Checker) Run(ctx context.Context) error {
	var probes sync.WaitGroup
	defer probes.Wait() // they end with ctx
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		wait, scheduled := c.start(ctx, &probes)
		if due, any := c.attend(); any && (!scheduled || due < wait) {
			wait, scheduled = due, true
		}
		if scheduled {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-timer.C:
		}
	}
	return nil
}

// start begins every probe that is due and returns how long to wait for the next; without one, or with as many under way as
// may be, a nudge will come.
func (c *Checker) start(ctx context.Context, probes *sync.WaitGroup) (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for len(c.queue) > 0 && c.underway < maxProbes {
		t := c.queue[0]
		if wait := t.at.Sub(now); wait > 0 {
			return wait, true
		}
		heap.Pop(&c.queue)
		c.underway++
		t.started = now
		t.round++
		probe := t.ask
		timeout := t.settings.timeout
		limited, cancel := context.WithTimeout(ctx, timeout)
		t.cancel = cancel
		probes.Go(func() {
			defer cancel()
			c.finish(ctx, t, c.prober.probe(limited, &probe, timeout))
		})
	}
	return 0, false
}

// finish takes the result of a probe and puts its target back into the queue. ctx is that of Run.
func (c *Checker) finish(ctx context.Context, t *target, res result) {
	c.mu.Lock()
	c.underway--
	idle := c.underway+1 == maxProbes // Run waits for room
	t.cancel = nil
	if t.gone {
		c.mu.Unlock()
		if idle {
			c.nudge()
		}
		return
	}
	var changes []change
	state := c.board.probed(t.slot)
	stopped := ctx.Err() != nil // whatever was found, it may be our own doing
	if !stopped {
		changes, state = c.board.record(t.slot, &res, t.settings.rules)
		c.settle(t)
		c.metrics.probed(t.names, res)
		for i := range changes {
			c.metrics.changed(&changes[i].verdict)
		}
	}
	t.at = time.Now()
	if due := t.onTick(c.zero, t.started.Add(t.gap(state))); !stopped && due.After(t.at) {
		t.at = due
	}
	heap.Push(&c.queue, t)
	if idle || t.index == 0 {
		c.nudge()
	}
	c.mu.Unlock()
	for i := range changes {
		c.tell(&changes[i])
	}
}

// tell logs a change of state.
func (c *Checker) tell(ch *change) {
	v := &ch.verdict
	attrs := []any{"check", strings.Join(v.Names, ","), "from", ch.from.String(), "reason", v.Reason}
	if v.Key.Endpoint != "" {
		attrs = append(attrs, "endpoint", v.Key.Endpoint)
	}
	switch v.State {
	case Up:
		c.log.Info("health up", attrs...)
	case Down:
		c.log.Warn("health down", attrs...)
	case Unknown:
		c.log.Info("health unknown", attrs...)
	}
}

// Settled waits until every target of the applied plan has had a result, or ctx is done, whose cause it then returns. Run must
// be running. A verdict that survived from an earlier plan is a result; without targets it returns at once.
func (c *Checker) Settled(ctx context.Context) error {
	for {
		c.mu.Lock()
		pending, settled := c.pending, c.settled
		c.mu.Unlock()
		if pending == 0 {
			return nil
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
