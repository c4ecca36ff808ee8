package std_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy/std"
)

// BenchmarkFile is a file of 1 MiB over one connection, sent by the kernel and copied. The client has the kernel throw the bytes away, so that
// cpu-us, of the whole process, is the server's.
func BenchmarkFile(b *testing.B) {
	const size = 1 << 20
	for _, plain := range []bool{false, true} {
		name := "sent"
		if plain {
			name = "copied"
		}
		b.Run(name, func(b *testing.B) {
			f, _ := onDisk(b, size)
			front := start(b, func(context.Context, *httpwire.Exchange) *httpwire.Response {
				f.Seek(0, io.SeekStart)
				return &httpwire.Response{Status: 200, Body: &fileBody{file: f.File, length: size, plain: plain}, Length: size}
			}, func(o *std.Options) { o.NewID = nil })
			c, err := net.Dial("tcp", front.plain.String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			request := fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
			io.WriteString(c, request)
			counted := &tally{r: c}
			r := bufio.NewReader(counted)
			response, err := http.ReadResponse(r, nil)
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, response.Body); n != size || err != nil {
				b.Fatal(n, err)
			}
			b.SetBytes(size)
			b.ReportAllocs()
			into := make([]byte, counted.n)
			before := cpu(b)
			for b.Loop() {
				io.WriteString(c, request)
				if err := discard(c, into[:counted.n]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
		})
	}
}

// tally counts what is read.
type tally struct {
	r io.Reader
	n int
}

func (c *tally) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// discard reads as many bytes as into has, and does not touch it.
func discard(c net.Conn, into []byte) error {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	for n := len(into); n > 0 && err == nil; {
		var failed error
		err = raw.Read(func(fd uintptr) bool {
			var got int
			got, _, failed = unix.Recvfrom(int(fd), into[:n], unix.MSG_TRUNC|unix.MSG_DONTWAIT)
			if failed == unix.EAGAIN {
				return false
			}
			if n -= got; got == 0 && failed == nil {
				failed = io.ErrUnexpectedEOF
			}
			return true
		})
		if err == nil {
			err = failed
		}
	}
	return err
}

// cpu is the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
