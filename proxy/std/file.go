package std

import (
	"errors"
	"io"
	"io/fs"
	"syscall"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// sender is a writer that takes files too, for the kernel to send: on HTTP/1.1 without TLS nothing has to be done to the bytes of a body whose
// length is known.
type sender struct{ *writer }

// sends reports whether files can be sent.
func (w *writer) sends() bool {
	_, ok := w.exchange.w.(io.ReaderFrom)
	return ok && w.exchange.TLS == nil && w.exchange.Head.Proto <= httpwire.HTTP11 && w.length >= 0
}

// file is what net hands to the kernel, an *os.File as a rule.
type file interface {
	io.Reader
	syscall.Conn
	Stat() (fs.FileInfo, error)
}

// ReadFrom implements io.ReaderFrom. Of an *io.LimitedReader of a regular file the kernel sends the bytes, in steps, so that each has its own
// time; anything else is copied. What was sent counts as written, whoever sent it.
func (s sender) ReadFrom(r io.Reader) (total int64, err error) {
	limited, _ := r.(*io.LimitedReader)
	if limited == nil || !regular(limited.R) {
		return s.copy(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	if s.err == nil && s.written == 0 {
		s.err = s.flush() // the head, before net/http reads from the file to guess at what it is
	}
	for s.err == nil && limited.N > 0 {
		n, err := s.sendStep(limited)
		total += n
		s.written += n
		switch {
		case errors.Is(err, syscall.EIO):
			return total, err // of the file: the client is well
		case err != nil:
			s.err = err
		case n == 0:
			return total, nil // the file is shorter
		}
	}
	return total, s.err
}

// sendStep sends the next bytes of a file. mu is held.
func (s sender) sendStep(from *io.LimitedReader) (int64, error) {
	step := min(from.N, sendSize)
	if s.written+step > s.length {
		return 0, errTooLong
	}
	defer s.watch()()
	part := io.LimitedReader{R: from.R, N: step}
	n, err := s.exchange.w.(io.ReaderFrom).ReadFrom(&part)
	from.N -= n
	return n, err
}

// copy is ReadFrom for everything else.
func (s sender) copy(r io.Reader) (total int64, err error) {
	buffer := s.exchange.server.buffers.Get().(*[bufferSize]byte)
	defer s.exchange.server.buffers.Put(buffer)
	for {
		n, err := r.Read(buffer[:])
		if n > 0 {
			written, failed := s.Write(buffer[:n])
			if total += int64(written); failed != nil {
				return total, failed
			}
		}
		switch {
		case err == io.EOF:
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

// regular reports whether r is a file that never makes a reader wait.
func regular(r io.Reader) bool {
	f, ok := r.(file)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// ReadFrom implements io.ReaderFrom, so that net/http finds the way to the kernel through this type.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if direct, ok := c.Conn.(io.ReaderFrom); ok {
		return direct.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}
