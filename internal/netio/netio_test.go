package netio_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/meridian-edge/meridian/internal/netio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what must happen, however busy the machine is.
const patience = 30 * time.Second

// listen opens n sockets that are closed when the test ends. It skips the test where the address is not to be had.
func listen(t testing.TB, addr string, n int) []*net.UDPConn {
	t.Helper()
	conns, err := netio.ListenUDP(t.Context(), netip.MustParseAddrPort(addr), n)
	if err != nil {
		if netip.MustParseAddrPort(addr).Addr().Is6() {
			t.Skip("no IPv6 here: ", err)
		}
		t.Fatal(err)
	}
	for _, c := range conns {
		t.Cleanup(func() { c.Close() })
	}
	return conns
}

func portOf(c *net.UDPConn) int { return c.LocalAddr().(*net.UDPAddr).Port }

func batchOn(t testing.TB, c *net.UDPConn, s netio.Sizes) *netio.Batch {
	t.Helper()
	b, err := netio.NewBatch(c, s)
	if err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(patience, b.Stop)
	t.Cleanup(func() {
		late.Stop()
		b.Close()
	})
	return b
}

// dial connects a socket: it takes replies from that address alone.
func dial(t testing.TB, host string, port int) *net.UDPConn {
	t.Helper()
	c, err := net.Dial("udp", net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.UDPConn)
}

func send(t testing.TB, c *net.UDPConn, data []byte) {
	t.Helper()
	if _, err := c.Write(data); err != nil {
		t.Fatal(err)
	}
}

func expect(t testing.TB, c *net.UDPConn, want string) {
	t.Helper()
	buf := make([]byte, 1<<16)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if string(buf[:n]) != want {
		t.Errorf("reply %.40q, want %.40q", buf[:n], want)
	}
}

// gather receives until n datagrams have come, answering each with answer.
func gather(t testing.TB, b *netio.Batch, n int, answer func(buf, data []byte) []byte) (refused int) {
	t.Helper()
	for n > 0 {
		got, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			data, _ := b.Datagram(i)
			b.Reply(i, answer(b.Buffer(i), data))
		}
		refused += b.Flush()
		n -= got
	}
	return refused
}

func echo(buf, data []byte) []byte { return append(append(buf, "re: "...), data...) }

func TestReplyLeavesFromTheAddressThatWasAsked(t *testing.T) {
	for _, c := range []struct{ listen, ask string }{
		{"127.0.0.1:0", "127.0.0.1"},
		{"0.0.0.0:0", "127.0.0.1"},
		{"0.0.0.0:0", "127.0.0.2"},
		{"0.0.0.0:0", "127.9.8.7"},
		{"[::1]:0", "::1"},
		{"[::]:0", "::1"},
		{"[::]:0", "127.0.0.1"},
		{"[::]:0", "127.0.0.2"},
	} {
		t.Run(c.listen+" "+c.ask, func(t *testing.T) {
			if runtime.GOOS != "linux" && c.ask != "127.0.0.1" {
				t.Skip("only Linux has all of 127.0.0.0/8, and replies from it")
			}
			server := listen(t, c.listen, 1)[0]
			client := dial(t, c.ask, portOf(server))
			send(t, client, []byte("hello")) // what waits already is answered like the rest
			b := batchOn(t, server, netio.Sizes{})
			for i := range 3 { // slots are used again
				if i > 0 {
					send(t, client, []byte("hello"))
				}
				gather(t, b, 1, echo)
				expect(t, client, "re: hello")
			}
		})
	}
}

func TestSourcesAreNeverMapped(t *testing.T) {
	for _, c := range []struct{ listen, ask, from string }{
		{"127.0.0.1:0", "127.0.0.1", "127.0.0.1"}, {"[::]:0", "127.0.0.1", "127.0.0.1"}, {"[::]:0", "::1", "::1"},
	} {
		t.Run(c.listen+" "+c.ask, func(t *testing.T) {
			server := listen(t, c.listen, 1)[0]
			client := dial(t, c.ask, portOf(server))
			send(t, client, []byte("x"))
			b := batchOn(t, server, netio.Sizes{})
			if _, err := b.Receive(); err != nil {
				t.Fatal(err)
			}
			want := netip.AddrPortFrom(netip.MustParseAddr(c.from), uint16(portOf(client)))
			if _, from := b.Datagram(0); from != want {
				t.Errorf("from %v, want %v", from, want)
			}
		})
	}
}

