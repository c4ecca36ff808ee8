package transport

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Error codes of DoQ (RFC 9250 section 8.4).
const (
	doqNoError       = 0x0
	doqInternalError = 0x1
	doqProtocolError = 0x2
	doqCancelled     = 0x3
	doqExcessiveLoad = 0x4
)

// ServeQUIC serves DoQ (RFC 9250) on conn until ctx is done; messages under way are then finished, the connections closed with
// DOQ_NO_ERROR, and nil is returned. It blocks. The caller closes conn. 0-RTT is not accepted. config is as for ServeTLS.
func (s *Server) ServeQUIC(ctx context.Context, conn net.PacketConn, config *tls.Config) error {
	if config == nil {
		return errNoTLS
	}
	front := &quicFront{server: s, kind: QUIC, config: secured(config, alpnDoQ), uniStreams: -1, overload: doqExcessiveLoad, speak: s.speakDoQ}
	return front.serve(ctx, conn)
}

// speakDoQ answers the streams of one connection: each carries one message.
func (s *Server) speakDoQ(ctx context.Context, c *quic.Conn, p *peer) {
	deals, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	gone := context.AfterFunc(c.Context(), cancel)
	defer gone()
	var streams sync.WaitGroup
	for {
		str, err := c.AcceptStream(ctx)
		if err != nil {
			break
		}
		streams.Go(func() {
			x := &doqStream{server: s, conn: c, str: str, peer: p}
			x.serve(deals)
		})
	}
	timer := time.AfterFunc(s.limits.Drain, cancel)
	defer timer.Stop()
	streams.Wait()
	pause(c.Context(), s.limits.Goodbye) // QUIC throws away what has not arrived
	_ = c.CloseWithError(doqNoError, "")
}

// doqStream is one message and what comes back.
type doqStream struct {
	server *Server
	conn   *quic.Conn
	str    *quic.Stream
	peer   *peer
	frame  []byte
}

func (x *doqStream) serve(deals context.Context) {
	packet, ok := x.receive()
	if !ok {
		return
	}
	x.peer.entry.touch()
	sent := false
	send := func(reply []byte) error {
		if len(reply) > MaxMessage {
			return errLength
		}
		x.frame = append(binary.BigEndian.AppendUint16(x.frame[:0], uint16(len(reply))), reply...)
		sent = true
		return x.write(x.frame)
	}
	if s := x.server; s.takes(packet) {
		s.metrics.kinds[QUIC].handed.Inc()
		s.messages.Handle(deals, &Message{Packet: packet, From: x.peer.from, Kind: QUIC, Secure: true, Send: send})
	} else {
		a := s.answerers.Get().(Answerer)
		reply := s.answer(a, nil, packet, x.peer.from, QUIC)
		s.answerers.Put(a)
		if len(reply) > 0 && send(reply) != nil {
			return
		}
	}
	if !sent {
		x.refuse(refusedEmpty, doqInternalError)
		return
	}
	_ = x.str.Close()
}

func (x *doqStream) write(frame []byte) error {
	_ = x.str.SetWriteDeadline(time.Now().Add(x.server.limits.Transfer))
	if _, err := x.str.Write(frame); err != nil {
		x.str.CancelWrite(doqExcessiveLoad) // also what a client gets that cancelled
		return err
	}
	return nil
}

// receive reads the one message of a stream, up to its FIN: a second one, or half of one, ends the connection (RFC 9250 section
// 4.3.3).
func (x *doqStream) receive() ([]byte, bool) {
	_ = x.str.SetReadDeadline(time.Now().Add(x.server.limits.Receive))
	in, err := io.ReadAll(io.LimitReader(x.str, 2+MaxUpdate+1))
	var reset *quic.StreamError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.refuse(refusedSlow, doqExcessiveLoad)
		return nil, false
	case errors.As(err, &reset):
		x.refuse(refusedCancelled, doqCancelled)
		return nil, false
	case err != nil: // the connection is gone
		return nil, false
	case len(in) > 2+MaxUpdate:
		x.refuse(refusedTooLong, doqExcessiveLoad)
		return nil, false
	case len(in) < 2+headerLen || int(binary.BigEndian.Uint16(in)) != len(in)-2:
		x.abort()
		return nil, false
	}
	packet := in[2:]
	if len(packet) > MaxQuery && !IsUpdate(packet) {
		x.refuse(refusedTooLong, doqExcessiveLoad)
		return nil, false
	}
	var q dnswire.Query
	verdict := q.Parse(packet)
	if verdict == dnswire.Drop || q.ID != 0 || q.Keepalive { // sections 4.2.1 and 5.5.2
		x.abort()
		return nil, false
	}
	return packet, true
}

// refuse gives up one stream.
func (x *doqStream) refuse(why refusal, code quic.StreamErrorCode) {
	x.server.metrics.kinds[QUIC].refused[why].Inc()
	x.str.CancelRead(code)
	x.str.CancelWrite(code)
}

// abort gives up the connection of a client that breaks the rules.
func (x *doqStream) abort() {
	x.server.metrics.kinds[QUIC].refused[refusedMalformed].Inc()
	_ = x.conn.CloseWithError(doqProtocolError, "")
}
