package dns

import (
	"encoding/binary"
	"fmt"

	mdns "github.com/miekg/dns"

	zonedata "github.com/meridian-edge/meridian/dns/zone"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Flatten writes a zone down as records: what the client c gets under every name and type, by the same code that answers queries. It is the
// view that a plain secondary is given. Names for which that client gets nothing are left out. origin is as in Names; it is an error when
// there is no such zone. c must not be nil.
func (z *Zones) Flatten(origin string, c *Client) (*zonedata.Data, error) {
	wire, err := parseName(origin)
	if err != nil {
		return nil, err
	}
	b := zonedata.NewBuilder(wire)
	for i := range z.nodes {
		n := &z.nodes[i]
		if n.zone.name != origin {
			continue
		}
		for j := range n.sets {
			if err := z.flattenSet(b, n, &n.sets[j], c); err != nil {
				return nil, fmt.Errorf("flatten zone %q: %w", origin, err)
			}
		}
	}
	data, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("flatten zone %q: %w", origin, err)
	}
	return data, nil
}

func (z *Zones) flattenSet(b *zonedata.Builder, n *node, set *rrset, c *Client) error {
	packet := append(make([]byte, dnswire.HeaderLen), n.name...)
	packet[5] = 1
	packet = binary.BigEndian.AppendUint16(packet, set.typ)
	packet = binary.BigEndian.AppendUint16(packet, dnswire.ClassIN)
	var reply []byte
	if n.cut != nil { // a query gets the referral; the records themselves are what is transferred
		leaf := &z.leaves[set.leaf]
		reply = append(packet, leaf.wire...)
		binary.BigEndian.PutUint16(reply[6:], uint16(len(leaf.ends)))
	} else {
		reply, _ = z.answer(nil, packet, c, TCP)
	}
	var m mdns.Msg
	if err := m.Unpack(reply); err != nil {
		return err
	}
	for _, rr := range m.Answer {
		r, err := zonedata.FromRR(rr)
		if err != nil {
			return err
		}
		if r.Type != set.typ || string(r.Name) != string(n.name) {
			continue // what a CNAME leads to stands under its own name
		}
		if err := b.Add(r); err != nil {
			return err
		}
	}
	return nil
}
