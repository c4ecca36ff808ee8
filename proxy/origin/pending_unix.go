//go:build unix

package origin

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// pending reports whether an idle connection has something to read, be it bytes or its end. It does not wait, and it does
// not take the read lock that net/http's reader holds.
func pending(conn net.Conn) bool {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	found := false
	err = rc.Control(func(fd uintptr) {
		var one [1]byte
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		found = err != unix.EAGAIN && err != unix.EINTR
	})
	return found || err != nil
}
