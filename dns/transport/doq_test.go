package transport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/quic-go/quic-go"

	"github.com/meridian-edge/meridian/dns/transport"
)

// Codes of RFC 9250 section 8.4.
const (
	codeNone     = 0
	codeInternal = 1
	codeProtocol = 2
	codeCancel   = 3
	codeLoad     = 4
)

// doq is a server over QUIC.
type doq struct {
	*kit
	addr  string
	trust *tls.Config
	stop  func()
}

func serveDoQ(t *testing.T, o transport.Options) *doq {
	t.Helper()
	server, trust := certificate(t)
	trust.NextProtos = []string{"doq"}
	d := &doq{kit: newKit(patient(o)), trust: trust}
	conn := listenUDP(t)
	d.addr = conn.LocalAddr().String()
	d.stop = run(t, func(ctx context.Context) error { return d.ServeQUIC(ctx, conn, server) })
	return d
}

func (d *doq) tryDial(t *testing.T) (*quic.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := quic.DialAddr(ctx, d.addr, d.trust, &quic.Config{MaxIdleTimeout: patience})
	if err == nil {
		t.Cleanup(func() { c.CloseWithError(0, "") })
	}
	return c, err
}

func (d *doq) dial(t *testing.T) *quic.Conn {
	t.Helper()
	c, err := d.tryDial(t)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// open opens a stream and sends octets on it.
func open(t *testing.T, c *quic.Conn, b []byte) *quic.Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(patience))
	send(t, s, b)
	return s
}

// asked asks a query and reports whether there was a reply.
func asked(c *quic.Conn) bool {
	s, err := c.OpenStream()
	if err != nil {
		return false
	}
	s.SetDeadline(time.Now().Add(patience))
	s.Write(framed(question(0, "a.")))
	s.Close()
	got, err := io.ReadAll(s)
	return err == nil && len(got) > 0
}

// closedWith waits for the end of a connection.
func closedWith(t *testing.T, c *quic.Conn, want quic.ApplicationErrorCode) {
	t.Helper()
	select {
	case <-c.Context().Done():
	case <-time.After(patience):
		t.Fatal("the connection stays open")
	}
	var app *quic.ApplicationError
	if err := context.Cause(c.Context()); !errors.As(err, &app) || !app.Remote || app.ErrorCode != want {
		t.Errorf("closed with %v, want code %d", err, want)
	}
}

func resetWith(t *testing.T, s *quic.Stream, want quic.StreamErrorCode) {
	t.Helper()
	_, err := io.ReadAll(s)
	var reset *quic.StreamError
	if !errors.As(err, &reset) || reset.ErrorCode != want {
		t.Errorf("stream ended with %v, want code %d", err, want)
	}
}

// TestDoQ: one message a stream, all of them at once, the reply and then the end of the stream (RFC 9250 section 4.2).
func TestDoQ(t *testing.T) {
	d := serveDoQ(t, transport.Options{Messages: desk(func(_ context.Context, m *transport.Message) {
		if !m.Secure || m.Kind != transport.QUIC {
			t.Error("not secure")
		}
		for range 3 {
			if err := m.Send(make([]byte, transport.MaxMessage)); err != nil {
				t.Error(err)
			}
		}
	})})
	c := d.dial(t)
	var wg sync.WaitGroup
	for range 50 {
		s := open(t, c, framed(question(0, "a.", &mdns.EDNS0_PADDING{})))
		s.Close()
		wg.Go(func() {
			got, err := io.ReadAll(s)
			if err != nil || len(got) != 2+468 || int(binary.BigEndian.Uint16(got)) != len(got)-2 {
				t.Errorf("%v, %d octets", err, len(got))
			}
		})
	}
	wg.Wait()
	s := open(t, c, framed(ofOpcode(4, question(0, "a."))))
	s.Close()
	if got, err := io.ReadAll(s); err != nil || len(got) != 3*(2+transport.MaxMessage) {
		t.Errorf("%d octets of a transfer, %v", len(got), err)
	}
	if d.metric(t, "meridian_dns_connections", "quic") != 1 {
		t.Error("not counted")
	}
	d.stop()
	closedWith(t, c, codeNone)
	d.await(t, 0, "meridian_dns_connections", "quic")
}

