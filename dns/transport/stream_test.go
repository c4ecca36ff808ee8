package transport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/transport"
)

// onPipe serves TCP in a bubble of synctest and calls talk with the client's end.
func onPipe(t *testing.T, o transport.Options, talk func(t *testing.T, k *kit, conn net.Conn, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k, ln := newKit(o), newPipeListener()
		if len(o.Proxies) > 0 {
			ln.wrap = func(c net.Conn) net.Conn { return from{c, netip.AddrPortFrom(o.Proxies[0].Addr(), 1).String()} }
		}
		stop := run(t, func(ctx context.Context) error { return k.ServeTCP(ctx, ln) })
		conn := ln.dial()
		talk(t, k, conn, stop)
		conn.Close()
		stop()
	})
}

// TestD11MessagesDoNotHoldUpQueries: replies come in the order in which they are ready (RFC 7766 section 7).
func TestD11MessagesDoNotHoldUpQueries(t *testing.T) {
	ready := make(chan struct{})
	k := newKit(patient(transport.Options{Messages: desk(func(_ context.Context, m *transport.Message) {
		<-ready
		for range 3 {
			if err := m.Send(m.Packet); err != nil {
				t.Error(err)
			}
		}
	})}))
	ln := listen(t)
	run(t, func(ctx context.Context) error { return k.ServeTCP(ctx, ln) })
	conn := dial(t, ln.Addr())
	send(t, conn, framed(question(1, "a."), ofOpcode(5, question(2, "b.")), question(3, "c."), question(4, "d.")))
	for _, want := range []uint16{1, 3, 4} {
		if got := idOf(readFrame(t, conn)); got != want {
			t.Fatalf("reply %d before %d", got, want)
		}
	}
	close(ready)
	for range 3 {
		if got := idOf(readFrame(t, conn)); got != 2 {
			t.Fatalf("reply %d", got)
		}
	}
	send(t, conn, framed(question(5, "e.")))
	if got := idOf(readFrame(t, conn)); got != 5 {
		t.Fatalf("reply %d", got)
	}
	if got := k.metric(t, "meridian_dns_messages_total", "tcp"); got != 1 {
		t.Errorf("%v messages", got)
	}
}

// TestD11MessagesOfOneConnection: the fifth waits, unread, until one of four is done.
func TestD11MessagesOfOneConnection(t *testing.T) {
	var most, now atomic.Int32
	var release chan struct{} // made in the bubble
	onPipe(t, transport.Options{Messages: desk(func(_ context.Context, m *transport.Message) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		<-release
		now.Add(-1)
		m.Send(m.Packet)
	})}, func(t *testing.T, _ *kit, conn net.Conn, _ func()) {
		release = make(chan struct{})
		for id := range uint16(5) {
			send(t, conn, framed(ofOpcode(4, question(id, "a."))))
		}
		synctest.Wait()
		if got := now.Load(); got != 4 {
			t.Errorf("%d at a time", got)
		}
		close(release)
		seen := map[uint16]bool{}
		for range 5 {
			seen[idOf(readFrame(t, conn))] = true
		}
		if len(seen) != 5 || most.Load() != 4 {
			t.Errorf("replies %v, at most %d at a time", seen, most.Load())
		}
	})
}

