package body

import (
	"errors"
	"fmt"
	"io"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// File is a body that lies on a disk. It must be safe for concurrent use.
type File interface {
	io.ReaderAt
	// WriteRange writes the bytes from start up to end, by the kernel where w allows it, and returns how many w took.
	WriteRange(w io.Writer, start, end int64) (int64, error)
	// Close is called once nobody reads it any more.
	Close()
}

// NewStored makes an object of bytes that lie in somebody else's memory, whole, and charged to whoever has that. The caller holds one
// reference; pinned, which may be nil, is released with the last one. Form and AddForm work as for any other.
func NewStored(options Options, data []byte, pinned Pinned) *Object {
	options.Total, options.Charge, options.Base = int64(len(data)), 0, 0
	o := New(options)
	o.pinned, o.size, o.whole = pinned, int64(len(data)), true
	if len(data) > 0 {
		o.blocks = [][]byte{data}
	}
	o.done.Store(true)
	return o
}

// NewFile makes an object of size bytes that lie on a disk. The caller holds one reference; the file is closed with the last one.
func NewFile(options Options, file File, size int64) *Object {
	options.Total = size
	o := New(options)
	o.file, o.size, o.whole = file, size, true
	o.done.Store(true)
	return o
}

// Stored reports whether the bytes are on a disk only.
func (o *Object) Stored() bool { return o.file != nil }

// From returns bytes of an object that is Done from an offset on: at least one if there are any. They must not be written to.
func (o *Object) From(off int64) []byte {
	for _, b := range o.blocks {
		if off < int64(len(b)) {
			return b[off:]
		}
		off -= int64(len(b))
	}
	return nil
}

// readFile is at for an object on a disk: bytes are read into a buffer of the reader's. r.skip is where they start, r.held what is left in
// the buffer.
func (o *Object) readFile(r *Reader) ([]byte, error) {
	if r.off > 0 { // of the buffer; advance has counted it
		r.held, r.skip, r.off = r.held[r.off:], r.skip+int64(r.off), 0
	}
	if len(r.held) > 0 {
		return r.held, nil
	}
	n := min(o.size-r.skip, blockSize)
	if r.left > 0 {
		n = min(n, r.left)
	}
	if n <= 0 {
		return nil, io.EOF
	}
	if int64(cap(r.buffer)) < n {
		r.buffer = make([]byte, n)
	}
	got, err := o.file.ReadAt(r.buffer[:n], r.skip)
	if int64(got) < n || err != nil && !errors.Is(err, io.EOF) {
		return nil, o.unreadable(err)
	}
	r.held = r.buffer[:n]
	return r.held, nil
}

// send writes what a reader is to have of an object on a disk, by the kernel where that goes.
func (o *Object) send(r *Reader, w io.Writer) (int64, error) {
	start, end := r.skip+int64(r.off), o.size
	if r.left >= 0 {
		end = min(end, start+r.left)
	}
	if start >= end {
		return 0, nil
	}
	to := &sink{w: w}
	n, err := o.file.WriteRange(to.writer(), start, end)
	r.held, r.off, r.skip = nil, 0, start+n
	if r.left > 0 {
		r.left -= n
	}
	switch {
	case to.err != nil:
		return n, to.err
	case err != nil || n < end-start:
		return n, o.unreadable(err)
	}
	return n, nil
}

// unreadable tells the owner, and makes the error for the reader, which is never io.EOF.
func (o *Object) unreadable(err error) error {
	o.mu.Lock()
	owner := o.owner
	o.mu.Unlock()
	if owner != nil {
		owner.Broken()
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fault.New(fault.Unexpected, fmt.Errorf("%w: %w", httpwire.ErrTruncated, err))
}

// sink tells errors of the writer from those of the file.
type sink struct {
	w   io.Writer
	err error
}

// writer is the sink as one that has ReadFrom if the writer has it.
func (s *sink) writer() io.Writer {
	if _, ok := s.w.(io.ReaderFrom); ok {
		return sinkFrom{s}
	}
	return s
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// sinkFrom is a sink whose writer takes files.
type sinkFrom struct{ *sink }

func (s sinkFrom) ReadFrom(r io.Reader) (int64, error) {
	n, err := s.w.(io.ReaderFrom).ReadFrom(r)
	if err != nil {
		s.err = err
	}
	return n, err
}
