package netio

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// socketBuffer is asked for in both directions: a burst of thousands of queries waits there while the process does something
// else (attack row D23). The kernel grants what net.core.rmem_max and wmem_max allow.
const socketBuffer = 4 << 20

// ListenUDP opens n sockets on one address, among which the kernel spreads the senders: give each a goroutine. At port 0 all have the
// port that the first was given. The address must be free: it is not shared with other processes. An IPv4 address listens for
// IPv4 alone; the unspecified IPv6 address for both. n less than 1 is 1, and where the system does not
// spread senders there is one socket whatever n is. All are open or none is. On Linux
// nothing is sent in fragments: what is longer than the MTU of the interface is refused. The caller closes them.
func ListenUDP(ctx context.Context, addr netip.AddrPort, n int) ([]*net.UDPConn, error) {
	network := "udp"
	if addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()); addr.Addr().Is4() {
		network = "udp4"
	}
	var conns []*net.UDPConn
	for i := range sockets(n) {
		// The first is bound before it shares, so that an address in use is an error and not half of somebody else's
		// queries; also port 0 could otherwise come to one that is in use by a sharing socket.
		lc := net.ListenConfig{}
		if i > 0 {
			lc.Control = func(_, _ string, c syscall.RawConn) error { return share(c) }
		}
		conn, err := lc.ListenPacket(ctx, network, addr.String())
		if err == nil {
			udp := conn.(*net.UDPConn) //nolint:forcetypeassert // "udp" makes no other type
			conns = append(conns, udp)
			addr = netip.AddrPortFrom(addr.Addr(), udp.LocalAddr().(*net.UDPAddr).AddrPort().Port())
			err = prepare(udp, i == 0 && n > 1)
		}
		if err != nil {
			for _, c := range conns {
				_ = c.Close()
			}
			return nil, fmt.Errorf("listen on udp %s: %w", addr, err)
		}
	}
	return conns, nil
}

func prepare(conn *net.UDPConn, shared bool) error {
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	raw, err := conn.SyscallConn()
	if err == nil && shared {
		err = share(raw)
	}
	if err == nil {
		err = neverFragment(raw)
	}
	return err
}
