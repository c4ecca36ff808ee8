package slice

import (
	"context"
	"errors"
	"io"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Source is where a Body has its slices from.
type Source interface {
	// Find finds a slice or begins to get it, without waiting for it.
	Find(ctx context.Context, index int64) Slot
	// Window is that of who fills the slices just now; nil: nobody does.
	Window() *Window
}

// Slot is a slice on its way to a Body. It is one goroutine's.
type Slot interface {
	// Open waits until bytes come, or are sure to come, and returns a reader of a part of the slice, both ends counted from its start. The slot
	// is used up, with an error too.
	Open(ctx context.Context, part rules.Span) (io.ReadCloser, error)
	// Drop gives up a slot that was not opened.
	Drop()
}

// Body is a part of a body, read through its slices in order. It looks for the next slice when it has passed the half of one, and never for more.
// It is one goroutine's. An error other than io.EOF comes after the right bytes so far.
type Body struct {
	source  Source
	ctx     context.Context // the request's: io.Reader has no argument for it
	total   int64
	at, end int64         // the next byte, and the one after the last
	from    io.ReadCloser // the slice that at is in; nil: it is to be opened
	ahead   Slot          // the next one; nil: not yet
	window  *Window       // that it follows; nil: none
	err     error
	done    func()
}

// NewBody makes a Body of what span says of a body with total bytes; done, which may be nil, is called when it is closed.
func NewBody(ctx context.Context, source Source, total int64, span rules.Span, done func()) *Body {
	if span.End < 0 {
		span.End = total
	}
	return &Body{source: source, ctx: ctx, total: total, at: span.Start, end: span.End, done: done}
}

// Begin opens the first slice, before anything is read, and returns what it was. The error is the slot's own.
func (b *Body) Begin() (Slot, error) { return b.open() }

// open opens the slice that at is in.
func (b *Body) open() (Slot, error) {
	i := b.at / Size
	if w := b.source.Window(); w != b.window {
		b.unfollow()
		b.window = w
	}
	if b.window != nil {
		b.window.follow(b, i)
	}
	slot := b.ahead
	if b.ahead = nil; slot == nil {
		slot = b.source.Find(b.ctx, i)
	}
	span := Span(i, b.total)
	b.from, b.err = slot.Open(b.ctx, rules.Span{Start: b.at - span.Start, End: min(b.end, span.End) - span.Start})
	return slot, b.err
}

// current is a reader of the slice that at is in; io.EOF at the end.
func (b *Body) current() (io.Reader, error) {
	if b.err == nil && b.at < b.end && b.from == nil {
		_, _ = b.open()
	}
	switch {
	case b.err != nil:
		return nil, b.fault(b.err)
	case b.at >= b.end:
		return nil, io.EOF
	}
	return b.from, nil
}

var errClosed = errors.New("read of a closed body")

// fault makes an error what a reader of a broken body gets.
func (b *Body) fault(err error) error {
	if b.ctx.Err() != nil || errors.Is(err, httpwire.ErrTruncated) || errors.Is(err, errClosed) {
		return err
	}
	return httpwire.Truncated(err)
}

// advance passes n bytes.
func (b *Body) advance(n int) {
	if b.at += int64(n); n == 0 || b.ahead != nil {
		return
	}
	span := Span((b.at-1)/Size, b.total)
	if b.at-span.Start >= Size/2 && span.End < b.end {
		b.ahead = b.source.Find(b.ctx, span.End/Size)
	}
}

// turn leaves a slice at its end.
func (b *Body) turn() error {
	_ = b.from.Close()
	b.from = nil
	if b.at < b.end && b.at%Size != 0 {
		b.err = io.ErrUnexpectedEOF
		return b.fault(b.err)
	}
	return nil
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	for {
		from, err := b.current()
		if err != nil {
			return 0, err
		}
		n, err := from.Read(p)
		b.advance(n)
		switch {
		case err == io.EOF:
			err = b.turn()
		case err != nil:
			b.err = err
			err = b.fault(err)
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
	}
}

// WriteTo implements io.WriterTo: slices that can write themselves are not copied.
func (b *Body) WriteTo(w io.Writer) (total int64, err error) {
	for {
		from, err := b.current()
		if err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
		to := &writer{b: b, w: w}
		n, err := io.Copy(to.writer(from), from)
		switch total += n; {
		case to.err != nil:
			return total, to.err
		case err != nil:
			b.err = err
			return total, b.fault(err)
		}
		if err = b.turn(); err != nil {
			return total, err
		}
	}
}

// writer counts what a body has written, and keeps the error of who takes it.
type writer struct {
	b   *Body
	w   io.Writer
	err error
}

func (w *writer) Write(p []byte) (n int, err error) {
	n, w.err = w.w.Write(p)
	w.b.advance(n)
	return n, w.err
}

// writer is w as one that takes files, if what it counts for does and from writes itself.
func (w *writer) writer(from io.Reader) io.Writer {
	_, files := w.w.(io.ReaderFrom)
	if _, writes := from.(io.WriterTo); files && writes {
		return fileWriter{w}
	}
	return w
}

type fileWriter struct{ *writer }

// ReadFrom implements io.ReaderFrom.
func (w fileWriter) ReadFrom(r io.Reader) (n int64, err error) {
	n, w.err = w.w.(io.ReaderFrom).ReadFrom(r)
	w.b.advance(int(n))
	return n, w.err
}

// Close gives the body up. Closing twice does nothing.
func (b *Body) Close() error {
	b.unfollow()
	if b.ahead != nil {
		b.ahead.Drop()
	}
	if b.from != nil {
		_ = b.from.Close()
	}
	if b.done != nil {
		b.done()
	}
	b.from, b.ahead, b.window, b.done, b.err = nil, nil, nil, nil, errClosed
	return nil
}

func (b *Body) unfollow() {
	if b.window != nil {
		b.window.leave(b)
	}
}
