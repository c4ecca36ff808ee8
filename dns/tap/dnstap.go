package tap

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// DnstapOptions are what a Dnstap works with.
type DnstapOptions struct {
	Socket   string  // path of the unix socket that a reader, such as fstrm_capture, listens on
	Share    float64 // of the queries, drawn at random; 0 and 1: all
	Identity string  // of this server; empty: not told
	Version  string  // of its software; empty: not told
	// NoQueries and NoResponses leave out AUTH_QUERY and AUTH_RESPONSE messages.
	NoQueries, NoResponses bool
	// Dial connects to the reader; nil: to Socket.
	Dial    func(context.Context) (net.Conn, error)
	Log     *slog.Logger // nil: nothing is logged
	Metrics *Metrics     // nil: nobody looks at them
}

// Limits of dnstap connections.
const (
	tapWrite      = 5 * time.Second // for the reader to take what is written, and for its part of a handshake
	tapRetryFirst = 100 * time.Millisecond
	tapRetryMost  = 30 * time.Second
)

// Dnstap sends what is observed to a reader of dnstap, in frames of Frame Streams.
type Dnstap struct {
	o      DnstapOptions
	share  share
	head   []byte
	frames chan *[]byte
	pool   sync.Pool
}

// NewDnstap makes one that is not connected yet.
func NewDnstap(o DnstapOptions) *Dnstap {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	if o.Dial == nil {
		o.Dial = func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{Timeout: tapWrite}).DialContext(ctx, "unix", o.Socket)
		}
	}
	d := &Dnstap{o: o, share: newShare(o.Share), frames: make(chan *[]byte, queue), pool: buffers()}
	if o.Identity != "" {
		d.head = data(d.head, tapIdentity, []byte(o.Identity))
	}
	if o.Version != "" {
		d.head = data(d.head, tapVersion, []byte(o.Version))
	}
	return d
}

// Observe queues the messages of a query: one with the query and, when there was a reply, one with that.
func (d *Dnstap) Observe(e Event) {
	response := !d.o.NoResponses && len(e.Reply) > 0
	if d.o.NoQueries && !response || d.share.skips() {
		return
	}
	buf, _ := d.pool.Get().(*[]byte)
	*buf = (*buf)[:0]
	if !d.o.NoQueries {
		*buf = frame(*buf, d.head, authQuery, &e)
	}
	if response {
		*buf = frame(*buf, d.head, authResponse, &e)
	}
	select {
	case d.frames <- buf:
		d.o.Metrics.frames.Inc()
	default:
		d.o.Metrics.lostFrame.Inc()
		d.pool.Put(buf)
	}
}

// Run keeps a connection to the reader until ctx is done; it then sends what is queued, ends the stream and returns nil. While there is
// no reader it tries again after a time that grows to half a minute.
func (d *Dnstap) Run(ctx context.Context) error {
	retry, failing := tapRetryFirst, false
	for ctx.Err() == nil {
		began := time.Now()
		err := d.stream(ctx)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > tapRetryMost {
			retry, failing = tapRetryFirst, false // it had been working
		}
		if !failing {
			d.o.Log.Warn("dnstap reader not connected", "socket", d.o.Socket, "err", err)
		}
		failing = true
		wait(ctx, retry/2+rand.N(retry/2))
		retry = min(2*retry, tapRetryMost)
	}
	d.o.Metrics.lostFrame.Add(float64(len(d.frames))) // there was nobody to send them to
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

var errEnded = errors.New("the reader ended the stream")

// stream is one connection, from its handshake to its end.
func (d *Dnstap) stream(ctx context.Context) error {
	conn, err := d.o.Dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(tapWrite)) // before what follows, which would be undone by it
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err = begin(conn)
	if !stop() {
		return ctx.Err() // a handshake that hangs must not hold up our end
	}
	if err != nil {
		return err
	}
	conn.SetDeadline(time.Time{})
	d.o.Metrics.connected.Set(1)
	defer d.o.Metrics.connected.Set(0)
	d.o.Log.Info("dnstap reader connected", "socket", d.o.Socket)
	// The reader says nothing more until it is told to stop; when it goes away, that is seen here first.
	gone := make(chan error, 1)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer conn.Close()
	reading.Go(func() { gone <- expect(conn, controlFinish) })
	return d.send(ctx, conn, gone)
}

// send writes frames until the reader is gone or ctx is done, and ends the stream in the latter case.
func (d *Dnstap) send(ctx context.Context, conn net.Conn, gone <-chan error) error {
	w := bufio.NewWriterSize(conn, 64<<10)
	held := 0
	put := func(buf *[]byte) error {
		held++
		conn.SetWriteDeadline(time.Now().Add(tapWrite))
		_, err := w.Write(*buf)
		d.pool.Put(buf)
		if err == nil && len(d.frames) == 0 {
			err = w.Flush()
		}
		if err != nil {
			d.o.Metrics.lostFrame.Add(float64(held)) // some of them may have arrived
			return err
		}
		if w.Buffered() == 0 {
			held = 0
		}
		return nil
	}
	for {
		select {
		case buf := <-d.frames:
			if err := put(buf); err != nil {
				return err
			}
		case err := <-gone:
			if err == nil {
				return errEnded
			}
			return fmt.Errorf("the reader is gone: %w", err)
		case <-ctx.Done():
			for len(d.frames) > 0 {
				if err := put(<-d.frames); err != nil {
					return err
				}
			}
			conn.SetDeadline(time.Now().Add(tapWrite))
			w.Write(control(controlStop, ""))
			if err := w.Flush(); err != nil {
				return err
			}
			return <-gone // what is still on its way is read before FINISH is sent
		}
	}
}
