package main

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The client of the case "saturated". dnsperf needs more of a core for a query than a fast server does for the answer, so what it sees is its own
// limit. This one hands the kernel whole bursts (UDP_SEGMENT, one pass through the network stack for many queries) and takes
// answers in batches, and so costs less than any of the servers.
const (
	floodSockets  = 8
	floodBurst    = 32                     // queries in one call; all but the last are of one length
	floodWindow   = 128                    // queries a socket may have outstanding
	floodPatience = 200 * time.Millisecond // with no answer at all: what is outstanding is lost
	floodReply    = 2048
)

// burst is queries of one length, one after the other.
type burst struct {
	data   []byte
	length int
	count  int
}

// readBursts reads a file of queries as dnsperf -B does and sorts them by length.
func readBursts(path string) ([]burst, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var queries [][]byte
	for len(data) > 2 {
		n := int(binary.BigEndian.Uint16(data))
		queries = append(queries, data[2:2+n])
		data = data[2+n:]
	}
	slices.SortStableFunc(queries, func(a, b []byte) int { return cmp.Compare(len(a), len(b)) })
	var bursts []burst
	for _, q := range queries {
		last := len(bursts) - 1
		if last < 0 || bursts[last].length != len(q) || bursts[last].count == floodBurst {
			bursts = append(bursts, burst{length: len(q)})
			last++
		}
		b := &bursts[last]
		b.data = append(b.data, q...)
		b.count++
	}
	return bursts, nil
}

type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

// flooder is one socket.
type flooder struct {
	fd          int
	outstanding int
	heads       [floodWindow]mmsghdr
	iovs        [floodWindow]unix.Iovec
	buf         []byte
}

func newFlooder(server netip.AddrPort) (*flooder, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := &flooder{fd: fd, buf: make([]byte, floodWindow*floodReply)}
	for i := range f.heads {
		f.iovs[i].Base = &f.buf[i*floodReply]
		f.iovs[i].SetLen(floodReply)
		f.heads[i].hdr.Iov = &f.iovs[i]
		f.heads[i].hdr.SetIovlen(1)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20) // less is less
	return f, unix.Connect(fd, &unix.SockaddrInet4{Addr: server.Addr().As4(), Port: int(server.Port())})
}

// send sends a burst. It reports false when the kernel has no room for it now.
func (f *flooder) send(b *burst) (bool, error) {
	if err := unix.SetsockoptInt(f.fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, b.length); err != nil {
		return false, os.NewSyscallError("setsockopt UDP_SEGMENT", err)
	}
	switch _, err := unix.Write(f.fd, b.data); {
	case errors.Is(err, unix.EAGAIN):
		return false, nil
	case err != nil:
		return false, os.NewSyscallError("write", err)
	}
	f.outstanding += b.count
	return true, nil
}

// receive takes the answers that are there and returns how many there were, and how many had another code than NOERROR.
func (f *flooder) receive() (n, wrong int, err error) {
	r, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(f.fd), uintptr(unsafe.Pointer(&f.heads[0])), floodWindow, unix.MSG_DONTWAIT, 0, 0)
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		return 0, 0, nil
	case errno != 0:
		return 0, 0, os.NewSyscallError("recvmmsg", errno)
	}
	n = int(r)
	for i := range n {
		if reply := f.buf[i*floodReply:]; f.heads[i].n < 12 || reply[2]&0x80 == 0 || reply[3]&0xF != 0 {
			wrong++
		}
	}
	f.outstanding = max(f.outstanding-n, 0)
	return n, wrong, nil
}

// flood asks a server as much as it takes for d.
func flood(port uint16, path string, d time.Duration) (answered, lost int, took time.Duration, err error) {
	bursts, err := readBursts(path)
	if err != nil {
		return 0, 0, 0, err
	}
	var all []*flooder
	var waits []unix.PollFd
	for range floodSockets {
		f, err := newFlooder(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port))
		if err != nil {
			return 0, 0, 0, err
		}
		all, waits = append(all, f), append(waits, unix.PollFd{Fd: int32(f.fd), Events: unix.POLLIN})
	}
	start, next := time.Now(), 0
	for time.Since(start) < d {
		idle := true
		for _, f := range all {
			n, wrong, err := f.receive()
			if err != nil {
				return 0, 0, 0, err
			}
			if wrong > 0 {
				return 0, 0, 0, fmt.Errorf("%d answers that are no NOERROR", wrong)
			}
			answered += n
			for f.outstanding+floodBurst <= floodWindow {
				sent, err := f.send(&bursts[next%len(bursts)])
				if err != nil {
					return 0, 0, 0, err
				}
				if !sent {
					break
				}
				next++
				idle = false
			}
			idle = idle && n == 0
		}
		if !idle {
			continue
		}
		if n, _ := unix.Poll(waits, int(floodPatience.Milliseconds())); n == 0 {
			for _, f := range all {
				lost += f.outstanding
				f.outstanding = 0
			}
		}
	}
	return answered, lost, time.Since(start), nil
}
