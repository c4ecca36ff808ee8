package encode

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// FlushDelay is the longest time that bytes which have come stay in an encoder while no more follow: a body that pauses is seen
// as far as it has come.
const FlushDelay = 10 * time.Millisecond

// readSize is how much is read from a source that does not write itself.
const readSize = 32 << 10

// Wrap does to a response on its way to the client what ask says: the head is rewritten and the body encoded as it is read, if it
// may be. A response that is encoded already, or whose like is not, stays as it is. One to HEAD gets the head that GET would get.
// Nothing is buffered beyond FlushDelay, and no goroutine started.
func (e *Encoders) Wrap(resp *httpwire.Response, ask Ask, request *httpwire.Head) {
	if !ask.On {
		return
	}
	switch resp.Status {
	case 304:
		confirm(resp, request)
		return
	case 206:
		if judge(resp.Fields) == ReasonRange {
			Vary(&resp.Fields) // the whole could have been encoded (RFC 9110 §15.3.7)
		}
		return
	}
	head := request.Method == "HEAD"
	if resp.Body == nil && !head || Judge(resp.Status, resp.Fields, resp.Length) != "" {
		return
	}
	Vary(&resp.Fields)
	if ask.Coding == Identity {
		return
	}
	if !head {
		stream := e.Start(ask.Coding)
		if stream == nil {
			return
		}
		resp.Body = &body{source: resp.Body, stream: stream}
	}
	Rewrite(&resp.Fields, ask.Coding)
	resp.Length = -1
	if trailers := resp.Trailers; trailers != nil {
		resp.Trailers = func() httpwire.Fields {
			fields := trailers()
			fields.Filter(func(f *httpwire.Field) bool { return !digests(f.Name) })
			return fields
		}
	}
}

// confirm makes a 304 of the origin's speak of what the client holds: it confirms a weak ETag if the client has one of the same
// value, because the strong one that the origin sends would not be found among what the client stores (RFC 9111 §4.3.4).
func confirm(resp *httpwire.Response, request *httpwire.Head) {
	tag, ok := resp.Fields.Get(httpwire.ETag)
	if !ok || !strings.HasPrefix(tag, `"`) {
		return
	}
	for held := range request.Fields.Values(httpwire.IfNoneMatch) {
		if strings.Contains(held, "W/"+tag) {
			Weaken(&resp.Fields)
			Vary(&resp.Fields)
			return
		}
	}
}

// body encodes what it reads from source. WriteTo flushes on a clock of its own, Read after each piece.
type body struct {
	source httpwire.Body
	read   bytes.Buffer // encoded and not read yet
	ended  error        // of Read; sticky

	mu     sync.Mutex // guards the fields below
	stream *Stream    // nil: ended
	timer  *time.Timer
	armed  bool
	failed error // of a flush
}

var buffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// WriteTo implements io.WriterTo.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	b.mu.Lock()
	if b.stream == nil {
		b.mu.Unlock()
		return 0, io.ErrClosedPipe
	}
	stream := b.stream
	stream.To(w)
	b.mu.Unlock()
	var err error
	if direct, ok := b.source.(io.WriterTo); ok {
		_, err = direct.WriteTo((*feed)(b))
	} else {
		buffer := buffers.Get().(*[readSize]byte)
		_, err = io.CopyBuffer((*feed)(b), struct{ io.Reader }{b.source}, buffer[:])
		buffers.Put(buffer)
	}
	err = b.end(err)
	return stream.out.n, err
}

// feed is the side of a body that its source writes to.
type feed body

// Write encodes p, and sees that it is flushed soon.
func (f *feed) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.failed != nil:
		return 0, f.failed
	case f.stream == nil:
		return 0, io.ErrClosedPipe
	}
	n, err := f.stream.Write(p)
	if err == nil && !f.armed {
		f.armed = true
		if f.timer == nil {
			f.timer = time.AfterFunc(FlushDelay, (*body)(f).flush)
		} else {
			f.timer.Reset(FlushDelay)
		}
	}
	return n, err
}

// flush is what the clock does.
func (b *body) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.armed = false; b.stream != nil && b.failed == nil {
		b.failed = b.stream.Flush()
	}
}

// end completes the encoded body, or gives it up because of err.
func (b *body) end(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer != nil {
		b.timer.Stop()
	}
	if err == nil {
		err = b.failed
	}
	stream := b.stream
	b.stream = nil
	switch {
	case stream == nil:
	case err == nil:
		err = stream.End()
	default:
		stream.Abort()
	}
	return err
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	for b.read.Len() == 0 {
		if b.ended != nil {
			return 0, b.ended
		}
		b.pull()
	}
	return b.read.Read(p)
}

// pull encodes one piece of the source.
func (b *body) pull() {
	buffer := buffers.Get().(*[readSize]byte)
	defer buffers.Put(buffer)
	b.mu.Lock()
	stream := b.stream
	b.mu.Unlock()
	if stream == nil {
		b.ended = io.ErrClosedPipe
		return
	}
	stream.To(&b.read)
	n, err := b.source.Read(buffer[:])
	_, failed := stream.Write(buffer[:n])
	if failed == nil && err == nil && n < len(buffer) {
		failed = stream.Flush()
	}
	switch {
	case failed != nil:
		b.ended = b.end(failed)
	case err == io.EOF:
		if b.ended = b.end(nil); b.ended == nil {
			b.ended = io.EOF
		}
	case err != nil:
		b.ended = b.end(err)
	}
}

// Close implements io.Closer.
func (b *body) Close() error {
	_ = b.end(io.ErrClosedPipe) // of a body that has ended this is nothing
	return b.source.Close()
}
