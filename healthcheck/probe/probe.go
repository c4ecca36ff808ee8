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
	"time"
)

// Dial opens a connection; it must honour ctx. The network is "tcp" or "udp" and the address host:port, whose host may be a
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
}

// attempt is one probe under way.
type attempt struct {
	*Ask
	prober *Prober
	began  time.Time
	limit  time.Duration // of the present phase, for the reason of a timeout
	conn   net.Conn
}

// Probe makes one probe, which ends with ctx at the latest; timeout is how long that is, for the reason. The kind of a must
// be one that is Probed.
func (p *Prober) Probe(ctx context.Context, a *Ask, timeout time.Duration) Result {
	t := &attempt{Ask: a, prober: p, began: time.Now(), limit: timeout}
	if err := t.open(ctx, a.network()); err != nil {
		return t.fail(connecting, err)
	}
	defer func() { _ = t.conn.Close() }()
	stop := t.endWith(ctx)
	defer stop()
	if a.route53 {
		t.within(ctx, route53Status)
	}
	if a.tls {
		secure := tls.Client(t.conn, p.tls(a))
		if err := secure.HandshakeContext(ctx); err != nil {
			return t.fail(handshake, err)
		}
		t.conn = secure
	}
	switch a.kind {
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

// open dials.
func (t *attempt) open(ctx context.Context, network string) error {
	if t.route53 {
		t.limit = route53Connect
		limited, cancel := context.WithTimeout(ctx, route53Connect)
		defer cancel()
		ctx = limited
	}
	conn, err := t.prober.Dial(ctx, network, t.endpoint)
	if err != nil {
		return err
	}
	t.conn = conn
	return nil
}

// endWith makes the end of ctx reach reads and writes, as a deadline in the past.
func (t *attempt) endWith(ctx context.Context) (stop func() bool) {
	conn := t.conn // of now: a TLS connection that is closing down would not let go
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// within gives the phase that begins a time of its own.
func (t *attempt) within(ctx context.Context, limit time.Duration) {
	t.limit = limit
	_ = t.conn.SetDeadline(time.Now().Add(limit))
	if ctx.Err() != nil { // the deadline just set may have come after the one of endWith
		_ = t.conn.SetDeadline(time.Unix(1, 0))
	}
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
