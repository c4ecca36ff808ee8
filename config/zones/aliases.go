package zones

import (
	"fmt"
	"strings"
	"time"
)

// maxAliasDepth is how many aliases may lead one to the next (attack row D21).
const maxAliasDepth = 8

// recordKey is what identifies a record within its zone.
type recordKey struct{ name, rrtype string }

func indexRecords(z *Zone) map[recordKey]int {
	index := make(map[recordKey]int, len(z.Records))
	for i, r := range z.Records {
		if _, twice := index[recordKey{r.Name, r.Type}]; !twice {
			index[recordKey{r.Name, r.Type}] = i
		}
	}
	return index
}

// checkRecords checks the records of a zone against each other. c is the zone in the file.
func checkRecords(c cursor, z *Zone) {
	records, found := c.Step("records")
	if !found {
		return
	}
	check := recordCheck{zone: z, list: records, index: indexRecords(z), types: make(map[string][]int)}
	check.partial = z.File != "" // which may have what is looked for
	for i, r := range z.Records {
		if r.Name == "" || r.Type == "" {
			check.partial = true // its name may be the one that another record refers to
			continue
		}
		check.types[r.Name] = append(check.types[r.Name], i)
	}
	for i := range z.Records {
		if r := &z.Records[i]; r.Name != "" && r.Type != "" {
			check.identity(i, r)
			check.cname(i, r)
			check.targets(i, r)
		}
	}
	check.loops()
}

type recordCheck struct {
	zone    *Zone
	list    cursor
	index   map[recordKey]int
	types   map[string][]int // records of each name
	partial bool             // some record has no name or type because it is wrong, or is not here
}

func (k *recordCheck) at(i int, keys ...any) cursor {
	c := k.list.Item(i)
	for _, key := range keys {
		next, ok := c.Step(key)
		if !ok {
			break
		}
		c = next
	}
	return c
}

// identity checks that a record is the only one of its name and type, and that the name may have that type.
func (k *recordCheck) identity(i int, r *Record) {
	apex := r.Name == k.zone.Name
	if first := k.index[recordKey{r.Name, r.Type}]; first != i {
		m := k.at(i, "name").Errorf("%s already has a record of type %s, in line %d",
			k.at(i, "name").Shown(), r.Type, k.zone.Records[first].Line)
		m.Hint("put all values into one record, or use a policy with answers")
		return
	}
	switch {
	case r.Type == "NS" && apex:
		k.at(i, "type").Errorf("the name servers of the zone itself are not a record").Hint("list them in nameservers of the zone")
	case r.Type == "DS" && apex:
		k.at(i, "type").Errorf("a DS record belongs in the zone above (RFC 4034 §5)")
	case (r.Type == "NS" || r.Type == "DNAME") && strings.HasPrefix(r.Name, "*."):
		k.at(i, "type").Errorf("a wildcard cannot be of type %s (RFC 4592 §4)", r.Type)
	case r.Type == "NS" && r.hasAlias():
		k.at(i, "type").Errorf("a delegation cannot be an alias")
	case r.Type == "DNAME" && (r.hasAlias() || r.Policy != "simple" && r.Policy != ""):
		k.at(i, "type").Errorf("a DNAME cannot depend on who asks, nor be an alias").Hint("write its target as values")
	}
}

// cname checks that a CNAME is alone with its name (RFC 1034 §3.6.2). A duplicate has been reported already.
func (k *recordCheck) cname(i int, r *Record) {
	if r.Type != "CNAME" || k.index[recordKey{r.Name, r.Type}] != i {
		return
	}
	if r.Name == k.zone.Name {
		k.at(i, "type").Errorf("the zone itself cannot be a CNAME (RFC 1912 §2.4)").
			Hint("use an alias: {name: \"@\", type: A, alias: {record: NAME}}")
		return
	}
	for _, other := range k.types[r.Name] {
		if t := k.zone.Records[other].Type; t != "CNAME" {
			k.at(i, "type").Errorf("a name with a CNAME has no other records, and this one has %s in line %d",
				t, k.zone.Records[other].Line)
			return
		}
	}
}

// targets checks that aliases lead to a record of the same type in this zone.
func (k *recordCheck) targets(i int, r *Record) {
	check := func(a *Alias, c cursor) {
		if a == nil || a.Record == "" {
			return
		}
		if _, found := k.index[recordKey{a.Record, r.Type}]; !found && !k.partial {
			k.noTarget(c, a.Record, r.Type)
		}
	}
	check(r.Alias, k.at(i, "alias", "record"))
	for j, a := range r.Answers {
		check(a.Alias, k.at(i, "answers", j, "alias", "record"))
	}
}