// TestTransferUnderBackpressure: a slow reader gets all of it, one that stops costs 10 s, and neither is idle meanwhile.
func TestTransferUnderBackpressure(t *testing.T) {
	var failed chan error // made in each bubble
	big := make([]byte, transport.MaxMessage)
	transferring := transport.Options{Messages: desk(func(_ context.Context, m *transport.Message) {
		for range 20 {
			if err := m.Send(big); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	})}
	t.Run("slow", func(t *testing.T) {
		onPipe(t, transferring, func(t *testing.T, _ *kit, conn net.Conn, _ func()) {
			failed = make(chan error, 1)
			send(t, conn, framed(ofOpcode(4, question(1, "a."))))
			for range 20 {
				time.Sleep(9 * time.Second) // of the bubble's clock
				if got := readFrame(t, conn); len(got) != len(big) {
					t.Fatalf("%d octets", len(got))
				}
			}
			if err := <-failed; err != nil {
				t.Error(err)
			}
			send(t, conn, framed(question(2, "a.")))
			if got := idOf(readFrame(t, conn)); got != 2 {
				t.Errorf("reply %d", got)
			}
			start := time.Now()
			if _, err := conn.Read(make([]byte, 1)); err != io.EOF || time.Since(start) != 10*time.Second {
				t.Errorf("%v after %v", err, time.Since(start))
			}
		})
	})
	t.Run("stopped", func(t *testing.T) {
		onPipe(t, transferring, func(t *testing.T, k *kit, conn net.Conn, _ func()) {
			failed = make(chan error, 1)
			start := time.Now()
			send(t, conn, framed(ofOpcode(4, question(1, "a."))))
			if err := <-failed; err == nil || time.Since(start) != 10*time.Second {
				t.Errorf("%v after %v", err, time.Since(start))
			}
			synctest.Wait()
			if got := k.metric(t, "meridian_dns_connections_closed_total", "tcp", "slow"); got != 1 {
				t.Errorf("%v closed as slow", got)
			}
		})
	})
	t.Run("message too long", func(t *testing.T) {
		onPipe(t, transport.Options{Messages: desk(func(_ context.Context, m *transport.Message) {
			failed <- m.Send(make([]byte, transport.MaxMessage+1))
		})}, func(t *testing.T, _ *kit, conn net.Conn, _ func()) {
			failed = make(chan error, 1)
			send(t, conn, framed(ofOpcode(4, question(1, "a."))))
			if err := <-failed; err == nil {
				t.Error("sent")
			}
		})
	})
}

// TestOwedRepliesKeepAConnection: neither the idle limit nor a client that has said all it wants ends it.
func TestOwedRepliesKeepAConnection(t *testing.T) {
	onPipe(t, transport.Options{Messages: desk(func(_ context.Context, m *transport.Message) {
		time.Sleep(time.Minute) // of the bubble's clock
		m.Send(m.Packet)
	})}, func(t *testing.T, _ *kit, conn net.Conn, _ func()) {
		start := time.Now()
		send(t, conn, framed(ofOpcode(4, question(9, "a."))))
		if got := idOf(readFrame(t, conn)); got != 9 || time.Since(start) != time.Minute {
			t.Errorf("reply %d after %v", got, time.Since(start))
		}
	})
	t.Run("half closed", func(t *testing.T) {
		ready := make(chan struct{})
		k := newKit(patient(transport.Options{Messages: desk(func(_ context.Context, m *transport.Message) {
			<-ready
			m.Send(m.Packet)
		})}))
		ln := listen(t)
		run(t, func(ctx context.Context) error { return k.ServeTCP(ctx, ln) })
		conn := dial(t, ln.Addr())
		send(t, conn, framed(ofOpcode(4, question(9, "a."))))
		conn.(*net.TCPConn).CloseWrite()
		close(ready)
		if got := idOf(readFrame(t, conn)); got != 9 {
			t.Errorf("reply %d", got)
		}
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
	})
}

// TestStopEndsWhatAClientThatLeftHasBegun: the limit holds when there is nothing more to read, too.
func TestStopEndsWhatAClientThatLeftHasBegun(t *testing.T) {
	begun := make(chan struct{})
	k := newKit(patient(transport.Options{Limits: transport.Limits{Drain: time.Millisecond}, Messages: desk(func(ctx context.Context, _ *transport.Message) {
		close(begun)
		<-ctx.Done()
	})}))
	ln := listen(t)
	stop := run(t, func(ctx context.Context) error { return k.ServeTCP(ctx, ln) })
	conn := dial(t, ln.Addr())
	send(t, conn, framed(ofOpcode(4, question(9, "a."))))
	conn.(*net.TCPConn).CloseWrite()
	<-begun
	stop()
}

// TestStopLetsMessagesFinish: for 5 s.
func TestStopLetsMessagesFinish(t *testing.T) {
	for _, test := range []struct {
		name string
		long time.Duration
		sent bool
	}{{"in time", 4 * time.Second, true}, {"too long", time.Hour, false}} {
		t.Run(test.name, func(t *testing.T) {
			onPipe(t, transport.Options{Messages: desk(func(ctx context.Context, m *transport.Message) {
				select {
				case <-time.After(test.long): // of the bubble's clock
					m.Send(m.Packet)
				case <-ctx.Done():
				}
			})}, func(t *testing.T, k *kit, conn net.Conn, stop func()) {
				send(t, conn, framed(ofOpcode(4, question(9, "a."))))
				synctest.Wait()
				start := time.Now()
				var wg sync.WaitGroup
				wg.Go(stop)
				got, _ := io.ReadAll(conn)
				wg.Wait()
				if sent := len(got) > 0; sent != test.sent {
					t.Errorf("reply %v", sent)
				}
				if took := time.Since(start); took != min(test.long, 5*time.Second) {
					t.Errorf("stopped after %v", took)
				}
				if got := k.metric(t, "meridian_dns_connections_closed_total", "tcp", "stopping"); got != 1 {
					t.Errorf("%v closed as stopping", got)
				}
			})
		})
	}
}

// TestD11LengthOfAMessage: 4,096 octets for queries, 16,384 for updates where updates are dealt with.
func TestD11LengthOfAMessage(t *testing.T) {
	ofLength := func(opcode byte, n int) []byte {
		return append(ofOpcode(opcode, question(7, "a.")), make([]byte, n-len(question(7, "a.")))...)
	}
	answering := desk(func(_ context.Context, m *transport.Message) { m.Send(m.Packet[:12]) })
	for _, test := range []struct {
		name     string
		msg      []byte
		messages transport.Messages
		ok       bool
	}{
		{"query of 4096", ofLength(4, 4096), answering, true},
		{"query of 4097", ofLength(0, 4097), answering, false},
		{"notify of 4097", ofLength(4, 4097), answering, false},
		{"update of 16384", ofLength(5, 16384), answering, true},
		{"update of 16385", ofLength(5, 16385), answering, false},
		{"update nobody deals with", ofLength(5, 4097), nil, false},
		{"shorter than a header", make([]byte, 11), answering, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			onPipe(t, transport.Options{Messages: test.messages}, func(t *testing.T, k *kit, conn net.Conn, _ func()) {
				var wg sync.WaitGroup
				wg.Go(func() { conn.Write(framed(test.msg)) })
				got, _ := io.ReadAll(io.LimitReader(conn, 14))
				conn.Close()
				wg.Wait()
				if (len(got) == 14) != test.ok {
					t.Errorf("%d octets came back", len(got))
				}
				synctest.Wait()
				if bad := k.metric(t, "meridian_dns_connections_closed_total", "malformed"); bad != 0 == test.ok {
					t.Errorf("%v closed as malformed", bad)
				}
			})
		})
	}
}

