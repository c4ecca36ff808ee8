package transport

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ServeTCP answers messages on connections accepted from ln (RFC 7766) until ctx is done; it then answers what it has, closes its
// connections and returns nil. It blocks. The caller closes ln, except that a listener without SetDeadline is closed here, being
// impossible to stop otherwise. When ln fails for good before ctx is done an error is returned.
func (s *Server) ServeTCP(ctx context.Context, ln net.Listener) error {
	return s.serve(ctx, &port{ln: ln, kind: TCP, speak: s.speakStream})
}

// ServeTLS is ServeTCP over TLS (DoT, RFC 7858). config has the certificates; it is cloned, and ALPN and the least version are set here.
func (s *Server) ServeTLS(ctx context.Context, ln net.Listener, config *tls.Config) error {
	if config == nil {
		return errNoTLS
	}
	return s.serve(ctx, &port{ln: ln, kind: TLS, tls: secured(config, alpnDoT), speak: s.speakStream})
}

// stream is one connection over TCP or TLS. Messages may come pipelined: everything that has arrived whole is answered with one write.
// What Messages takes is dealt with beside it, and its replies come when they are ready.
type stream struct {
	*link
	server   *Server
	answerer Answerer
	in       []byte
	have     int    // octets in in
	out      []byte // replies, not written yet

	slots   chan struct{} // one for each message that Messages has
	dealing sync.WaitGroup
	busy    atomic.Int32 // messages that Messages has
	dealt   atomic.Int64 // when Messages was last done with one, in Unix nanoseconds
	failed  atomic.Bool  // a frame may be half out: nothing can follow it

	mu sync.Mutex // one writes at a time
}

