package demo

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
)

// ports are the same on every address of their kind.
type ports struct {
	Origin, HTTP, HTTPS, DNS, Metrics uint16
}

// portTries is how many other ports are tried when the well-known one is taken.
const portTries = 64

// choosePorts finds ports that are free on all addresses: the well-known ones, or others below those that the kernel hands
// out for outgoing connections.
func choosePorts(w *world, other bool) (ports, error) {
	var origins, edges []netip.Addr
	for _, o := range w.Origins {
		origins = append(origins, o.Addr)
	}
	for _, e := range w.Edges {
		edges = append(edges, e.Addr)
	}
	var p ports
	taken := map[uint16]bool{}
	for _, want := range []struct {
		into  *uint16
		known uint16
		addrs []netip.Addr
		udp   bool
	}{
		{&p.Origin, 9001, origins, false},
		{&p.HTTP, 8080, edges, false},
		{&p.HTTPS, 8443, edges, true},
		{&p.DNS, 5353, edges, true},
		{&p.Metrics, 9180, edges, false},
	} {
		port, err := freePort(want.known, want.addrs, want.udp, other)
		for err == nil && taken[port] {
			port, err = freePort(want.known, want.addrs, want.udp, true)
		}
		if err != nil {
			return p, err
		}
		*want.into, taken[port] = port, true
	}
	return p, nil
}

func freePort(known uint16, addrs []netip.Addr, udp, other bool) (uint16, error) {
	var err error
	for try := range portTries {
		port := known
		if other || try > 0 {
			port = uint16(20000 + rand.IntN(12000))
		}
		if err = allFree(addrs, port, udp); err == nil {
			return port, nil
		}
		if errors.Is(err, syscall.EADDRNOTAVAIL) { // systems other than Linux have 127.0.0.1 alone
			return 0, fmt.Errorf("the demo needs the addresses 127.0.1.1-3, 127.0.2.1-3 and 127.0.3.1-24 on loopback: %w", err)
		}
	}
	return 0, fmt.Errorf("no port for the demo: %w", err)
}

func allFree(addrs []netip.Addr, port uint16, udp bool) error {
	for _, a := range addrs {
		at := netip.AddrPortFrom(a, port)
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
		if !udp {
			continue
		}
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}
