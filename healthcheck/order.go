package healthcheck

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// Force is what an operator says about a target. It beats every probe and every request.
type Force uint8

// The forces.
const (
	NoForce   Force = iota // nothing; given as an order it takes back the one there is
	ForceUp                // counts as up
	ForceDown              // counts as down
	Drain                  // counts as down, and says that it is on purpose: no new requests, what is under way ends in peace
)

var forceNames = [...]string{"clear", "up", "down", "drain"}

// String returns clear, up, down or drain.
func (f Force) String() string { return forceNames[f] }

// ParseForce finds a force by its name.
func ParseForce(s string) (Force, error) {
	if i := slices.Index(forceNames[:], s); i >= 0 {
		return Force(i), nil
	}
	return NoForce, fmt.Errorf("state %q is none of %s", s, strings.Join(forceNames[1:], ", ")+", clear")
}

// word is what readers see of a slot under a force.
func (f Force) word() word {
	if f == ForceUp {
		return word(Up)
	}
	return word(Down) | reachDown | aliveDown | orderedDown
}

// Order is an operator's word about a target: an endpoint ("192.0.2.1:80", at every check and pool), a check by its name (at
// every endpoint), or one endpoint of a pool or accelerator ("web/192.0.2.1:80").
type Order struct {
	Target string
	Force  Force
	Given  time.Time
	Until  time.Time // zero: until it is taken back
}

// words says an order to people; under it is what would be said without it.
func (o *Order) words(under string) string {
	text := "forced " + o.Force.String() + " by the operator"
	if o.Force == Drain {
		text = "draining by the operator's word"
	}
	if !o.Until.IsZero() {
		text += " until " + clock(o.Until)
	}
	if under != "" {
		text += " (" + under + ")"
	}
	return text
}

func clock(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// UnknownTarget is the error of an order about something the applied plan does not have.
type UnknownTarget struct {
	Target string
	Near   string   // what may have been meant; empty: nothing is near
	Known  []string // every target there is, sorted
}

// Error names some of the targets there are.
func (e *UnknownTarget) Error() string {
	text := fmt.Sprintf("no target %q", e.Target)
	if e.Near == "" {
		text += "."
	} else {
		text += fmt.Sprintf("; did you mean %q?", e.Near)
	}
	switch shown := e.Known[:min(len(e.Known), maxShownTargets)]; {
	case len(e.Known) == 0:
		return text + " The configuration has no checks and no pools"
	case len(shown) < len(e.Known):
		return text + fmt.Sprintf(" There are %s and %d more", strings.Join(shown, ", "), len(e.Known)-len(shown))
	default:
		return text + " There are " + strings.Join(shown, ", ")
	}
}

// ErrTooManyOrders is returned by Order when maxOrders are in force.
var ErrTooManyOrders = errors.New("too many orders are in force; take one back first")

// Order puts an operator's word in force, for a time or, with 0, until it is taken back, and returns it. It takes the place
// of an earlier one about the same target. When several are about one slot the latest counts; one about an endpoint of a pool
// goes before one about the check it follows. NoForce takes an order back, and it is no error when there is none. It fails
// with an *UnknownTarget or ErrTooManyOrders. What it changes is seen at once.
func (b *Board) Order(target string, f Force, d time.Duration) (Order, error) {
	target = canonicalTarget(target)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	o := &Order{Target: target, Force: f, Given: now}
	known := b.targets()
	old := b.orders[target]
	_, found := slices.BinarySearch(known, target)
	switch {
	case !found && (f != NoForce || old == nil):
		return Order{}, &UnknownTarget{Target: target, Near: yamldoc.Nearest(target, known), Known: known}
	case f == NoForce:
		delete(b.orders, target)
	case old == nil && len(b.orders) >= maxOrders:
		return Order{}, ErrTooManyOrders
	default:
		if d > 0 {
			o.Until = now.Add(d)
			b.sooner(o.Until)
		}
		b.orders[target] = o
	}
	b.doubt.note(true)
	var changes []change
	b.obey(&changes)
	b.tell(changes)
	return *o, nil
}

// Orders lists the orders in force, sorted by target.
func (b *Board) Orders() []Order {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Order, 0, len(b.orders))
	for _, o := range b.orders {
		all = append(all, *o)
	}
	slices.SortFunc(all, func(x, y Order) int { return strings.Compare(x.Target, y.Target) })
	return all
}

// obey gives every row the order that is about it. The caller holds mu.
func (b *Board) obey(changes *[]change) {
	for _, r := range b.rows {
		if o := b.orderFor(r); o != r.order {
			r.order = o
			b.settle(r, changes)
		}
	}
}

// orderFor is the latest order about a row in use; nil: none.
func (b *Board) orderFor(r *row) *Order {
	if len(b.orders) == 0 || r.names == nil && r.member == nil {
		return nil
	}
	var latest *Order
	for target := range r.targets {
		if o := b.orders[target]; o != nil && (latest == nil || o.Given.After(latest.Given)) {
			latest = o
		}
	}
	return latest
}

// targets yields what an order can call a row in use.
func (r *row) targets(yield func(string) bool) {
	for _, name := range r.names {
		if !yield(name) {
			return
		}
	}
	used := r.names != nil || r.member != nil && r.member.used
	if !used || r.key.Endpoint != "" && !yield(r.key.Endpoint) {
		return
	}
	if r.member != nil {
		yield(r.member.scope.name + "/" + r.key.Endpoint)
	}
}

// targets lists everything an order can be about, sorted. The caller holds mu.
func (b *Board) targets() []string {
	var all []string
	for _, r := range b.rows {
		all = slices.AppendSeq(all, r.targets)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// canonicalTarget writes the endpoint in a target as keys do.
func canonicalTarget(s string) string {
	scope, endpoint := "", s
	if i := strings.LastIndexByte(s, '/'); i >= 0 {
		scope, endpoint = s[:i+1], s[i+1:]
	}
	if a, err := netip.ParseAddrPort(endpoint); err == nil {
		return scope + addrText(a)
	}
	if strings.Contains(endpoint, ":") {
		return scope + strings.ToLower(endpoint) // names of hosts do not care; those of checks have no colon
	}
	return s
}
