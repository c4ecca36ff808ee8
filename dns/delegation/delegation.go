// Package delegation compares what the parent of a zone serves with what it should: the NS records and glue that make a zone
// reachable (RFC 1034 §4.2.1, RFC 9471).
//
//	want := delegation.Want{Zone: "example.org.", Servers: servers}
//	fmt.Print(want.Text())                       // to paste at the registrar
//	report, err := delegation.Check(ctx, want, delegation.Options{Resolvers: resolvers})
//
// Check only asks questions. Everything here is safe for concurrent use.
package delegation

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	mdns "github.com/miekg/dns"
)

// Want is a delegation as it should be.
type Want struct {
	Zone    string // fully qualified, lower case
	Servers []Server
}

// Server is a name server of a zone.
type Server struct {
	Name string // fully qualified, lower case
	// Addrs are its addresses when it lies in the zone: the parent must hand them out as glue. Empty for others.
	Addrs []netip.Addr
}

// Text is the delegation as zone text, NS records first.
func (w *Want) Text() string {
	var b strings.Builder
	for _, s := range w.Servers {
		fmt.Fprintf(&b, "%s\tIN\tNS\t%s\n", w.Zone, s.Name)
	}
	for _, s := range w.Servers {
		for _, a := range s.Addrs {
			fmt.Fprintf(&b, "%s\tIN\t%s\t%s\n", s.Name, family(a), a)
		}
	}
	return b.String()
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "A"
	}
	return "AAAA"
}

// Report is what Check found.
type Report struct {
	Parent   string     `json:"parent"`   // zone that delegates
	Asked    []string   `json:"asked"`    // its servers that answered
	Problems []Problem  `json:"problems"` // empty: the delegation is as it should be
	Silent   []string   `json:"silent"`   // servers of the parent that gave no answer
	Seen     []Referral `json:"seen"`     // what each server of the parent hands out
}

// Problem is one thing to change, or to look into.
type Problem struct {
	Server string `json:"server"` // that showed it
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
}

// Referral is what one server of the parent hands out for the zone.
type Referral struct {
	Server string                  `json:"server"`
	NS     []string                `json:"ns"`
	Glue   map[string][]netip.Addr `json:"glue"`
}

// compare lists how a referral differs from what is wanted.
func (w *Want) compare(r *Referral) []Problem {
	var out []Problem
	add := func(remedy, format string, args ...any) {
		out = append(out, Problem{Server: r.Server, Text: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	if len(r.NS) == 0 {
		add("paste the records above at the registrar", "the parent does not delegate %s", w.Zone)
		return out
	}
	for _, s := range w.Servers {
		if !slices.Contains(r.NS, s.Name) {
			add("add this NS record at the parent", "NS %s is missing", s.Name)
			continue
		}
		if !mdns.IsSubDomain(w.Zone, s.Name) {
			continue
		}
		for _, a := range s.Addrs {
			if !slices.Contains(r.Glue[s.Name], a) {
				add("add this glue record at the parent", "glue %s %s is missing", s.Name, a)
			}
		}
		for _, a := range r.Glue[s.Name] {
			if !slices.Contains(s.Addrs, a) {
				add("remove it at the parent, or add the address to the zone", "glue %s %s is not an address of this server", s.Name, a)
			}
		}
	}
	for _, name := range r.NS {
		if !slices.ContainsFunc(w.Servers, func(s Server) bool { return s.Name == name }) {
			add("remove it at the parent, or add it to the zone's name servers", "NS %s is not a name server of the zone", name)
		}
	}
	return out
}
