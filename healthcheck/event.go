package healthcheck

import "time"

// event is something the log and the metrics are told.
type event struct {
	change *change // a state that began; nil: one of the kinds below

	kind          string // ejected, readmitted, expired (an order), edit
	scope         scope  // ejected, readmitted
	endpoint      string // expired: endpoint is the target; edit: the check
	cause, reason string
	until         time.Time
	ends          []EditEnd // edit
}

// happened keeps an event until the checker takes it. The caller holds mu.
func (b *Board) happened(e event) {
	if len(b.events) < maxEvents {
		b.events = append(b.events, e)
	}
	b.nudge()
}

// tell keeps changes for the log and the metrics. The caller holds mu.
func (b *Board) tell(changes []change) {
	for i := range changes {
		b.happened(event{change: &changes[i]})
	}
}

// nudge makes the checker look at board and queue again.
func (b *Board) nudge() {
	select {
	case b.wake <- struct{}{}:
	default: // it is about to
	}
}

// sooner notes that something is to happen at a time. The caller holds mu.
func (b *Board) sooner(t time.Time) {
	if b.soon.IsZero() || t.Before(b.soon) {
		b.soon = t
		b.nudge()
	}
}

// attend does what is due on the board: orders and ejections that end, pools to be swept. It returns what there is to tell,
// and when it has to be called next; zero: only after a nudge.
func (b *Board) attend(now time.Time) ([]event, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.soon.IsZero() && !now.Before(b.soon) {
		b.soon = time.Time{}
		b.endOrders(now)
		b.endEjections(now)
		b.endTrials(now)
	}
	events := b.events
	b.events = nil
	return events, b.soon
}

func (b *Board) endOrders(now time.Time) {
	ended := false
	for target, o := range b.orders {
		switch {
		case o.Until.IsZero():
		case now.Before(o.Until):
			b.sooner(o.Until)
		default:
			ended = true
			delete(b.orders, target)
			b.happened(event{kind: "expired", endpoint: target, reason: o.words("")})
		}
	}
	if ended {
		b.doubt.note(true)
		var changes []change
		b.obey(&changes)
		b.tell(changes)
	}
}

func (b *Board) endEjections(now time.Time) {
	for _, g := range b.groups {
		for _, r := range g.members {
			switch until := r.member.until; {
			case until.IsZero():
			case now.Before(until):
				b.sooner(until)
			default:
				b.readmit(r, "its time is over", nil)
			}
		}
		if !now.Before(g.sweep) {
			b.sweepGroup(g, now)
			g.sweep = now.Add(g.rules.Interval)
		}
		b.sooner(g.sweep)
	}
}
