package config

import "time"

func (d *document) quorum(top object) Quorum {
	const defaultAbove = 0.18 // Route 53's
	q := Quorum{Mode: "r53", HealthyAbove: defaultAbove, MinVoters: 3, HoldLast: 5 * time.Minute}
	c, found := top.Get("quorum")
	if !found {
		return q
	}
	o := c.Object("mode", "healthy_above", "min_voters", "hold_last")
	o.Enum("mode", &q.Mode, "r53", "regions", "all", "any", "local")
	o.Number("healthy_above", &q.HealthyAbove, 0, 0.99)
	o.Integer("min_voters", &q.MinVoters, 1, 1000)
	o.Duration("hold_last", &q.HoldLast, 0, day)
	if q.Mode != "r53" {
		q.HealthyAbove = 0
		o.Refuse("only mode r53 has this", "healthy_above")
	}
	if q.Mode == "local" {
		o.Refuse("mode local asks no votes, so it does not have this", "min_voters", "hold_last")
	}
	return q
}