// counting counts the writes on a connection.
type counting struct {
	net.Conn
	writes *atomic.Int32
}

func (c counting) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// TestPipelinedQueriesAreAnsweredWithOneWrite: what has arrived together leaves together.
func TestPipelinedQueriesAreAnsweredWithOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, ln := newKit(transport.Options{}), newPipeListener()
		var writes atomic.Int32
		ln.wrap = func(c net.Conn) net.Conn { return counting{c, &writes} }
		stop := run(t, func(ctx context.Context) error { return k.ServeTCP(ctx, ln) })
		conn := ln.dial()
		var all []byte
		for id := range uint16(50) {
			all = append(all, framed(question(id, "a."))...)
		}
		send(t, conn, all)
		for id := range uint16(50) {
			if got := idOf(readFrame(t, conn)); got != id {
				t.Fatalf("reply %d for %d", got, id)
			}
		}
		if n := writes.Load(); n != 1 {
			t.Errorf("%d writes", n)
		}
		conn.Close()
		stop()
	})
}

const (
	// A header for 198.51.100.7:4000, and one that says LOCAL.
	proxyHeader = "0d0a0d0a000d0a515549540a2111000cc6336407c00002350fa00035"
	localHeader = "0d0a0d0a000d0a515549540a20000000"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// TestL05ProxyHeaders: from listed sources they are needed and believed, from others never.
func TestL05ProxyHeaders(t *testing.T) {
	query := framed(question(1, "a."))
	for _, test := range []struct {
		name, from string
		sent       []byte
		want       string // the address the server sees; "" means that it hangs up
		after      time.Duration
		reason     string
	}{
		{"listed", "192.0.2.1:99", append(unhex(proxyHeader), query...), "198.51.100.7", 0, ""},
		{"listed, for itself", "192.0.2.1:99", append(unhex(localHeader), query...), "192.0.2.1", 0, ""},
		{"listed, mapped", "[::ffff:192.0.2.1]:99", append(unhex(proxyHeader), query...), "198.51.100.7", 0, ""},
		{"listed, no header", "192.0.2.1:99", query, "", 0, "proxy_header"},
		{"listed, text form", "192.0.2.1:99", []byte("PROXY TCP4 198.51.100.7 192.0.2.53 4000 53\r\n"), "", 0, "proxy_header"},
		{"listed, slow header", "192.0.2.1:99", unhex(proxyHeader)[:20], "", 5 * time.Second, "proxy_header"},
		{"listed, silent", "192.0.2.1:99", nil, "", 5 * time.Second, "proxy_header"},
		{"stranger, no header", "192.0.3.1:99", query, "192.0.3.1", 0, ""},
		{"stranger with a header", "192.0.3.1:99", append(unhex(proxyHeader), query...), "", 2 * time.Second, "slow"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKit(transport.Options{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
				ln := newPipeListener()
				ln.wrap = func(c net.Conn) net.Conn { return from{c, test.from} }
				stop := run(t, func(ctx context.Context) error { return k.ServeTCP(ctx, ln) })
				start, conn := time.Now(), ln.dial()
				var wg sync.WaitGroup
				wg.Go(func() { conn.Write(test.sent) })
				if test.want != "" {
					if got := text(t, unpack(t, readFrame(t, conn))); got != test.want {
						t.Errorf("the server sees %s", got)
					}
				} else {
					if got, _ := io.ReadAll(conn); len(got) > 0 {
						t.Errorf("reply % x", got)
					}
					if took := time.Since(start); took != test.after {
						t.Errorf("hung up after %v", took)
					}
				}
				conn.Close()
				wg.Wait()
				stop()
				if test.reason != "" && k.metric(t, "meridian_dns_connections_closed_total", "tcp", test.reason) != 1 {
					t.Error("not counted")
				}
			})
		})
	}
}

