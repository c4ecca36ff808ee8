package delegation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// Limits of a check.
const (
	maxParents = 13              // servers of the parent that are asked
	queryTime  = 3 * time.Second // for each question, over UDP and then TCP
)

// Options say whom Check asks.
type Options struct {
	Resolvers []netip.AddrPort // recursive; asked in turn until one answers; required
	Port      uint16           // of the parent's and the zone's servers; 0: 53
}

// Check finds the parent of a zone, asks each of its servers for the delegation without recursion, then asks every server of the
// zone for its SOA, and says what is not as wanted. It returns an error when no server of the parent could be asked.
func Check(ctx context.Context, w Want, o Options) (*Report, error) {
	if o.Port == 0 {
		o.Port = 53
	}
	c := checker{options: o}
	parent, servers, err := c.parent(ctx, w.Zone)
	if err != nil {
		return nil, err
	}
	r := &Report{Parent: parent}
	for _, s := range servers[:min(len(servers), maxParents)] {
		referral, err := c.referral(ctx, s, w.Zone)
		if err != nil {
			r.Silent = append(r.Silent, fmt.Sprintf("%s: %v", s, err))
			continue
		}
		r.Asked = append(r.Asked, s)
		r.Seen = append(r.Seen, *referral)
		r.Problems = append(r.Problems, w.compare(referral)...)
	}
	if len(r.Asked) == 0 {
		return nil, fmt.Errorf("no server of %s answers: %s", parent, strings.Join(r.Silent, "; "))
	}
	r.Problems = append(r.Problems, c.servers(ctx, &w)...)
	return r, nil
}

type checker struct{ options Options }

// parent finds the zone that delegates and the names of its servers: the first name above that has NS records.
func (c *checker) parent(ctx context.Context, zone string) (string, []string, error) {
	if zone == "." {
		return "", nil, errors.New("the root has no parent")
	}
	for off, end := mdns.NextLabel(zone, 0); ; off, end = mdns.NextLabel(zone, off) {
		name := "."
		if !end {
			name = zone[off:]
		}
		m, err := c.recurse(ctx, name, mdns.TypeNS)
		if err != nil {
			return "", nil, fmt.Errorf("find the parent of %s: %w", zone, err)
		}
		var servers []string
		for _, rr := range m.Answer {
			if ns, ok := rr.(*mdns.NS); ok {
				servers = append(servers, mdns.CanonicalName(ns.Ns))
			}
		}
		if len(servers) > 0 {
			slices.Sort(servers)
			return name, servers, nil
		}
		if end {
			return "", nil, fmt.Errorf("find the parent of %s: the resolver knows no name servers of the root", zone)
		}
	}
}

// recurse asks the resolvers in turn.
func (c *checker) recurse(ctx context.Context, name string, typ uint16) (*mdns.Msg, error) {
	err := errors.New("no resolver to ask")
	for _, r := range c.options.Resolvers {
		var m *mdns.Msg
		if m, err = exchange(ctx, r.String(), name, typ, true); err == nil && m.Rcode != mdns.RcodeSuccess && m.Rcode != mdns.RcodeNameError {
			err = fmt.Errorf("resolver %s says %s", r, mdns.RcodeToString[m.Rcode])
		}
		if err == nil {
			return m, nil
		}
	}
	return nil, err
}

// addrs resolves a host.
func (c *checker) addrs(ctx context.Context, host string) ([]netip.Addr, error) {
	var list []netip.Addr
	var failed error
	for _, typ := range []uint16{mdns.TypeA, mdns.TypeAAAA} {
		m, err := c.recurse(ctx, host, typ)
		if err != nil {
			failed = err
			continue
		}
		list = append(list, addresses(m.Answer, "")...)
	}
	if len(list) == 0 && failed == nil {
		failed = errors.New("it has no address")
	}
	if len(list) > 0 {
		failed = nil
	}
	return list, failed
}

