package steer

import "fmt"

// Explain makes the same decision as Candidates, by the same code, and returns it with its trace.
func (a *Accelerator) Explain(f *Flow, h Health) ([]Direction, Trace) {
	var all []Direction
	var trace Trace
	d := director{a: a, flow: f, health: h, adviser: adviserOf(h, false), key: a.key(f), trace: &trace}
	d.yield = func(to Direction) bool {
		all = append(all, to)
		return true
	}
	d.run()
	trace.choose()
	return all, trace
}

// note records something about a group.
func (d *director) note(group int, detail string) {
	if d.trace == nil {
		return
	}
	g := &d.a.groups[group]
	if km := distance(d.flow.From, g.Point); km != farAway {
		detail = fmt.Sprintf("%.0f km, %s", km, detail)
	}
	d.add(group, "", "group", detail)
}

// noteDial records how the dial of a group decided.
func (d *director) noteDial(group int, drawn float64) {
	if d.trace == nil {
		return
	}
	dial := d.a.groups[group].Dial
	compared, verdict := "below", "stays"
	if drawn >= dial/100 {
		compared, verdict = "not below", "goes on"
	}
	d.note(group, fmt.Sprintf("dial %g %%: hash %.6f is %s %.6f, %s", dial, drawn, compared, dial/100, verdict))
}

// noteEndpoint records a direction.
func (d *director) noteEndpoint(to Direction, score float64) {
	if d.trace == nil {
		return
	}
	e := &d.a.groups[to.Group].Endpoints[to.Endpoint]
	result := "candidate"
	if to.LastResort {
		result = "last resort"
	}
	d.add(to.Group, e.ID, result, fmt.Sprintf("weight %d, hash score %.6f, %s", e.Weight, score, ownVerdict(e.Slot, d.health)))
}

func (d *director) add(group int, endpoint, result, detail string) {
	*d.trace = append(*d.trace, Step{
		Group: d.a.name + "/" + d.a.groups[group].ID, Policy: "accelerator", Member: endpoint, Result: result, Detail: detail,
	})
}
