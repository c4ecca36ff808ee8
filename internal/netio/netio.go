// Package netio moves UDP datagrams in batches: one call to the kernel takes what has arrived, one sends all the replies.
//
//	conns, err := netio.ListenUDP(ctx, addr, cores)
//	b, err := netio.NewBatch(conns[0], netio.Sizes{In: 4096, Out: 1232})
//	defer b.Close()
//	for {
//		n, err := b.Receive() // until b.Stop()
//		for i := range n {
//			data, from := b.Datagram(i)
//			b.Reply(i, answer(b.Buffer(i), data, from))
//		}
//		failed := b.Flush()
//	}
//
// A Batch belongs to one goroutine, but for Stop and what Later returns, which are for any. Nothing is allocated once
// a Batch is made. A reply leaves from the address its question came to, also when the socket is bound to every address: a
// resolver drops an answer from anywhere else.
//
// On Linux the package imports unsafe, because recvmmsg and sendmmsg take arrays of pointers, and a Batch waits in the kernel by itself: Go's
// poller would be woken for each datagram that arrives or leaves. A thread that waits so keeps its processor (runtime.GOMAXPROCS)
// for as long as there is another that is idle, and has it taken away and given back otherwise, which costs more than the wait. A process
// on a single core should therefore have two. On other systems a batch is one datagram, and which address a reply leaves from
// is up to the system.
package netio

import (
	"net"
	"net/netip"
	"time"
)

// Sizes of a Batch. Zero means the default.
type Sizes struct {
	Datagrams int // most in one batch; default 32, at most 1,024 (what the kernel takes)
	In        int // octets of a datagram that are kept, default 2,048; the rest of a longer one is lost and Truncated says so
	Out       int // capacity of the buffer for the reply to one datagram; default 1,232
}

const (
	defaultDatagrams = 32
	maxDatagrams     = 1024 // UIO_MAXIOV: the kernel takes no more messages in a call
	defaultIn        = 2048
	defaultOut       = 1232
)

// flushWait is how long Flush waits for room in the send buffer.
const flushWait = time.Second

func (s Sizes) orDefaults() Sizes {
	if s.Datagrams <= 0 {
		s.Datagrams = defaultDatagrams
	}
	if s.In <= 0 {
		s.In = defaultIn
	}
	if s.Out <= 0 {
		s.Out = defaultOut
	}
	s.Datagrams = min(s.Datagrams, maxDatagrams)
	return s
}

// Batch is the datagrams taken from a socket together, and the replies to them.
type Batch struct {
	out  []byte // a buffer of size Out for each datagram
	size Sizes
	system
}

// NewBatch prepares batches on the socket of conn, which it takes over: conn is closed, and the socket open until Close. Give each Batch a
// socket of its own (ListenUDP). When it fails, as it does when conn is closed, conn is as it was.
func NewBatch(conn *net.UDPConn, s Sizes) (*Batch, error) {
	s = s.orDefaults()
	b := &Batch{size: s, out: make([]byte, s.Datagrams*s.Out)}
	if err := b.take(conn); err != nil {
		return nil, err
	}
	return b, nil
}

// Receive waits for a datagram, takes it and those that came with it, and returns how many there are, at least one. What earlier
// calls returned is no longer valid, and replies that were not flushed are forgotten. After Stop the error is net.ErrClosed; after
// any other the socket may still work.
func (b *Batch) Receive() (int, error) { return b.receive() }

// Stop ends Receive, the one that is waiting and all that follow, with net.ErrClosed. Replies can still be sent. It may be called from any
// goroutine, more than once, and after Close.
func (b *Batch) Stop() { b.stop() }

// Close closes the socket. No Receive or Flush may be under way. A second Close returns net.ErrClosed.
func (b *Batch) Close() error { return b.close() }

// Datagram is number i of the last Receive, and where it came from: never a mapped address (::ffff:192.0.2.1 is 192.0.2.1), and
// without a zone. The bytes may be changed, and are valid until the next Receive.
func (b *Batch) Datagram(i int) (data []byte, from netip.AddrPort) { return b.datagram(i) }

// Truncated reports whether datagram i was longer than Sizes.In.
func (b *Batch) Truncated(i int) bool { return b.truncated(i) }

// Buffer is an empty slice with room for the reply to datagram i, of capacity Sizes.Out. It is valid until the next Receive.
func (b *Batch) Buffer(i int) []byte {
	at := i * b.size.Out
	return b.out[at : at : at+b.size.Out]
}

// Reply will send data, which may but need not be in Buffer(i), to where datagram i came from. data must not change before Flush.
// Replies are sent in the order of the calls; there is at most one for each datagram, and none of length zero.
func (b *Batch) Reply(i int, data []byte) {
	if len(data) > 0 {
		b.reply(i, data)
	}
}

// Flush sends the replies and returns how many the kernel refused. While the socket's send buffer is full it waits, for a second
// in all; what is left then counts as refused.
func (b *Batch) Flush() (failed int) { return b.flush() }

// Later returns a function that sends a reply to datagram i, once or several times, after the Batch has gone on to other datagrams. It may be
// called from any goroutine; after Close it returns net.ErrClosed. It does not wait: when the send buffer is full the reply is lost, with
// an error.
func (b *Batch) Later(i int) func(data []byte) error { return b.later(i) }

// Drops is how many datagrams the kernel has thrown away because nobody took them in time and the socket's buffer was full. It may be called
// from any goroutine; after Close it is what it was then. It is 0 on systems that do not say, which are all but Linux.
func (b *Batch) Drops() uint64 { return b.drops() }
