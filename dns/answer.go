package dns

import (
	"bytes"
	"encoding/binary"

	"github.com/meridian-edge/meridian/dns/message"
	"github.com/meridian-edge/meridian/internal/dnswire"
	"github.com/meridian-edge/meridian/steer"
)

// Response codes (RFC 1035 section 4.1.1, RFC 6891 section 9, RFC 8945 section 3).
const (
	rcodeNoError  = 0
	rcodeFormErr  = 1
	rcodeServFail = 2
	rcodeNXDomain = 3
	rcodeNotImp   = 4
	rcodeRefused  = 5
	rcodeYXDomain = 6
	rcodeNotAuth  = 9
	rcodeBadVers  = 16
	rcodeBadCook  = 23 // BADCOOKIE, RFC 7873 section 8
)

// work is the scratch space of one answer.
type work struct {
	reply    message.Reply
	limit    int  // octets of the reply, when fewer than transport and client allow; 0: no fewer
	zone     int  // index of the one that answers; -1: none of ours
	wildcard bool // a name on the way exists only because of one
	asker    steer.Client
	asked    bool // asker is filled in
	scope    int
	hops     int // CNAMEs followed so far
	labels   int // of the name in hand
	question []byte
	renamed  [][]byte     // DNAMEs in the answer
	trace    *Explanation // nil unless Explain asks
	picks    [steer.MultivalueAnswers]int
	found    [steer.MultivalueAnswers]steer.Pick
	chased   [maxHops][]byte // targets of CNAMEs
	names    [maxHops][dnswire.MaxName]byte
}

// Answer appends the reply to a query in wire form to dst and returns the extended slice. When the packet deserves none it
// returns dst as it is, with Info.Dropped set. It never appends more than the transport and the client's EDNS allow.
func (z *Zones) Answer(dst, query []byte, c *Client, t Transport) ([]byte, Info) {
	c.work.trace = nil
	reply, info := z.answer(dst, query, c, t), c.info
	info.Zone = z.nameOf(info.zone)
	return reply, info
}

func (z *Zones) answer(dst, packet []byte, c *Client, t Transport) []byte {
	c.work.reply.Options, c.work.limit = message.Options{}, 0
	return z.answerParsed(dst, packet, c, t, c.query.Parse(packet))
}

// answerParsed answers the query in c, which was read from packet, and leaves there what is to be said about the answer. The reply's options and limit
// are set.
func (z *Zones) answerParsed(dst, packet []byte, c *Client, t Transport, verdict dnswire.Verdict) []byte {
	q, w, info := &c.query, &c.work, &c.info
	*info = Info{}
	if verdict == dnswire.Drop {
		info.Dropped = Malformed
		return dst
	}
	r := c.begin(dst, packet, t)
	w.asked, w.scope, w.hops = false, 0, 0
	switch verdict {
	case dnswire.FormErr:
		q.SubnetOption = nil // not understood, so not echoed
		r.RCode = rcodeFormErr
	case dnswire.NotImp:
		r.RCode = rcodeNotImp
	case dnswire.BadVers:
		r.RCode = rcodeBadVers
	default:
		z.respond(c)
	}
	info.RCode, info.Truncated, info.Scope = r.RCode, r.Truncated, uint8(w.scope)
	if q.End > dnswire.HeaderLen {
		info.Type = q.Type
	}
	if w.zone >= 0 {
		info.zone = w.zone + 1
	}
	return r.Finish(q, w.scope)
}

// begin starts the reply to the query in c.
func (c *Client) begin(dst, packet []byte, t Transport) *message.Reply {
	w := &c.work
	size := sizeLimit(&c.query, t)
	if w.limit > 0 {
		size = min(size, w.limit)
	}
	w.reply.Start(dst, packet, &c.query, size)
	w.zone, w.wildcard = -1, false
	c.Subnet = c.query.Subnet
	return &w.reply
}

// sizeLimit is how long a reply may be (RFC 6891 section 6.2.3 and 6.2.5).
func sizeLimit(q *dnswire.Query, t Transport) int {
	switch {
	case t != UDP:
		return MaxTCP
	case q.EDNS:
		return min(max(int(q.UDPSize), minUDP), MaxUDP)
	}
	return minUDP
}

// respond answers a well-formed query.
func (z *Zones) respond(c *Client) {
	q, w := &c.query, &c.work
	r := &w.reply
	switch {
	case q.Signed:
		r.RCode = rcodeNotAuth // no key is known, so none can have signed this (RFC 8945 section 5.2.1)
	case z == nil:
		r.RCode = rcodeServFail
	case q.Class != dnswire.ClassIN: // CHAOS among them (D19)
		r.RCode = rcodeRefused
	case q.Type == dnswire.TypeAXFR || q.Type == dnswire.TypeIXFR:
		r.RCode = rcodeRefused
	case q.Type == 0 || q.Type == dnswire.TypeOPT || q.Type == dnswire.TypeTKEY || q.Type == dnswire.TypeTSIG,
		q.Type == dnswire.TypeNXNAME: // RFC 9824 section 3.3
		r.RCode = rcodeFormErr
	default:
		z.lookup(c)
	}
}

