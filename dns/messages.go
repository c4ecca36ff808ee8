package dns

import (
	"context"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"

	"github.com/meridian-edge/meridian/dns/message"
	"github.com/meridian-edge/meridian/dns/transfer"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Messages deals with what is no plain query: another opcode, a question for AXFR or IXFR, anything with a TSIG. Handle reports whether it has
// dealt with the message; if not, the message is answered as a query. It may block for as long as it takes to send the replies, and
// must be safe for concurrent use.
type Messages interface {
	Handle(ctx context.Context, m *transfer.Message) bool
}

// maxDetours is how many messages over UDP may be with Messages at a time; more are dropped, and whoever sent them tries again.
const maxDetours = 64

// special reports whether what was parsed is no plain query.
func special(q *dnswire.Query, verdict dnswire.Verdict) bool {
	switch {
	case verdict == dnswire.Drop:
		return false
	case verdict == dnswire.NotImp || q.Signed:
		return true
	}
	return q.End > dnswire.HeaderLen && (q.Type == dnswire.TypeAXFR || q.Type == dnswire.TypeIXFR)
}

// detourUDP hands datagram i, which is no plain query, on, in a goroutine of its own since that may block. packet is what it holds for
// us, asker who asks.
func (s *Server) detourUDP(ctx context.Context, u *udpLoop, i int, packet []byte, asker netip.AddrPort) {
	select {
	case s.detours <- struct{}{}:
	default:
		s.metrics.dropped[SendFailed].Inc()
		return
	}
	packet, send := slices.Clone(packet), u.batch.Later(i)
	u.detours.Go(func() {
		defer func() { <-s.detours }()
		s.handOver(ctx, UDP, &transfer.Message{Packet: packet, From: asker, Send: send})
	})
}

// handOver is the one place where a message leaves for Messages. What these do not take is answered as a query.
func (s *Server) handOver(ctx context.Context, t Transport, m *transfer.Message) {
	defer func() {
		if r := recover(); r != nil { // a bug costs one message
			s.metrics.panics.Inc()
			s.log.Error("dns message panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	m.Plain = func(dst, packet []byte, limit int) []byte {
		base := len(dst)
		client := new(Client)
		dst = s.handle(dst, packet, client, m.From, t)
		if limit > 0 && len(dst)-base > limit {
			return message.Shorten(dst, base, &client.query)
		}
		return dst
	}
	if s.messages.Handle(ctx, m) {
		return
	}
	if reply := m.Plain(nil, m.Packet, 0); len(reply) > 0 {
		_ = m.Send(reply) // the client's loss when it has gone
	}
}
