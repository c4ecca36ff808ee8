package config

import "time"

func (d *document) quorum(top object) Quorum {
	const defaultAbove = 0.18 // Route 53's
	q := Quorum{Mode: "r53", HealthyAbove: defaultAbove, MinVoters: 3, HoldLast: 5 * time.Minute, Period: 2 * time.Second, Dwell: 10 * time.Second}
	c, found := top.Get("quorum")
	if !found {
		return q
	}
	o := c.Object("mode", "healthy_above", "min_voters", "hold_last", "period", "dwell", "references")
	o.Enum("mode", &q.Mode, "r53", "regions", "all", "any", "local")
	o.Number("healthy_above", &q.HealthyAbove, 0, 0.99)
	o.Integer("min_voters", &q.MinVoters, 1, 1000)
	o.Duration("hold_last", &q.HoldLast, 0, day)
	o.Duration("period", &q.Period, 100*time.Millisecond, time.Minute)
	o.Duration("dwell", &q.Dwell, 0, time.Hour)
	if at, found := o.Get("references"); found {
		q.References = readReferences(at)
	}
	if q.Mode != "r53" {
		q.HealthyAbove = 0
		o.Refuse("only mode r53 has this", "healthy_above")
	}
	if q.Mode == "local" {
		o.Refuse("mode local asks no votes, so it does not have this", "min_voters", "hold_last", "dwell")
	}
	return q
}

const maxReferences = 100

// readReferences reads names of checks; that they exist and are probed is looked at when all checks are known.
func readReferences(c cursor) []string {
	items, ok := c.Items()
	switch {
	case ok && len(items) == 0:
		c.Errorf("must not be empty")
	case len(items) > maxReferences:
		c.Errorf("%d checks are more than %d", len(items), maxReferences)
	}
	var list []string
	for _, item := range items {
		if name, ok := item.Text(); ok {
			list = append(list, name)
		}
	}
	return list
}
