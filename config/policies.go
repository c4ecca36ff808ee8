package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
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

// steering reads what the policy of the record goes by. policy is empty when it is not known; nothing is required or refused
// then.
func (o object) steering(a *Answer, policy string) {
	o.integer("weight", &a.Weight, 0, 255)
	o.enum("role", &a.Role, "primary", "secondary")
	o.text("region", &a.Region)
	set(o, "country", &a.Country, cursor.country)
	o.enum("continent", &a.Continent, "AF", "AN", "AS", "EU", "NA", "OC", "SA")
	set(o, "subdivision", &a.Subdivision, cursor.subdivision)
	o.boolean("default", &a.Default)
	set(o, "cidrs", &a.CIDRs, cursor.blocks)
	o.point(a)
	o.integer("bias", &a.Bias, -99, 99)
	if policy == "" {
		return
	}
	for _, key := range policyKeys("") {
		if !slices.Contains(policyKeys(policy), key) {
			o.refuse(fmt.Sprintf("policy %s does not go by this", policy), key)
		}
	}
	switch policy {
	case "weighted":
		o.need("weight")
	case "failover":
		o.need("role")
	case "latency":
		o.need("region")
	case "geolocation":
		o.place(a)
	case "geoproximity":
		o.nearBy()
	case "cidr":
		o.oneOf("blocks of addresses", "cidrs", "default")
	case "multivalue":
		o.refuse("a multivalue answer has values, not an alias", "alias")
	}
}

func (o object) point(a *Answer) {
	lat := o.number("lat", &a.Lat, -90, 90)
	lon := o.number("lon", &a.Lon, -180, 180)
	a.HasPoint = lat && lon
}

// given are those of keys that are written; default: false is as good as not written.
func (o object) given(keys ...string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		c, found := o.get(key)
		return !found || key == "default" && c.n.Value == "false"
	})
}

// oneOf reports an answer that does not have exactly one of the keys.
func (o object) oneOf(what string, keys ...string) {
	given := o.given(keys...)
	switch {
	case len(given) > 1:
		c, _ := o.get(given[1])
		o.errorAt(c.key, c.path, "an answer has one of "+strings.Join(keys, ", "))
	case len(given) == 0 && !slices.ContainsFunc(keys, o.unsure):
		o.missing(keys[0]).hint("%s, or default: true for everyone else", what)
	}
}

// place checks which part of the earth an answer is for (Route 53: one of state, country, continent and default).
func (o object) place(a *Answer) {
	c, found := o.get("subdivision")
	if found && o.absent("country") {
		o.errorAt(c.key, c.path, "a subdivision needs its country").hint("add country: US")
		return
	}
	o.oneOf("a place", "country", "continent", "default")
	if country, _ := o.get("country"); found && a.Country != "US" && a.Country != "" {
		c.errorf("only states of the US are known, not of %s", country.shown())
	}
}

// nearBy checks that an answer stands at exactly one point.
func (o object) nearBy() {
	region, point := o.has("region"), o.has("lat") || o.has("lon")
	switch {
	case region && point:
		c, found := o.get("lat")
		if !found {
			c, _ = o.get("lon")
		}
		o.errorAt(c.key, c.path, "an answer has either a region or lat and lon")
	case point:
		o.need("lat")
		o.need("lon")
	case o.absent("region") && o.absent("lat") && o.absent("lon"):
		o.missing("region").hint("a region, or lat and lon")
	}
}

func (c cursor) country() (string, bool) {
	s, ok := c.text()
	if !ok || slices.Contains(countries(), s) {
		return s, ok
	}
	m := c.errorf("%s is not a country code of ISO 3166", c.shown())
	switch upper := strings.ToUpper(s); {
	case c.secret():
	case s == "*":
		m.hint("for everyone else write default: true")
	case s == "UK":
		m.hint(`did you mean "GB"?`)
	case slices.Contains(countries(), upper):
		m.hint("did you mean %q?", upper)
	}
	return "", false
}

