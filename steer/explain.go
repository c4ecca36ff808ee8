package steer

import (
	"fmt"
	"strings"
)

// Trace is how a decision came about, step by step, as Explain recorded it.
type Trace []Step

// Step is one line of a Trace.
type Step struct {
	Depth  int    `json:"depth"`            // of the group in the tree, from 0
	Group  string `json:"group"`            // name of the group
	Policy string `json:"policy"`           // of the group
	Member string `json:"member,omitempty"` // empty: about the group as a whole
	Result string `json:"result"`           // chosen, candidate, last resort, enter, skipped, group
	Detail string `json:"detail,omitempty"` // numbers and verdicts behind the result
}

// Explain makes the same decision as Candidates, by the same code, and returns it with its trace.
func (t *Tree) Explain(client *Client, health Health) ([]Pick, Trace) {
	var picks []Pick
	var trace Trace
	w := t.walker(client, health)
	w.trace = &trace
	w.yield = func(p Pick) bool {
		picks = append(picks, p)
		return true
	}
	w.run(t.root)
	trace.choose()
	return picks, trace
}

// choose marks the first candidate.
func (t Trace) choose() {
	for i := range t {
		if t[i].Result == "candidate" || t[i].Result == "last resort" {
			t[i].Result = "chosen"
			return
		}
	}
}

// note records something about a group as a whole.
func (w *walker) note(n *node, detail string) {
	if w.trace != nil {
		w.add(n, "", "group", detail)
	}
}

// skipped records the members that are not for this client.
func (w *walker) skipped(n *node) {
	if w.trace == nil {
		return
	}
	for i := range n.members {
		if m := &n.members[i]; !w.applies(n.group.Policy, m.Member) {
			w.add(n, m.ID, "skipped", "not for this client")
		}
	}
}

// enter records the descent into an alias; leave ends it.
func (w *walker) enter(n *node, i int, p phase) {
	w.depth++
	if w.trace == nil || p == rest {
		return
	}
	w.depth--
	w.add(n, n.members[i].ID, "enter", w.why(n, i))
	w.depth++
}

func (w *walker) leave() { w.depth-- }

// candidate records a leaf.
func (w *walker) candidate(n *node, i int, last bool) {
	if w.trace == nil {
		return
	}
	result := "candidate"
	if last {
		result = "last resort"
	}
	w.add(n, n.members[i].ID, result, w.why(n, i))
}

// notePanic records that health is ignored although something is healthy.
func (w *walker) notePanic(n *node, up, down int) {
	if w.trace != nil {
		w.note(n, fmt.Sprintf("panic: only %d of %d healthy (panic %d %%, min_healthy %d), so everything is treated as healthy",
			up, up+down, n.group.Panic, n.group.MinHealthy))
	}
}

func (w *walker) add(n *node, member, result, detail string) {
	*w.trace = append(*w.trace, Step{
		Depth: w.depth, Group: n.group.Name, Policy: n.group.Policy.String(), Member: member, Result: result, Detail: detail,
	})
}

// why puts the numbers a policy looked at, and the verdict, into words.
func (w *walker) why(n *node, i int) string {
	m := &n.members[i]
	parts := make([]string, 0, 4)
	for _, part := range []string{w.measure(n, i), w.measureAdvice(m), w.measureSlowStart(n, m), w.measureLimit(n, m), w.verdict(m)} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}

func (w *walker) measureSlowStart(n *node, m *member) string {
	if ramp := w.ramp(n, m); ramp < 1 {
		return fmt.Sprintf("slow start at %.0f %%", ramp*100)
	}
	return ""
}

// measureAdvice is what the endpoint asks for itself.
func (w *walker) measureAdvice(m *member) string {
	a := w.advice(m)
	if a.Weight > 0 && a.Weight != 100 {
		return fmt.Sprintf("asks for %d %% of its weight", a.Weight)
	}
	return ""
}

