package netio

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
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
	fd       uintptr      // the socket, blocking, and no longer in the hands of Go's poller
	open     sync.RWMutex // held for reading by whoever uses fd besides the owner of the Batch
	closed   bool         // under open
	dropped  uint64       // under open, once closed
	stopped  atomic.Bool
	wildcard bool // the socket is bound to every address, and control messages say which one was meant
	slots    []slot
	received []mmsghdr // by slot
	replies  []mmsghdr // in the order of Reply
	got      int       // of received, by the last receive
	queued   int       // of replies
	turns    uint32    // receives
}

// take gets the socket out of conn and asks for the destinations of datagrams where they are needed; init lays out everything the
// kernel will write to.
func (b *Batch) take(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	b.wildcard = ok && local.IP.IsUnspecified()
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = b.own(fd) }); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	// Closing takes the socket out of the poller, which would otherwise be told of every datagram in both directions.
	if err := conn.Close(); err != nil {
		_ = unix.Close(int(b.fd))
		return err
	}
	b.init()
	return nil
}

// own makes b.fd a descriptor of the socket that blocks.
func (b *Batch) own(fd uintptr) error {
	if b.wildcard {
		if err := askForDestination(int(fd)); err != nil {
			return err
		}
	}
	own, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(own, false); err != nil {
		_ = unix.Close(own)
		return os.NewSyscallError("fcntl", err)
	}
	b.fd = uintptr(own)
	return nil
}

func (b *Batch) init() {
	n := b.size.Datagrams
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

// turn is after how many receives other goroutines may have the processor. It also shows the scheduler that this one does not keep it: from one
// that seems to for ten milliseconds it takes the processor away at every call that may block, at great cost. So many receives take five
// or six of these when there is a full batch each time. More often is not free: the scheduler starts a thread to look for what it was given.
const turn = 128

func (b *Batch) receive() (int, error) {
	for i := range b.got {
		b.rearm(i)
	}
	b.got, b.queued = 0, 0
	if b.turns++; b.turns%turn == 0 {
		runtime.Gosched()
	}
	for !b.stopped.Load() {
		n, errno := b.recvmmsg()
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return 0, os.NewSyscallError("recvmmsg", errno)
		case n > 0:
			b.got = n
			return n, nil
		}
	}
	return 0, net.ErrClosed
}

// recvmmsg takes what is there, or waits. The scheduler is told of a call only when it waits (Syscall6, not RawSyscall6), and so not in the middle
// of a burst. It returns 0 when the socket has been shut down.
func (b *Batch) recvmmsg() (int, syscall.Errno) {
	first, count := uintptr(unsafe.Pointer(&b.received[0])), uintptr(len(b.received))
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, b.fd, first, count, unix.MSG_DONTWAIT, 0, 0)
	if errno == unix.EAGAIN {
		n, _, errno = unix.Syscall6(unix.SYS_RECVMMSG, b.fd, first, count, unix.MSG_WAITFORONE, 0, 0)
	}
	if errno != 0 {
		return 0, errno
	}
	for n > 0 && b.received[n-1].hdr.Namelen == 0 { // from nobody: that is how a receive on a socket that was shut down returns
		n--
		b.rearm(int(n))
	}
	return int(n), 0
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

func (b *Batch) flush() (refused int) {
	sent, until := 0, time.Time{}
	for sent < b.queued {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, b.fd, uintptr(unsafe.Pointer(&b.replies[sent])), uintptr(b.queued-sent),
			unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			sent += int(n)
		case unix.EINTR:
		case unix.EAGAIN:
			if until.IsZero() {
				until = time.Now().Add(flushWait)
			}
			if !b.writable(until) {
				refused += b.queued - sent
				sent = b.queued
			}
		default:
			// The kernel stops at a message it does not take, and says why only when that is the first: so it is asked again from
			// there, and one that is refused is passed over.
			sent++
			refused++
		}
	}
	b.queued = 0
	return refused
}

// writable waits for room in the send buffer. It reports whether there is any.
func (b *Batch) writable(until time.Time) bool {
	for {
		left := time.Until(until)
		if left <= 0 {
			return false
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(b.fd), Events: unix.POLLOUT}}, int(left.Milliseconds())+1)
		if n > 0 {
			return true
		}
		if err != nil && err != unix.EINTR { //nolint:errorlint // a system call's own
			return false
		}
	}
}

func (b *Batch) stop() {
	b.open.RLock()
	defer b.open.RUnlock()
	b.stopped.Store(true)
	if !b.closed {
		// This wakes a receive also where it reports that there is no connection to shut down.
		_ = unix.Shutdown(int(b.fd), unix.SHUT_RD)
	}
}

func (b *Batch) close() error {
	b.open.Lock()
	defer b.open.Unlock()
	if b.closed {
		return net.ErrClosed
	}
	b.dropped = b.askDrops()
	b.closed = true
	b.stopped.Store(true)
	return os.NewSyscallError("close", unix.Close(int(b.fd)))
}

func (b *Batch) drops() uint64 {
	b.open.RLock()
	defer b.open.RUnlock()
	if b.closed {
		return b.dropped
	}
	return b.askDrops()
}

// askDrops reads the counter of the socket (SO_MEMINFO, in the terms of sock_diag).
func (b *Batch) askDrops() uint64 {
	var info [9]uint32 // up to SK_MEMINFO_DROPS, the last
	length := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, b.fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 || length < uint32(unsafe.Sizeof(info)) {
		return 0
	}
	return uint64(info[len(info)-1])
}

// later is what a reply needs that is sent when its slot is in use again.
type later struct {
	name       unix.RawSockaddrInet6
	control    control
	length     uint32
	controlLen uint64
}

func (b *Batch) later(i int) func(data []byte) error {
	s, from := &b.slots[i], &b.received[i].hdr
	l := &later{name: s.name, control: s.control, length: from.Namelen}
	if b.wildcard && sendFrom(&l.control, int(from.Controllen)) {
		l.controlLen = uint64(from.Controllen)
	}
	return func(data []byte) error {
		if len(data) == 0 {
			return nil
		}
		var out unix.Iovec
		out.Base = &data[0]
		out.SetLen(len(data))
		h := unix.Msghdr{Name: (*byte)(unsafe.Pointer(&l.name)), Namelen: l.length, Iov: &out}
		h.SetIovlen(1)
		if l.controlLen > 0 {
			h.Control = (*byte)(unsafe.Pointer(&l.control))
			h.SetControllen(int(l.controlLen))
		}
		b.open.RLock()
		defer b.open.RUnlock()
		if b.closed {
			return net.ErrClosed
		}
		_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, b.fd, uintptr(unsafe.Pointer(&h)), unix.MSG_DONTWAIT)
		if errno != 0 {
			return os.NewSyscallError("sendmsg", errno)
		}
		return nil
	}
}
