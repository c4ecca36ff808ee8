package origin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/proxy/origin"
)

// fakeDNS answers every A question with the address that is set, and every other question with nothing.
func fakeDNS(t *testing.T) (*net.Resolver, *atomic.Pointer[[]netip.Addr]) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addrs := &atomic.Pointer[[]netip.Addr]{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			end := 12
			for b[end] != 0 {
				end += int(b[end]) + 1
			}
			question := b[12 : end+5]
			reply := append([]byte{b[0], b[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
			if n > end && binary.BigEndian.Uint16(question[len(question)-4:]) == 1 {
				for _, a := range *addrs.Load() {
					reply = append(reply, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
					reply = append(reply, a.AsSlice()...)
					reply[7]++
				}
			}
			pc.WriteTo(reply, from)
		}
	}()
	t.Cleanup(func() {
		pc.Close()
		<-done
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", pc.LocalAddr().String())
	}
	return &net.Resolver{PreferGo: true, Dial: dial}, addrs
}

// TestNamesAreVettedAtEveryDial is attack rows P02 and P03.
func TestNamesAreVettedAtEveryDial(t *testing.T) {
	o := raw(t, closes("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"))
	resolver, addrs := fakeDNS(t)
	transport := newTransport(t, origin.Options{Resolver: resolver})
	goal := target(t, o.addr)
	goal.Endpoints[0] = origin.Endpoint{ID: "a", Host: "origin.example.org", Port: o.addr.Port()}
	ask := func(names ...string) error {
		var list []netip.Addr
		for _, n := range names {
			list = append(list, netip.MustParseAddr(n))
		}
		addrs.Store(&list)
		_, _, err := transport.Do(t.Context(), goal, get("/"))
		return err
	}
	if err := ask("127.0.0.1"); err != nil {
		t.Errorf("loopback: %v", err)
	}
	if err := ask("169.254.169.254"); code(err) != fault.OriginName || !strings.Contains(err.Error(), "not allowed") {
		t.Errorf("after rebinding: %v", err)
	}
	if err := ask("169.254.169.254", "127.0.0.1"); err != nil {
		t.Errorf("one good address among others: %v", err)
	}
	if err := ask(); code(err) != fault.OriginName {
		t.Errorf("no address: %v", err)
	}
}

func TestLiteralAddressesAreTheOperatorsWord(t *testing.T) {
	var dialled atomic.Pointer[string]
	transport := newTransport(t, origin.Options{DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
		dialled.Store(&address)
		return nil, io.EOF
	}})
	transport.Do(t.Context(), target(t, netip.MustParseAddrPort("169.254.169.254:80")), get("/"))
	if a := dialled.Load(); a == nil || *a != "169.254.169.254:80" {
		t.Error("not dialled")
	}
}

func TestConnectTimeout(t *testing.T) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	transport := newTransport(t, origin.Options{DialContext: dial})
	goal := target(t, refused(t))
	goal.ConnectTimeout = 20 * time.Millisecond
	_, report, err := transport.Do(t.Context(), goal, get("/"))
	if code(err) != fault.Connect || report.Attempts[0].Connect < goal.ConnectTimeout {
		t.Errorf("%v after %v", err, report.Attempts)
	}
}

// certificate makes a self-signed certificate for a name.
func certificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTLS(t *testing.T) {
	var asked atomic.Pointer[string]
	cert := certificate(t, "origin.example.org")
	config := &tls.Config{
		MaxVersion: tls.VersionTLS13,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			asked.Store(&hello.ServerName)
			return &cert, nil
		},
	}
	f := func(name string, change func(*origin.Target), config *tls.Config, sni string, want fault.Code) {
		t.Helper()
		o := raw(t, says(ok+"Content-Length: 2\r\n\r\nhi"))
		plain := o.addr
		ln, err := tls.Listen("tcp", "127.0.0.1:0", config)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { // a TLS terminator in front of the raw origin
			defer close(done)
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				up, err := net.Dial("tcp", plain.String())
				if err != nil {
					c.Close()
					continue
				}
				go func() { io.Copy(c, up); c.Close() }()
				go func() { io.Copy(up, c); up.Close() }()
			}
		}()
		t.Cleanup(func() { ln.Close(); <-done })
		goal := target(t, ln.Addr().(*net.TCPAddr).AddrPort())
		goal.Endpoints[0].TLS = true
		change(goal)
		transport := newTransport(t, origin.Options{})
		for i := range 3 {
			response, report, err := transport.Do(t.Context(), goal, get("/"))
			if code(err) != want {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
			if err != nil {
				return
			}
			if got, err := read(t, response); got != "hi" || err != nil {
				t.Errorf("%s: %q, %v", name, got, err)
			}
			if report.Attempts[0].Reused != (i > 0) {
				t.Errorf("%s: request %d reused %v", name, i, report.Attempts[0].Reused)
			}
		}
		if got := *asked.Load(); got != sni {
			t.Errorf("%s: SNI %q, want %q", name, got, sni)
		}
	}
	f("not trusted", func(g *origin.Target) { g.ServerName = "origin.example.org" }, config, "", fault.OriginTLS)
	f("not verified", func(g *origin.Target) { g.SkipVerify, g.ServerName = true, "origin.example.org" }, config, "origin.example.org", "")
	f("name from Host", func(g *origin.Target) { g.SkipVerify, g.HostHeader = true, "h.example.org:8443" }, config, "h.example.org", "")
	f("name from address", func(g *origin.Target) { g.SkipVerify = true }, config, "", "")
	old := config.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	f("TLS 1.1", func(g *origin.Target) { g.SkipVerify = true }, old, "", fault.OriginTLS)
}