func TestEveryDatagramGetsItsOwnReply(t *testing.T) {
	const clients, each = 20, 10
	for _, size := range []int{1, 7, 64} {
		server := listen(t, "127.0.0.1:0", 1)[0]
		b := batchOn(t, server, netio.Sizes{Datagrams: size})
		var conns []*net.UDPConn
		for i := range clients {
			conns = append(conns, dial(t, "127.0.0.1", portOf(server)))
			for j := range each {
				send(t, conns[i], fmt.Appendf(nil, "%d of %d", j, i))
			}
		}
		gather(t, b, clients*each, echo)
		for i, c := range conns {
			for j := range each {
				expect(t, c, fmt.Sprintf("re: %d of %d", j, i))
			}
		}
	}
}

func TestADatagramThatIsTooLongIsCutAndSaidSo(t *testing.T) {
	server := listen(t, "127.0.0.1:0", 1)[0]
	client := dial(t, "127.0.0.1", portOf(server))
	b := batchOn(t, server, netio.Sizes{In: 100})
	for _, n := range []int{100, 101, 0, 5000, 1} {
		send(t, client, bytes.Repeat([]byte("x"), n))
		if got, err := b.Receive(); got != 1 || err != nil {
			t.Fatal(got, err)
		}
		if data, _ := b.Datagram(0); len(data) != min(n, 100) || b.Truncated(0) != (n > 100) {
			t.Errorf("%d octets: got %d, truncated %v", n, len(data), b.Truncated(0))
		}
	}
}

func TestARefusedReplyDoesNotStopTheOthers(t *testing.T) {
	server := listen(t, "127.0.0.1:0", 1)[0]
	client := dial(t, "127.0.0.1", portOf(server))
	b := batchOn(t, server, netio.Sizes{})
	tooLong := make([]byte, 1<<16) // more than UDP can carry
	for _, s := range []string{"1", "long", "2", "none", "long", "3", "long"} {
		send(t, client, []byte(s))
	}
	refused := gather(t, b, 7, func(buf, data []byte) []byte {
		switch string(data) {
		case "long":
			return tooLong
		case "none":
			return nil
		}
		return append(buf, data...)
	})
	if refused != 3 {
		t.Errorf("%d refused, want 3", refused)
	}
	for _, s := range []string{"1", "2", "3"} {
		expect(t, client, s)
	}
	if n := b.Flush(); n != 0 {
		t.Error("a second Flush sends again: ", n)
	}
}

func TestAGoneClientIsNoError(t *testing.T) {
	server := listen(t, "127.0.0.1:0", 1)[0]
	b := batchOn(t, server, netio.Sizes{})
	for range 5 { // the kernel gets an ICMP error for each reply
		gone := dial(t, "127.0.0.1", portOf(server))
		send(t, gone, []byte("x"))
		gone.Close()
		gather(t, b, 1, echo)
	}
	client := dial(t, "127.0.0.1", portOf(server))
	send(t, client, []byte("still there?"))
	gather(t, b, 1, echo)
	expect(t, client, "re: still there?")
}

