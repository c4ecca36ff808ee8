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
