package demo

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// The protocols, as the report names them.
const (
	protoH1 = "h1"
	protoH2 = "h2"
	protoH3 = "h3"
)

func protocols() []string { return []string{protoH1, protoH2, protoH3} }

const (
	dialTimeout   = time.Second     // to connect, handshakes included
	answerTimeout = 3 * time.Second // for one attempt as a whole: a client with an answer a retry away does not wait for ever
	bodyLimit     = 4 << 20         // bytes of a response
)

// errWrong is wrapped when an answer arrived whole and is not what the origin made. It is final: no browser would ask again.
var errWrong = errors.New("wrong answer")

// lane keeps the connection of one client over one protocol to the edge it was last told to use. It belongs to one goroutine.
type lane struct {
	proto       string
	source      netip.Addr // address to connect from; invalid: any
	http, https uint16     // ports of the edges

	addr   netip.Addr // the edge the transport is for
	client http.RoundTripper
	close  func()
}

// reply is an answer that was received whole and is right.
type reply struct {
	cacheStatus string
	origin      string
}

// get fetches a path from the edge at addr. A change of the address closes the connections to the one before.
func (l *lane) get(ctx context.Context, addr netip.Addr, path string) (reply, error) {
	if l.addr != addr {
		l.drop()
		l.connect(addr)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url(path), nil)
	if err != nil {
		return reply{}, err
	}
	r.Header.Set("User-Agent", "meridian-demo")
	response, err := l.client.RoundTrip(r)
	if err != nil {
		return reply{}, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyLimit))
	_ = response.Body.Close() // what it could say, ReadAll has said
	if err != nil {
		return reply{}, err
	}
	if err := l.verify(response, body); err != nil {
		return reply{}, fmt.Errorf("%w: %s over %s: %w", errWrong, path, l.proto, err)
	}
	return reply{
		cacheStatus: strings.Join(response.Header.Values("Cache-Status"), ", "),
		origin:      response.Header.Get(originField),
	}, nil
}

// verify compares an answer with what the origin said about it.
func (l *lane) verify(response *http.Response, body []byte) error {
	if response.StatusCode != http.StatusOK {
		why := response.Header.Get("Proxy-Status")
		return fmt.Errorf("status %d %s", response.StatusCode, why)
	}
	if want := map[string]int{protoH1: 1, protoH2: 2, protoH3: 3}[l.proto]; response.ProtoMajor != want {
		return fmt.Errorf("answered over %s", response.Proto)
	}
	if n := response.ContentLength; n >= 0 && n != int64(len(body)) {
		return fmt.Errorf("%d bytes of %d", len(body), n)
	}
	want := response.Header.Get("Repr-Digest")
	if got := digest(string(body)); got != want {
		return fmt.Errorf("digest %s of %d bytes, the origin said %q", got, len(body), want)
	}
	return nil
}

func (l *lane) url(path string) string {
	if l.proto == protoH1 {
		return fmt.Sprintf("http://%s:%d%s", host, l.http, path)
	}
	return fmt.Sprintf("https://%s:%d%s", host, l.https, path)
}

// drop closes the connections.
func (l *lane) drop() {
	if l.close != nil {
		l.close()
	}
	l.addr, l.client, l.close = netip.Addr{}, nil, nil
}

func (l *lane) connect(addr netip.Addr) {
	l.addr = addr
	if l.proto == protoH3 {
		l.connectQUIC()
		return
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	if l.source.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.source, 0))
	}
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, at string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(at)
			if err != nil {
				return nil, err
			}
			return dialer.DialContext(ctx, network, net.JoinHostPort(addr.String(), port))
		},
		TLSClientConfig: tlsConfig(), TLSHandshakeTimeout: dialTimeout, DisableCompression: true,
		Protocols: new(http.Protocols),
	}
	t.Protocols.SetHTTP1(l.proto == protoH1)
	t.Protocols.SetHTTP2(l.proto == protoH2)
	l.client, l.close = t, t.CloseIdleConnections
}

// tlsConfig accepts a certificate that nobody signed, as the edges of the demo have, but only one for our host.
func tlsConfig() *tls.Config {
	return &tls.Config{
		ServerName:         host,
		InsecureSkipVerify: true, //nolint:gosec // the name is verified below; there is no authority to ask on loopback
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0]
			if now := time.Now(); now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
				return fmt.Errorf("the certificate is valid from %s to %s", leaf.NotBefore, leaf.NotAfter)
			}
			return leaf.VerifyHostname(host)
		},
	}
}

func (l *lane) connectQUIC() {
	var wg sync.WaitGroup // what watches the connections
	ctx, cancel := context.WithCancel(context.Background())
	t := &http3.Transport{
		TLSClientConfig: tlsConfig(), DisableCompression: true,
		QUICConfig: &quic.Config{HandshakeIdleTimeout: dialTimeout, MaxIdleTimeout: 10 * time.Second, KeepAlivePeriod: 2 * time.Second},
	}
	to := netip.AddrPortFrom(l.addr, l.https)
	t.Dial = func(dialCtx context.Context, _ string, tlsCfg *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
		socket, err := dialUDP(l.source, to)
		if err != nil {
			return nil, err
		}
		transport := &quic.Transport{Conn: socket}
		conn, err := transport.Dial(dialCtx, socket.RemoteAddr(), tlsCfg, cfg)
		if err != nil {
			_ = transport.Close() // nothing was connected
			_ = socket.Close()
			return nil, err
		}
		wg.Go(func() {
			select {
			case <-conn.Context().Done():
			case <-ctx.Done():
			}
			_ = transport.Close() // says goodbye to the edge when there is still something to leave
			_ = socket.Close()
		})
		return conn, nil
	}
	l.client = t
	l.close = func() {
		_ = t.Close() // closes the connections: nothing is under way
		cancel()
		wg.Wait()
	}
}

// connectedUDP lets QUIC run over a connected socket, as browsers do: the kernel then reports that nobody listens any more,
// and the client need not wait for a timeout. The rest of *net.UDPConn is hidden, for it refuses to send to an address.
type connectedUDP struct {
	net.PacketConn
	conn *net.UDPConn
}

func dialUDP(source netip.Addr, to netip.AddrPort) (*connectedUDP, error) {
	var from *net.UDPAddr
	if source.IsValid() {
		from = net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	conn, err := net.DialUDP("udp", from, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return nil, err
	}
	return &connectedUDP{PacketConn: conn, conn: conn}, nil
}

func (c *connectedUDP) WriteTo(b []byte, _ net.Addr) (int, error) { return c.conn.Write(b) }
func (c *connectedUDP) RemoteAddr() net.Addr                      { return c.conn.RemoteAddr() }
func (c *connectedUDP) SetReadBuffer(n int) error                 { return c.conn.SetReadBuffer(n) }
func (c *connectedUDP) SetWriteBuffer(n int) error                { return c.conn.SetWriteBuffer(n) }