func TestStopEndsReceive(t *testing.T) {
	conn := listen(t, "127.0.0.1:0", 1)[0]
	b := batchOn(t, conn, netio.Sizes{})
	done := make(chan error)
	receive := func() {
		_, err := b.Receive()
		done <- err
	}
	go receive()
	b.Stop() // whether it waits yet or not
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	b.Stop()
	go receive()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Error("after Stop: ", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	b.Stop()
	if err := b.Close(); !errors.Is(err, net.ErrClosed) {
		t.Error("a second Close: ", err)
	}
	if _, err := netio.NewBatch(conn, netio.Sizes{}); !errors.Is(err, net.ErrClosed) {
		t.Error("a batch on a closed socket: ", err)
	}
}

func TestStopWakesAWaitingReceive(t *testing.T) {
	b := batchOn(t, listen(t, "0.0.0.0:0", 1)[0], netio.Sizes{})
	done := make(chan error)
	go func() {
		_, err := b.Receive()
		done <- err
	}()
	waitUntilBlocked(t)
	b.Stop()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// waitUntilBlocked returns when a goroutine is in a system call, as one that waits for datagrams is.
func waitUntilBlocked(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<16)
	for until := time.Now().Add(patience); time.Now().Before(until); {
		if bytes.Contains(buf[:runtime.Stack(buf, true)], []byte("[syscall")) || runtime.GOOS != "linux" {
			return
		}
		runtime.Gosched()
	}
	t.Fatal("nobody waits")
}

func TestAnEmptyDatagramIsOneToo(t *testing.T) {
	server := listen(t, "127.0.0.1:0", 1)[0]
	client := dial(t, "127.0.0.1", portOf(server))
	b := batchOn(t, server, netio.Sizes{})
	send(t, client, nil)
	gather(t, b, 1, func(buf, data []byte) []byte { return append(buf, fmt.Sprint(len(data))...) })
	expect(t, client, "0")
}

func TestALaterReplyLeavesFromTheAddressThatWasAsked(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		server := listen(t, at, 1)[0]
		host := "127.0.0.1"
		if runtime.GOOS == "linux" && at != "127.0.0.1:0" {
			host = "127.0.0.2"
		}
		client := dial(t, host, portOf(server))
		b := batchOn(t, server, netio.Sizes{Datagrams: 1})
		send(t, client, []byte("first"))
		var later func([]byte) error
		gather(t, b, 1, func(buf, _ []byte) []byte {
			later = b.Later(0)
			return nil
		})
		other := dial(t, "127.0.0.1", portOf(server)) // takes the first one's place
		send(t, other, []byte("second"))
		gather(t, b, 1, echo)
		expect(t, other, "re: second")
		if err := later([]byte("at last")); err != nil {
			t.Error(err)
		}
		expect(t, client, "at last")
		b.Close()
		if err := later([]byte("too late")); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}

func TestNothingIsAllocatedForADatagram(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		t.Run(at, func(t *testing.T) {
			server := listen(t, at, 1)[0]
			client := dial(t, "127.0.0.1", portOf(server))
			b := batchOn(t, server, netio.Sizes{})
			data, buf := []byte("hello"), make([]byte, 64)
			if n := testing.AllocsPerRun(200, func() {
				for range 3 {
					send(t, client, data)
				}
				gather(t, b, 3, echo)
				for range 3 {
					if _, err := client.Read(buf); err != nil {
						t.Error(err)
					}
				}
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func TestSocketsOfOneAddressShareItsSenders(t *testing.T) {
	const clients = 100
	conns := listen(t, "127.0.0.1:0", 4)
	if runtime.GOOS == "linux" && len(conns) != 4 {
		t.Fatalf("%d sockets", len(conns))
	}
	got := make([]int, len(conns))
	batches := make([]*netio.Batch, len(conns))
	var wg sync.WaitGroup
	for i, c := range conns {
		if portOf(c) != portOf(conns[0]) {
			t.Errorf("ports %d and %d", portOf(c), portOf(conns[0]))
		}
		b := batchOn(t, c, netio.Sizes{})
		batches[i] = b
		wg.Go(func() {
			for {
				n, err := b.Receive()
				if err != nil {
					return
				}
				for k := range n {
					data, _ := b.Datagram(k)
					b.Reply(k, echo(b.Buffer(k), data))
				}
				got[i] += n
				b.Flush()
			}
		})
	}
	for range clients {
		c := dial(t, "127.0.0.1", portOf(conns[0]))
		send(t, c, []byte("x"))
		expect(t, c, "re: x")
	}
	for _, b := range batches {
		b.Stop()
	}
	wg.Wait()
	served := 0
	for _, n := range got {
		if n > 0 {
			served++
		}
	}
	if len(conns) > 1 && served < 2 {
		t.Errorf("all of %d clients came to one socket: %v", clients, got)
	}
}

// TestD23SocketBuffers: four megabytes are asked for, and as much granted as the system lets anybody have.
func TestD23SocketBuffers(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: reads /proc")
	}
	text, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		t.Skip("SKIPPED: ", err)
	}
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := listen(t, "127.0.0.1:0", 1)[0].SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	if err := raw.Control(func(fd uintptr) { size, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF) }); err != nil {
		t.Fatal(err)
	}
	if want := 2 * min(4<<20, most); size < want { // the kernel doubles it for its own use
		t.Errorf("%d octets, want %d: %v", size, want, err)
	}
}

func TestAnAddressInUseIsAnError(t *testing.T) {
	first := listen(t, "127.0.0.1:0", 2)[0]
	addr := first.LocalAddr().(*net.UDPAddr).AddrPort()
	conns, err := netio.ListenUDP(context.Background(), addr, 2)
	if err == nil {
		for _, c := range conns {
			c.Close()
		}
		t.Fatal("two owners share one address")
	}
}

func BenchmarkEcho(b *testing.B) {
	const inFlight = 32
	server := listen(b, "127.0.0.1:0", 1)[0]
	client := dial(b, "127.0.0.1", portOf(server))
	batch := batchOn(b, server, netio.Sizes{})
	data, buf := make([]byte, 60), make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		for range inFlight {
			send(b, client, data)
		}
		gather(b, batch, inFlight, echo)
		for range inFlight {
			if _, err := client.Read(buf); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*inFlight), "ns/datagram")
}
