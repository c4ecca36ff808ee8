package healthcheck

import (
	"context"
	"crypto/x509"
	"net"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck/probe"
)

// Dial opens a connection; it must honour ctx. The network is "tcp", "tcp4" (IPv4 only) or "udp" and the address host:port, whose host may be a
// name. It must be safe for concurrent use.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// ask is what a probe asks of which address.
type ask struct{ probe.Ask }

func newAsk(c *config.Check, endpoint string) ask { return ask{probe.New(c, endpoint)} }

func (a *ask) probed() bool        { return a.Probed() }
func (a *ask) fingerprint() string { return a.Fingerprint() }

// prober makes single probes and speaks of them as the board does. It is immutable.
type prober struct {
	dial  Dial
	roots *x509.CertPool
}

func (p *prober) probe(ctx context.Context, a *ask, timeout time.Duration) result {
	one := probe.Prober{Dial: probe.Dial(p.dial), Roots: p.roots}
	r := one.Probe(ctx, &a.Ask, timeout)
	return result{ok: r.OK, kind: string(r.Kind), reason: r.Reason, latency: r.Latency, connect: r.Connect, agent: r.Agent}
}
