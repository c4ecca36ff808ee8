package config

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// record decodes one record of z, whose own fields are complete by now.
func (d *document) record(c cursor, z *Zone) Record {
	r := Record{Policy: "simple", TTL: z.TTL, Line: c.n.Line}
	o := c.object("name", "type", "ttl", "policy", "values", "alias", "answers")
	o.need("name")
	set(o, "name", &r.Name, func(c cursor) (string, bool) { return c.ownerName(z.Name) })
	if c, found := o.need("type"); found {
		r.Type, _ = c.recordType()
	}
	set(o, "ttl", &r.TTL, cursor.ttl)
	o.oneContent()
	if v, found := o.get("values"); found {
		r.Values = v.values(r.Type)
	}
	set(o, "alias", &r.Alias, func(c cursor) (*Alias, bool) { return c.alias(z.Name) })
	d.policy(o, &r, z)
	if o.has("ttl") && r.onlyAliases() {
		ttl, _ := o.get("ttl")
		ttl.warnf("has no effect: an alias is answered with the TTL of what it points at").hint("remove it")
	}
	return r
}

// oneContent reports a record that does not have exactly one of values, alias and answers.
func (o object) oneContent() {
	kinds := []string{"values", "alias", "answers"}
	var present []string
	for _, k := range kinds {
		if o.has(k) {
			present = append(present, k)
		}
	}
	switch {
	case len(present) > 1:
		c, _ := o.get(present[1])
		o.errorAt(c.key, c.path, "a record has one of values, alias and answers, not several")
	case len(present) == 0 && o.absent("values") && o.absent("alias") && o.absent("answers"):
		key := "values"
		if o.has("policy") {
			key = "answers"
		}
		o.missing(key).hint("a record has values, an alias, or a policy with answers")
	}
}

// policy reads policy and answers, which come together or not at all.
func (d *document) policy(o object, r *Record, z *Zone) {
	p, hasPolicy := o.get("policy")
	if hasPolicy {
		policy, ok := p.enum("simple", "weighted", "latency", "failover", "geolocation", "geoproximity", "cidr", "multivalue")
		r.Policy = policy // empty when it could not be read: the rules of no policy apply
		switch {
		case ok && policy == "simple" && o.has("answers"):
			p.errorf("policy simple has values or an alias, not answers").hint("choose the policy that picks among the answers")
			r.Policy = ""
		case ok && policy != "simple" && !o.has("answers") && (o.has("values") || o.has("alias")):
			p.errorf("policy %s chooses among answers, and there are none", p.shown()).
				hint("move the values into answers: [{id: ..., values: [...]}]")
		}
	} else if o.has("answers") {
		if o.absent("policy") {
			o.missing("policy").hint("say how to choose among the answers, such as policy: weighted")
		}
		r.Policy = ""
	}
	answers, found := o.get("answers")
	if !found {
		return
	}
	items, ok := answers.items()
	if ok && len(items) == 0 {
		answers.errorf("must not be empty")
	}
	for _, item := range items {
		r.Answers = append(r.Answers, d.answer(item, r, z))
	}
	d.policyRules(answers, r)
}

// onlyAliases says whether nothing in the record has a TTL of its own.
func (r *Record) onlyAliases() bool {
	if len(r.Answers) == 0 {
		return r.Alias != nil
	}
	return !slices.ContainsFunc(r.Answers, func(a Answer) bool { return a.Alias == nil })
}

// recordType reads the name of a type that a zone can hold as a record of its own.
func (c cursor) recordType() (string, bool) {
	s, ok := c.text()
	if !ok {
		return "", false
	}
	upper := strings.ToUpper(s)
	if upper == "SOA" {
		c.errorf("the SOA record is made from the zone").hint("see ttl, negative_ttl and hostmaster of the zone")
		return "", false
	}
	if t, known := dns.StringToType[upper]; known && dns.TypeToRR[t] != nil && !slices.Contains(otherTypes(), upper) {
		return upper, true
	}
	m := c.errorf("%s is not a record type", c.shown())
	if !c.secret() {
		m.meant(upper, recordTypes())
	}
	return "", false
}

// otherTypes are the types that are no records of a zone: questions, transport (RFC 6895 §3.1) and what a signer makes.
func otherTypes() []string {
	return []string{
		"SOA", "ANY", "OPT", "TSIG", "TKEY", "RRSIG", "SIG", "NSEC", "NSEC3", "NSEC3PARAM", "NXT", "NULL", "NXNAME",
	}
}

// recordTypes are the types that miekg/dns knows besides those, in the order in which suggestions prefer them.
func recordTypes() []string {
	list := []string{"A", "AAAA", "CNAME", "TXT", "MX", "NS", "SRV", "PTR", "CAA", "HTTPS", "SVCB"}
	var rest []string
	for t := range dns.TypeToRR {
		if s := dns.TypeToString[t]; !slices.Contains(list, s) && !slices.Contains(otherTypes(), s) {
			rest = append(rest, s)
		}
	}
	slices.Sort(rest)
	return append(list, rest...)
}

// alias reads {record: NAME}. Whether the record exists is known only once the zone is complete.
func (c cursor) alias(zone string) (*Alias, bool) {
	o := c.object("record")
	var a Alias
	o.need("record")
	ok := set(o, "record", &a.Record, func(c cursor) (string, bool) { return c.ownerName(zone) })
	return &a, ok
}

// answer decodes one choice of a policy record.
func (d *document) answer(c cursor, r *Record, z *Zone) Answer {
	a := Answer{Line: c.n.Line}
	common := []string{"id", "values", "alias", "evaluate_target_health", "check"}
	o := c.object(append(common, policyKeys("")...)...)
	if id, found := o.need("id"); found {
		if s, ok := id.text(); ok && len(s) > 128 { // as a SetIdentifier of Route 53
			id.errorf("an id has at most 128 characters")
		} else {
			a.ID = s
		}
	}
	v, hasValues := o.get("values")
	switch {
	case hasValues && o.has("alias"):
		alias, _ := o.get("alias")
		o.errorAt(alias.key, alias.path, "an answer has either values or an alias, not both")
	case o.absent("values") && o.absent("alias"):
		o.missing("values").hint("an answer has values or an alias")
	}
	if hasValues {
		a.Values = v.values(r.Type)
	}
	set(o, "alias", &a.Alias, func(c cursor) (*Alias, bool) { return c.alias(z.Name) })
	a.EvaluateTargetHealth = o.has("alias")
	if !o.has("alias") && !o.unsure("alias") {
		o.refuse("only an alias has a target whose health can be evaluated", "evaluate_target_health")
	}
	o.boolean("evaluate_target_health", &a.EvaluateTargetHealth)
	o.text("check", &a.Check)
	o.steering(&a, r.Policy)
	return a
}
