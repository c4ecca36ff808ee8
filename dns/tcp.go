package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// ServeTCP answers queries on connections accepted from ln (RFC 7766) until ctx is done; it then answers the queries it has, closes its
// connections and returns nil. It blocks. The caller closes ln, except that a listener without SetDeadline is closed here, being
// impossible to stop otherwise. When ln fails for good before ctx is done ServeTCP returns an error.
func (s *Server) ServeTCP(ctx context.Context, ln net.Listener) error {
	serving, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // ends the connections when the listener fails
	stop := context.AfterFunc(serving, func() {
		if d, ok := ln.(interface{ SetDeadline(time.Time) error }); ok {
			d.SetDeadline(time.Unix(1, 0))
			return
		}
		ln.Close()
	})
	defer stop()
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("serve dns on tcp %s: %w", ln.Addr(), err)
		case err != nil: // out of descriptors, or the client gave up already
			s.log.Warn("dns accept", "addr", ln.Addr().String(), "err", err)
			pause(ctx, acceptPause)
			continue
		}
		wg.Go(func() { s.serveConn(serving, conn) })
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// stream is one connection. Queries may come pipelined: everything that has arrived whole is answered, in order, with one
// write.
type stream struct {
	server *Server
	conn   net.Conn
	from   netip.AddrPort
	client Client
	in     []byte // has room for one query and its length
	have   int    // octets in in
	out    []byte
}

// serveConn serves a connection until it ends, ctx is done, or a limit is met.
func (s *Server) serveConn(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	from := peerOf(conn)
	entry := s.tcp.add(conn, from.Addr())
	if entry == nil {
		return
	}
	defer s.tcp.remove(entry)
	// Whoever waits for a query is woken; ctx is looked at after every deadline that is set, so none outlives this one.
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	st := &stream{server: s, conn: conn, from: from, in: make([]byte, 2+maxQuery)}
	entry.reason = st.serve(ctx, entry)
}

func (st *stream) serve(ctx context.Context, entry *tcpConn) closeReason {
	wait := tcpFirst
	for answered := 0; answered < tcpQueries; {
		if err := st.receive(ctx, wait); err != nil {
			return reasonOf(ctx, err, st.have)
		}
		n, err := st.answer(ctx, tcpQueries-answered)
		st.server.tcp.touch(entry) // before the client can know that it was answered
		if len(st.out) > 0 {
			st.conn.SetWriteDeadline(time.Now().Add(tcpWrite))
			if _, err := st.conn.Write(st.out); err != nil {
				return closedSlow
			}
		}
		if cap(st.out) > tcpFlush {
			st.out = nil // a connection that waits holds little
		}
		if err != nil {
			return closedMalformed
		}
		answered += n
		wait = tcpIdle
	}
	st.linger()
	return closedQueries
}

// linger lets the client take the last replies: closing with queries unread would make the kernel throw them away.
func (st *stream) linger() {
	half, ok := st.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	st.conn.SetReadDeadline(time.Now().Add(tcpReceive))
	io.CopyN(io.Discard, st.conn, tcpLinger)
}

// receive reads until a whole query is there. wait is how long its first octet may take; once that is there the rest must follow
// within tcpReceive, however slowly it trickles.
func (st *stream) receive(ctx context.Context, wait time.Duration) error {
	if st.whole() {
		return nil
	}
	begun := st.have > 0
	if begun {
		wait = min(wait, tcpReceive)
	}
	if err := st.arm(ctx, wait); err != nil {
		return err
	}
	for !st.whole() {
		n, err := st.conn.Read(st.in[st.have:])
		st.have += n
		if err != nil && !st.whole() {
			return err
		}
		if n > 0 && !begun && wait > tcpReceive {
			begun = true
			if err := st.arm(ctx, tcpReceive); err != nil {
				return err
			}
		}
	}
	return nil
}

func (st *stream) arm(ctx context.Context, wait time.Duration) error {
	st.conn.SetReadDeadline(time.Now().Add(wait))
	return ctx.Err()
}

// whole reports whether in begins with something to deal with: a whole query, or a length no query has.
func (st *stream) whole() bool {
	if st.have < 2 {
		return false
	}
	length := int(binary.BigEndian.Uint16(st.in))
	return length < dnswire.HeaderLen || length > maxQuery || st.have >= 2+length
}

var errQueryLength = errors.New("no query has this length")

// answer answers what has arrived whole, at most so many queries, and leaves the replies in out. An error means that the rest of
// the stream cannot be made sense of.
func (st *stream) answer(ctx context.Context, most int) (answered int, err error) {
	st.out = st.out[:0]
	at := 0
	for answered < most && len(st.out) < tcpFlush && st.have-at >= 2 {
		length := int(binary.BigEndian.Uint16(st.in[at:]))
		if length < dnswire.HeaderLen || length > maxQuery {
			err = errQueryLength
			break
		}
		if st.have-at < 2+length {
			break
		}
		if st.server.detourStream(ctx, st.conn, st.in[at+2:at+2+length], st.from) {
			at += 2 + length
			answered++
			continue
		}
		start := len(st.out)
		st.out = append(st.out, 0, 0)
		st.out = st.server.handle(st.out, st.in[at+2:at+2+length], &st.client, st.from, TCP)
		if n := len(st.out) - start - 2; n > 0 {
			binary.BigEndian.PutUint16(st.out[start:], uint16(n))
		} else {
			st.out = st.out[:start]
		}
		at += 2 + length
		answered++
	}
	st.have = copy(st.in, st.in[at:st.have])
	return answered, err
}

// peerOf is the address of a connection's other end; nothing for a connection that has none.
func peerOf(conn net.Conn) netip.AddrPort {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort()
	}
	return netip.AddrPort{}
}