// speakStream serves a connection until it ends, ctx is done, or a limit is met.
func (s *Server) speakStream(ctx context.Context, l *link) closeReason {
	// Whoever waits for a message is woken; ctx is looked at after every deadline that is set, so none outlives this one.
	stop := context.AfterFunc(ctx, func() { _ = l.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	st := &stream{server: s, link: l, in: make([]byte, 2+MaxQuery), slots: make(chan struct{}, s.limits.Handed)}
	st.answerer = s.answerers.Get().(Answerer)
	defer s.answerers.Put(st.answerer)
	deals, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	drain := context.AfterFunc(ctx, func() {
		pause(deals, s.limits.Drain)
		cancel()
		_ = l.raw.Close()
	})
	defer drain()
	reason := st.serve(ctx, deals)
	st.finish(reason, cancel)
	return reason
}

// finish ends a connection on which nothing more is read.
func (st *stream) finish(reason closeReason, cancel context.CancelFunc) {
	switch reason {
	case closedStopping, closedQueries, closedIdle: // what is under way is owed
	case closedClient: // a client that has said its last word may still listen
	default:
		cancel()
		_ = st.raw.Close()
	}
	st.dealing.Wait()
	if reason == closedQueries {
		st.linger()
	}
	_ = st.Close() // over TLS this says goodbye
}

func (st *stream) serve(ctx, deals context.Context) closeReason {
	limits := &st.server.limits
	wait := limits.First
	for left := limits.Queries; left > 0; {
		err := st.receive(ctx, wait)
		wait = limits.Idle
		if err != nil {
			reason := st.reasonOf(ctx, err)
			if reason == closedIdle {
				// A connection is not idle while a reply is owed (RFC 7766 section 6.2.3), and not at once after.
				if st.busy.Load() > 0 {
					continue
				}
				if wait = limits.Idle - time.Since(time.Unix(0, st.dealt.Load())); wait > 0 {
					continue
				}
			}
			if reason == closedClient && !errors.Is(err, io.EOF) {
				_ = st.raw.Close() // reset: nobody listens any more
			}
			return reason
		}
		n, err := st.answer(ctx, deals, left)
		left -= n
		st.entry.touch() // before the client can know that it was answered
		if st.flush() != nil || st.failed.Load() {
			return closedSlow
		}
		if err != nil {
			return closedMalformed
		}
	}
	return closedQueries
}

// reasonOf says why no message could be read.
func (st *stream) reasonOf(ctx context.Context, err error) closeReason {
	switch {
	case st.failed.Load():
		return closedSlow
	case ctx.Err() != nil:
		return closedStopping
	case !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF):
		return closedClient
	case st.have > 0:
		return closedSlow
	}
	return closedIdle
}

// linger lets the client take the last replies: closing with messages unread would make the kernel throw them away.
func (st *stream) linger() {
	half, ok := st.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = st.SetReadDeadline(time.Now().Add(st.server.limits.Receive))
	_, _ = io.CopyN(io.Discard, st.Conn, lingerFor)
}

// receive reads until a whole message is there. wait is how long its first octet may take; once that is there the rest must follow
// within Limits.Receive, however slowly it trickles.
func (st *stream) receive(ctx context.Context, wait time.Duration) error {
	if st.whole() {
		return nil
	}
	begun, rest := st.have > 0, st.server.limits.Receive
	if begun {
		wait = min(wait, rest)
	}
	if err := st.arm(ctx, wait); err != nil {
		return err
	}
	for !st.whole() {
		st.grow()
		n, err := st.Read(st.in[st.have:])
		st.have += n
		if err != nil && !st.whole() {
			return err
		}
		if n > 0 && !begun && wait > rest {
			begun = true
			if err := st.arm(ctx, rest); err != nil {
				return err
			}
		}
	}
	return nil
}

func (st *stream) arm(ctx context.Context, wait time.Duration) error {
	_ = st.SetReadDeadline(time.Now().Add(wait))
	return ctx.Err()
}

// whole reports whether in begins with something to deal with: a whole message, or a length none has.
func (st *stream) whole() bool {
	length, ok := st.length(st.in[:st.have])
	return ok && (length == 0 || st.have >= 2+length)
}

// grow makes room for a message that is longer than a query.
func (st *stream) grow() {
	if length, ok := st.length(st.in[:st.have]); ok && 2+length > len(st.in) {
		st.in = append(make([]byte, 0, 2+length), st.in[:st.have]...)[:2+length]
	}
}

// length reads the length of the message that b begins with, 0 for one that no message has; ok is false while that cannot be told.
func (st *stream) length(b []byte) (n int, ok bool) {
	if len(b) < 2 {
		return 0, false
	}
	n = int(binary.BigEndian.Uint16(b))
	switch {
	case n < headerLen:
		return 0, true
	case n <= MaxQuery:
		return n, true
	case n > MaxUpdate || st.server.messages == nil:
		return 0, true
	case len(b) < 5:
		return 0, false
	case !IsUpdate(b[2:]):
		return 0, true
	}
	return n, true
}

// IsUpdate reports whether a message, of which at least three octets must be there, is a dynamic update (RFC 2136).
func IsUpdate(msg []byte) bool { return msg[2]>>3&0xF == 5 }

var errLength = errors.New("no message has this length")

// answer answers what has arrived whole, at most so many messages, and leaves the replies in out. An error means that the rest of
// the stream cannot be made sense of.
func (st *stream) answer(ctx, deals context.Context, most int) (answered int, err error) {
	at := 0
	for answered < most && len(st.out) < flushAt {
		length, ok := st.length(st.in[at:st.have])
		if !ok || st.have-at < 2+length {
			break
		}
		if length == 0 {
			err = errLength
			break
		}
		packet := st.in[at+2 : at+2+length]
		at += 2 + length
		answered++
		if st.server.takes(packet) {
			if err := st.flush(); err != nil {
				return answered, err
			}
			st.hand(ctx, deals, slices.Clone(packet))
			continue
		}
		st.out = st.server.frame(st.answerer, st.out, packet, st.link)
	}
	st.have = copy(st.in, st.in[at:st.have])
	return answered, err
}

// frame appends a reply and its length, or nothing.
func (s *Server) frame(a Answerer, out, packet []byte, l *link) []byte {
	start := len(out)
	out = append(out, 0, 0)
	out = s.answer(a, out, packet, l.from, l.kind)
	n := len(out) - start - 2
	if n == 0 {
		return out[:start]
	}
	binary.BigEndian.PutUint16(out[start:], uint16(n))
	return out
}

// hand gives a message to Messages, waiting when that has enough of this client's.
func (st *stream) hand(ctx, deals context.Context, packet []byte) {
	select {
	case st.slots <- struct{}{}:
	case <-ctx.Done():
		return
	}
	st.busy.Add(1)
	st.server.metrics.kinds[st.kind].handed.Inc()
	var frame []byte
	m := &Message{Packet: packet, From: st.from, Kind: st.kind, Secure: st.secure, Send: func(reply []byte) error {
		if len(reply) > MaxMessage {
			return errLength
		}
		frame = append(binary.BigEndian.AppendUint16(frame[:0], uint16(len(reply))), reply...)
		st.entry.touch()
		return st.write(frame)
	}}
	st.dealing.Go(func() {
		defer func() {
			st.dealt.Store(time.Now().UnixNano())
			st.busy.Add(-1)
			<-st.slots
		}()
		st.server.messages.Handle(deals, m)
	})
}

// flush writes what is in out.
func (st *stream) flush() error {
	var err error
	if len(st.out) > 0 {
		err = st.write(st.out)
	}
	st.out = st.out[:0]
	if cap(st.out) > flushAt {
		st.out = nil // a connection that waits holds little
	}
	return err
}

// write writes whole frames. A reader that is being sent a transfer has more time: its buffers are full for good reason.
func (st *stream) write(frames []byte) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	wait := st.server.limits.Write
	if st.busy.Load() > 0 {
		wait = st.server.limits.Transfer
	}
	_ = st.SetWriteDeadline(time.Now().Add(wait))
	_, err := st.Conn.Write(frames)
	if err != nil {
		st.failed.Store(true)
		_ = st.raw.Close()
	}
	return err
}
