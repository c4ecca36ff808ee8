package zones

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// policyKeys are the keys that answers have under one policy, or under any for "".
func policyKeys(policy string) []string {
	switch policy {
	case "weighted":
		return []string{"weight"}
	case "failover":
		return []string{"role"}
	case "latency":
		return []string{"region"}
	case "geolocation":
		return []string{"country", "continent", "subdivision", "default"}
	case "geoproximity":
		return []string{"region", "lat", "lon", "bias"}
	case "cidr":
		return []string{"cidrs", "default"}
	case "multivalue":
		return nil
	}
	return []string{"weight", "role", "region", "country", "continent", "subdivision", "default", "cidrs", "lat", "lon", "bias"}
}

// readSteering reads what the policy of the record goes by. policy is empty when it is not known; nothing is required or refused
// then.
func readSteering(o object, a *Answer, policy string) {
	o.Integer("weight", &a.Weight, 0, 255)
	o.Enum("role", &a.Role, "primary", "secondary")
	o.Text("region", &a.Region)
	yamldoc.Set(o, "country", &a.Country, ReadCountry)
	o.Enum("continent", &a.Continent, "AF", "AN", "AS", "EU", "NA", "OC", "SA")
	yamldoc.Set(o, "subdivision", &a.Subdivision, ReadSubdivision)
	o.Boolean("default", &a.Default)
	yamldoc.Set(o, "cidrs", &a.CIDRs, readBlocks)
	readPoint(o, a)
	o.Integer("bias", &a.Bias, -99, 99)
	if policy == "" {
		return
	}
	for _, key := range policyKeys("") {
		if !slices.Contains(policyKeys(policy), key) {
			o.Refuse(fmt.Sprintf("policy %s does not go by this", policy), key)
		}
	}
	switch policy {
	case "weighted":
		o.Need("weight")
	case "failover":
		o.Need("role")
	case "latency":
		o.Need("region")
	case "geolocation":
		checkPlace(o, a)
	case "geoproximity":
		checkNearBy(o)
	case "cidr":
		oneOf(o, "blocks of addresses", "cidrs", "default")
	case "multivalue":
		o.Refuse("a multivalue answer has values, not an alias", "alias")
	}
}

func readPoint(o object, a *Answer) {
	lat := o.Number("lat", &a.Lat, -90, 90)
	lon := o.Number("lon", &a.Lon, -180, 180)
	a.HasPoint = lat && lon
}

// givenKeys are those of keys that are written; default: false is as good as not written.
func givenKeys(o object, keys ...string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		c, found := o.Get(key)
		return !found || key == "default" && c.Raw() == "false"
	})
}

// oneOf reports an answer that does not have exactly one of the keys.
func oneOf(o object, what string, keys ...string) {
	given := givenKeys(o, keys...)
	switch {
	case len(given) > 1:
		c, _ := o.Get(given[1])
		c.KeyError("an answer has one of " + strings.Join(keys, ", "))
	case len(given) == 0 && !slices.ContainsFunc(keys, o.Unsure):
		o.Missing(keys[0]).Hint("%s, or default: true for everyone else", what)
	}
}

// checkPlace checks which part of the earth an answer is for (Route 53: one of state, country, continent and default).
func checkPlace(o object, a *Answer) {
	c, found := o.Get("subdivision")
	if found && o.Absent("country") {
		c.KeyError("a subdivision needs its country").Hint("add country: US")
		return
	}
	oneOf(o, "a place", "country", "continent", "default")
	if country, _ := o.Get("country"); found && a.Country != "US" && a.Country != "" {
		c.Errorf("only states of the US are known, not of %s", country.Shown())
	}
}

// checkNearBy checks that an answer stands at exactly one point.
func checkNearBy(o object) {
	region, point := o.Has("region"), o.Has("lat") || o.Has("lon")
	switch {
	case region && point:
		c, found := o.Get("lat")
		if !found {
			c, _ = o.Get("lon")
		}
		c.KeyError("an answer has either a region or lat and lon")
	case point:
		o.Need("lat")
		o.Need("lon")
	case o.Absent("region") && o.Absent("lat") && o.Absent("lon"):
		o.Missing("region").Hint("a region, or lat and lon")
	}
}

// ReadCountry reads an ISO 3166-1 alpha-2 code in capitals.
func ReadCountry(c cursor) (string, bool) {
	s, ok := c.Text()
	if !ok || slices.Contains(countries(), s) {
		return s, ok
	}
	m := c.Errorf("%s is not a country code of ISO 3166", c.Shown())
	switch upper := strings.ToUpper(s); {
	case c.Secret():
	case s == "*":
		m.Hint("for everyone else write default: true")
	case s == "UK":
		m.Hint(`did you mean "GB"?`)
	case slices.Contains(countries(), upper):
		m.Hint("did you mean %q?", upper)
	}
	return "", false
}

