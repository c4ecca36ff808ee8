package zones

import (
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// readRecord decodes one record of z, whose own fields are complete by now.
func readRecord(c cursor, z *Zone) Record {
	r := Record{Policy: "simple", TTL: z.TTL, Line: c.Line()}
	o := c.Object("name", "type", "ttl", "policy", "values", "alias", "evaluate_target_health", "answers", "together")
	o.Need("name")
	yamldoc.Set(o, "name", &r.Name, func(c cursor) (string, bool) { return readOwnerName(c, z.Name) })
	if c, found := o.Need("type"); found {
		r.Type, _ = readRecordType(c)
	}
	yamldoc.Set(o, "ttl", &r.TTL, readTTL)
	oneContent(o)
	if v, found := o.Get("values"); found {
		r.Values = readValues(v, r.Type)
	}
	yamldoc.Set(o, "alias", &r.Alias, func(c cursor) (*Alias, bool) { return readAlias(c, z.Name, r.Type) })
	targetHealth(o, &r.EvaluateTargetHealth)
	readPolicy(o, &r, z)
	o.Boolean("together", &r.Together)
	if !o.Has("answers") && !o.Unsure("answers") {
		o.Refuse("only a record with answers draws", "together")
	}
	if o.Has("ttl") && r.inherits() {
		ttl, _ := o.Get("ttl")
		ttl.Warnf("has no effect: an alias is answered with the TTL of what it points at").Hint("remove it")
	}
	return r
}

// oneContent reports a record that does not have exactly one of values, alias and answers.
func oneContent(o object) {
	kinds := []string{"values", "alias", "answers"}
	var present []string
	for _, k := range kinds {
		if o.Has(k) {
			present = append(present, k)
		}
	}
	switch {
	case len(present) > 1:
		c, _ := o.Get(present[1])
		c.KeyError("a record has one of values, alias and answers, not several")
	case len(present) == 0 && o.Absent("values") && o.Absent("alias") && o.Absent("answers"):
		key := "values"
		if o.Has("policy") {
			key = "answers"
		}
		o.Missing(key).Hint("a record has values, an alias, or a policy with answers")
	}
}

// readPolicy reads policy and answers, which come together or not at all.
func readPolicy(o object, r *Record, z *Zone) {
	p, hasPolicy := o.Get("policy")
	if hasPolicy {
		policy, ok := p.Enum("simple", "weighted", "latency", "failover", "geolocation", "geoproximity", "cidr", "multivalue")
		r.Policy = policy // empty when it could not be read: the rules of no policy apply
		switch {
		case ok && policy == "simple" && o.Has("answers"):
			p.Errorf("policy simple has values or an alias, not answers").Hint("choose the policy that picks among the answers")
			r.Policy = ""
		case ok && policy != "simple" && !o.Has("answers") && (o.Has("values") || o.Has("alias")):
			p.Errorf("policy %s chooses among answers, and there are none", p.Shown()).
				Hint("move the values into answers: [{id: ..., values: [...]}]")
		}
	} else if o.Has("answers") {
		if o.Absent("policy") {
			o.Missing("policy").Hint("say how to choose among the answers, such as policy: weighted")
		}
		r.Policy = ""
	}
	answers, found := o.Get("answers")
	if !found {
		return
	}
	items, ok := answers.Items()
	if ok && len(items) == 0 {
		answers.Errorf("must not be empty")
	}
	for _, item := range items {
		r.Answers = append(r.Answers, readAnswer(item, r, z))
	}
	policyRules(answers, r)
}

// inherits says whether nothing in the record has a TTL of its own: all of it is answered by other records.
func (r *Record) inherits() bool {
	follows := func(a *Alias) bool { return a != nil && a.Record != "" }
	if len(r.Answers) == 0 {
		return follows(r.Alias)
	}
	return !slices.ContainsFunc(r.Answers, func(a Answer) bool { return !follows(a.Alias) })
}

// hasAlias says whether some of the record is answered by something else.
func (r *Record) hasAlias() bool {
	return r.Alias != nil || slices.ContainsFunc(r.Answers, func(a Answer) bool { return a.Alias != nil })
}

// readRecordType reads the name of a type that a zone can hold as a record of its own.
func readRecordType(c cursor) (string, bool) {
	s, ok := c.Text()
	if !ok {
		return "", false
	}
	name, known := typeName(s)
	switch {
	case known:
		return name, true
	case name == "SOA":
		c.Errorf("the SOA record is made from the zone").Hint("see ttl, negative_ttl and hostmaster of the zone")
		return "", false
	}
	m := c.Errorf("%s is not a record type", c.Shown())
	switch _, numbered := typeNumber(name); {
	case c.Secret():
	case numbered:
		m.Hint("numbers of record types are TYPE1 to TYPE127 and TYPE256 to TYPE65534 (RFC 6895 §3.1)")
	default:
		m.Meant(name, RecordTypes())
	}
	return "", false
}

// typeName returns the upper-case name of a type, and whether a zone can hold it as a record of its own. A type that has no name
// is written as TYPE65280, and one that has may be (RFC 3597 §5).
func typeName(s string) (string, bool) {
	name := strings.ToUpper(s)
	t, known := dns.StringToType[name]
	if number, numbered := typeNumber(name); numbered && !known {
		t, name = number, "TYPE"+strconv.Itoa(int(number))
		if own := dns.TypeToString[t]; dns.TypeToRR[t] != nil {
			name, known = own, true
		} else if t > 0 && t < 128 || t > 255 && t < 65535 { // the others are questions and meta types (RFC 6895 §3.1)
			return name, !slices.Contains(otherTypes(), own)
		}
	}
	return name, known && dns.TypeToRR[t] != nil && !slices.Contains(otherTypes(), name)
}

// typeNumber reads TYPE65280.
func typeNumber(name string) (uint16, bool) {
	digits, found := strings.CutPrefix(name, "TYPE")
	n, err := strconv.ParseUint(digits, 10, 16)
	return uint16(n), found && err == nil
}

// otherTypes are the types that are no records of a zone: questions, transport (RFC 6895 §3.1) and what a signer makes.
func otherTypes() []string {
	return []string{
		"SOA", "ANY", "OPT", "TSIG", "TKEY", "RRSIG", "SIG", "NSEC", "NSEC3", "NSEC3PARAM", "NXT", "NULL", "NXNAME",
	}
}

// RecordTypes are the types that miekg/dns knows besides those, in the order in which suggestions prefer them.
func RecordTypes() []string {
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

// aliasKinds are the keys of an alias, in the order in which they are listed.
func aliasKinds() []string { return []string{"record", "host", "pool", "distribution", "accelerator"} }

// readAlias reads what a record of a type is answered with instead. Whether that exists is known only once the file is complete.
func readAlias(c cursor, zone, rrtype string) (*Alias, bool) {
	o := c.Object("record", "host", "pool", "distribution", "accelerator")
	var a Alias
	given := o.Given(aliasKinds()...)
	switch {
	case len(given) > 1:
		second, _ := o.Get(given[1])
		second.KeyError("an alias has one of " + strings.Join(aliasKinds(), ", "))
		return &a, false
	case len(given) == 0 && !slices.ContainsFunc(aliasKinds(), o.Unsure):
		o.Missing("record").Hint("an alias has one of %s", strings.Join(aliasKinds(), ", "))
	}
	if len(given) == 0 {
		return &a, false
	}
	target, _ := o.Get(given[0])
	if !aliasType(given[0], rrtype) {
		only := "A and AAAA"
		if given[0] == "distribution" {
			only = "A, AAAA and HTTPS"
		}
		target.KeyError("a record of type "+rrtype+" cannot be an alias to a "+given[0]).Hint("only %s can", only)
		return &a, false
	}
	ok := yamldoc.Set(o, "record", &a.Record, func(c cursor) (string, bool) { return readOwnerName(c, zone) }) ||
		yamldoc.Set(o, "host", &a.Host, func(c cursor) (string, bool) { return readFullName(c, zone) }) ||
		o.Text("pool", &a.Pool) || o.Text("distribution", &a.Distribution) || o.Text("accelerator", &a.Accelerator)
	return &a, ok
}

// aliasType says whether a kind of target has records of a type. A delegation has no alias at all, which is reported elsewhere.
func aliasType(kind, rrtype string) bool {
	switch rrtype {
	case "", "A", "AAAA", "NS", "DNAME":
		return true
	case "HTTPS":
		return kind == "record" || kind == "distribution"
	}
	return kind == "record"
}

// targetHealth reads what belongs to an alias alone. It is true unless the file says otherwise, as AWS consoles set it.
func targetHealth(o object, into *bool) {
	*into = o.Has("alias")
	if !o.Has("alias") && !o.Unsure("alias") {
		o.Refuse("only an alias has a target whose health can be evaluated", "evaluate_target_health")
	}
	o.Boolean("evaluate_target_health", into)
}

// readAnswer decodes one choice of a policy record.
func readAnswer(c cursor, r *Record, z *Zone) Answer {
	a := Answer{Line: c.Line()}
	common := []string{"id", "values", "alias", "evaluate_target_health", "check"}
	o := c.Object(append(common, policyKeys("")...)...)
	if id, found := o.Need("id"); found {
		if s, ok := id.Text(); ok && len(s) > 128 { // as a SetIdentifier of Route 53
			id.Errorf("an id has at most 128 characters")
		} else {
			a.ID = s
		}
	}
	v, hasValues := o.Get("values")
	switch {
	case hasValues && o.Has("alias"):
		alias, _ := o.Get("alias")
		alias.KeyError("an answer has either values or an alias, not both")
	case o.Absent("values") && o.Absent("alias"):
		o.Missing("values").Hint("an answer has values or an alias")
	}
	if hasValues {
		a.Values = readValues(v, r.Type)
	}
	yamldoc.Set(o, "alias", &a.Alias, func(c cursor) (*Alias, bool) { return readAlias(c, z.Name, r.Type) })
	targetHealth(o, &a.EvaluateTargetHealth)
	o.Text("check", &a.Check)
	readSteering(o, &a, r.Policy)
	return a
}
