package discover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
)

// dnsSource is a name in DNS.
type dnsSource struct {
	*config.Discovery
	failover bool // the pool's policy goes by order
	resolver *resolver
}

func (s *dnsSource) look(ctx context.Context) (found, error) {
	var list []config.Endpoint
	var ttl time.Duration
	var err error
	if s.Type == "srv" {
		list, ttl, err = s.services(ctx)
	} else {
		list, ttl, err = s.addresses(ctx, s.Name, s.Port)
		slices.SortFunc(list, byAddress) // resolvers turn the order
	}
	if err != nil {
		return found{}, err
	}
	return found{endpoints: list, again: max(s.MinInterval, min(ttl, s.MaxInterval))}, nil
}

func byAddress(a, b config.Endpoint) int { return a.Address.Compare(b.Address) }

// addresses looks up both families of a name. Half an answer is none: it would look like endpoints that vanished.
func (s *dnsSource) addresses(ctx context.Context, name string, port uint16) ([]config.Endpoint, time.Duration, error) {
	var list []config.Endpoint
	ttl := s.MaxInterval
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		records, life, err := s.resolver.lookup(ctx, name, qtype)
		if err != nil {
			return nil, 0, fmt.Errorf("look up %s %s: %w", name, dns.TypeToString[qtype], err)
		}
		for _, rr := range records {
			ttl = min(ttl, life)
			var addr netip.Addr
			switch rr := rr.(type) {
			case *dns.A:
				addr, _ = netip.AddrFromSlice(rr.A)
			case *dns.AAAA:
				addr, _ = netip.AddrFromSlice(rr.AAAA)
			}
			e, err := config.ParseEndpoint(netip.AddrPortFrom(addr.Unmap(), port).String())
			if err != nil {
				continue // 0.0.0.0 and the like: a way to say that there is nothing
			}
			e.Weight, e.Region = s.Weight, s.Region
			list = append(list, e)
		}
	}
	return list, ttl, nil
}

// services looks up SRV records and the addresses of their targets (RFC 2782). Only the targets with the smallest priority that has
// any are endpoints, except in a pool with policy failover, which takes all of them in order.
func (s *dnsSource) services(ctx context.Context) ([]config.Endpoint, time.Duration, error) {
	records, ttl, err := s.resolver.lookup(ctx, s.Name, dns.TypeSRV)
	if err != nil {
		return nil, 0, fmt.Errorf("look up %s SRV: %w", s.Name, err)
	}
	services := make([]*dns.SRV, 0, len(records))
	for _, rr := range records {
		if srv, is := rr.(*dns.SRV); is && srv.Target != "." && srv.Port != 0 {
			services = append(services, srv)
		}
	}
	if len(services) > maxTargets {
		return nil, 0, fmt.Errorf("%d SRV records are more than %d", len(services), maxTargets)
	}
	slices.SortFunc(services, func(a, b *dns.SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), strings.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port))
	})
	var list []config.Endpoint
	seen := map[config.Endpoint]bool{}
	for i, srv := range services {
		if i > 0 && srv.Priority != services[i-1].Priority && len(list) > 0 && !s.failover {
			break
		}
		endpoints, life, err := s.addresses(ctx, srv.Target, srv.Port)
		if errors.Is(err, errNoName) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		ttl = min(ttl, life)
		slices.SortFunc(endpoints, byAddress)
		for _, e := range endpoints {
			if !seen[target(e)] {
				seen[target(e)] = true
				e.Weight = int(srv.Weight)
				list = append(list, e)
			}
		}
	}
	scale(list)
	return list, ttl, nil
}

// scale brings the weights of SRV records, which go to 65535, into the range of ours.
func scale(list []config.Endpoint) {
	most := 0
	for i := range list {
		most = max(most, list[i].Weight)
	}
	if most <= 255 {
		return
	}
	for i := range list {
		list[i].Weight = (list[i].Weight*255 + most - 1) / most // nothing but 0 becomes 0
	}
}