func (k *recordCheck) noTarget(c cursor, name, rrtype string) {
	var others []string
	for _, i := range k.types[name] {
		others = append(others, k.zone.Records[i].Type)
	}
	if len(others) > 0 {
		c.Errorf("%s has no record of type %s, as an alias of that type needs", c.Shown(), rrtype).
			Hint("it has %s", strings.Join(others, ", "))
		return
	}
	m := c.Errorf("no record %s of type %s in this zone", c.Shown(), rrtype)
	if c.Secret() {
		return
	}
	var names []string
	for i, r := range k.zone.Records {
		if n := k.at(i, "name"); r.Type == rrtype && !n.Secret() {
			names = append(names, n.Raw())
		}
	}
	m.Meant(c.Raw(), names)
}

// aliasTargets are the names of the records that a record's aliases lead to, "" for those that lead elsewhere.
func aliasTargets(r *Record) []string {
	var list []string
	if r.Alias != nil {
		list = append(list, r.Alias.Record)
	}
	for _, a := range r.Answers {
		if a.Alias != nil {
			list = append(list, a.Alias.Record)
		}
	}
	return list
}

// loops reports aliases that lead back to where they came from, or too far.
func (k *recordCheck) loops() {
	depth := make(map[int]int) // of each finished record: how many aliases follow one another from it
	onPath := make(map[int]bool)
	var path []int
	var visit func(i int) int
	visit = func(i int) int {
		if d, done := depth[i]; done {
			return d
		}
		onPath[i] = true
		path = append(path, i)
		deepest := 0
		for n, target := range aliasTargets(&k.zone.Records[i]) {
			next, found := k.index[recordKey{target, k.zone.Records[i].Type}]
			switch {
			case !found || target == "":
			case onPath[next]:
				k.aliasRef(i, n).Errorf("the alias leads back to itself: %s", k.chain(path, next))
			default:
				deepest = max(deepest, visit(next)+1)
			}
		}
		path = path[:len(path)-1]
		onPath[i] = false
		if deepest == maxAliasDepth+1 { // those that lead here are deeper still: one chain, one mistake
			k.aliasRef(i, 0).Errorf("more than %d aliases lead one to the next", maxAliasDepth)
		}
		depth[i] = deepest
		return deepest
	}
	for i := range k.zone.Records {
		visit(i)
	}
}

// aliasRef is where the nth alias of a record stands in the file.
func (k *recordCheck) aliasRef(i, nth int) cursor {
	r := &k.zone.Records[i]
	if r.Alias != nil {
		if nth == 0 {
			return k.at(i, "alias", "record")
		}
		nth--
	}
	for j, a := range r.Answers {
		if a.Alias == nil {
			continue
		}
		if nth == 0 {
			return k.at(i, "answers", j, "alias", "record")
		}
		nth--
	}
	return k.at(i)
}

// chain spells a loop with the names as written.
func (k *recordCheck) chain(path []int, back int) string {
	var names []string
	for n := len(path) - 1; n >= 0; n-- {
		names = append([]string{k.at(path[n], "name").Shown()}, names...)
		if path[n] == back {
			break
		}
	}
	return fmt.Sprintf("%s -> %s", strings.Join(names, " -> "), names[0])
}

// inheritTTLs gives records that are only aliases to records the smallest TTL of what they can be answered with. Aliases neither
// loop nor dangle by now.
func (s *Section) inheritTTLs() {
	for i := range s.Zones {
		z := &s.Zones[i]
		index := indexRecords(z)
		done := make(map[int]bool)
		var inherit func(j int) time.Duration
		inherit = func(j int) time.Duration {
			r := &z.Records[j]
			if done[j] || !r.inherits() {
				return r.TTL
			}
			done[j] = true
			shortest := time.Duration(maxTTL)
			for _, target := range aliasTargets(r) {
				if next, here := index[recordKey{target, r.Type}]; here { // else the file of the zone has it
					shortest = min(shortest, inherit(next))
				}
			}
			if shortest < maxTTL {
				r.TTL = shortest
			}
			return r.TTL
		}
		for j := range z.Records {
			inherit(j)
		}
	}
}
