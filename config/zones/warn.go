package zones

import (
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// freshTTL is the longest that a resolver should keep an answer that depends on health.
const freshTTL = 60 * time.Second

func (s *Section) warnZone(z *Zone) {
	at := func(steps ...any) cursor { return s.find(z, steps...) }
	index := indexRecords(z)
	for i, ns := range z.Nameservers {
		_, v4 := index[recordKey{ns, "A"}]
		_, v6 := index[recordKey{ns, "AAAA"}]
		if dns.IsSubDomain(z.Name, ns) && !v4 && !v6 && z.File == "" {
			at("nameservers", i).Warnf("this name server is inside the zone, but the zone has no address for it").
				Hint("add a record of type A or AAAA for it")
		}
	}
	WarnTransfer(z.Transfer, at())
	s.warnTogether(z)
	cuts := make(map[string]int)
	for i, r := range z.Records {
		if r.Type == "NS" || r.Type == "DNAME" {
			cuts[r.Name] = i
		}
	}
	for i := range z.Records {
		r := &z.Records[i]
		if cut, found := above(z, cuts, r); found {
			at("records", i, "name").Warnf("never answered: the names below %s belong to the %s record in line %d",
				at("records", cut, "name").Shown(), z.Records[cut].Type, z.Records[cut].Line)
		}
		if len(r.Answers) > 0 {
			warnPolicy(r, func(steps ...any) cursor { return at(append([]any{"records", i}, steps...)...) })
		}
	}
}

// above finds the delegation or DNAME that hides a record. Addresses below a delegation may be its glue (RFC 1034 §4.2.1).
func above(z *Zone, cuts map[string]int, r *Record) (int, bool) {
	if len(cuts) == 0 {
		return 0, false
	}
	name := r.Name
	for name != z.Name && name != "." {
		next, end := dns.NextLabel(name, 0)
		if end {
			break
		}
		name = name[next:]
		if cut, found := cuts[name]; found && !(z.Records[cut].Type == "NS" && (r.Type == "A" || r.Type == "AAAA")) {
			return cut, true
		}
	}
	return 0, false
}

func warnPolicy(r *Record, at func(...any) cursor) {
	has := func(f func(Answer) bool) bool { return slices.ContainsFunc(r.Answers, f) }
	checked := has(func(a Answer) bool { return a.Check != "" })
	if checked && r.TTL > freshTTL && !r.inherits() {
		at("ttl").Warnf("answers follow health, but resolvers keep them for longer than %s", yamldoc.FormatDuration(freshTTL)).
			Hint("set ttl: %s or less", yamldoc.FormatDuration(freshTTL))
	}
	switch r.Policy {
	case "geolocation", "cidr":
		if !has(func(a Answer) bool { return a.Default }) {
			at().Warnf("no default: clients elsewhere get an empty answer, which a resolver may then give to all of its clients").
				Hint("add an answer with default: true")
		}
	case "weighted":
		if !has(func(a Answer) bool { return a.Weight > 0 }) {
			at().Warnf("every weight is 0, so each answer gets an equal share")
		}
	case "failover":
		for i, a := range r.Answers {
			if a.Role == "primary" && a.Check == "" && a.Alias == nil {
				at("answers", i).Warnf("a primary without a check always counts as healthy, so the secondary is never used").
					Hint("add check: NAME")
			}
		}
	}
}

// WarnTransfer warns where everybody may have a whole zone. c is what holds the key transfer.
func WarnTransfer(t Transfer, c yamldoc.Cursor) {
	for i, p := range t.To {
		if p.Bits() > 0 || len(t.Keys) > 0 {
			continue
		}
		if transfer, found := c.Step("transfer"); found {
			to, _ := transfer.Step("to")
			to.Item(i).Warnf("everyone may have the whole zone, and with it every name in it").
				Hint("list the addresses of your secondaries, or add keys")
		}
	}
}

// warnTogether looks for records that are to be drawn together and cannot be.
func (s *Section) warnTogether(z *Zone) {
	first := make(map[string]int)
	alone := make(map[string]bool)
	for i := range z.Records {
		r := &z.Records[i]
		if !r.Together {
			continue
		}
		j, found := first[r.Name]
		if !found {
			first[r.Name], alone[r.Name] = i, true
			continue
		}
		alone[r.Name] = false
		if other := &z.Records[j]; r.Policy != other.Policy || !slices.Equal(ids(r), ids(other)) {
			s.find(z, "records", i, "together").Warnf("not drawn together with the %s record in line %d: policy and ids are to be the same there",
				other.Type, other.Line)
		}
	}
	for name, i := range first {
		if alone[name] {
			s.find(z, "records", i, "together").Warnf("no other record of this name is to be drawn together with it").
				Hint("add together: true to them as well")
		}
	}
}

func ids(r *Record) []string {
	list := make([]string, len(r.Answers))
	for i, a := range r.Answers {
		list[i] = a.ID
	}
	slices.Sort(list)
	return list
}
