package steer

import "fmt"

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
	w := walker{client: client, health: health, random: client.Random, trace: &trace}
	w.yield = func(p Pick) bool {
		picks = append(picks, p)
		return true
	}
	w.run(t.root)
	for i := range trace {
		if trace[i].Result == "candidate" || trace[i].Result == "last resort" {
			trace[i].Result = "chosen"
			break
		}
	}
	return picks, trace
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
func (w *walker) enter(n *node, m *member, p phase) {
	w.depth++
	if w.trace == nil || p == rest {
		return
	}
	w.depth--
	w.add(n, m.ID, "enter", w.why(n, m))
	w.depth++
}

func (w *walker) leave() { w.depth-- }

// candidate records a leaf.
func (w *walker) candidate(n *node, m *member) {
	if w.trace == nil {
		return
	}
	result := "candidate"
	if w.last {
		result = "last resort"
	}
	w.add(n, m.ID, result, w.why(n, m))
}

func (w *walker) add(n *node, member, result, detail string) {
	*w.trace = append(*w.trace, Step{
		Depth: w.depth, Group: n.group.Name, Policy: n.group.Policy.String(), Member: member, Result: result, Detail: detail,
	})
}

// why puts the numbers a policy looked at, and the verdict, into words.
func (w *walker) why(n *node, m *member) string {
	detail := w.measure(n.group.Policy, m)
	if health := w.verdict(m); health != "" {
		if detail != "" {
			detail += ", "
		}
		detail += health
	}
	return detail
}

func (w *walker) measure(p Policy, m *member) string {
	switch p {
	case Weighted:
		return fmt.Sprintf("weight %d", m.Weight)
	case Latency, Geoproximity:
		km := distance(w.client.From, m.Point)
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
	own := "no check"
	if m.Slot != Always {
		own = "down"
		if w.health.Up(m.Slot) {
			own = "up"
		}
		if r, ok := w.health.(Reasoner); ok {
			own = withReason(own, r.Reason(m.Slot))
		}
	}
	if m.target != nil && m.EvaluateTargetHealth {
		if anyUp(m.target, w.health) {
			return own + ", target up"
		}
		return own + ", target down"
	}
	return own
}

// withReason adds why a member is up or down; without a reason nothing looks at it.
func withReason(own, reason string) string {
	if reason == "" {
		return "no check"
	}
	return own + " (" + reason + ")"
}
