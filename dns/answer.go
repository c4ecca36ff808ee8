package dns

import (
	"encoding/binary"

	"github.com/meridian-edge/meridian/internal/dnswire"
	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

// Response codes (RFC 1035 section 4.1.1, RFC 6891 section 9, RFC 8945 section 3).
const (
	rcodeNoError  = 0
	rcodeFormErr  = 1
	rcodeServFail = 2
	rcodeNXDomain = 3
	rcodeNotImp   = 4
	rcodeRefused  = 5
	rcodeNotAuth  = 9
	rcodeBadVers  = 16
	rcodeBadCook  = 23 // BADCOOKIE, RFC 7873 section 8
)

// work is the scratch space of one answer.
type work struct {
	reply reply
	asker steer.Client
	asked bool // asker is filled in
	scope int
	found [steer.MultivalueAnswers]steer.Pick
	picks [steer.MultivalueAnswers]int
	trace *Explanation // nil unless Explain asks
}

// Answer appends the reply to a query in wire form to dst and returns the extended slice. When the packet deserves none it
// returns dst as it is, with Info.Dropped set. It never appends more than the transport and the client's EDNS allow.
func (z *Zones) Answer(dst, query []byte, c *Client, t Transport) ([]byte, Info) {
	w := &c.work
	w.trace = nil
	return z.answer(dst, query, c, t)
}

func (z *Zones) answer(dst, packet []byte, c *Client, t Transport) ([]byte, Info) {
	c.work.reply.options = options{}
	return z.answerParsed(dst, packet, c, t, c.query.Parse(packet))
}

// answerParsed answers the query in c, which was read from packet. The reply's options are set.
func (z *Zones) answerParsed(dst, packet []byte, c *Client, t Transport, verdict dnswire.Verdict) ([]byte, Info) {
	q, w := &c.query, &c.work
	if verdict == dnswire.Drop {
		return dst, Info{Dropped: Malformed}
	}
	r := &w.reply
	r.start(dst, packet, q, t)
	w.asked, w.scope = false, 0
	c.Subnet = q.Subnet
	switch verdict {
	case dnswire.FormErr:
		q.SubnetOption = nil // not understood, so not echoed
		r.rcode = rcodeFormErr
	case dnswire.NotImp:
		r.rcode = rcodeNotImp
	case dnswire.BadVers:
		r.rcode = rcodeBadVers
	default:
		z.respond(c)
	}
	info := Info{RCode: r.rcode, Truncated: r.truncated, Scope: uint8(w.scope)}
	if q.End > dnswire.HeaderLen {
		info.Type = q.Type
	}
	if r.zone != nil {
		info.Zone, info.zone = r.zone.name, r.zone.index
	}
	return r.finish(q, w.scope), info
}

// respond answers a well-formed query.
func (z *Zones) respond(c *Client) {
	q, r := &c.query, &c.work.reply
	switch {
	case q.Signed:
		r.rcode = rcodeNotAuth // no key is known, so none can have signed this (RFC 8945 section 5.2.1)
	case z == nil:
		r.rcode = rcodeServFail
	case q.Class != dnswire.ClassIN: // CHAOS among them (D19)
		r.rcode = rcodeRefused
	case q.Type == dnswire.TypeAXFR || q.Type == dnswire.TypeIXFR:
		r.rcode = rcodeRefused
	case q.Type == 0 || q.Type == dnswire.TypeOPT || q.Type == dnswire.TypeTKEY || q.Type == dnswire.TypeTSIG,
		q.Type == dnswire.TypeNXNAME: // RFC 9824 section 3.3
		r.rcode = rcodeFormErr
	default:
		z.lookup(c)
	}
}

// lookup follows the question through our zones: RFC 1034 section 4.3.2 without the parts that recurse.
func (z *Zones) lookup(c *Client) {
	w := &c.work
	r := &w.reply
	name, owner := c.query.Name[:c.query.NameLen], dnswire.HeaderLen
	for hop := 0; ; hop++ {
		n, how := z.find(name)
		r.wildcard = r.wildcard || how == wildcard
		if w.trace != nil {
			w.trace.hop(name, n, how)
		}
		switch {
		case how == outside && hop == 0:
			r.rcode = rcodeRefused // and no upward referral (D20)
			return
		case how == outside:
			return // the CNAMEs so far are the answer
		case hop > maxChase:
			r.clear()
			r.rcode = rcodeServFail
			return
		}
		if hop == 0 {
			r.zone = n.zone
			r.authoritative = true
		}
		switch {
		case how == delegated && !(c.query.Type == dnswire.TypeDS && n.atCut && len(n.name) == len(name)):
			r.authoritative = hop > 0 // the CNAME before it is ours (RFC 1035 section 4.1.1)
			r.refer(n.cut, owner+len(name)-n.cut.nameLen)
			return
		case how == missing:
			r.rcode = rcodeNXDomain
			r.deny(n.zone, owner+len(name)-n.zone.wireLen)
			return
		}
		next, at := z.fromNode(c, n, owner, len(name))
		if next == nil {
			return
		}
		name, owner = next, at
	}
}

// fromNode answers from a name that exists, or that a wildcard makes exist. When the answer is a CNAME to follow it returns the
// target's name and where that is in the reply.
func (z *Zones) fromNode(c *Client, n *node, owner, length int) (target []byte, at int) {
	r := &c.work.reply
	set := n.cname
	switch {
	case set != nil:
	case c.query.Type == dnswire.TypeANY && len(n.sets) > 0:
		if set = n.any; set == nil {
			r.put(inAnswer, &hinfo, owner, 0)
			return nil, 0
		}
	default:
		set = n.set(c.query.Type)
	}
	var picks []int
	if set != nil {
		picks = z.pick(c, set)
	}
	if len(picks) == 0 {
		r.deny(n.zone, owner+length-n.zone.wireLen)
		return nil, 0
	}
	from := len(r.msg)
	draw := uint32(0)
	if set.tree == nil {
		draw = uint32(c.Random)
	}
	for _, leaf := range picks {
		if !r.put(inAnswer, &z.leaves[leaf], owner, draw) {
			return nil, 0
		}
	}
	if set == n.cname && c.query.Type != dnswire.TypeCNAME && c.query.Type != dnswire.TypeANY {
		return z.leaves[picks[0]].target, from - r.base + fixedLen
	}
	for _, leaf := range picks {
		r.additional(z.leaves[leaf].extra)
	}
	return nil, 0
}

// pick chooses the leaves that answer for a set: none when a policy has nothing for this client, several only for multivalue.
func (z *Zones) pick(c *Client, set *rrset) []int {
	w := &c.work
	if set.tree == nil {
		w.picks[0] = set.leaf
		if w.trace != nil {
			w.trace.chosen(z, set, w.picks[:1])
		}
		return w.picks[:1]
	}
	byClient := set.tree.ByClient()
	if !w.asked && byClient {
		z.ask(c)
	}
	w.asker.Random = c.Random
	var found []steer.Pick
	var steps steer.Trace
	switch {
	case w.trace != nil:
		found, steps = set.tree.Explain(&w.asker, z.health)
	case set.multi:
		found = set.tree.Append(w.found[:0], len(w.found), &w.asker, z.health)
	default:
		if p, ok := set.tree.Pick(&w.asker, z.health); ok {
			found = append(w.found[:0], p)
		}
	}
	// A source length of 0 is the client's wish to stay unknown: its resolver steers, and the answer is for everybody
	// behind that (RFC 7871 section 7.1.2).
	if byClient && c.Subnet.Bits() > 0 {
		w.scope = max(w.scope, set.tree.Scope(&w.asker))
	}
	picks := together(w.picks[:0], found)
	if w.trace != nil {
		w.trace.steered(z, set, picks, steps)
	}
	return picks
}

// together appends the leaves of steer's candidates that make one answer: the first or, when it is of a multivalue group, up to
// eight of that group that are healthy as it is. When none is healthy, eight of those that are not (D24).
func together(leaves []int, found []steer.Pick) []int {
	for i := range found {
		p, first := &found[i], &found[0]
		if i > 0 && (first.Group.Policy != steer.Multivalue || p.Group != first.Group || p.LastResort != first.LastResort) {
			break
		}
		if len(leaves) == steer.MultivalueAnswers {
			break
		}
		leaves = append(leaves, p.Leaf)
	}
	return leaves
}

// ask finds out who the client is, once per query and only for policies that look.
func (z *Zones) ask(c *Client) {
	w := &c.work
	w.asked = true
	w.asker = steer.Client{Addr: c.Addr.Unmap(), From: z.deps.From}
	if c.Subnet.Bits() > 0 {
		w.asker.Addr, w.asker.Bits = c.Subnet.Addr(), c.Subnet.Bits()
	}
	if z.deps.Places == nil || !w.asker.Addr.IsValid() {
		return
	}
	place := z.deps.Places.Place(w.asker.Addr)
	if !place.Overridden { // the operator may place private addresses
		special, bits := specialPurpose(w.asker.Addr)
		if special {
			place = geo.Place{Bits: place.Bits} // such an address is nowhere, whatever a database says (D18)
		}
		place.Bits = max(place.Bits, bits)
	}
	w.asker.Place = place
	if place.Point.Known() {
		w.asker.From = place.Point
	}
}

// hinfo is the answer to ANY where every record depends on who asks (RFC 8482 section 4.2).
var hinfo = func() blob {
	b := binary.BigEndian.AppendUint16(nil, qnamePtr)
	b = binary.BigEndian.AppendUint16(b, dnswire.TypeHINFO)
	b = binary.BigEndian.AppendUint16(b, dnswire.ClassIN)
	b = binary.BigEndian.AppendUint32(b, 3600)
	b = append(b, 0, 9, 7, 'R', 'F', 'C', '8', '4', '8', '2', 0)
	return blob{wire: b, ends: []uint16{uint16(len(b))}}
}()
