package config

import (
	"time"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// readDamping reads how a check counts beyond rise and fall, and how long it holds down what flaps.
func readDamping(o object, k *Check) {
	if c, found := o.Get("count"); found {
		k.Count = &Counting{Up: 20, OK: 10, Down: 10}
		co := c.Object("up", "ok", "down")
		co.Integer("up", &k.Count.Up, 1, 1000)
		co.Integer("ok", &k.Count.OK, 1, 1000)
		co.Integer("down", &k.Count.Down, 1, 1000)
		o.Refuse("count says it already, as up and down", "rise", "fall")
	}
	c, found := o.Get("hold_down")
	if !found {
		return
	}
	h := &HoldDown{Min: k.Interval, Max: 5 * time.Minute, HalfLife: 5 * time.Minute}
	if c.Single() {
		if on, ok := c.Boolean(); ok && on {
			h.Max = max(h.Max, h.Min)
			k.HoldDown = h
		}
		return
	}
	ho := c.Object("min", "max", "half_life")
	minOK := ho.Duration("min", &h.Min, 10*time.Millisecond, day)
	h.Max = max(h.Max, h.Min)
	maxOK := ho.Duration("max", &h.Max, 10*time.Millisecond, 7*day)
	ho.Duration("half_life", &h.HalfLife, time.Second, 7*day)
	if at, found := ho.Get("max"); found && minOK && maxOK && h.Max < h.Min {
		at.Errorf("%s is below the min of %s", at.Shown(), yamldoc.FormatDuration(h.Min))
	}
	k.HoldDown = h
}

// Envoy's numbers (outlier_detection.proto).
func envoyPassive() Passive {
	return Passive{
		ServerErrors: 5, GatewayFailures: 5, Deviations: 1.9, MinEndpoints: 5, MinRequests: 100,
		Interval: 10 * time.Second, BaseEjection: 30 * time.Second, MaxEjection: 300 * time.Second, MaxShare: 10,
	}
}

// readPassive reads how a pool, or a group of an accelerator, is judged by the requests it serves. One that says nothing gets the careful part, which
// looks only at failures to reach an endpoint; one endpoint gets nothing, because there is nowhere else to go.
func readPassive(o object, p *Passive, endpoints int) {
	c, found := o.Get("passive")
	if !found {
		if endpoints > 1 {
			*p = envoyPassive()
			p.ServerErrors, p.Deviations = 0, 0
		}
		return
	}
	if c.Single() {
		if on, ok := c.Boolean(); ok && on {
			*p = envoyPassive()
		}
		return
	}
	v := envoyPassive()
	po := c.Object("consecutive_5xx", "consecutive_gateway", "success_rate_deviations", "success_rate_endpoints",
		"success_rate_requests", "interval", "base_ejection", "max_ejection", "max_share")
	po.Integer("consecutive_5xx", &v.ServerErrors, 0, 10_000)
	po.Integer("consecutive_gateway", &v.GatewayFailures, 0, 10_000)
	po.Number("success_rate_deviations", &v.Deviations, 0, 10)
	po.Integer("success_rate_endpoints", &v.MinEndpoints, 2, 256)
	po.Integer("success_rate_requests", &v.MinRequests, 1, 1_000_000)
	po.Duration("interval", &v.Interval, time.Second, time.Hour)
	baseOK := po.Duration("base_ejection", &v.BaseEjection, 100*time.Millisecond, day)
	v.MaxEjection = max(v.MaxEjection, v.BaseEjection)
	maxOK := po.Duration("max_ejection", &v.MaxEjection, 100*time.Millisecond, 7*day)
	po.Number("max_share", &v.MaxShare, 0.1, 100)
	if at, found := po.Get("max_ejection"); found && baseOK && maxOK && v.MaxEjection < v.BaseEjection {
		at.Errorf("%s is below the base_ejection of %s", at.Shown(), yamldoc.FormatDuration(v.BaseEjection))
	}
	*p = v
}