func (c cursor) subdivision() (string, bool) {
	s, ok := c.text()
	if !ok || slices.Contains(states(), s) {
		return s, ok
	}
	m := c.errorf("%s is not the code of a US state", c.shown())
	if upper := strings.ToUpper(s); !c.secret() && slices.Contains(states(), upper) {
		m.hint("did you mean %q?", upper)
	}
	return "", false
}

// blocks reads the networks of one answer. Their lengths are those of a CIDR collection in Route 53.
func (c cursor) blocks() ([]netip.Prefix, bool) {
	items, ok := c.items()
	if ok && len(items) == 0 {
		c.errorf("must not be empty")
	}
	list := make([]netip.Prefix, 0, len(items))
	for _, item := range items {
		p, prefixOK := item.prefix()
		longest := 24
		if p.IsValid() && p.Addr().Is6() {
			longest = 48
		}
		switch {
		case !prefixOK:
		case p.Bits() == 0:
			item.errorf("%s is everyone", item.shown()).hint("write default: true instead of cidrs")
		case p.Bits() > longest:
			item.errorf("%s is longer than /%d", item.shown(), longest).
				hint("resolvers send no more than that of a client's address (RFC 7871 §11.1)")
		}
		list = append(list, p)
	}
	return list, ok
}

// policyRules checks the answers of a record against each other.
func (d *document) policyRules(c cursor, r *Record) {
	ids := make(map[string]int)
	for i, a := range r.Answers {
		if first := ids[a.ID]; first > 0 && a.ID != "" {
			id := d.answerKey(c, i, "id")
			id.errorf("the id %s is used twice, first in line %d", id.shown(), first)
		}
		ids[a.ID] = a.Line
	}
	switch r.Policy {
	case "failover":
		d.failoverRule(c, r)
	case "latency":
		d.unique(c, r, "region", func(a Answer) []string { return []string{a.Region} }, "region")
	case "geolocation":
		d.unique(c, r, "place", func(a Answer) []string { return []string{placeOf(a)} },
			"subdivision", "country", "continent", "default")
	case "cidr":
		d.unique(c, r, "block", blocksOf, "cidrs", "default")
	case "multivalue":
		if r.Type == "CNAME" || r.Type == "NS" {
			c.errorAt(c.key, c.path, "a name with a "+r.Type+" record cannot have several answers at once").hint("choose another policy")
		}
	}
	if r.Type == "NS" && r.Policy != "multivalue" && r.Policy != "" {
		c.errorAt(c.key, c.path, "a delegation cannot depend on who asks").hint("write its name servers as values")
	}
}

func (d *document) answerKey(c cursor, i int, key string) cursor {
	a := c.item(i)
	if found, ok := a.step(key); ok {
		return found
	}
	return a
}

func (d *document) failoverRule(c cursor, r *Record) {
	count := make(map[string]int)
	for _, a := range r.Answers {
		count[a.Role]++
	}
	if count[""] > 0 || count["primary"] == 1 && count["secondary"] == 1 {
		return // a role that is missing or wrong has been reported
	}
	c.errorAt(c.key, c.path, fmt.Sprintf("policy failover has exactly one primary and one secondary, not %d and %d",
		count["primary"], count["secondary"]))
}

// unique reports answers that are for the same clients as an earlier one, as far as their keys are right. The mistake stands at
// the first of the keys there is.
func (d *document) unique(c cursor, r *Record, what string, of func(Answer) []string, keys ...string) {
	first := make(map[string]int) // line of the answer
	for i, a := range r.Answers {
		at := c.item(i)
		if slices.ContainsFunc(keys, func(key string) bool { return !d.clean(joinPath(at.path, key)) }) {
			continue
		}
		for _, v := range of(a) {
			if line := first[v]; line > 0 {
				at.firstOf(keys).errorf("the %s is already that of the answer in line %d", what, line)
				break
			}
			if v != "" {
				first[v] = a.Line
			}
		}
	}
}

// firstOf is the value under the first of the keys there is, or c itself.
func (c cursor) firstOf(keys []string) cursor {
	for _, key := range keys {
		if found, ok := c.step(key); ok {
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
