package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/transfer/tsig"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Opcodes as they stand in the flags.
const (
	opQuery  = 0
	opNotify = mdns.OpcodeNotify
	opUpdate = mdns.OpcodeUpdate
)

// request is a message whose signature, if it has one, is right.
type request struct {
	*Message
	plain []byte      // without TSIG
	chain *tsig.Chain // nil: unsigned
	key   string      // name of the key, empty: unsigned
	name  []byte
	typ   uint16
	class uint16
	end   int // of the question; 0: there is none
}

// Handle deals with a message, and reports whether it did: if not, nothing has been sent, and the message is a plain one for others to
// answer. It returns when all replies are sent, which takes as long as the client takes to receive a zone. A signature is verified here, before
// anything else looks at the message, and whatever is answered to a signed one is signed.
func (s *Store) Handle(ctx context.Context, m *Message) bool {
	if len(m.Packet) < dnswire.HeaderLen || m.Packet[2]&0x80 != 0 {
		return false
	}
	now := time.Now()
	plain, chain, err := s.ring.Load().Open(m.Packet, now)
	r := &request{Message: m, plain: plain, chain: chain}
	opcode := int(m.Packet[2] >> 3 & 0xf)
	switch d, denied := errors.AsType[*tsig.Denial](err); {
	case denied && d.Code == tsig.FormErr:
		s.metrics.tsig.WithLabelValues(codeName(d.Code)).Inc()
		if opcode == opQuery && !maybeSigned(m.Packet) {
			return false // malformed in some other way
		}
		m.Send(d.Reply(m.Packet, now))
		return true
	case denied:
		s.metrics.tsig.WithLabelValues(codeName(d.Code)).Inc()
		s.log.Debug("tsig not accepted", "client", m.From.String(), "err", d)
		m.Send(d.Reply(m.Packet, now))
		return true
	case err != nil: // unsigned
		r.plain = m.Packet
	default:
		r.key = chain.Key()
	}
	r.name, r.typ, r.class, r.end = question(r.plain)
	switch {
	case opcode == opQuery && r.end > 0 && (r.typ == dnswire.TypeAXFR || r.typ == dnswire.TypeIXFR):
		s.send(ctx, r)
	case opcode == opQuery && chain == nil:
		return false
	case opcode == opQuery:
		r.query()
	case opcode == opNotify:
		s.notified(r)
	case opcode == opUpdate:
		s.update(r)
	case chain != nil:
		r.refuse(mdns.RcodeNotImplemented)
	default:
		return false
	}
	return true
}

// maybeSigned reports whether a packet that could not be read to its end was meant to have a signature: it counts additional records, and
// holds more of them than an OPT. What is wrong with it is then said here.
func maybeSigned(packet []byte) bool {
	var q dnswire.Query
	q.Parse(packet)
	return q.Signed
}

func codeName(code uint16) string {
	switch code {
	case tsig.FormErr:
		return "formerr"
	case tsig.BadSig:
		return "badsig"
	case tsig.BadKey:
		return "badkey"
	case tsig.BadTime:
		return "badtime"
	case tsig.BadTrunc:
		return "badtrunc"
	}
	return strconv.Itoa(int(code))
}

// reply signs, if the request was signed, and sends. The message must have room for it.
func (r *request) reply(msg []byte) error {
	if r.chain != nil {
		msg = r.chain.Sign(msg, time.Now())
	}
	return r.Send(msg)
}

func (r *request) refuse(rcode int) { r.reply(refuse(r.plain, rcode)) }

// room is how many octets a reply may have before it is signed.
func (r *request) room() int {
	limit := 65535
	if !r.Stream {
		var q dnswire.Query
		q.Parse(r.plain)
		limit = 512
		if q.EDNS {
			limit = min(max(int(q.UDPSize), 512), maxUDP)
		}
	}
	if r.chain != nil {
		limit -= r.chain.Room()
	}
	return limit
}

// query answers a signed query as an unsigned one would be.
func (r *request) query() {
	reply := r.Plain(nil, r.plain, r.room())
	if len(reply) >= dnswire.HeaderLen {
		r.reply(reply)
	}
}

// notified deals with a NOTIFY (RFC 1996).
func (s *Store) notified(r *request) {
	result := "refused"
	defer func() { s.metrics.notifies.WithLabelValues("in", result).Inc() }()
	if r.end == 0 {
		result = "formerr"
		r.refuse(mdns.RcodeFormatError)
		return
	}
	h := s.find(r.name)
	if h == nil || r.class != dnswire.ClassIN {
		r.refuse(mdns.RcodeNotAuth)
		return
	}
	if !h.mayNotify(r) {
		r.refuse(mdns.RcodeRefused)
		return
	}
	if r.typ != dnswire.TypeSOA { // section 4.7: other types are not defined yet
		r.refuse(mdns.RcodeNotImplemented)
		return
	}
	result = "ok"
	h.wake(kick{from: r.From.Addr().Unmap()})
	reply := refuse(r.plain, mdns.RcodeSuccess)
	reply[2] |= 0x04 // AA
	r.reply(reply)
}

// mayNotify reports whether the sender is a primary, with its key if it has one, or otherwise allowed.
func (h *held) mayNotify(r *request) bool {
	conf := h.conf.Load()
	if len(conf.Primaries) == 0 {
		return false
	}
	from := r.From.Addr().Unmap()
	for _, p := range conf.Primaries {
		if p.Addr.Addr().Unmap() == from && (p.Key == "" || canonical(p.Key) == r.key) {
			return true
		}
	}
	return allowed(conf.NotifyFrom, from, r.key)
}

// flags are those of an authoritative reply to a packet.
func flags(packet []byte) uint16 {
	return binary.BigEndian.Uint16(packet[2:])&(dnswire.FlagRD|dnswire.OpcodeMask) | dnswire.FlagQR | dnswire.FlagAA
}
