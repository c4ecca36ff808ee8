package origin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/meridian-edge/meridian/internal/fault"
)

// errForbidden is the cause of a dial that is refused because of what a name resolves to.
var errForbidden = errors.New("address is not allowed for a name")

// dialError marks a failure to get a connection: nothing of a request can have left.
type dialError struct {
	code fault.Code // E-ORIGIN-NAME, -CONNECT or -TLS
	err  error
}

func (e *dialError) Error() string { return "dial: " + e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// dialer makes the function that opens TCP connections.
func dialer(o Options) func(context.Context, Endpoint, string, string) (net.Conn, error) {
	if o.DialContext != nil {
		return func(ctx context.Context, _ Endpoint, network, address string) (net.Conn, error) {
			return o.DialContext(ctx, network, address)
		}
	}
	resolver := o.Resolver
	if resolver == nil {
		// Go's resolver takes no other spellings of addresses for names ("0x7f.1", "2130706433"), the C library's does.
		resolver = &net.Resolver{PreferGo: true}
	}
	direct := &net.Dialer{}
	// Control runs for each address a name resolves to, after DNS and before the first packet.
	byName := &net.Dialer{Resolver: resolver, Control: vet}
	return func(ctx context.Context, e Endpoint, network, address string) (net.Conn, error) {
		if e.Addr.IsValid() {
			return direct.DialContext(ctx, network, address)
		}
		return byName.DialContext(ctx, network, address)
	}
}

// vet refuses a connection to an address no name should lead to.
func vet(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", errForbidden, address)
	}
	if forbidden(ap.Addr()) {
		return fmt.Errorf("%w: %s", errForbidden, ap.Addr())
	}
	return nil
}

// forbidden reports whether a name must not lead to the address: the metadata services of clouds hand out credentials to
// whoever can make a request from the machine (attack row P02).
func forbidden(a netip.Addr) bool {
	a = embedded(a.WithZone("").Unmap())
	if a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return true
	}
	for _, p := range [...]netip.Prefix{
		prefix4(0, 0, 0, 0, 8),          // "this network": Linux takes some of it for loopback
		prefix4(168, 63, 129, 16, 32),   // Azure
		prefix4(100, 100, 100, 200, 32), // Alibaba Cloud
		prefix4(192, 0, 0, 192, 32),     // Oracle Cloud
		prefix6(0xfd, 0x00, 0x0e, 0xc2), // AWS: fd00:ec2::254 and its neighbours
		prefix6(0xfd, 0x20, 0x00, 0xce), // Google Cloud: fd20:ce::254
	} {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func prefix4(a, b, c, d byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, d}), bits)
}

func prefix6(a, b, c, d byte) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{a, b, c, d}), 32)
}

// embedded returns the IPv4 address that NAT64 (RFC 6052) or 6to4 (RFC 3056) would make of an IPv6 address.
func embedded(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	b := a.As16()
	switch {
	case [12]byte(b[:12]) == [12]byte{0x00, 0x64, 0xff, 0x9b}:
		return netip.AddrFrom4([4]byte(b[12:16]))
	case b[0] == 0x20 && b[1] == 0x02:
		return netip.AddrFrom4([4]byte(b[2:6]))
	case [12]byte(b[:12]) == [12]byte{} && (b[12]|b[13]|b[14]) != 0: // IPv4-compatible, deprecated
		return netip.AddrFrom4([4]byte(b[12:16]))
	}
	return a
}

// nameOrConnect tells a name that leads nowhere from an address that does not answer.
func nameOrConnect(err error) fault.Code {
	if _, ok := errors.AsType[*net.DNSError](err); ok || errors.Is(err, errForbidden) {
		return fault.OriginName
	}
	return fault.Connect
}

// connect opens a guarded connection to a peer, with TLS when it speaks it.
func (p *peer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	began := time.Now()
	tcpCtx, cancel := context.WithTimeout(ctx, p.key.connectTimeout)
	defer cancel()
	conn, err := p.transport.dial(tcpCtx, p.endpoint(), network, address)
	if err != nil {
		return nil, &dialError{nameOrConnect(err), err}
	}
	raw := conn
	if p.key.tls {
		tlsCtx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		defer cancel()
		secure := tls.Client(conn, p.tls)
		if err := secure.HandshakeContext(tlsCtx); err != nil {
			_ = conn.Close()
			return nil, &dialError{fault.OriginTLS, err}
		}
		conn = secure
	}
	p.transport.metrics.connected(time.Since(began))
	return newGuard(conn, raw, p.transport.metrics.connections), nil
}
