package dns

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns/zone"
	"github.com/meridian-edge/meridian/internal/dnswire"
	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

// Explanation is how an answer came about: what Explain returns.
type Explanation struct {
	Name   string    `json:"name"` // fully qualified
	Type   string    `json:"type"`
	Client string    `json:"client"` // the address or subnet that steered
	Place  geo.Place `json:"place"`  // of the client; zero unless a policy asked for it
	Hops   []Hop     `json:"hops"`   // the name asked, then the targets of CNAMEs
	RCode  string    `json:"rcode"`
	Scope  int       `json:"scope"` // bits of the client's address the answer is good for; 0: everybody
	Answer []string  `json:"answer,omitempty"`
	// Authority and Additional are without the OPT record.
	Authority  []string `json:"authority,omitempty"`
	Additional []string `json:"additional,omitempty"`
}

// Hop is the lookup of one name.
type Hop struct {
	Name   string      `json:"name"`
	Zone   string      `json:"zone,omitempty"`   // empty: outside our zones
	Match  string      `json:"match"`            // exact, wildcard, empty (an empty non-terminal), delegation, dname, nxdomain, outside
	Node   string      `json:"node,omitempty"`   // the name that was found; for nxdomain the closest encloser
	Record string      `json:"record,omitempty"` // name, type and policy of the record that answered; empty: none has the type
	Line   int         `json:"line,omitempty"`   // of the record in the configuration
	Chosen []string    `json:"chosen,omitempty"` // ids of the answers a policy chose
	Steps  steer.Trace `json:"steps,omitempty"`  // of the policy
}

// Explain answers a question as Answer does over TCP, by the same code, and returns the reply with the reasons for it. It returns an
// error when name is not a domain name. c must not be nil; c.Subnet, when valid, stands for an EDNS Client Subnet option.
func (z *Zones) Explain(name string, qtype uint16, c *Client) (*Explanation, error) {
	packet, err := newQuery(name, qtype, c.Subnet)
	if err != nil {
		return nil, err
	}
	e := &Explanation{Name: mdns.CanonicalName(name), Type: mdns.Type(qtype).String(), Client: c.Addr.String()}
	if c.Subnet.Bits() > 0 {
		e.Client = c.Subnet.Masked().String()
	}
	c.work.trace = e
	defer func() { c.work.trace = nil }()
	reply, info := z.answer(nil, packet, c, TCP), &c.info
	if c.work.asked {
		e.Place = c.work.asker.Place
	}
	var m mdns.Msg
	if err := m.Unpack(reply); err != nil {
		panic("BUG: an answer does not unpack: " + err.Error())
	}
	e.RCode, e.Scope = rcodeName(info.RCode), int(info.Scope)
	e.Answer, e.Authority, e.Additional = texts(m.Answer), texts(m.Ns), texts(m.Extra)
	return e, nil
}

// newQuery packs a query with an OPT record, and a client subnet when there is one.
func newQuery(name string, qtype uint16, subnet netip.Prefix) ([]byte, error) {
	wire, err := parseName(name)
	if err != nil {
		return nil, err
	}
	packet := append([]byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1}, wire...)
	packet = binary.BigEndian.AppendUint16(packet, qtype)
	packet = binary.BigEndian.AppendUint16(packet, dnswire.ClassIN)
	var option []byte
	if subnet.IsValid() {
		addr, family := subnet.Masked().Addr(), byte(2)
		if addr.Is4() {
			family = 1
		}
		octets := addr.AsSlice()[:(subnet.Bits()+7)/8]
		option = append([]byte{0, byte(dnswire.OptionSubnet), 0, byte(4 + len(octets)), 0, family, byte(subnet.Bits()), 0}, octets...)
	}
	packet = append(packet, 0, 0, byte(dnswire.TypeOPT), MaxUDP>>8, MaxUDP&0xFF, 0, 0, 0, 0, 0, byte(len(option)))
	return append(packet, option...), nil
}

func texts(rrs []mdns.RR) []string {
	var out []string
	for _, rr := range rrs {
		if rr.Header().Rrtype != dnswire.TypeOPT {
			out = append(out, rr.String())
		}
	}
	return out
}

func rcodeName(rcode uint16) string {
	if rcode == rcodeBadVers {
		return "BADVERS" // miekg/dns calls it by its other name, BADSIG
	}
	if name, ok := mdns.RcodeToString[int(rcode)]; ok {
		return name
	}
	return fmt.Sprintf("RCODE%d", rcode)
}

// hop notes what a name was found to be. Like the other methods that note something it does nothing for a nil Explanation.
func (e *Explanation) hop(name []byte, u *unit, n node, how match) {
	if e == nil {
		return
	}
	h := Hop{Name: zone.NameText(name), Match: how.String()}
	if u != nil {
		h.Zone, h.Node = u.name, zone.NameText(u.nodeName(n))
		switch {
		case how == exact && u.count(n) == 0:
			h.Match = "empty"
		case how == delegated:
			h.setRecord(u, n, dnswire.TypeNS)
		}
	}
	e.Hops = append(e.Hops, h)
}

// setRecord says where a set comes from.
func (h *Hop) setRecord(u *unit, n node, typ uint16) {
	name, kind := zone.NameText(u.nodeName(n)), mdns.Type(typ).String()
	policy, line := "simple", 0
	if r := u.record(u.nodeName(n), typ); r != nil {
		line = r.Line
		switch {
		case r.Alias != nil:
			policy = "alias of " + aliasText(r.Alias)
		case r.Policy != "":
			policy = r.Policy
		}
	} else if u.config != nil && len(u.nodeName(n)) == len(u.apex) {
		line = u.config.Line // SOA and NS are made from the zone
	}
	h.Record, h.Line = fmt.Sprintf("%s %s %s", name, kind, policy), line
}

// record finds the record of the configuration that a set was made of; nil: it comes from the data, or is made.
func (u *unit) record(name []byte, typ uint16) *config.Record {
	if u.config == nil {
		return nil
	}
	for i := range u.config.Records {
		r := &u.config.Records[i]
		if t, err := ParseType(r.Type); err != nil || t != typ {
			continue
		}
		if wire, err := parseName(r.Name); err == nil && bytes.Equal(wire, name) {
			return r
		}
	}
	return nil
}

func aliasText(a *config.Alias) string {
	switch {
	case a.Host != "":
		return "host " + a.Host
	case a.Pool != "":
		return "pool " + a.Pool
	case a.Distribution != "":
		return "distribution " + a.Distribution
	case a.Accelerator != "":
		return "accelerator " + a.Accelerator
	}
	return a.Record
}

// chosen notes the record that answers.
func (e *Explanation) chosen(u *unit, n node, s set, picks []int) {
	if e == nil {
		return
	}
	h := &e.Hops[len(e.Hops)-1]
	h.setRecord(u, n, s.typ())
	for _, leaf := range picks {
		if id := u.leaves[leaf].id; id != "" {
			h.Chosen = append(h.Chosen, id)
		}
	}
}

// steered notes what a policy chose and why.
func (e *Explanation) steered(u *unit, n node, s set, picks []int, steps steer.Trace) {
	if e == nil {
		return
	}
	e.chosen(u, n, s, picks)
	e.Hops[len(e.Hops)-1].Steps = steps
}