// ReadSubdivision reads the code of a US state in capitals.
func ReadSubdivision(c cursor) (string, bool) {
	s, ok := c.Text()
	if !ok || slices.Contains(states(), s) {
		return s, ok
	}
	m := c.Errorf("%s is not the code of a US state", c.Shown())
	if upper := strings.ToUpper(s); !c.Secret() && slices.Contains(states(), upper) {
		m.Hint("did you mean %q?", upper)
	}
	return "", false
}

// readBlocks reads the networks of one answer. Their lengths are those of a CIDR collection in Route 53.
func readBlocks(c cursor) ([]netip.Prefix, bool) {
	items, ok := c.Items()
	if ok && len(items) == 0 {
		c.Errorf("must not be empty")
	}
	list := make([]netip.Prefix, 0, len(items))
	for _, item := range items {
		p, prefixOK := item.Prefix()
		longest := 24
		if p.IsValid() && p.Addr().Is6() {
			longest = 48
		}
		switch {
		case !prefixOK:
		case p.Bits() == 0:
			item.Errorf("%s is everyone", item.Shown()).Hint("write default: true instead of cidrs")
		case p.Bits() > longest:
			item.Errorf("%s is longer than /%d", item.Shown(), longest).
				Hint("resolvers send no more than that of a client's address (RFC 7871 §11.1)")
		}
		list = append(list, p)
	}
	return list, ok
}

// policyRules checks the answers of a record against each other.
func policyRules(c cursor, r *Record) {
	ids := make(map[string]int)
	for i, a := range r.Answers {
		if first := ids[a.ID]; first > 0 && a.ID != "" {
			id := answerKey(c, i, "id")
			id.Errorf("the id %s is used twice, first in line %d", id.Shown(), first)
		}
		ids[a.ID] = a.Line
	}
	switch r.Policy {
	case "failover":
		failoverRule(c, r)
	case "latency":
		unique(c, r, "region", func(a Answer) []string { return []string{a.Region} }, "region")
	case "geolocation":
		unique(c, r, "place", func(a Answer) []string { return []string{placeOf(a)} },
			"subdivision", "country", "continent", "default")
	case "cidr":
		unique(c, r, "block", blocksOf, "cidrs", "default")
	case "multivalue":
		if r.Type == "CNAME" || r.Type == "NS" {
			c.KeyError("a name with a " + r.Type + " record cannot have several answers at once").Hint("choose another policy")
		}
	}
	if r.Type == "NS" && r.Policy != "multivalue" && r.Policy != "" {
		c.KeyError("a delegation cannot depend on who asks").Hint("write its name servers as values")
	}
}

func answerKey(c cursor, i int, key string) cursor {
	a := c.Item(i)
	if found, ok := a.Step(key); ok {
		return found
	}
	return a
}

func failoverRule(c cursor, r *Record) {
	count := make(map[string]int)
	for _, a := range r.Answers {
		count[a.Role]++
	}
	if count[""] > 0 || count["primary"] == 1 && count["secondary"] == 1 {
		return // a role that is missing or wrong has been reported
	}
	c.KeyError(fmt.Sprintf("policy failover has exactly one primary and one secondary, not %d and %d",
		count["primary"], count["secondary"]))
}

// unique reports answers that are for the same clients as an earlier one, as far as their keys are right. The mistake stands at
// the first of the keys there is.
func unique(c cursor, r *Record, what string, of func(Answer) []string, keys ...string) {
	first := make(map[string]int) // line of the answer
	for i, a := range r.Answers {
		at := c.Item(i)
		if slices.ContainsFunc(keys, func(key string) bool { return !at.CleanAt(key) }) {
			continue
		}
		for _, v := range of(a) {
			if line := first[v]; line > 0 {
				firstOf(at, keys).Errorf("the %s is already that of the answer in line %d", what, line)
				break
			}
			if v != "" {
				first[v] = a.Line
			}
		}
	}
}

// firstOf is the value under the first of the keys there is, or c itself.
func firstOf(c cursor, keys []string) cursor {
	for _, key := range keys {
		if found, ok := c.Step(key); ok {
			return found
		}
	}
	return c
}

func placeOf(a Answer) string {
	switch {
	case a.Default:
		return "default"
	case a.Country != "":
		return "country " + a.Country + " " + a.Subdivision
	case a.Continent != "":
		return "continent " + a.Continent
	}
	return ""
}

func blocksOf(a Answer) []string {
	if a.Default {
		return []string{"default"}
	}
	var list []string
	for _, p := range a.CIDRs {
		if p.IsValid() {
			list = append(list, p.String())
		}
	}
	return list
}
