package dns_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns"
)

func TestExplainTellsEveryHop(t *testing.T) {
	z := steeredZones(t)
	c := &dns.Client{Addr: resolver, Subnet: netip.MustParsePrefix("198.51.100.0/24")}
	e, err := z.Explain("tree.example.org", mdns.TypeA, c)
	if err != nil {
		t.Fatal(err)
	}
	if e.RCode != "NOERROR" || e.Scope != 24 || e.Place.Country != "GB" || e.Client != "198.51.100.0/24" || len(e.Hops) != 1 {
		t.Errorf("%+v", e)
	}
	if want := []string{"tree.example.org.\t30\tIN\tA\t192.0.2.21"}; !slices.Equal(e.Answer, want) {
		t.Errorf("answer %q", e.Answer)
	}
	h := e.Hops[0]
	if h.Zone != "example.org." || h.Match != "exact" || h.Record != "tree.example.org. A latency" || !slices.Equal(h.Chosen, []string{"one"}) || len(h.Steps) == 0 {
		t.Errorf("%+v", h)
	}
	if _, err := json.Marshal(e); err != nil {
		t.Error(err)
	}
}

func TestExplainMatches(t *testing.T) {
	z := steeredZones(t)
	for name, want := range map[string]string{
		"alias.example.org":     "exact alias.example.org. simple, exact www.example.org. simple",
		"x.wild.example.org":    "wildcard *.wild.example.org. simple",
		"wild.example.org":      "empty wild.example.org.",
		"x.sub.example.org":     "delegation sub.example.org. simple",
		"nothing.example.org":   "nxdomain example.org.",
		"www.example.com":       "outside",
		"multi.example.org":     "exact multi.example.org. multivalue",
		"a.b.c.sub.example.org": "delegation sub.example.org. simple",
	} {
		e, err := z.Explain(name, mdns.TypeA, &dns.Client{Addr: resolver})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range e.Hops {
			text := strings.TrimSpace(h.Match + " " + h.Node)
			if f := strings.Fields(h.Record); len(f) > 0 {
				text += " " + f[len(f)-1]
			}
			got = append(got, text)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %s, want %s", name, strings.Join(got, ", "), want)
		}
	}
	if _, err := z.Explain("a..b", mdns.TypeA, &dns.Client{}); err == nil {
		t.Error("a..b is no name")
	}
}

// TestExplainIsTheAnswer compares it with what clients get, for every draw.
func TestExplainIsTheAnswer(t *testing.T) {
	z := steeredZones(t)
	for _, name := range []string{"www", "latency", "weighted", "failover", "geo", "near", "cidr", "multi", "tree", "alias", "nothing", "x.wild"} {
		for random := range uint64(20) {
			for _, prefix := range []string{"198.51.100.0/24", "203.0.113.0/24", "10.0.0.0/8"} {
				name := name + ".example.org."
				e, err := z.Explain(name, mdns.TypeA, &dns.Client{Addr: resolver, Random: random, Subnet: netip.MustParsePrefix(prefix)})
				if err != nil {
					t.Fatal(err)
				}
				reply, info := z.Answer(nil, question(name, mdns.TypeA, subnet(prefix)), &dns.Client{Addr: resolver, Random: random}, dns.TCP)
				var m mdns.Msg
				if err := m.Unpack(reply); err != nil {
					t.Fatal(err)
				}
				var answers []string
				for _, rr := range m.Answer {
					answers = append(answers, rr.String())
				}
				if !slices.Equal(e.Answer, answers) || e.Scope != int(info.Scope) || e.RCode != mdns.RcodeToString[m.Rcode] {
					t.Fatalf("%s from %s: %v, scope %d; answered %v, scope %d", name, prefix, e.Answer, e.Scope, answers, info.Scope)
				}
			}
		}
	}
}
