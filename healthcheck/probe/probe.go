// Package probe asks an endpoint once whether it works, in one of many protocols, and says what it found.
//
//	a := probe.New(&check, "192.0.2.1:80")
//	p := probe.Prober{Dial: (&net.Dialer{}).DialContext}
//	r := p.Probe(ctx, &a, 2*time.Second) // r.OK, r.Reason: "200 in 1.2ms"
//
// Every probe uses a new connection and closes it: a check that reuses one does not notice that new clients are turned away.
// What the endpoint sends is read within the limits of limits.go and quoted in reasons only in printable form.
//
// Every type here is safe for concurrent use.
package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Dial opens a connection; it must honour ctx. The network is "tcp", "tcp4" (IPv4 only) or "udp" and the address host:port, whose host may be a
// name. It must be safe for concurrent use.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Prober makes single probes. It is immutable.
type Prober struct {
	Dial  Dial           // required
	Roots *x509.CertPool // for checks that verify; nil: the system's
}

// Result is what one probe found.
type Result struct {
	OK      bool
	Kind    Kind          // KindSuccess if and only if OK
	Reason  string        // for people, printable and never empty
	Latency time.Duration // to the answer, or to giving up
	Connect time.Duration // until there was a TCP connection; 0: there was none
	Agent   *AgentLine    // what an agent said; nil: another kind of probe, or it said nothing one understands
}

// attempt is one probe under way.
type attempt struct {
	*Ask
	prober *Prober
	began  time.Time
	limit  time.Duration // of the present phase, for the reason of a timeout
	conn   net.Conn
	took   time.Duration // until there was a TCP connection
	stop   func() bool   // ends what makes the end of the context reach conn
}

// Probe makes one probe, which ends with ctx at the latest; timeout is how long that is, for the reason. The kind of a must
// be one that is Probed.
func (p *Prober) Probe(ctx context.Context, a *Ask, timeout time.Duration) Result {
	t := &attempt{Ask: a, prober: p, began: time.Now(), limit: timeout}
	defer t.close()
	if err := t.open(ctx, a.network()); err != nil {
		return t.fail(connecting, err)
	}
	if strings.HasPrefix(a.network(), "tcp") {
		t.took = max(time.Microsecond, time.Since(t.began))
	}
	if a.tls {
		if in, err := t.secure(ctx); err != nil {
			r := t.fail(in, err)
			r.Connect = t.took
			return r
		}
	}
	r := t.put(ctx)
	r.Connect = t.took
	return r
}

// put asks what is to be asked, on a connection that is there.
func (t *attempt) put(ctx context.Context) Result {
	switch t.kind {
	case "http", "https":
		return t.http1(ctx)
	case "h2":
		return t.http2(ctx)
	case "grpc":
		return t.grpc()
	case "tls":
		return t.certificate()
	case "udp":
		return t.datagram()
	case "dns":
		return t.ask(ctx)
	case "agent":
		return t.agent()
	}
	return t.converse("connected")
}

// open dials, and lets the phase after it begin.
func (t *attempt) open(ctx context.Context, network string) error {
	limited := ctx
	if t.route53 {
		t.limit = route53Connect
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, route53Connect)
		defer cancel()
	}
	conn, err := t.prober.Dial(limited, network, t.endpoint)
	if err != nil {
		return err
	}
	t.conn = conn
	t.stop = t.endWith(ctx)
	if t.route53 {
		t.within(ctx, route53Status)
	}
	return nil
}

// endWith makes the end of ctx reach reads and writes, as a deadline in the past.
func (t *attempt) endWith(ctx context.Context) (stop func() bool) {
	conn := t.conn // of now: a TLS connection that is closing down would not let go
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// close ends the connection, if there is one.
func (t *attempt) close() {
	if t.conn == nil {
		return
	}
	t.stop()
	_ = t.conn.Close()
	t.conn = nil
}

// within gives the phase that begins a time of its own.
func (t *attempt) within(ctx context.Context, limit time.Duration) {
	t.limit = limit
	_ = t.conn.SetDeadline(time.Now().Add(limit))
	if ctx.Err() != nil { // the deadline just set may have come after the one of endWith
		_ = t.conn.SetDeadline(time.Unix(1, 0))
	}
}

// secure makes the connection a TLS one. With the preset of Route 53 an endpoint that refuses the name in SNI, or shows a
// certificate for other names, is asked once more without it, on a new connection
// (https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html, EnableSNI). It returns the phase that
// failed.
func (t *attempt) secure(ctx context.Context) (phase, error) {
	c := t.prober.tls(t.Ask)
	secure := tls.Client(t.conn, c)
	err := secure.HandshakeContext(ctx)
	if !t.again(ctx, c, secure, err) {
		if err == nil {
			t.conn = secure
		}
		return handshake, err
	}
	t.close()
	if err := t.open(ctx, t.network()); err != nil {
		return connecting, err
	}
	c.ServerName = ""
	secure = tls.Client(t.conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		return handshake, err
	}
	t.conn = secure
	return handshake, nil
}

// again reports whether a handshake is to be repeated without SNI.
func (t *attempt) again(ctx context.Context, c *tls.Config, conn *tls.Conn, err error) bool {
	if _, addrErr := netip.ParseAddr(c.ServerName); !t.route53 || t.verify || addrErr == nil || c.ServerName == "" || ctx.Err() != nil {
		return false // there was no SNI, or no time
	}
	if err != nil {
		return !timedOut(err)
	}
	chain := conn.ConnectionState().PeerCertificates
	return len(chain) == 0 || chain[0].VerifyHostname(c.ServerName) != nil
}

// tls does not verify the peer unless told to: an expired certificate is for people to notice, not for traffic (as Route 53).
func (p *Prober) tls(a *Ask) *tls.Config {
	c := &tls.Config{
		ServerName:         a.serverName(),
		RootCAs:            p.Roots,
		InsecureSkipVerify: !a.verify,
		NextProtos:         a.protocols(),
	}
	if a.route53 {
		c.MinVersion = tls.VersionTLS10
	}
	return c
}

// ok is a success, found now.
func (t *attempt) ok(what string) Result { return t.okAfter(what, time.Since(t.began)) }

func (t *attempt) okAfter(what string, took time.Duration) Result {
	return Result{OK: true, Kind: KindSuccess, Reason: Clean(what) + " in " + short(took), Latency: took}
}

// not is an answer that is well-formed but not wanted.
func (t *attempt) not(kind Kind, why string) Result {
	return Result{Kind: kind, Reason: Clean(why), Latency: time.Since(t.began)}
}
