package dns

import (
	"encoding/binary"

	"github.com/meridian-edge/meridian/dns/guard"
	"github.com/meridian-edge/meridian/dns/message"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// prepare looks at what a query proves and asks for, before it is answered, and sets the reply's options. It returns NOERROR, or
// the error that the query gets instead of an answer.
func (s *Server) prepare(c *Client, v *visit) (rcode uint16) {
	q, o := &c.query, &c.work.reply.Options
	v.proven = v.transport != UDP // a handshake has been there and back
	state := guard.NoCookie
	if q.Cookie != nil {
		state = s.guard.Cookie(&o.Cookie, q.Cookie, c.Addr, v.now)
		if state == guard.MalformedCookie {
			return rcodeFormErr
		}
		o.HasCookie = state != guard.NoCookie
	}
	if q.NSID {
		o.NSID = s.identity.Load().NSID
	}
	switch {
	case state == guard.ValidCookie:
		v.proven = true
	case v.proven:
	case s.guard.RequiresCookie(state):
		return rcodeBadCook
	default:
		c.work.limit = s.guard.Cap(v.now, c.Random)
		if c.work.limit >= sizeLimit(q, UDP) || c.work.limit > 0 && s.guard.Exempts(c.Addr) {
			c.work.limit = 0
		}
	}
	return rcodeNoError
}

// refuse is a reply without records.
func refuse(dst, packet []byte, c *Client, t Transport, rcode uint16) []byte {
	r := c.begin(dst, packet, t)
	r.RCode = rcode
	c.info = Info{RCode: rcode, Type: c.query.Type}
	return r.Finish(&c.query, 0)
}

// limit holds a reply against the rates of the client's network.
func (s *Server) limit(dst, reply []byte, c *Client, v *visit) []byte {
	if v.now.IsZero() || s.guard.Exempts(c.Addr) { // the former: there are no limits, or there were none when this packet came
		return reply
	}
	info, kind := &c.info, c.kind()
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
		r.Truncate()
		info.RCode, info.Scope = rcodeNoError, 0
		return r.Finish(&c.query, 0)
	}
	return reply
}

// kind says what the reply just made counts as.
func (c *Client) kind() guard.Answer {
	q, r := &c.query, &c.work.reply
	a := guard.Answer{Class: guard.Failure, Zone: c.info.zone}
	switch {
	case c.info.RCode == rcodeNXDomain:
		a.Class = guard.NXDomain
	case c.info.RCode != rcodeNoError:
	case c.work.wildcard:
		a.Class = guard.Wildcard
	case r.Truncated || r.Records(message.Answer) > 0:
		a.Class, a.Name, a.Type = guard.Positive, q.Name[:q.NameLen], q.Type
	case r.Authoritative:
		a.Class = guard.NoData
	default:
		a.Class, a.Name = guard.Referral, delegation(r, q)
	}
	return a
}

// delegation is the name a referral is for: the owner of the first record, a pointer into the question.
func delegation(r *message.Reply, q *dnswire.Query) []byte {
	name := q.Name[:q.NameLen]
	body := r.Body()
	if len(body) < 2 {
		return name
	}
	at := int(binary.BigEndian.Uint16(body)&0x3FFF) - dnswire.HeaderLen
	if at < 0 || at >= len(name) {
		return name
	}
	return name[at:]
}
