package healthcheck

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Dial opens a connection; it must honour ctx. The network is always "tcp" and the address host:port, whose host may be a
// name. It must be safe for concurrent use.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// prober makes single probes. It is immutable.
type prober struct {
	dial  Dial
	roots *x509.CertPool
}

// phase is how far a probe has come.
type phase string

const (
	resolving  phase = "resolve"
	connecting phase = "connect"
	handshake  phase = "tls"
	exchanging phase = "response" // broken off, malformed or too large
)

var (
	errHeadTooLarge = errors.New("head above 16 KiB")
	errTooManyHeads = errors.New("too many informational responses")
)

// probe makes one probe, bounded by ctx. Every connection is new and closed afterwards: a check that reuses one does not
// notice that new clients are turned away.
func (p *prober) probe(ctx context.Context, a *ask, timeout time.Duration) result {
	began := time.Now()
	conn, err := p.dial(ctx, "tcp", a.endpoint)
	if err != nil {
		return failure(connecting, err, began, timeout)
	}
	defer func() { _ = conn.Close() }()
	if !a.web() {
		took := time.Since(began)
		return result{ok: true, kind: kindSuccess, reason: "connected in " + short(took), latency: took}
	}
	// The end of ctx reaches reads and writes as a deadline in the past.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if a.kind == "https" {
		secure := tls.Client(conn, p.tls(a))
		if err := secure.HandshakeContext(ctx); err != nil {
			return failure(handshake, err, began, timeout)
		}
		conn = secure
	}
	return exchange(ctx, conn, a, began, timeout)
}

// tls does not verify the peer unless told to: an expired certificate is for people to notice, not for traffic (as Route 53).
func (p *prober) tls(a *ask) *tls.Config {
	return &tls.Config{
		ServerName:         a.serverName(),
		RootCAs:            p.roots,
		InsecureSkipVerify: !a.verify,
		NextProtos:         []string{"http/1.1"},
	}
}

// exchange sends the request and judges the status of the response. A redirect is a status like any other.
func exchange(ctx context.Context, conn net.Conn, a *ask, began time.Time, timeout time.Duration) result {
	if _, err := conn.Write(a.request()); err != nil {
		return failure(exchanging, err, began, timeout)
	}
	limited := &headReader{from: conn, left: maxHeadBytes}
	resp, err := finalResponse(bufio.NewReader(limited))
	if err != nil {
		return failure(exchanging, err, began, timeout)
	}
	took := time.Since(began)
	limited.left = maxBodyBytes
	drain(ctx, conn, resp.Body)
	status := strconv.Itoa(resp.StatusCode)
	if !a.wants(resp.StatusCode) {
		return result{kind: kindStatus, reason: "status " + status + ", want " + statuses(a.expect), latency: took}
	}
	return result{ok: true, kind: kindSuccess, reason: status + " in " + short(took), latency: took}
}

// finalResponse reads heads up to one that is not informational (RFC 9110 section 15.2).
func finalResponse(r *bufio.Reader) (*http.Response, error) {
	const informational = 8 // more of them is no health
	for range informational {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, nil
		}
	}
	return nil, errTooManyHeads
}

// drain reads what there is of the body, so that the server can end the connection in good order. The verdict is already
// known: a body that is endless, slow or cut off does not change it.
func drain(ctx context.Context, conn net.Conn, body io.Reader) {
	_ = conn.SetReadDeadline(time.Now().Add(maxBodyTime))
	if ctx.Err() != nil {
		return // the deadline just set was the second one
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(body, maxBodyBytes))
}

// headReader fails when more is read than a limit.
type headReader struct {
	from io.Reader
	left int
}

// Read implements io.Reader.
func (r *headReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errHeadTooLarge
	}
	n, err := r.from.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}