// TestDoQProtocolErrors: breaking a rule costs the connection (RFC 9250 section 4.3.3).
func TestDoQProtocolErrors(t *testing.T) {
	query := framed(question(0, "a."))
	for name, sent := range map[string][]byte{
		"message ID":         framed(question(1, "a.")),
		"keepalive":          framed(question(0, "a.", &mdns.EDNS0_TCP_KEEPALIVE{Code: mdns.EDNS0TCPKEEPALIVE})),
		"two queries":        append(query, query...),
		"half a query":       query[:len(query)-1],
		"half a length":      {0},
		"nothing":            {},
		"less than a header": framed(make([]byte, 11)),
		"a response":         framed(append([]byte{0, 0, 0x80}, question(0, "a.")[3:]...)),
	} {
		t.Run(name, func(t *testing.T) {
			d := serveDoQ(t, transport.Options{})
			c := d.dial(t)
			open(t, c, sent).Close()
			closedWith(t, c, codeProtocol)
			d.await(t, 1, "meridian_dns_connections_closed_total", "quic", "malformed")
			if got := d.metric(t, "meridian_dns_requests_refused_total", "quic", "malformed"); got != 1 {
				t.Errorf("%v refused", got)
			}
		})
	}
}

// TestD22DoQStreams: what ends one stream and nothing else.
func TestD22DoQStreams(t *testing.T) {
	long := func(opcode byte, n int) []byte {
		return framed(append(ofOpcode(opcode, question(0, "a.")), make([]byte, n-len(question(0, "a.")))...))
	}
	hasty := serveDoQ(t, transport.Options{Limits: transport.Limits{Receive: 50 * time.Millisecond}})
	d := serveDoQ(t, transport.Options{Messages: desk(func(_ context.Context, m *transport.Message) { m.Send(m.Packet) })})
	c := d.dial(t)
	for _, test := range []struct {
		name   string
		sent   []byte
		finish bool
		code   quic.StreamErrorCode
		reason string
	}{
		{"no end", framed(question(0, "a.")), false, codeLoad, "slow"},
		{"half a query", framed(question(0, "a."))[:9], false, codeLoad, "slow"},
		{"query too long", long(0, transport.MaxQuery+1), true, codeLoad, "too_long"},
		{"silence", framed(question(0, "silent.")), true, codeInternal, "no_answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, c := d, c
			if test.reason == "slow" {
				d, c = hasty, hasty.dial(t)
			}
			before := d.metric(t, "meridian_dns_requests_refused_total", "quic", test.reason)
			s := open(t, c, test.sent)
			if test.finish {
				s.Close()
			}
			resetWith(t, s, test.code)
			if got := d.metric(t, "meridian_dns_requests_refused_total", "quic", test.reason); got != before+1 {
				t.Error("not counted")
			}
		})
	}
	t.Run("update too long", func(t *testing.T) {
		s, err := c.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.SetDeadline(time.Now().Add(patience))
		s.Write(long(5, transport.MaxUpdate+1)) // may be stopped while it is sent
		s.Close()
		resetWith(t, s, codeLoad)
	})
	t.Run("longest update", func(t *testing.T) {
		s := open(t, c, long(5, transport.MaxUpdate))
		s.Close()
		if got, err := io.ReadAll(s); err != nil || len(got) != 2+transport.MaxUpdate {
			t.Errorf("%d octets, %v", len(got), err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		s := open(t, c, []byte{0})
		s.CancelWrite(codeCancel)
		resetWith(t, s, codeCancel)
		d.await(t, 1, "meridian_dns_requests_refused_total", "quic", "cancelled")
	})
	s := open(t, c, framed(question(0, "a.")))
	s.Close()
	if got, err := io.ReadAll(s); err != nil || len(got) < 12 {
		t.Errorf("the connection is no good any more: %v", err)
	}
}

// TestD22DoQConnections: streams at a time, connections of a peer and in all, and idle ones.
func TestD22DoQConnections(t *testing.T) {
	t.Run("streams", func(t *testing.T) {
		release := make(chan struct{})
		d := serveDoQ(t, transport.Options{Limits: transport.Limits{Streams: 3}, Messages: desk(func(_ context.Context, m *transport.Message) {
			<-release
			m.Send(m.Packet)
		})})
		c := d.dial(t)
		for range 3 {
			open(t, c, framed(ofOpcode(4, question(0, "a.")))).Close()
		}
		if _, err := c.OpenStream(); err == nil {
			t.Error("a fourth stream")
		}
		close(release)
		open(t, c, framed(question(0, "a."))).Close()
	})
	t.Run("of one peer", func(t *testing.T) {
		d := serveDoQ(t, transport.Options{Limits: transport.Limits{PerPeer: 2}})
		d.dial(t)
		d.dial(t)
		if _, err := d.tryDial(t); err == nil {
			t.Error("a third connection")
		}
		if d.metric(t, "meridian_dns_connections_closed_total", "quic", "peer_limit") < 1 {
			t.Error("not counted")
		}
	})
	t.Run("in all", func(t *testing.T) {
		d := serveDoQ(t, transport.Options{Limits: transport.Limits{Connections: 2}})
		first, second := d.dial(t), d.dial(t)
		for _, c := range []*quic.Conn{second, first} { // so the second has been idle longest
			s := open(t, c, framed(question(0, "a.")))
			s.Close()
			if _, err := io.ReadAll(s); err != nil {
				t.Fatal(err)
			}
		}
		d.dial(t)
		closedWith(t, second, codeLoad)
		if first.Context().Err() != nil {
			t.Error("the other one was closed")
		}
	})
	t.Run("idle", func(t *testing.T) {
		d := serveDoQ(t, transport.Options{Limits: transport.Limits{IdleQUIC: 200 * time.Millisecond}})
		for answered := false; !answered && t.Context().Err() == nil; { // a stalled machine may be idle before it has asked
			if c, err := d.tryDial(t); err == nil {
				answered = asked(c)
			}
		}
		d.await(t, 1, "meridian_dns_connections_closed_total", "quic", "idle")
	})
	t.Run("another protocol", func(t *testing.T) {
		d := serveDoQ(t, transport.Options{})
		d.trust.NextProtos = []string{"h3"}
		if _, err := d.tryDial(t); err == nil {
			t.Error("HTTP/3 was agreed on")
		}
		d.await(t, 1, "meridian_dns_connections_closed_total", "quic", "handshake")
	})
	t.Run("one-way streams", func(t *testing.T) {
		d := serveDoQ(t, transport.Options{})
		if _, err := d.dial(t).OpenUniStream(); err == nil {
			t.Error("opened")
		}
	})
}

// TestDoQWithout0RTT: what comes early is not taken, so nothing can be replayed (RFC 9250 section 4.5).
func TestDoQWithout0RTT(t *testing.T) {
	d := serveDoQ(t, transport.Options{})
	d.trust.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i := range 2 {
		c, err := quic.DialAddrEarly(t.Context(), d.addr, d.trust, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := open(t, c, framed(question(0, "a.")))
		s.Close()
		if _, err := io.ReadAll(s); err != nil {
			t.Fatal(i, err)
		}
		if c.ConnectionState().Used0RTT {
			t.Error("0-RTT")
		}
		c.CloseWithError(0, "")
	}
}

// TestStopFinishesDoQ: what is under way gets its reply.
func TestStopFinishesDoQ(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	d := serveDoQ(t, transport.Options{Limits: transport.Limits{Drain: patience, Goodbye: patience}, Messages: desk(func(_ context.Context, m *transport.Message) {
		close(begun)
		<-finish
		m.Send(m.Packet)
	})})
	c := d.dial(t)
	sent := framed(ofOpcode(4, question(0, "a.")))
	s := open(t, c, sent)
	s.Close()
	<-begun
	var wg sync.WaitGroup
	wg.Go(d.stop)
	close(finish)
	if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%v, % x", err, got)
	}
	c.CloseWithError(codeNone, "") // which the server waits for
	wg.Wait()
}