// addresses takes A and AAAA records out of a section; owner limits them to one name, "" to none.
func addresses(rrs []mdns.RR, owner string) []netip.Addr {
	var list []netip.Addr
	for _, rr := range rrs {
		if owner != "" && mdns.CanonicalName(rr.Header().Name) != owner {
			continue
		}
		var ip net.IP
		switch rr := rr.(type) {
		case *mdns.A:
			ip = rr.A
		case *mdns.AAAA:
			ip = rr.AAAA
		}
		if a, ok := netip.AddrFromSlice(ip); ok {
			list = append(list, a.Unmap())
		}
	}
	return list
}

// ask puts a question to the first address of a server that answers.
func (c *checker) ask(ctx context.Context, addrs []netip.Addr, name string, typ uint16) (*mdns.Msg, error) {
	err := errors.New("it has no address")
	for _, a := range addrs {
		var m *mdns.Msg
		if m, err = exchange(ctx, netip.AddrPortFrom(a, c.options.Port).String(), name, typ, false); err == nil {
			return m, nil
		}
	}
	return nil, err
}

// referral asks one server of the parent.
func (c *checker) referral(ctx context.Context, server, zone string) (*Referral, error) {
	addrs, err := c.addrs(ctx, server)
	if err != nil {
		return nil, err
	}
	m, err := c.ask(ctx, addrs, zone, mdns.TypeNS)
	if err != nil {
		return nil, err
	}
	if m.Rcode != mdns.RcodeSuccess && m.Rcode != mdns.RcodeNameError {
		return nil, fmt.Errorf("it says %s", mdns.RcodeToString[m.Rcode])
	}
	r := &Referral{Server: server, Glue: map[string][]netip.Addr{}}
	for _, rr := range append(m.Answer, m.Ns...) { // a server of both zones answers instead of referring
		if ns, ok := rr.(*mdns.NS); ok && mdns.CanonicalName(ns.Hdr.Name) == zone {
			name := mdns.CanonicalName(ns.Ns)
			r.NS = append(r.NS, name)
			if glue := addresses(m.Extra, name); len(glue) > 0 {
				r.Glue[name] = glue
			}
		}
	}
	slices.Sort(r.NS)
	r.NS = slices.Compact(r.NS)
	return r, nil
}

// servers asks every server of the zone whether it serves it.
func (c *checker) servers(ctx context.Context, w *Want) []Problem {
	var out []Problem
	for _, s := range w.Servers {
		addrs := s.Addrs
		if len(addrs) == 0 {
			var err error
			if addrs, err = c.addrs(ctx, s.Name); err != nil {
				out = append(out, Problem{s.Name, "cannot be resolved: " + err.Error(), "give the host an address record"})
				continue
			}
		}
		for _, a := range addrs {
			m, err := c.ask(ctx, []netip.Addr{a}, w.Zone, mdns.TypeSOA)
			switch {
			case err != nil:
				out = append(out, Problem{s.Name, fmt.Sprintf("%s does not answer: %v", a, err), "start the server, or open UDP and TCP port " + strconv.Itoa(int(c.options.Port))})
			case m.Rcode != mdns.RcodeSuccess || !m.Authoritative:
				out = append(out, Problem{s.Name, fmt.Sprintf("%s is not authoritative for %s (%s)", a, w.Zone, mdns.RcodeToString[m.Rcode]), "configure the zone there"})
			}
		}
	}
	return out
}

// exchange asks one question over UDP, and over TCP when the answer does not fit.
func exchange(ctx context.Context, server, name string, typ uint16, recurse bool) (*mdns.Msg, error) {
	q := new(mdns.Msg)
	q.SetQuestion(name, typ)
	q.RecursionDesired = recurse
	q.SetEdns0(1232, false)
	for _, network := range []string{"udp", "tcp"} {
		ctx, cancel := context.WithTimeout(ctx, queryTime)
		m, _, err := (&mdns.Client{Net: network, Timeout: queryTime}).ExchangeContext(ctx, q, server)
		cancel()
		if err != nil {
			return nil, err
		}
		if !m.Truncated {
			return m, nil
		}
	}
	return nil, errors.New("the answer is truncated over TCP")
}
