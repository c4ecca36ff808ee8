package edge_test

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/meridian-edge/meridian/config"
)

// This file is Route 53 as its guide tells it, written a second time, slowly and without looking at how steer or dns do it:
// over the records of the configuration, with sums instead of trees and the haversine formula instead of unit vectors. It
// says with which probability a client is given which answer.

// asker is a client as the model knows it.
type asker struct {
	subnet    netip.Prefix // invalid: it sends no subnet
	country   string       // "": nowhere
	continent string
	lat, lon  float64
}

// outcome is an answer, written as its TTL and its sorted values, with its probability. The empty text is NODATA.
type outcome map[string]float64

type model struct {
	cfg  *config.Config
	zone *config.Zone
	open map[netip.AddrPort]bool
}

// answer is what a question of this name and type may be answered with.
func (m *model) answer(name, typ string, a *asker) outcome {
	r := m.record(name, typ)
	switch {
	case r == nil:
		return outcome{"": 1}
	case r.Alias != nil:
		return m.answer(r.Alias.Record, typ, a) // as if asked there, with its TTL
	case len(r.Answers) == 0:
		return outcome{text(r, r.Values): 1}
	}
	var fit, healthy []*config.Answer
	for i := range r.Answers {
		c := &r.Answers[i]
		if !m.applies(r.Policy, c, a) {
			continue
		}
		fit = append(fit, c)
		if m.healthy(c, typ) {
			healthy = append(healthy, c)
		}
	}
	if len(healthy) == 0 {
		healthy = fit // the mode of last resort: all are treated as healthy
	}
	if len(healthy) == 0 {
		return outcome{"": 1} // no location matches and there is no default
	}
	if r.Policy == "multivalue" {
		if len(healthy) > 8 {
			panic("BUG: the model does not choose eight of many")
		}
		var values []string
		for _, c := range healthy {
			values = append(values, c.Values...)
		}
		return outcome{text(r, values): 1}
	}
	out := outcome{}
	for c, p := range m.chances(r.Policy, healthy, a) {
		if c.Alias == nil {
			out[text(r, c.Values)] += p
			continue
		}
		for below, q := range m.answer(c.Alias.Record, typ, a) {
			out[below] += p * q
		}
	}
	return out
}

func (m *model) record(name, typ string) *config.Record {
	_, above, _ := strings.Cut(name, ".")
	for _, candidate := range []string{name, "*." + above} {
		for i := range m.zone.Records {
			if r := &m.zone.Records[i]; r.Name == candidate && r.Type == typ {
				return r
			}
		}
	}
	return nil
}

// healthy: the answer's own check and, for an alias that evaluates its target, any answer there.
func (m *model) healthy(c *config.Answer, typ string) bool {
	if c.Check != "" && !m.checkUp(c.Check) {
		return false
	}
	if c.Alias == nil || !c.EvaluateTargetHealth {
		return true
	}
	r := m.record(c.Alias.Record, typ)
	if len(r.Answers) == 0 {
		return true
	}
	for i := range r.Answers {
		if m.healthy(&r.Answers[i], typ) {
			return true
		}
	}
	return false
}

// checkUp: disabled is healthy, and inverted the opposite of what it would be.
func (m *model) checkUp(name string) bool {
	c, found := m.cfg.Check(name)
	if !found || c.Type != "tcp" {
		panic("BUG: the model knows checks of type tcp: " + name)
	}
	return (c.Disabled || m.open[c.Target]) != c.Inverted
}

func (m *model) applies(policy string, c *config.Answer, a *asker) bool {
	switch policy {
	case "geolocation":
		return specific(c, a) > 0
	case "cidr":
		return longest(c, a) >= 0
	}
	return true
}

// specific is how specific a location is that holds the client: 0 does not.
func specific(c *config.Answer, a *asker) int {
	switch {
	case c.Default:
		return 1
	case c.Country != "":
		if c.Country == a.country {
			return 3
		}
	case c.Continent != "" && c.Continent == a.continent:
		return 2
	}
	return 0
}

// longest is the length of the longest block that contains the whole of the client's prefix, 0 for a default, -1 for none.
func longest(c *config.Answer, a *asker) int {
	best := -1
	if c.Default {
		best = 0
	}
	for _, block := range c.CIDRs {
		if a.subnet.IsValid() && block.Bits() <= a.subnet.Bits() && block.Contains(a.subnet.Addr()) {
			best = max(best, block.Bits())
		}
	}
	return best
}

// chances divides probability 1 among answers that are all healthy, or all treated so.
func (m *model) chances(policy string, list []*config.Answer, a *asker) map[*config.Answer]float64 {
	out := map[*config.Answer]float64{}
	switch policy {
	case "weighted":
		sum := 0
		for _, c := range list {
			sum += c.Weight
		}
		for _, c := range list {
			switch {
			case sum == 0: // all have weight zero: alike
				out[c] = 1 / float64(len(list))
			case c.Weight > 0: // those of zero only when the others are unhealthy
				out[c] = float64(c.Weight) / float64(sum)
			}
		}
		return out
	case "failover":
		i := slices.IndexFunc(list, func(c *config.Answer) bool { return c.Role == "primary" })
		out[list[max(i, 0)]] = 1
		return out
	}
	best := slices.MinFunc(list, func(x, y *config.Answer) int {
		switch d := m.badness(policy, x, a) - m.badness(policy, y, a); {
		case d < 0:
			return -1
		case d > 0:
			return 1
		}
		return 0
	})
	out[best] = 1
	return out
}

func (m *model) badness(policy string, c *config.Answer, a *asker) float64 {
	lat, lon := c.Lat, c.Lon
	if r, found := m.cfg.Region(c.Region); found {
		lat, lon = r.Lat, r.Lon
	}
	switch policy {
	case "geolocation":
		return -float64(specific(c, a))
	case "cidr":
		return -float64(longest(c, a))
	case "latency":
		return haversine(a.lat, a.lon, lat, lon)
	case "geoproximity":
		return haversine(a.lat, a.lon, lat, lon) * (1 - float64(c.Bias)/100)
	}
	panic("BUG: the model does not know policy " + policy)
}

func haversine(lat1, lon1, lat2, lon2 float64) float64 {
	const rad = math.Pi / 180
	sinLat, sinLon := math.Sin((lat2-lat1)*rad/2), math.Sin((lon2-lon1)*rad/2)
	return 2 * 6371.0088 * math.Asin(math.Sqrt(sinLat*sinLat+math.Cos(lat1*rad)*math.Cos(lat2*rad)*sinLon*sinLon))
}

// byClient says whether a record's answer may depend on who asks: if not, it is good for everybody (RFC 7871 section 7.2.1).
func (m *model) byClient(name, typ string) bool {
	r := m.record(name, typ)
	switch {
	case r == nil:
		return false
	case r.Alias != nil:
		return m.byClient(r.Alias.Record, typ)
	case slices.Contains([]string{"latency", "geolocation", "geoproximity", "cidr"}, r.Policy):
		return true
	}
	return slices.ContainsFunc(r.Answers, func(c config.Answer) bool {
		return c.Alias != nil && m.byClient(c.Alias.Record, typ)
	})
}

func text(r *config.Record, values []string) string {
	return written(uint32(r.TTL.Seconds()), values)
}

// written is an answer as text.
func written(ttl uint32, values []string) string {
	if len(values) == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", ttl, strings.Join(slices.Sorted(slices.Values(values)), " "))
}