// maxHops is how many CNAMEs are followed for one question.
const maxHops = 16

// Further types that mean something to a lookup.
const (
	typeDNAME = 39
	typeRRSIG = 46
	typeNSEC  = 47
)

// lookup follows the question through our zones: RFC 1034 section 4.3.2 without the parts that recurse.
func (z *Zones) lookup(c *Client) {
	w := &c.work
	r := &w.reply
	name, owner := c.query.Name[:c.query.NameLen], dnswire.HeaderLen
	w.labels, w.question, w.renamed = c.query.Labels, name, w.renamed[:0]
	for name != nil {
		i := z.zoneOf(name, w.labels)
		if w.hops == 0 && c.query.Type == dnswire.TypeDS {
			i = z.delegator(name, i)
		}
		switch {
		case i < 0 && w.hops == 0:
			w.trace.hop(name, nil, 0, outside)
			r.RCode = rcodeRefused // and no upward referral (D20)
			return
		case i < 0: // the CNAMEs so far are the answer
			w.trace.hop(name, nil, 0, outside)
			return
		case z.units[i].broken != nil:
			w.trace.hop(name, nil, 0, outside)
			if w.hops == 0 {
				w.zone, r.RCode = i, rcodeServFail
			}
			return
		}
		if w.hops == 0 {
			w.zone, r.Authoritative = i, true
		}
		name, owner = z.inZone(c, z.units[i], name, owner)
		w.hops++
	}
}

// delegator is the zone that a question for a DS is for: at a zone's apex the one above it, if that is ours (RFC 4035 section
// 3.1.4.1).
func (z *Zones) delegator(name []byte, i int) int {
	if i >= 0 && len(name) == len(z.units[i].apex) && len(name) > 1 {
		above := dnswire.Parent(name)
		if above := z.zoneOf(above, dnswire.CountLabels(above)); above >= 0 {
			return above
		}
	}
	return i
}

// inZone answers for a name of a zone: step 3 of RFC 1034 section 4.3.2. When there is a CNAME to follow it returns the target's
// name and where that is in the reply.
func (z *Zones) inZone(c *Client, u *unit, name []byte, owner int) (next []byte, at int) {
	w := &c.work
	r := &w.reply
	n, how := u.find(name, w.labels)
	if w.trace != nil {
		w.trace.hop(name, u, n, how)
	}
	w.wildcard = w.wildcard || how == wildcard
	apex := owner + len(name) - len(u.apex)
	switch how {
	case delegated:
		if c.query.Type != dnswire.TypeDS || len(u.nodeName(n)) != len(name) {
			r.Authoritative = w.hops > 0 // the CNAME before it is ours (RFC 1035 section 4.1.1)
			refer(r, u, u.static(u.set(n, dnswire.TypeNS)), owner+len(name)-len(u.nodeName(n)))
			return nil, 0
		}
	case renamed:
		return z.rename(c, u, n, name, owner)
	case missing:
		if c.query.Type != dnswire.TypeDS || w.hops > 0 || z.apexAt(name) < 0 { // a zone of ours is there, delegated or not
			r.RCode = rcodeNXDomain
		}
		deny(r, u, apex)
		return nil, 0
	}
	return z.fromNode(c, u, n, name, owner)
}

// rename answers for a name below a DNAME: with that, and with the CNAME that it makes of the name (RFC 6672 section 3.2).
func (z *Zones) rename(c *Client, u *unit, n node, name []byte, owner int) (next []byte, at int) {
	w := &c.work
	r := &w.reply
	set := u.set(n, typeDNAME)
	b := u.static(set)
	w.trace.chosen(u, n, set, nil)
	prefix := len(name) - len(u.nodeName(n))
	if !w.again(b.Wire) && !r.Put(message.Answer, b.Records, owner+prefix, 0) {
		return nil, 0
	}
	target := b.Wire[message.FixedLen:]
	if prefix+len(target) > dnswire.MaxName {
		r.RCode = rcodeYXDomain
		return nil, 0
	}
	from := r.Len()
	if !r.PutRename(owner, prefix, binary.BigEndian.Uint32(b.Wire[message.OwnerLen+4:]), target) {
		return nil, 0
	}
	if c.query.Type == dnswire.TypeCNAME || c.query.Type == dnswire.TypeANY {
		return nil, 0
	}
	return w.follow(from + message.FixedLen)
}

