//go:build !linux

package netio

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// system is one datagram at a time, where the kernel has no call for more that Go can make.
type system struct {
	conn    *net.UDPConn
	stopped atomic.Bool

	in     []byte
	oob    []byte // which address the datagram came to; empty where the system does not say
	length int
	from   netip.AddrPort
	cut    bool
	answer []byte
}

func (b *Batch) take(conn *net.UDPConn) error {
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	b.conn = conn
	b.in = make([]byte, b.size.In+1) // one more octet than is wanted tells a longer datagram
	return nil
}

func (b *Batch) receive() (int, error) {
	b.answer = nil
	n, from, err := b.conn.ReadFromUDPAddrPort(b.in)
	switch {
	case b.stopped.Load() && errors.Is(err, os.ErrDeadlineExceeded):
		return 0, net.ErrClosed
	case err != nil:
		return 0, err
	}
	b.cut = n > b.size.In
	b.length = min(n, b.size.In)
	b.from = from
	return 1, nil
}

func (b *Batch) datagram(int) ([]byte, netip.AddrPort) {
	return b.in[:b.length], netip.AddrPortFrom(b.from.Addr().Unmap().WithZone(""), b.from.Port())
}

func (b *Batch) truncated(int) bool { return b.cut }

func (b *Batch) reply(_ int, data []byte) { b.answer = data }

func (b *Batch) flush() int {
	data := b.answer
	b.answer = nil
	if len(data) == 0 {
		return 0
	}
	_ = b.conn.SetWriteDeadline(time.Now().Add(flushWait))
	if _, err := b.conn.WriteToUDPAddrPort(data, b.from); err != nil {
		return 1
	}
	return 0
}

func (b *Batch) stop() {
	b.stopped.Store(true)
	_ = b.conn.SetReadDeadline(time.Unix(1, 0))
}

func (b *Batch) close() error { return b.conn.Close() }

func (b *Batch) later(int) func(data []byte) error {
	to := b.from
	return func(data []byte) error {
		if len(data) == 0 {
			return nil
		}
		_, err := b.conn.WriteToUDPAddrPort(data, to)
		return err
	}
}

func (b *Batch) drops() uint64 { return 0 }
