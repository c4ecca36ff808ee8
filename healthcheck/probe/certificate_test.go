package probe_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck/probe"
)

const aDay = 24 * time.Hour

func TestCertificateMustStillBeValidForSomeDays(t *testing.T) {
	f := func(from, to time.Duration, days int, kind probe.Kind, reason string) {
		t.Helper()
		address := secure(t, &tls.Config{Certificates: []tls.Certificate{certificate(t, from, to)}}, hush)
		want(t, try(t, config.Check{Type: "tls", MinDays: days}, address), kind, reason)
	}
	f(-aDay, 40*aDay+time.Hour, 0, probe.KindSuccess, `TLS 1.3, 40 days to expiry,`+took)
	f(-aDay, 40*aDay+time.Hour, 40, probe.KindSuccess, `TLS 1.3, 40 days to expiry,`+took)
	f(-aDay, 40*aDay+time.Hour, 41, probe.KindTLS, `tls: certificate expires in 40 days, want at least 41`)
	f(-aDay, 30*time.Hour, 0, probe.KindSuccess, `TLS 1.3, 1 day to expiry,`+took)
	f(-9*aDay, -2*aDay-time.Hour, 0, probe.KindTLS, `tls: certificate expired 2 days ago, on \d{4}-\d\d-\d\d`)
	f(aDay, 9*aDay, 0, probe.KindTLS, `tls: certificate is not valid before \d{4}-.*Z`)
}

func TestTLSServerNameAndProtocol(t *testing.T) {
	names := make(chan string, 10)
	address := secure(t, &tls.Config{
		Certificates: []tls.Certificate{certificate(t, -aDay, 9*aDay)}, NextProtos: []string{"h2"},
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			names <- hello.ServerName
			return nil, nil
		},
	}, hush)
	want(t, try(t, config.Check{Type: "tls", Host: "www.example.org", ALPN: []string{"h2", "http/1.1"}}, address),
		probe.KindSuccess, `TLS 1.3 h2, [89] days to expiry,`+took)
	want(t, try(t, config.Check{Type: "tls", ALPN: []string{"imap"}}, address), probe.KindTLS, `tls: .*no application protocol`)
	if a, b := <-names, <-names; a != "www.example.org" || b != "" {
		t.Errorf("server names %q and %q: want the host, and none for an address", a, b)
	}
	plain := secure(t, &tls.Config{Certificates: []tls.Certificate{certificate(t, -aDay, 9*aDay)}}, hush)
	want(t, try(t, config.Check{Type: "tls", ALPN: []string{"h2"}}, plain), probe.KindTLS, `tls: the server chose no protocol, want h2`)
}

func TestTLSVerifiesOnlyWhenTold(t *testing.T) {
	address := secure(t, &tls.Config{Certificates: []tls.Certificate{certificate(t, -aDay, 9*aDay)}}, hush)
	want(t, try(t, config.Check{Type: "tls", Host: "www.example.org", Verify: true}, address), probe.KindTLS,
		`tls: failed to verify certificate: .*`)
}

func TestTLSRepliesInsideTheConnection(t *testing.T) {
	address := secure(t, &tls.Config{Certificates: []tls.Certificate{certificate(t, -aDay, 9*aDay)}}, func(c net.Conn) {
		_, _ = io.WriteString(c, "* OK IMAP4rev1\r\n")
		hush(c)
	})
	want(t, try(t, config.Check{Type: "tls", Reply: "* OK"}, address), probe.KindSuccess,
		`TLS 1.3, [89] days to expiry, reply "\* OK IMAP4rev1\\r\\n"`+took)
	want(t, try(t, config.Check{Type: "tls", Reply: "* BYE", Timeout: 300 * time.Millisecond}, address), probe.KindTimeout,
		`timeout after 300ms \(response\), got ".*"`)
}

func TestTLSToWhatIsNoTLS(t *testing.T) {
	want(t, try(t, config.Check{Type: "tls"}, speak(t, say("220 mail.example.org ESMTP\r\n"))), probe.KindTLS,
		`tls: first record does not look like a TLS handshake`)
	want(t, try(t, config.Check{Type: "tls", Timeout: 200 * time.Millisecond}, speak(t, hush)), probe.KindTimeout,
		`timeout after 200ms \(tls\)`)
	want(t, try(t, config.Check{Type: "tls"}, speak(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) })), probe.KindTLS,
		`tls: connection (closed|reset by peer)`)
}
