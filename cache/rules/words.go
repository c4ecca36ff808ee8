package rules

import (
	"fmt"
	"time"
)

// Words is the arithmetic of RFC 9111 §4.2, a line for each step.
func (f *Freshness) Words(now time.Time) []string {
	age, ttl := f.Age(now), f.TTL(now)
	lines := []string{
		fmt.Sprintf("lifetime %s from %s", round(f.Lifetime), f.Source),
		fmt.Sprintf("age %s = %s when received + %s stored", round(age), round(f.InitialAge), round(age-f.InitialAge)),
	}
	switch {
	case f.NoCache:
		lines = append(lines, "no-cache: the origin is asked on every use")
	case ttl > 0:
		lines = append(lines, fmt.Sprintf("fresh for another %s", round(ttl)))
	default:
		lines = append(lines, fmt.Sprintf("stale for %s", round(-ttl)))
	}
	if f.Strict {
		return append(lines, "never served stale")
	}
	return append(lines, fmt.Sprintf("stale-while-revalidate %s, stale-if-error %s", f.StaleWhileRevalidate, f.StaleIfError))
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
