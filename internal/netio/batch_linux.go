package netio

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is the kernel's struct of that name: a message, and how many octets of it went over.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// control has room for the one control message asked for: the address a datagram came to. It is made of words for alignment.
type control [8]uint64

const controlLen = 8 * 8

// line is what caches hold together. Buffers begin an odd number of lines apart: at a power of two all their first lines, which is where
// a query is, would be in one set of the cache and drive each other out.
const line = 64

// slot is one datagram and its sender as the kernel fills them in.
type slot struct {
	name    unix.RawSockaddrInet6 // large enough for both families
	in, out unix.Iovec
	control control
}

// system is what a Batch has for the kernel.
type system struct {
	raw      syscall.RawConn
	wildcard bool // the socket is bound to every address, and control messages say which one was meant
	slots    []slot
	received []mmsghdr // by slot
	replies  []mmsghdr // in the order of Reply
	queued   int       // of replies
	sent     int       // of those queued, gone or refused
	refused  int

	// The calls under way, made once because a closure is an allocation, and what the last receive came to.
	recv, send func(fd uintptr) bool
	got        int
	errno      syscall.Errno
}

// open asks for the destinations of datagrams where they are needed, and lays out everything the kernel will write to.
func (b *Batch) open() error {
	raw, err := b.conn.SyscallConn()
	if err != nil {
		return err
	}
	local, ok := b.conn.LocalAddr().(*net.UDPAddr)
	b.wildcard = ok && local.IP.IsUnspecified()
	var failed error
	err = raw.Control(func(fd uintptr) {
		if b.wildcard {
			failed = askForDestination(int(fd))
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	n := b.size.Datagrams
	b.raw = raw
	b.slots, b.received, b.replies = make([]slot, n), make([]mmsghdr, n), make([]mmsghdr, n)
	stride := (b.size.In+2*line-1)/line*line | line
	data := make([]byte, n*stride)
	for i := range b.slots {
		s, h := &b.slots[i], &b.received[i].hdr
		s.in.Base = &data[i*stride]
		s.in.SetLen(b.size.In)
		h.Iov = &s.in
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&s.name))
		if b.wildcard {
			h.Control = (*byte)(unsafe.Pointer(&s.control))
		}
		b.rearm(i)
		b.replies[i].hdr.SetIovlen(1)
	}
	b.recv, b.send = b.recvmmsg, b.sendmmsg
	return nil
}

// askForDestination makes the kernel say with each datagram which address it came to.
func askForDestination(fd int) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if domain == unix.AF_INET {
		return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1))
	}
	// On a socket for both families this tells of IPv4 as well, with mapped addresses.
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1))
}

// rearm gives back to slot i what a receive has shortened.
func (b *Batch) rearm(i int) {
	h := &b.received[i].hdr
	h.Namelen = unix.SizeofSockaddrInet6
	if b.wildcard {
		h.SetControllen(controlLen)
	}
}

func (b *Batch) receive() (int, error) {
	for i := range b.got {
		b.rearm(i)
	}
	b.got, b.queued, b.sent, b.refused = 0, 0, 0, 0
	if err := b.raw.Read(b.recv); err != nil {
		return 0, err
	}
	if b.errno != 0 {
		return 0, os.NewSyscallError("recvmmsg", b.errno)
	}
	return b.got, nil
}

// recvmmsg takes what is there. The scheduler is not told of the call (RawSyscall), nor of sendmmsg: neither waits, and telling costs more than
// it gives, for the scheduler would hand this processor to another thread in the middle of a batch. A batch takes tens of microseconds,
// the longest that anything is held up by it. It returns false when that is nothing, and is called again when there is something.
func (b *Batch) recvmmsg(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.received[0])), uintptr(len(b.received)),
			unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			b.got, b.errno = int(n), 0
			return n > 0
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			b.got, b.errno = 0, errno
			return true
		}
	}
}

func (b *Batch) datagram(i int) ([]byte, netip.AddrPort) {
	s := &b.slots[i]
	return unsafe.Slice(s.in.Base, int(b.received[i].n)), from(&s.name)
}

// from reads a socket address as the kernel writes it: the family in the machine's order, the port in the network's.
func from(name *unix.RawSockaddrInet6) netip.AddrPort {
	switch name.Family {
	case unix.AF_INET:
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port(&v4.Port))
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), port(&name.Port))
	}
	return netip.AddrPort{}
}

func port(p *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(p))
	return uint16(b[0])<<8 | uint16(b[1])
}

func (b *Batch) truncated(i int) bool { return b.received[i].hdr.Flags&unix.MSG_TRUNC != 0 }

func (b *Batch) reply(i int, data []byte) {
	s, from, to := &b.slots[i], &b.received[i].hdr, &b.replies[b.queued].hdr
	b.queued++
	s.out.Base = &data[0]
	s.out.SetLen(len(data))
	to.Iov = &s.out
	to.Name, to.Namelen = from.Name, from.Namelen
	to.Control = nil
	to.SetControllen(0)
	if b.wildcard && sendFrom(&s.control, int(from.Controllen)) {
		to.Control, to.Controllen = from.Control, from.Controllen
	}
}

// sendFrom turns the control message that says where a datagram came to into the one that says where to send from: it is the
// same, but for the interface. That is left to routing, for the way back need not be the way in; only a link-local
// address means nothing without it. It reports whether there is such a message.
func sendFrom(c *control, length int) bool {
	h := (*unix.Cmsghdr)(unsafe.Pointer(c))
	info := unsafe.Add(unsafe.Pointer(c), unix.SizeofCmsghdr)
	switch {
	case length >= unix.CmsgSpace(unix.SizeofInet4Pktinfo) && h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO:
		p := (*unix.Inet4Pktinfo)(info)
		p.Ifindex = 0
		// What arrived before the socket asked for its destination comes with that, but not with the address to reply from.
		if to := netip.AddrFrom4(p.Addr); p.Spec_dst == [4]byte{} && !to.IsMulticast() && p.Addr != [4]byte{255, 255, 255, 255} {
			p.Spec_dst = p.Addr
		}
		return true
	case length >= unix.CmsgSpace(unix.SizeofInet6Pktinfo) && h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO:
		p := (*unix.Inet6Pktinfo)(info)
		if !netip.AddrFrom16(p.Addr).IsLinkLocalUnicast() {
			p.Ifindex = 0
		}
		return true
	}
	return false
}

func (b *Batch) flush() int {
	if b.sent < b.queued {
		if err := b.raw.Write(b.send); err != nil {
			b.refused += b.queued - b.sent // the deadline, or the socket is closed
		}
	}
	failed := b.refused
	b.queued, b.sent, b.refused = 0, 0, 0
	return failed
}

// sendmmsg sends what is left. The kernel stops at a message it does not take, and says why only when that is the first: so it is
// asked again from there, and one that is refused is passed over. It returns false when there is no room now.
func (b *Batch) sendmmsg(fd uintptr) bool {
	for b.sent < b.queued {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.replies[b.sent])), uintptr(b.queued-b.sent),
			unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			b.sent += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			b.sent++
			b.refused++
		}
	}
	return true
}