// TestL05ClientsOfAProxyAreCountedApart: its address is everybody's, so it is nobody's limit.
func TestL05ClientsOfAProxyAreCountedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(transport.Options{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, Limits: transport.Limits{PerPeer: 2}})
		ln := newPipeListener()
		ln.wrap = func(c net.Conn) net.Conn { return from{c, "192.0.2.1:99"} }
		stop := run(t, func(ctx context.Context) error { return k.ServeTCP(ctx, ln) })
		var conns []net.Conn
		refused := 0
		for i := range 9 { // three each of three clients
			header := unhex(proxyHeader)
			header[19] = byte(i % 3)
			conn := ln.dial()
			conns = append(conns, conn)
			var wg sync.WaitGroup
			wg.Go(func() { conn.Write(append(header, framed(question(1, "a."))...)) })
			if got, _ := io.ReadAll(io.LimitReader(conn, 2)); len(got) == 0 {
				refused++
			}
			go io.Copy(io.Discard, conn) // ends when conn is closed
			wg.Wait()
		}
		if refused != 3 {
			t.Errorf("%d refused", refused)
		}
		if got := k.metric(t, "meridian_dns_connections", "tcp"); got != 6 {
			t.Errorf("%v open", got)
		}
		for _, c := range conns {
			c.Close()
		}
		stop()
		if got := k.metric(t, "meridian_dns_connections_closed_total", "peer_limit"); got != 3 {
			t.Errorf("%v refused", got)
		}
	})
}

// TestKeepaliveAndPadding: the one over TCP and TLS, the other where there is encryption.
func TestKeepaliveAndPadding(t *testing.T) {
	server, client := certificate(t)
	client.NextProtos = []string{"dot"}
	k := newKit(patient(transport.Options{Limits: transport.Limits{Idle: 12 * time.Second}}))
	plain, secure := listen(t), listen(t)
	run(t, func(ctx context.Context) error { return k.ServeTCP(ctx, plain) })
	run(t, func(ctx context.Context) error { return k.ServeTLS(ctx, secure, server) })
	overTLS := tls.Client(dial(t, secure.Addr()), client)
	ask := func(conn net.Conn, options ...mdns.EDNS0) ([]byte, *mdns.OPT) {
		send(t, conn, framed(question(1, "a.", options...)))
		wire := readFrame(t, conn)
		return wire, unpack(t, wire).IsEdns0()
	}
	keepalive, padding := &mdns.EDNS0_TCP_KEEPALIVE{Code: mdns.EDNS0TCPKEEPALIVE}, &mdns.EDNS0_PADDING{}
	for name, conn := range map[string]net.Conn{"tcp": dial(t, plain.Addr()), "tls": overTLS} {
		wire, opt := ask(conn, keepalive, padding)
		padded := name == "tls"
		if want := 1; padded {
			want = 2
			if len(opt.Option) != want || len(wire) != 468 {
				t.Errorf("%s: %d octets, %v", name, len(wire), opt)
			}
		} else if len(opt.Option) != want {
			t.Errorf("%s: %v", name, opt)
		}
		if got, ok := opt.Option[0].(*mdns.EDNS0_TCP_KEEPALIVE); !ok || got.Timeout != 120 {
			t.Errorf("%s: keepalive %v", name, opt)
		}
		if _, opt := ask(conn, []mdns.EDNS0{}...); opt != nil && len(opt.Option) != 0 {
			t.Errorf("%s: options nobody asked for: %v", name, opt)
		}
	}
}

