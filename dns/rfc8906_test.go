package dns_test

import (
	"fmt"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns"
)

// probe is one row of RFC 8906 sections 8.1 and 8.2: a query, and what the reply must be.
type probe struct {
	name    string
	section string
	qtype   uint16
	change  func(*mdns.Msg)
	rcode   int
	answer  bool // the SOA is in the answer
	edns    bool // an OPT record of version 0 is in the reply
	do      bool
}

func withOPT(change func(*mdns.OPT)) func(*mdns.Msg) {
	return func(m *mdns.Msg) {
		m.SetEdns0(4096, false)
		if change != nil {
			change(m.IsEdns0())
		}
	}
}

func unknownOption(o *mdns.OPT) {
	o.Option = append(o.Option, &mdns.EDNS0_LOCAL{Code: 65001, Data: []byte("x")})
}

var probes = []probe{
	{"is it there", "8.1.1", mdns.TypeSOA, func(*mdns.Msg) {}, 0, true, false, false},
	{"unknown type", "8.1.2", 1000, func(*mdns.Msg) {}, 0, false, false, false},
	{"CD", "8.1.3.1", mdns.TypeSOA, func(m *mdns.Msg) { m.CheckingDisabled = true }, 0, true, false, false},
	{"AD", "8.1.3.2", mdns.TypeSOA, func(m *mdns.Msg) { m.AuthenticatedData = true }, 0, true, false, false},
	{"the reserved bit", "8.1.3.3", mdns.TypeSOA, func(m *mdns.Msg) { m.Zero = true }, 0, true, false, false},
	{"RD", "8.1.3.4", mdns.TypeSOA, func(m *mdns.Msg) { m.RecursionDesired = true }, 0, true, false, false},
	{"unknown opcode", "8.1.4", mdns.TypeSOA, func(m *mdns.Msg) { m.Opcode = 15 }, mdns.RcodeNotImplemented, false, false, false},
	{"EDNS", "8.2.1", mdns.TypeSOA, withOPT(nil), 0, true, true, false},
	{"EDNS version 1", "8.2.2", mdns.TypeSOA, withOPT(func(o *mdns.OPT) { o.SetVersion(1) }), mdns.RcodeBadVers, false, true, false},
	{"unknown option", "8.2.3", mdns.TypeSOA, withOPT(unknownOption), 0, true, true, false},
	{"unknown flag", "8.2.4", mdns.TypeSOA, withOPT(func(o *mdns.OPT) { o.Hdr.Ttl |= 0x0040 }), 0, true, true, false},
	{"version 1 with unknown flag", "8.2.5", mdns.TypeSOA, withOPT(func(o *mdns.OPT) { o.SetVersion(1); o.Hdr.Ttl |= 0x0040 }), mdns.RcodeBadVers, false, true, false},
	{"version 1 with unknown option", "8.2.6", mdns.TypeSOA, withOPT(func(o *mdns.OPT) { o.SetVersion(1); unknownOption(o) }), mdns.RcodeBadVers, false, true, false},
	{"DO", "8.2.8", mdns.TypeSOA, withOPT(func(o *mdns.OPT) { o.SetDo() }), 0, true, true, true},
	{"version 1 with DO", "8.2.9", mdns.TypeSOA, withOPT(func(o *mdns.OPT) { o.SetVersion(1); o.SetDo() }), mdns.RcodeBadVers, false, true, true},
	{"several options", "8.2.10", mdns.TypeSOA, withOPT(func(o *mdns.OPT) {
		o.Option = append(o.Option, &mdns.EDNS0_NSID{Code: mdns.EDNS0NSID}, &mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: "0102030405060708"},
			&mdns.EDNS0_EXPIRE{Code: mdns.EDNS0EXPIRE, Empty: true})
		unknownOption(o)
	}), 0, true, true, false},
}

// TestRFC8906Probes puts the probes of RFC 8906 to a running server over every transport.
func TestRFC8906Probes(t *testing.T) {
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf("big 60 TXT \"%050d\"", i))
	}
	source := &holder{}
	source.p.Store(simpleZones(t, lines...))
	e := serveEverywhere(t, dns.Options{Source: source})
	for name, exchange := range e.asks(t) {
		t.Run(name, func(t *testing.T) {
			for _, p := range probes {
				t.Run(p.name, func(t *testing.T) {
					m := new(mdns.Msg)
					if err := m.Unpack(exchange(t, question("example.org.", p.qtype, p.change))); err != nil {
						t.Fatal(err)
					}
					p.check(t, m, name)
				})
			}
			t.Run("truncation", func(t *testing.T) { // RFC 8906 section 8.2.7
				for _, options := range [][]func(*mdns.Msg){nil, {edns(512)}} {
					reply := exchange(t, question("big.example.org.", mdns.TypeTXT, options...))
					m := new(mdns.Msg)
					if err := m.Unpack(reply); err != nil {
						t.Fatal(err)
					}
					small := name == "udp"
					if small && len(reply) > 512 || m.Truncated != small || (m.IsEdns0() != nil) != (options != nil) || (len(m.Answer) == 40) == small {
						t.Errorf("%d octets: %s", len(reply), render(m))
					}
				}
			})
		})
	}
}

func (p *probe) check(t *testing.T, m *mdns.Msg, transport string) {
	t.Helper()
	id := uint16(4711)
	if transport == "quic" { // RFC 9250 section 4.2.1
		id = 0
	}
	if m.Rcode != p.rcode || (len(m.Answer) == 1) != p.answer || m.Id != id || !m.Response {
		t.Errorf("section %s: %s", p.section, render(m))
	}
	if m.CheckingDisabled || m.AuthenticatedData || m.Zero || m.RecursionAvailable || m.Truncated || m.Authoritative != (p.rcode == 0) {
		t.Errorf("section %s: flags %+v", p.section, m.MsgHdr)
	}
	o := m.IsEdns0()
	if (o != nil) != p.edns {
		t.Fatalf("section %s: OPT %v", p.section, o)
	}
	if o == nil {
		return
	}
	if o.Version() != 0 || o.Do() != p.do || o.Hdr.Ttl&0x7FFF != 0 || o.UDPSize() != dns.MaxUDP {
		t.Errorf("section %s: OPT %v", p.section, o)
	}
	for _, option := range o.Option {
		if option.Option() == 65001 {
			t.Errorf("section %s: an unknown option came back", p.section)
		}
	}
}
