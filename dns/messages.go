package dns

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

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

// special reports whether a packet is no plain query. Almost all are plain, and known to be after a few octets.
func special(p []byte) bool {
	if len(p) < dnswire.HeaderLen || p[2]&0x80 != 0 {
		return false
	}
	if p[2]&0x78 != 0 {
		return true
	}
	at := dnswire.HeaderLen
	for at < len(p) && p[at] != 0 {
		at += 1 + int(p[at])
	}
	if at+5 > len(p) {
		return false
	}
	if t := binary.BigEndian.Uint16(p[at+1:]); t == dnswire.TypeAXFR || t == dnswire.TypeIXFR {
		return true
	}
	additional := binary.BigEndian.Uint16(p[10:])
	if at += 5; additional == 0 || additional == 1 && at+3 <= len(p) && p[at] == 0 && binary.BigEndian.Uint16(p[at+1:]) == dnswire.TypeOPT {
		return false
	}
	var q dnswire.Query
	q.Parse(p)
	return q.Signed
}

// detourUDP hands a message that is no plain query on, in a goroutine of its own since that may block, and reports whether it did.
// wg knows the goroutine.
func (s *Server) detourUDP(ctx context.Context, wg *sync.WaitGroup, conn *net.UDPConn, packet []byte, from netip.AddrPort) bool {
	if s.messages == nil || !special(packet) {
		return false
	}
	select {
	case s.detours <- struct{}{}:
	default:
		s.metrics.dropped[SendFailed].Inc()
		return true
	}
	packet = slices.Clone(packet)
	wg.Go(func() {
		defer func() { <-s.detours }()
		send := func(reply []byte) error {
			_, err := conn.WriteToUDPAddrPort(reply, from)
			return err
		}
		if !s.detour(ctx, UDP, &transfer.Message{Packet: packet, From: from, Send: send}) {
			var client Client
			if reply := s.handle(nil, packet, &client, from, UDP); len(reply) > 0 {
				send(reply)
			}
		}
	})
	return true
}

// detourStream hands a message on, and reports whether it was dealt with.
func (s *Server) detourStream(ctx context.Context, conn net.Conn, packet []byte, from netip.AddrPort) bool {
	if s.messages == nil || !special(packet) {
		return false
	}
	var out []byte
	return s.detour(ctx, TCP, &transfer.Message{
		Packet: packet, From: from, Stream: true,
		Send: func(reply []byte) error {
			conn.SetWriteDeadline(time.Now().Add(tcpWrite))
			out = append(binary.BigEndian.AppendUint16(out[:0], uint16(len(reply))), reply...)
			_, err := conn.Write(out)
			return err
		},
	})
}

func (s *Server) detour(ctx context.Context, t Transport, m *transfer.Message) bool {
	m.Plain = func(dst, packet []byte, limit int) []byte {
		client := Client{}
		base := len(dst)
		dst = s.handle(dst, packet, &client, m.From, t)
		if limit > 0 && len(dst)-base > limit {
			dst = cut(dst, base)
		}
		return dst
	}
	return s.messages.Handle(ctx, m)
}

// cut leaves the header and the question of a reply, marked as truncated.
func cut(dst []byte, base int) []byte {
	msg := dst[base:]
	end := dnswire.HeaderLen
	if binary.BigEndian.Uint16(msg[4:]) == 1 {
		for msg[end] != 0 {
			end += 1 + int(msg[end])
		}
		end += 5
	}
	msg[2] |= byte(dnswire.FlagTC >> 8)
	clear(msg[6:dnswire.HeaderLen])
	return dst[:base+end]
}