// TestDoTSpeaksDoTOnly: ALPN, versions, tickets and the handshake's limit (RFC 7858, RFC 8310).
func TestDoTSpeaksDoTOnly(t *testing.T) {
	server, client := certificate(t)
	secure := make(chan bool, 1)
	k := newKit(patient(transport.Options{Messages: desk(func(_ context.Context, m *transport.Message) {
		secure <- m.Secure
		m.Send(m.Packet)
	})}))
	ln := listen(t)
	run(t, func(ctx context.Context) error { return k.ServeTLS(ctx, ln, server) })
	sessions := tls.NewLRUClientSessionCache(4)
	for _, test := range []struct {
		name     string
		protos   []string
		min, max uint16
		fails    bool
		private  bool
	}{
		{"dot", []string{"dot"}, tls.VersionTLS13, tls.VersionTLS13, false, true},
		{"dot again", []string{"dot"}, tls.VersionTLS13, tls.VersionTLS13, false, true},
		{"no ALPN", nil, 0, 0, false, false},
		{"TLS 1.2", []string{"dot"}, tls.VersionTLS12, tls.VersionTLS12, false, false},
		{"TLS 1.1", []string{"dot"}, tls.VersionTLS10, tls.VersionTLS11, true, false},
		{"HTTP", []string{"h2"}, 0, 0, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := client.Clone()
			config.NextProtos, config.MinVersion, config.MaxVersion = test.protos, test.min, test.max
			if test.private {
				config.ClientSessionCache = sessions
			}
			conn := tls.Client(dial(t, ln.Addr()), config)
			if err := conn.HandshakeContext(t.Context()); (err != nil) != test.fails {
				t.Fatal(err)
			}
			if test.fails {
				return
			}
			send(t, conn, framed(ofOpcode(4, question(3, "a."))))
			if got := idOf(readFrame(t, conn)); got != 3 {
				t.Errorf("reply %d", got)
			}
			if got := <-secure; got != test.private {
				t.Errorf("secure %v", got)
			}
			if resumed := conn.ConnectionState().DidResume; resumed != (test.name == "dot again") {
				t.Errorf("resumed %v", resumed)
			}
		})
	}
	k.await(t, 2, "meridian_dns_connections_closed_total", "tls", "handshake")
}

// TestD22HandshakeLimit: who does not shake hands in 5 s is let go.
func TestD22HandshakeLimit(t *testing.T) {
	server, _ := certificate(t)
	for name, sent := range map[string][]byte{"nothing": nil, "half a record": unhex("160301"), "no TLS": bytes.Repeat([]byte("x"), 100)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, ln := newKit(transport.Options{}), newPipeListener()
				stop := run(t, func(ctx context.Context) error { return k.ServeTLS(ctx, ln, server) })
				start, conn := time.Now(), ln.dial()
				var wg sync.WaitGroup
				wg.Go(func() { conn.Write(sent) })
				io.Copy(io.Discard, conn)
				want := 5 * time.Second
				if name == "no TLS" {
					want = 0
				}
				if took := time.Since(start); took != want {
					t.Errorf("hung up after %v", took)
				}
				conn.Close()
				wg.Wait()
				synctest.Wait()
				stop()
				if got := k.metric(t, "meridian_dns_connections_closed_total", "tls", "handshake"); got != 1 {
					t.Errorf("%v counted", got)
				}
			})
		})
	}
}

func TestServingWithoutCertificatesIsAnError(t *testing.T) {
	k := newKit(transport.Options{})
	if err := errors.Join(k.ServeTLS(t.Context(), nil, nil)); err == nil {
		t.Error("TLS")
	}
	if k.ServeHTTPS(t.Context(), nil, nil) == nil || k.ServeHTTP3(t.Context(), nil, nil) == nil || k.ServeQUIC(t.Context(), nil, nil) == nil {
		t.Error("no error")
	}
}

// TestD12TransportsHaveTablesOfTheirOwn: who fills one takes nothing from another.
func TestD12TransportsHaveTablesOfTheirOwn(t *testing.T) {
	server, trust := certificate(t)
	k := newKit(patient(transport.Options{Limits: transport.Limits{Connections: 1, PerPeer: 1}}))
	plain, secure := listen(t), listen(t)
	run(t, func(ctx context.Context) error { return k.ServeTCP(ctx, plain) })
	run(t, func(ctx context.Context) error { return k.ServeTLS(ctx, secure, server) })
	conns := []net.Conn{tls.Client(dial(t, secure.Addr()), trust), dial(t, plain.Addr())}
	for range 2 {
		for i, conn := range conns {
			send(t, conn, framed(question(uint16(i), "a.")))
			if got := idOf(readFrame(t, conn)); int(got) != i {
				t.Errorf("reply %d", got)
			}
		}
	}
	if _, err := dial(t, secure.Addr()).Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("a second connection of one peer: %v", err)
	}
}
