package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

const (
	dnsTimeout = 500 * time.Millisecond // for one name server to answer; then the next is asked
	dnsUDPSize = 1232                   // https://www.dnsflagday.net/2020/
)

// errNoAnswer is wrapped when no name server gave an address.
var errNoAnswer = errors.New("no name server answered")

// resolver asks authoritative name servers on behalf of one client network, as a recursive resolver near it does. It belongs
// to one goroutine.
type resolver struct {
	servers []netip.AddrPort
	subnet  netip.Prefix
	source  netip.Addr // address to send from; invalid: any
	// report is told about every query that was sent.
	report func(query)

	next   int // server to ask first
	cached resolved
}

// resolved is an answer and for how long it may be used.
type resolved struct {
	addr    netip.Addr
	expires time.Time
}

// query is one question sent to one name server.
type query struct {
	server  netip.AddrPort
	sent    time.Time
	answers []netip.Addr
	err     error // there was no usable answer
}

// lookup returns an IPv4 address of name. fresh leaves the cached answer aside and goes to another name server than last time:
// what a client does whose connection failed.
func (r *resolver) lookup(ctx context.Context, name string, fresh bool) (netip.Addr, error) {
	if !fresh && r.cached.addr.IsValid() && time.Now().Before(r.cached.expires) {
		return r.cached.addr, nil
	}
	if fresh {
		r.next++
	}
	var last error
	for range r.servers {
		server := r.servers[r.next%len(r.servers)]
		q := query{server: server, sent: time.Now()}
		var ttl time.Duration
		q.answers, ttl, q.err = r.ask(ctx, server, name)
		if ctx.Err() != nil {
			return netip.Addr{}, ctx.Err()
		}
		r.report(q)
		if q.err == nil {
			r.cached = resolved{q.answers[0], q.sent.Add(ttl)}
			return r.cached.addr, nil
		}
		last = q.err
		r.next++
	}
	return netip.Addr{}, fmt.Errorf("%w: %w", errNoAnswer, last)
}

// ask sends one question over UDP and, when the answer did not fit, over TCP.
func (r *resolver) ask(ctx context.Context, server netip.AddrPort, name string) ([]netip.Addr, time.Duration, error) {
	question := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeA)
	question.RecursionDesired = false
	question.SetEdns0(dnsUDPSize, false)
	opt := question.IsEdns0()
	opt.Option = append(opt.Option, &dns.EDNS0_SUBNET{
		Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(r.subnet.Bits()), Address: r.subnet.Masked().Addr().AsSlice(),
	})
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	answer, err := r.exchange(ctx, "udp", server, question)
	if err == nil && answer.Truncated {
		answer, err = r.exchange(ctx, "tcp", server, question)
	}
	switch {
	case err != nil:
		return nil, 0, err
	case answer.Rcode != dns.RcodeSuccess:
		return nil, 0, fmt.Errorf("%s answered %s", server, dns.RcodeToString[answer.Rcode])
	case !answer.Authoritative:
		return nil, 0, fmt.Errorf("%s is not authoritative", server)
	}
	return addresses(answer)
}

func (r *resolver) exchange(ctx context.Context, network string, server netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
	client := dns.Client{Net: network, Timeout: dnsTimeout, UDPSize: dnsUDPSize, Dialer: &net.Dialer{Timeout: dnsTimeout}}
	if r.source.IsValid() {
		at := netip.AddrPortFrom(r.source, 0)
		if network == "udp" {
			client.Dialer.LocalAddr = net.UDPAddrFromAddrPort(at)
		} else {
			client.Dialer.LocalAddr = net.TCPAddrFromAddrPort(at)
		}
	}
	answer, _, err := client.ExchangeContext(ctx, m, server.String())
	return answer, err
}

// addresses returns the IPv4 addresses of an answer and the lowest TTL of everything that led to them.
func addresses(m *dns.Msg) ([]netip.Addr, time.Duration, error) {
	var list []netip.Addr
	var ttls []uint32
	for _, rr := range m.Answer {
		ttls = append(ttls, rr.Header().Ttl)
		if a, ok := rr.(*dns.A); ok {
			if addr, ok := netip.AddrFromSlice(a.A); ok {
				list = append(list, addr.Unmap())
			}
		}
	}
	if len(list) == 0 {
		return nil, 0, errors.New("the answer has no address")
	}
	return list, time.Duration(slices.Min(ttls)) * time.Second, nil
}
