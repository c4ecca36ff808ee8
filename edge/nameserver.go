package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"reflect"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/config/nameserver"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/dns/guard"
	"github.com/meridian-edge/meridian/dns/tap"
	"github.com/meridian-edge/meridian/dns/transport"
	"github.com/meridian-edge/meridian/edge/authority"
)

// nameserver makes what answers questions, and what its zones are made of.
func (a *organs) nameserver(o Options, registry *prometheus.Registry) error {
	cfg := o.Config
	a.authority = authority.New(authority.Options{
		StateDir: cfg.StateDir, Lookup: a.lookupHost, Epoch: a.board.Epoch, Watch: o.Watch, Log: o.Log, Registerer: registry,
	})
	limits, err := guardOptions(cfg)
	if err != nil {
		return err
	}
	if a.guard, err = guard.New(limits, o.Log, registry); err != nil {
		return fmt.Errorf("dns: %w", err)
	}
	observers, err := a.queryLogs(o)
	if err != nil {
		return err
	}
	a.dns = dns.NewServer(dns.Options{
		Source: a.authority, Limits: cfg.Limits, Log: o.Log, Registerer: registry, Guard: a.guard, Identity: identityOf(cfg),
		Observers: observers, Proxies: cfg.DNS.ProxyProtocol, Messages: a.authority.Messages(),
		Streams: transport.Limits{Idle: cfg.Limits.DNSTCPIdle, Queries: cfg.Limits.DNSTCPQueries},
	})
	return nil
}

// queryLogs are what is told of every query.
func (a *organs) queryLogs(o Options) ([]dns.Observer, error) {
	cfg := o.Config
	var observers []dns.Observer
	if q := cfg.DNS.QueryLog; q != nil && q.Sample > 0 {
		out := io.Writer(os.Stdout)
		if q.File != "" {
			var err error
			if a.queryFile, err = openLog(q.File); err != nil {
				return nil, fmt.Errorf("dns.query_log: %w", err)
			}
			out = a.queryFile
		}
		format := tap.JSON
		if q.Format == "route53" {
			format = tap.Route53
		}
		a.queries = tap.NewLog(out, tap.LogOptions{Format: format, Share: q.Sample, Edge: cfg.Edge.Name, Log: o.Log, Metrics: a.taps})
		observers = append(observers, a.queries)
	}
	if t := cfg.DNS.Tap; t != nil {
		identity := t.Identity
		if identity == "" {
			identity = cfg.Edge.Name
		}
		a.dnstap = tap.NewDnstap(tap.DnstapOptions{
			Socket: t.Socket, Identity: identity, Version: "meridian " + o.Version, NoQueries: !t.Queries, NoResponses: !t.Responses,
			Log: o.Log, Metrics: a.taps,
		})
		observers = append(observers, a.dnstap)
	}
	return observers, nil
}

// lookupHost resolves the host of an alias, over both families.
func (a *organs) lookupHost(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	var list []netip.Addr
	life := time.Duration(0)
	var failed error
	for _, typ := range []uint16{mdns.TypeA, mdns.TypeAAAA} {
		records, ttl, err := a.discover.Lookup(ctx, host, typ)
		if err != nil {
			failed = err
			continue
		}
		for _, rr := range records {
			switch rr := rr.(type) {
			case *mdns.A:
				list = appendIP(list, rr.A)
			case *mdns.AAAA:
				list = appendIP(list, rr.AAAA)
			}
		}
		if len(records) > 0 && (life == 0 || ttl < life) {
			life = ttl
		}
	}
	if len(list) == 0 && failed == nil {
		failed = errors.New("it has no address")
	}
	if failed != nil {
		// One family alone would take the other's last good addresses away.
		return nil, 0, failed
	}
	return list, life, nil
}

func appendIP(list []netip.Addr, ip []byte) []netip.Addr {
	if a, ok := netip.AddrFromSlice(ip); ok {
		list = append(list, a.Unmap())
	}
	return list
}

// identityOf is what the server says of itself.
func identityOf(cfg *config.Config) dns.Identity {
	return dns.Identity{NSID: cfg.DNS.NSID, ID: cfg.DNS.Chaos.Hostname, Version: cfg.DNS.Chaos.Version}
}

// guardOptions are the rate limits and cookies of a configuration.
func guardOptions(cfg *config.Config) (guard.Options, error) {
	o := guard.Options{Exempt: nameserver.Loopback()}
	if r := cfg.DNS.RateLimit; r != nil {
		o.Rate, o.Window, o.PrefixV4, o.PrefixV6 = r.Responses, r.Window, r.IPv4Prefix, r.IPv6Prefix
		o.Exempt, o.LogOnly, o.Entries = r.Exempt, r.LogOnly, r.TableSize
		if o.Slip = r.Slip; r.Slip == 0 {
			o.Slip = -1
		}
		if o.Rate == 0 { // the other rates hang on this one
			o.Rate = guard.MaxRate
			o.Rates = [guard.Classes]int{}
			for i := range o.Rates {
				o.Rates[i] = -1
			}
		}
		o.Rates[guard.Failure] = rateOf(r.Errors)
		o.Rates[guard.NXDomain], o.Rates[guard.NoData] = rateOf(r.NXDomains), rateOf(r.NXDomains)
	}
	if c := cfg.DNS.Cookies; c != nil {
		o.Cookies, o.BadCookie, o.NoCookieSize = true, c.Require, c.MaxPlainResponse
		for _, s := range c.Secrets {
			var secret guard.Secret
			if copy(secret[:], s.Reveal()) != len(secret) {
				return o, errors.New("dns.cookies: a secret has 16 octets")
			}
			o.Secrets = append(o.Secrets, secret)
		}
	}
	return o, nil
}

// rateOf is a rate as the guard has it: there 0 means the common one.
func rateOf(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// settleNameserver makes what can change in a running server follow a new configuration, and names what cannot.
func (n *Node) settleNameserver(old, next *config.Config) {
	limits, err := guardOptions(next)
	if err == nil {
		err = n.organs.guard.Update(limits)
	}
	if err == nil {
		err = n.organs.dns.SetIdentity(identityOf(next))
	}
	if err != nil {
		n.log.Error("defence of the name server stays as it was", "error", err)
	}
	if old == nil {
		return
	}
	for _, c := range []struct {
		key     string
		changed bool
	}{
		{"dns.query_log", !reflect.DeepEqual(old.DNS.QueryLog, next.DNS.QueryLog)},
		{"dns.dnstap", !reflect.DeepEqual(old.DNS.Tap, next.DNS.Tap)},
		{"dns.proxy_protocol", !reflect.DeepEqual(old.DNS.ProxyProtocol, next.DNS.ProxyProtocol)},
	} {
		if c.changed {
			n.log.Warn("this setting changes at the next start", "key", c.key)
		}
	}
}

// serveSecureDNS starts DNS over TLS, HTTPS or QUIC on an open listener.
func (n *Node) serveSecureDNS(ctx context.Context, l *listener, loop func(name string, serve func() error)) {
	secure := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return n.snapshot.Load().certs.Nameserver()
	}}
	switch l.kind {
	case kindDoT:
		loop("tcp", func() error { return n.organs.dns.ServeTLS(ctx, l.tcp, secure) })
	case kindDoH:
		loop("tcp", func() error { return n.organs.dns.ServeHTTPS(ctx, l.tcp, secure) })
		loop("udp", func() error { return n.organs.dns.ServeHTTP3(ctx, l.udp[0], secure) })
	default:
		loop("udp", func() error { return n.organs.dns.ServeQUIC(ctx, l.udp[0], secure) })
	}
}
