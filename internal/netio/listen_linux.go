package netio

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func sockets(n int) int { return max(n, 1) }

// share lets other sockets of this user bind to the same address, and takes part in the kernel's choice among them.
func share(c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	})
	return errors.Join(err, failed)
}

// neverFragment sets DF and ignores what the path is said to take (RFC 9715 section 3.1): whoever makes up ICMP messages could have a name
// server's replies sent in fragments, the second of which is easily forged (attack row D03).
func neverFragment(c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		domain, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err == nil {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE) // IPv4 over a socket for both, too
		}
		if err == nil && domain == unix.AF_INET6 {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
		}
		failed = os.NewSyscallError("setsockopt", err)
	})
	return errors.Join(err, failed)
}