func (w *walker) measureLimit(n *node, m *member) string {
	limit := w.limitOf(n, m)
	if limit == 0 || m.target != nil || w.client.Load == nil {
		return ""
	}
	out := w.outstanding(m)
	if out >= limit {
		return fmt.Sprintf("full: %d of %d outstanding", out, limit)
	}
	return fmt.Sprintf("%d of %d outstanding", out, limit)
}

func (w *walker) measure(n *node, i int) string {
	m := &n.members[i]
	switch p := n.group.Policy; p {
	case Weighted:
		return fmt.Sprintf("weight %d", m.Weight)
	case RoundRobin:
		return fmt.Sprintf("turn %d, weight %d", w.client.Turn, m.Weight)
	case LeastOutstanding:
		return fmt.Sprintf("%d outstanding, weight %d", w.outstanding(m), m.Weight)
	case Hash:
		return fmt.Sprintf("hash %016x, score %.6f, weight %d", w.client.Hash, rendezvous(w.client.Hash, m.salt, w.force(n, i)), m.Weight)
	case LeastLatency:
		latency := "latency unknown"
		if took := w.latency(m); took > 0 {
			latency = "latency " + took.String()
		}
		return fmt.Sprintf("%s, %d outstanding, weight %d", latency, w.outstanding(m), m.Weight)
	case Latency, Geoproximity:
		km := distance(w.client.From, m.Point)
		if took := w.advice(m).Connect; took > 0 && n.measured() {
			if km == farAway {
				return fmt.Sprintf("connects in %s", took)
			}
			return fmt.Sprintf("%.0f km, connects in %s", km, took)
		}
		if km == farAway {
			return "distance unknown"
		}
		if p == Geoproximity {
			return fmt.Sprintf("%.0f km, bias %d, counts as %.0f km", km, m.Bias, biased(km, m.Bias))
		}
		return fmt.Sprintf("%.0f km", km)
	case Geolocation:
		return [...]string{"", "default", "continent " + m.Continent, "country " + m.Country,
			"subdivision " + m.Country + "-" + m.Subdivision}[locationRank(m.Member, &w.client.Place)]
	case CIDR:
		if rank := blockRank(m.Member, w.client); rank > 0 {
			return fmt.Sprintf("in a block of length %d", rank)
		}
		return "default"
	}
	return ""
}

// verdict says what the board holds about a member.
func (w *walker) verdict(m *member) string {
	own := ownVerdict(m.slot, w.health)
	if m.target != nil && m.EvaluateTargetHealth {
		if anyUp(m.target, w.health) {
			return own + ", target up"
		}
		return own + ", target down"
	}
	return own
}

// ownVerdict says what a board holds about a slot.
func ownVerdict(s Slot, h Health) string {
	if s == Always {
		return "no check"
	}
	own := "down"
	if h.Up(s) {
		own = "up"
	}
	if r, ok := h.(Reasoner); ok {
		own = withReason(own, r.Reason(s))
	}
	return own
}

// noteDraw records which two members were compared.
func (w *walker) noteDraw(n *node, a, b int) {
	if w.trace != nil {
		w.note(n, fmt.Sprintf("drew %s and %s", n.members[a].ID, n.members[b].ID))
	}
}

// noteSpill records that a full member made way.
func (w *walker) noteSpill(n *node, i, count int) {
	if w.trace != nil {
		w.note(n, fmt.Sprintf("spill: %s, drawn by free capacity among the next %d", n.members[i].ID, count))
	}
}

// noteSticky records that the client goes where it went before.
func (w *walker) noteSticky(n *node, m *member) {
	if w.trace != nil {
		w.note(n, "sticky: "+m.ID+" served this client before")
	}
}

// withReason adds why a member is up or down; without a reason nothing looks at it.
func withReason(own, reason string) string {
	if reason == "" {
		return "no check"
	}
	return own + " (" + reason + ")"
}
