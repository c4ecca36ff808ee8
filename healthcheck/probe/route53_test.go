package probe_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck/probe"
)

// TestRoute53PresetGivesEachPhaseItsTime runs on a fake clock: 4 s to connect, 2 s to the status, 2 s for the body.
func TestRoute53PresetGivesEachPhaseItsTime(t *testing.T) {
	const just = time.Millisecond
	f := func(connect, status, body time.Duration, kind probe.Kind, reason string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { _ = far.Close() }()
				if _, err := http.ReadRequest(bufio.NewReader(far)); err != nil {
					return
				}
				time.Sleep(status)
				_, _ = io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
				time.Sleep(body)
				_, _ = io.WriteString(far, "OK")
			}()
			p := probe.Prober{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				select {
				case <-time.After(connect):
					return near, nil
				case <-ctx.Done():
					_ = near.Close()
					return nil, ctx.Err()
				}
			}}
			a := probe.New(&config.Check{Type: "http", Preset: "route53", Search: "OK"}, "192.0.2.1:80")
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			defer cancel()
			r := p.Probe(ctx, &a, 8*time.Second)
			want(t, r, kind, reason)
			<-done
		})
	}
	f(4*time.Second-just, 2*time.Second-just, 2*time.Second-just, probe.KindSuccess, `200 with the text in 7.997s`)
	f(4*time.Second+just, 0, 0, probe.KindTimeout, `timeout after 4s \(connect\)`)
	f(0, 2*time.Second+just, 0, probe.KindTimeout, `timeout after 2s \(response\)`)
	f(just, just, 2*time.Second+just, probe.KindTimeout, `timeout after 2s \(body\)`)
}

// TestEndOfTheContextEndsAProbe: the phases of the preset do not outlive it.
func TestEndOfTheContextEndsAProbe(t *testing.T) {
	for _, c := range []config.Check{
		{Type: "http"}, {Type: "http", Preset: "route53"}, {Type: "https"}, {Type: "h2"}, {Type: "grpc"}, {Type: "tls"},
		{Type: "tcp", Reply: "x"}, {Type: "udp", Send: "x"}, {Type: "agent"}, ask("www.example.org.", "A", "", ""),
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			go func() { hush(far) }()
			p := probe.Prober{Dial: func(context.Context, string, string) (net.Conn, error) { return near, nil }}
			a := probe.New(&c, "192.0.2.1:80")
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if r := p.Probe(ctx, &a, time.Minute); r.OK || r.Latency != time.Second {
				t.Errorf("%s: %+v", c.Type, r)
			}
			_ = far.Close()
		})
	}
}

// TestRoute53PresetDoesWithoutSNI: an endpoint that refuses the name, or has a certificate for another one, is asked again without.
func TestRoute53PresetDoesWithoutSNI(t *testing.T) {
	ours := certificate(t, -time.Hour, time.Hour)
	var mu sync.Mutex
	var names []string
	serve := func(pick func(name string) (*tls.Certificate, error)) string {
		return secure(t, &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			mu.Lock()
			defer mu.Unlock()
			names = append(names, h.ServerName)
			return pick(h.ServerName)
		}}, func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		})
	}
	refusing := serve(func(name string) (*tls.Certificate, error) {
		if name != "" {
			return nil, errors.New("no such name")
		}
		return &ours, nil
	})
	any := serve(func(string) (*tls.Certificate, error) { return &ours, nil })
	for _, c := range []struct {
		preset, host, address string
		kind                  probe.Kind
		reason                string
		names                 []string
	}{
		{"route53", "www.example.net", refusing, probe.KindSuccess, "200" + took, []string{"www.example.net", ""}},
		{"", "www.example.net", refusing, probe.KindTLS, "tls: .*", []string{"www.example.net"}},
		{"route53", "www.example.net", any, probe.KindSuccess, "200" + took, []string{"www.example.net", ""}},
		{"route53", "www.example.org", any, probe.KindSuccess, "200" + took, []string{"www.example.org"}},
		{"", "www.example.net", any, probe.KindSuccess, "200" + took, []string{"www.example.net"}},
		{"route53", "", any, probe.KindSuccess, "200" + took, []string{""}},
	} {
		mu.Lock()
		names = nil
		mu.Unlock()
		want(t, try(t, config.Check{Type: "https", Preset: c.preset, Host: c.host}, c.address), c.kind, c.reason)
		mu.Lock()
		if !slices.Equal(names, c.names) {
			t.Errorf("%q for %q: asked for %q, want %q", c.preset, c.host, names, c.names)
		}
		mu.Unlock()
	}
}

// TestRoute53PresetResolvesOverIPv4: names are; an address is dialled as it is, and every other probe takes any.
func TestRoute53PresetResolvesOverIPv4(t *testing.T) {
	for _, c := range []struct{ preset, endpoint, network string }{
		{"route53", "www.example.org:80", "tcp4"}, {"route53", "192.0.2.1:80", "tcp"}, {"route53", "[2001:db8::1]:80", "tcp"},
		{"", "www.example.org:80", "tcp"},
	} {
		got := ""
		p := probe.Prober{Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
			got = network
			return nil, errors.New("not now")
		}}
		a := probe.New(&config.Check{Type: "http", Preset: c.preset}, c.endpoint)
		if r := p.Probe(t.Context(), &a, time.Second); got != c.network || r.Connect != 0 {
			t.Errorf("%q at %s: dialled over %s, want %s; connect %s, want none", c.preset, c.endpoint, got, c.network, r.Connect)
		}
	}
}

// TestProbesTellTheirConnectTime: of TCP, whatever comes after it.
func TestProbesTellTheirConnectTime(t *testing.T) {
	for _, c := range []struct {
		check   config.Check
		connect time.Duration
	}{{config.Check{Type: "tcp"}, 7 * time.Millisecond}, {config.Check{Type: "tcp", Reply: "x"}, 7 * time.Millisecond}, {config.Check{Type: "udp", Send: "x"}, 0}} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			go func() { hush(far) }()
			p := probe.Prober{Dial: func(context.Context, string, string) (net.Conn, error) {
				time.Sleep(7 * time.Millisecond)
				return near, nil
			}}
			a := probe.New(&c.check, "192.0.2.1:80")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if r := p.Probe(ctx, &a, time.Second); r.Connect != c.connect {
				t.Errorf("%s: connect %s, want %s", c.check.Type, r.Connect, c.connect)
			}
			_ = far.Close()
		})
	}
}
