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
	at := -1
	if z != nil {
		at = z.apexAt(wire)
	}
	if at < 0 || z.units[at].broken != nil {
		return nil, fmt.Errorf("flatten zone %q: there is no such zone", origin)
	}
	u, b := z.units[at], zonedata.NewBuilder(wire)
	for _, s := range u.slots {
		n := node(uint32(s))
		for i := 0; n != 0 && i < u.count(n); i++ {
			if err := z.flattenSet(b, u, n, u.readSet(u.setAt(n, i)), c); err != nil {
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

// Steered reports whether any answer of a zone depends on who asks or on health, so that its flattened view may change by itself.
func (z *Zones) Steered(origin string) bool {
	wire, err := parseName(origin)
	if err != nil || z == nil {
		return false
	}
	at := z.apexAt(wire)
	return at >= 0 && len(z.units[at].steered) > 0
}

// flattenSet adds the records of one set: its own when they are always the same, else what the client gets.
func (z *Zones) flattenSet(b *zonedata.Builder, u *unit, n node, s set, c *Client) error {
	name := u.nodeName(n)
	message := append(make([]byte, dnswire.HeaderLen), name...)
	message[5] = 1
	message = binary.BigEndian.AppendUint16(message, s.typ())
	message = binary.BigEndian.AppendUint16(message, dnswire.ClassIN)
	if !s.has(setIsTree) {
		message = append(message, u.static(s).Wire...)
		binary.BigEndian.PutUint16(message[6:], uint16(s.n()))
	} else {
		message = z.answer(nil, message, c, TCP)
	}
	var m mdns.Msg
	if err := m.Unpack(message); err != nil {
		return err
	}
	for _, rr := range m.Answer {
		r, err := zonedata.FromRR(rr)
		if err != nil {
			return err
		}
		if r.Type != s.typ() || string(r.Name) != string(name) {
			continue // what a CNAME leads to stands under its own name
		}
		if err := b.Add(r); err != nil {
			return err
		}
	}
	return nil
}
