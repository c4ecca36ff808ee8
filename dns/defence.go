package dns

import (
	"encoding/binary"

	"github.com/meridian-edge/meridian/dns/guard"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// prepare looks at what a query proves and asks for, before it is answered, and sets the reply's options. It returns NOERROR, or
// the error that the query gets instead of an answer.
func (s *Server) prepare(c *Client, v *visit) (rcode uint16) {
	q, o := &c.query, &c.work.reply.options
	v.proven = v.transport != UDP // a handshake has been there and back
	state := guard.NoCookie
	if q.Cookie != nil {
		state = s.guard.Cookie(&o.cookie, q.Cookie, c.Addr, v.now)
		if state == guard.MalformedCookie {
			return rcodeFormErr
		}
		o.hasCookie = state != guard.NoCookie
	}
	if q.NSID {
		o.nsid = s.identity.Load().NSID
	}
	switch {
	case state == guard.ValidCookie:
		v.proven = true
	case v.proven:
	case s.guard.RequiresCookie(state):
		return rcodeBadCook
	default:
		o.limit = s.guard.Cap(v.now, c.Random)
		if o.limit >= sizeLimit(q, UDP) || o.limit > 0 && s.guard.Exempts(c.Addr) {
			o.limit = 0
		}
	}
	return rcodeNoError
}

// refuse is a reply without records.
func refuse(dst, packet []byte, c *Client, t Transport, rcode uint16) ([]byte, Info) {
	q, r := &c.query, &c.work.reply
	r.start(dst, packet, q, t)
	c.Subnet = q.Subnet
	r.rcode = rcode
	return r.finish(q, 0), Info{RCode: rcode, Type: q.Type}
}

// limit holds a reply against the rates of the client's network.
func (s *Server) limit(dst, reply []byte, c *Client, v *visit, info *Info) []byte {
	if s.guard.Idle() || v.now.IsZero() { // the latter: limits were switched on after this packet came
		return reply
	}
	kind := c.kind(info)
	switch s.guard.Limit(v.now, c.Addr, kind, c.Random>>32) {
	case guard.Drop:
		info.Dropped = RateLimited
		return dst
	case guard.Slip:
		v.slipped = true
		if kind.Class == guard.Failure {
			return reply // TC would make no sense of it, and it is small
		}
		r := &c.work.reply
		r.truncate()
		info.RCode, info.Scope = rcodeNoError, 0
		return r.finish(&c.query, 0)
	}
	return reply
}

// kind says what the reply just made counts as.
func (c *Client) kind(info *Info) guard.Answer {
	q, r := &c.query, &c.work.reply
	a := guard.Answer{Class: guard.Failure, Zone: info.zone}
	switch {
	case info.RCode == rcodeNXDomain:
		a.Class = guard.NXDomain
	case info.RCode != rcodeNoError:
	case r.wildcard:
		a.Class = guard.Wildcard
	case r.truncated || r.counts[inAnswer] > 0:
		a.Class, a.Name, a.Type = guard.Positive, q.Name[:q.NameLen], q.Type
	case r.authoritative:
		a.Class = guard.NoData
	default:
		a.Class, a.Name = guard.Referral, r.delegation(q)
	}
	return a
}

// delegation is the name a referral is for: the owner of the first record, a pointer into the question.
func (r *reply) delegation(q *dnswire.Query) []byte {
	name := q.Name[:q.NameLen]
	if len(r.msg) < r.body+2 {
		return name
	}
	at := int(binary.BigEndian.Uint16(r.msg[r.body:])&0x3FFF) - dnswire.HeaderLen
	if at < 0 || at >= len(name) {
		return name
	}
	return name[at:]
}