// again reports whether a DNAME is in the answer already: one that leads below itself is told once.
func (w *work) again(dname []byte) bool {
	for i := range w.renamed {
		if &w.renamed[i][0] == &dname[0] {
			return true
		}
	}
	w.renamed = append(w.renamed, dname)
	return false
}

// follow reads the name at an offset of the reply as the next to look up. It returns nil when it was looked up before, or when
// there have been enough: the client goes on from there.
func (w *work) follow(at int) (name []byte, owner int) {
	if w.hops >= maxHops {
		return nil, 0
	}
	r := &w.reply
	buf := w.names[w.hops][:0]
	name = dnswire.AppendLower(buf, r.From(at))
	if bytes.Equal(name, w.question) {
		return nil, 0
	}
	for i := range w.hops {
		if bytes.Equal(name, w.chased[i]) {
			return nil, 0
		}
	}
	w.chased[w.hops], w.labels = name, dnswire.CountLabels(name)
	return name, at
}

// fromNode answers from a name that exists, or that a wildcard makes exist. When the answer is a CNAME to follow it returns the
// target's name and where that is in the reply.
func (z *Zones) fromNode(c *Client, u *unit, n node, name []byte, owner int) (next []byte, at int) {
	w := &c.work
	r := &w.reply
	set, chase := u.setFor(n, c.query.Type)
	switch {
	case set.typ() == 0 && c.query.Type == dnswire.TypeANY && u.count(n) > 0:
		r.Put(message.Answer, hinfo, owner, 0)
		return nil, 0
	case set.typ() == 0:
		deny(r, u, owner+len(name)-len(u.apex))
		return nil, 0
	}
	from := r.Len()
	var whole bool
	if set.has(setIsTree) {
		whole = z.fromTree(c, u, n, set, name, owner)
	} else {
		whole = fromSet(c, u, n, set, owner)
	}
	switch {
	case !whole:
		return nil, 0
	case chase:
		return w.follow(from + message.FixedLen)
	case !set.has(setIsTree):
		additional(r, u, set.extra())
	}
	return nil, 0
}

// fromSet answers with a set that is the same for everybody. It returns false when that does not fit.
func fromSet(c *Client, u *unit, n node, set set, owner int) bool {
	r := &c.work.reply
	if c.work.trace != nil {
		c.work.trace.chosen(u, n, set, nil)
	}
	if !r.Put(message.Answer, u.recordsOf(set), owner, uint32(c.Random)) {
		return false
	}
	// RFC 4035 section 3.1.1
	return !set.has(setIsSigned) || !c.query.DO || r.Put(message.Answer, u.signaturesOf(set), owner, 0)
}

// fromTree answers with what a policy picks. It returns false when there is nothing to go on from.
func (z *Zones) fromTree(c *Client, u *unit, n node, set set, name []byte, owner int) bool {
	r := &c.work.reply
	s := &u.steered[set.extra()]
	picks := z.pick(c, u, n, set, name)
	if len(picks) == 0 {
		deny(r, u, owner+len(name)-len(u.apex))
		return false
	}
	from := r.Len()
	unknown, draw := false, uint32(0)
	if s.tree == nil {
		draw = uint32(c.Random)
	}
	for _, i := range picks {
		l := &u.leaves[i]
		switch {
		case l.N > 0:
			if !r.Put(message.Answer, l.Records, owner, draw) {
				return false
			}
		case l.host == "" || !z.putHost(r, l.host, set.typ(), owner, c.Random):
			unknown = true
		}
	}
	switch {
	case r.Truncated:
		return false
	case r.Len() > from:
	case unknown:
		r.Clear()
		r.RCode = rcodeServFail // not known is not the same as not there, and must not be cached as if it were
		return false
	default:
		deny(r, u, owner+len(name)-len(u.apex))
		return false
	}
	for _, i := range picks {
		additional(r, u, u.leaves[i].extra)
	}
	return true
}

// putHost answers with the addresses of a host outside our zones. It returns false when none is known, of either family.
func (z *Zones) putHost(r *message.Reply, host string, typ uint16, owner int, draw uint64) bool {
	if z.deps.Hosts == nil {
		return false
	}
	known := z.deps.Hosts(host)
	count := len(known.Addrs)
	if count == 0 {
		return false
	}
	first := int(draw % uint64(count))
	for i := range known.Addrs {
		addr := known.Addrs[(first+i)%count].Unmap()
		if addr.Is4() != (typ == dnswire.TypeA) {
			continue
		}
		if !r.PutAddress(owner, known.TTL, addr) {
			return true // truncated, which is an answer
		}
	}
	return true
}

// hinfo is the answer to ANY where every record depends on who asks (RFC 8482 section 4.2).
var hinfo = message.Records{Wire: append(message.AppendHead(nil, dnswire.TypeHINFO, 3600, len(hinfoData)), hinfoData...), N: 1}

const hinfoData = "\x07RFC8482\x00"
