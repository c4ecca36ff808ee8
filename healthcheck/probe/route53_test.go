package probe_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
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
