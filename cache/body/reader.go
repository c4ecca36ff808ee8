package body

import (
	"context"
	"errors"
	"io"
)

// Reader is one response's body: a place in an object. It is not safe for concurrent use, except that ctx may end at any time.
type Reader struct {
	object  *Object
	ctx     context.Context // the request's: ends a wait for bytes, for which io.Reader has no argument
	block   int             // index of the block, dropped ones counted
	off     int             // in the block
	skip    int64           // bytes to pass over before the first
	left    int64           // bytes to give; -1: all
	growing bool            // registered with the object
	closed  bool
	form    *Form // that the bytes are read for; nil: they are a response's

	held   []byte // of an object on a disk: what is left of what was read
	buffer []byte // the same: where it was read into

	flat   []byte // what is read instead of an object, from off on
	pinned Pinned // what flat is in; nil: nothing that has to be told
}

// Flat makes r a reader of bytes that are all there. pinned, which may be nil, is released when r is closed.
func (r *Reader) Flat(b []byte, pinned Pinned) { r.flat, r.pinned, r.left = b, pinned, -1 }

var errClosed = errors.New("read of a closed body")

// chunk returns bytes that may be read now, waiting for them. They are the store's own: they must not be written to.
func (r *Reader) chunk() ([]byte, error) {
	if r.closed {
		return nil, errClosed
	}
	if r.object == nil {
		if r.off == len(r.flat) {
			return nil, io.EOF
		}
		return r.flat[r.off:], nil
	}
	for r.left != 0 {
		b, wait, err := r.object.at(r)
		if err != nil {
			return nil, err
		}
		if wait == nil {
			if r.left > 0 && int64(len(b)) > r.left {
				b = b[:r.left]
			}
			return b, nil
		}
		select {
		case <-wait:
		case <-r.ctx.Done():
			return nil, context.Cause(r.ctx)
		}
	}
	return nil, io.EOF
}

// advance passes n bytes.
func (r *Reader) advance(n int) {
	r.off += n
	if r.left > 0 {
		r.left -= int64(n)
	}
}

func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := r.chunk()
	if err != nil {
		return 0, err
	}
	n := copy(p, b)
	r.advance(n)
	return n, nil
}

// WriteTo writes the body block by block, without copying it.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	if r.object != nil && r.object.file != nil && !r.closed {
		return r.object.send(r, w)
	}
	total := int64(0)
	for {
		b, err := r.chunk()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(b)
		r.advance(n)
		total += int64(n)
		if err != nil {
			return total, err
		}
		if n < len(b) {
			return total, io.ErrShortWrite
		}
	}
}

// Close gives the body up. Closing twice does nothing.
func (r *Reader) Close() error {
	switch {
	case r.closed:
		return nil
	case r.object != nil:
		r.closed = true
		r.object.detach(r)
	default:
		r.closed, r.flat = true, nil
		if r.pinned != nil {
			r.pinned.Release()
		}
	}
	return nil
}

// Reading reports whether the reader was attached and is not closed.
func (r *Reader) Reading() bool { return (r.object != nil || r.flat != nil) && !r.closed }
