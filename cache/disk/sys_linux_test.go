package disk_test

import (
	"io"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

func pipe(file string) error { return syscall.Mkfifo(file, 0o600) }

func mountTmpfs(path string, size int) error {
	return syscall.Mount("tmpfs", path, "tmpfs", 0, "size="+strconv.Itoa(size))
}

func unmount(path string) error { return syscall.Unmount(path, 0) }

// forbid makes a directory immutable, or lets it be changed again.
func forbid(dir string, on bool) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	flags &^= unix.STATX_ATTR_IMMUTABLE
	if on {
		flags |= unix.STATX_ATTR_IMMUTABLE
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags))
}

// throwAway reads until the end without copying.
func throwAway(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	into := make([]byte, 4<<20) // is not touched
	for err == nil {
		var failed error
		err = raw.Read(func(fd uintptr) bool {
			var n int
			if n, _, failed = unix.Recvfrom(int(fd), into, unix.MSG_TRUNC|unix.MSG_DONTWAIT); n == 0 && failed == nil {
				failed = io.EOF
			}
			return failed != unix.EAGAIN
		})
		if err == nil {
			err = failed
		}
	}
}
