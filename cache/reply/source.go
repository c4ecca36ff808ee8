package reply

import (
	"context"
	"io"
	"time"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/byteranges"
	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/cache/pages"
	"github.com/meridian-edge/meridian/cache/record"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Source is what a response is made from: either a record in a page, or an object and what is said of it. Whoever makes one holds a
// reference to the page or the object, which passes to the response.
type Source struct {
	View   record.View // with Page: a response at rest; Status, Fields, Received and Aged do not count
	Page   *pages.Page // what View is in, held; nil: Object counts
	Object *body.Object

	// Open makes a body of a part of what is kept in slices, which has Total bytes and of which Object, with Page nil, has none; nil: Object has them
	// all. It is called for the part that is sent first before Make returns. done is to be called when the body is closed.
	Open  func(part rules.Span, done func()) io.ReadCloser
	Total int64

	Status   int
	Fields   httpwire.Fields // without Age
	Received time.Time       // when it came
	Aged     bool            // it came with an Age

	Age    time.Duration
	Stored bool // it was stored or is shared: Age is due even if the origin sent none (RFC 9111 §5.1)
}

// length is the size of the body if it is known, else -1.
func (s *Source) length() int64 {
	if s.Page != nil {
		return int64(len(s.View.Body(0)))
	}
	if s.Open != nil {
		return s.Total
	}
	return s.Object.Length()
}

// release gives up a source whose body nobody wants.
func (s *Source) release() {
	if s.Page != nil {
		s.Page.Release()
		return
	}
	s.Object.Release()
}

// attach makes r a reader of a part of the body. The reference passes to it.
func (s *Source) attach(ctx context.Context, r *body.Reader, span rules.Span) {
	if s.Page == nil {
		s.Object.Attach(ctx, r, span)
		return
	}
	b := s.View.Body(0)
	if span.End < 0 {
		span.End = int64(len(b))
	}
	r.Flat(b[span.Start:span.End], s.Page)
}

// part is a reader of one part of several, while the source lasts.
func (s *Source) part(ctx context.Context, span byteranges.Span) io.ReadCloser {
	if s.Open != nil {
		return s.Open(rules.Span(span), nil)
	}
	r := new(body.Reader)
	if s.Page != nil {
		r.Flat(s.View.Body(0)[span.Start:span.End], nil)
		return r
	}
	s.Object.Hold()
	s.Object.Attach(ctx, r, rules.Span(span))
	return r
}

// encodable reports whether the response may be encoded.
func (s *Source) encodable() bool {
	if s.Page != nil {
		return s.View.Mark()
	}
	return s.Open == nil && encode.Judge(s.Status, s.Fields, s.Object.Length()) == ""
}

// formLength is the size of the body in another coding, if it is known, else -1.
func (s *Source) formLength(c encode.Coding) int64 {
	if s.Page == nil {
		return s.Object.FormLength(c)
	}
	if b := s.View.Body(int(c)); b != nil {
		return int64(len(b))
	}
	return -1
}
