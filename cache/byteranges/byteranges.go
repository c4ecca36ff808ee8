// Package byteranges makes the body of a response with several parts of an object: multipart/byteranges (RFC 9110 section 14.6).
//
//	b := byteranges.New(spans, size, "text/plain", open, nil)
//	defer b.Close()
//	// Content-Type: b.ContentType(), Content-Length: b.Length()
//	b.WriteTo(w)
//
// A Body is for one goroutine. It opens one part at a time and holds nothing of the object itself.
package byteranges

import (
	"fmt"
	"io"
	"math/rand/v2"
)

// Span is a range of bytes, End exclusive.
type Span struct{ Start, End int64 }

// Body is such a body, read once from start to end.
type Body struct {
	open     func(Span) io.ReadCloser
	done     func()
	spans    []Span   // that are left, the one being read first
	heads    []string // before each of them
	end      string
	boundary string
	length   int64

	text string        // to give before anything else
	part io.ReadCloser // being read; nil: the next is to be opened
}

// New makes a body of spans, of which there is at least one, of an object of this size and type; parts of an object without a type, "", say
// nothing of it. open is called for one span after the other and must give as many bytes as it has; done, which may be nil, when the Body is
// closed, once.
func New(spans []Span, size int64, contentType string, open func(Span) io.ReadCloser, done func()) *Body {
	// Nobody can foresee the boundary, so nobody can have put it into the object.
	b := &Body{open: open, done: done, spans: spans, boundary: fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())}
	if contentType != "" {
		contentType = "Content-Type: " + contentType + "\r\n"
	}
	lead := "--"
	for _, s := range spans {
		h := fmt.Sprintf("%s%s\r\n%sContent-Range: bytes %d-%d/%d\r\n\r\n", lead, b.boundary, contentType, s.Start, s.End-1, size)
		b.heads = append(b.heads, h)
		b.length += int64(len(h)) + s.End - s.Start
		lead = "\r\n--"
	}
	b.end = "\r\n--" + b.boundary + "--\r\n"
	b.length += int64(len(b.end))
	b.text = b.heads[0]
	return b
}

// ContentType is the field of that name for the whole response.
func (b *Body) ContentType() string { return "multipart/byteranges; boundary=" + b.boundary }

// Length is the number of bytes of the whole body.
func (b *Body) Length() int64 { return b.length }

// Read implements io.Reader. A part that ends early is io.ErrUnexpectedEOF.
func (b *Body) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if b.text != "" {
			n := copy(p, b.text)
			b.text = b.text[n:]
			return n, nil
		}
		if len(b.spans) == 0 {
			return 0, io.EOF
		}
		part, want := b.current()
		if want == 0 {
			b.next()
			continue
		}
		n, err := part.Read(p[:min(int64(len(p)), want)])
		b.spans[0].Start += int64(n)
		if err == io.EOF {
			if err = nil; int64(n) < want {
				err = io.ErrUnexpectedEOF
			}
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, nil
}

// WriteTo implements io.WriterTo: the bytes of a part that does so itself are not copied.
func (b *Body) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if b.text != "" {
			n, err := io.WriteString(w, b.text)
			b.text = b.text[n:]
			if total += int64(n); err != nil {
				return total, err
			}
		}
		if len(b.spans) == 0 {
			return total, nil
		}
		part, want := b.current()
		n, err := io.Copy(w, part)
		b.spans[0].Start += n
		if total += n; err != nil {
			return total, err
		}
		if n < want {
			return total, io.ErrUnexpectedEOF
		}
		b.next()
	}
}

// current is the part being read, and how much of it is to come.
func (b *Body) current() (part io.ReadCloser, left int64) {
	if b.part == nil {
		b.part = b.open(b.spans[0])
	}
	return b.part, b.spans[0].End - b.spans[0].Start
}

// next goes on from a part that has been read.
func (b *Body) next() {
	b.part.Close()
	b.part = nil
	b.spans, b.heads = b.spans[1:], b.heads[1:]
	if b.text = b.end; len(b.heads) > 0 {
		b.text = b.heads[0]
	}
}

// Close gives up what is left. Closing twice does nothing.
func (b *Body) Close() error {
	b.spans, b.text = nil, ""
	if done := b.done; done != nil {
		b.done = nil
		defer done()
	}
	if b.part != nil {
		part := b.part
		b.part = nil
		return part.Close()
	}
	return nil
}
