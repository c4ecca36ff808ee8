package cache

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
)

// source is what a response is made from. Whoever makes one holds a reference to the object, which passes to the response.
type source struct {
	head   *head
	object *body.Object
	view   record.View // instead of head and object: of a response at rest
	page   *pages.Page // what view is in, held; nil: head and object count
	age    time.Duration
	stored bool // it was stored or is shared: Age is due even if the origin sent none (RFC 9111 §5.1)
}

// length is the size of the body if it is known, else -1.
func (s *source) length() int64 {
	if s.page != nil {
		return int64(len(s.view.Body(0)))
	}
	return s.object.Length()
}

// release gives up a source whose body nobody wants.
func (s source) release() {
	if s.page != nil {
		s.page.Release()
		return
	}
	s.object.Release()
}

// attach makes r a reader of a part of the body. The reference passes to it.
func (s *source) attach(ctx context.Context, r *body.Reader, span rules.Span) {
	if s.page == nil {
		s.object.Attach(ctx, r, span)
		return
	}
	b := s.view.Body(0)
	if span.End < 0 {
		span.End = int64(len(b))
	}
	r.Flat(b[span.Start:span.End], s.page)
}

// part is a reader of one part of several, while the source lasts.
func (s *source) part(ctx context.Context, span byteranges.Span) io.ReadCloser {
	r := new(body.Reader)
	if s.page != nil {
		r.Flat(s.view.Body(0)[span.Start:span.End], nil)
		return r
	}
	s.object.Hold()
	s.object.Attach(ctx, r, rules.Span(span))
	return r
}

// encodable reports whether the response may be encoded.
func (s *source) encodable() bool {
	if s.page != nil {
		return s.view.Mark()
	}
	return encode.Judge(s.head.status, s.head.fields, s.object.Length()) == ""
}

// formLength is the size of the body in another coding, if it is known, else -1.
func (s *source) formLength(c encode.Coding) int64 {
	if s.page == nil {
		return s.object.FormLength(c)
	}
	if b := s.view.Body(int(c)); b != nil {
		return int64(len(b))
	}
	return -1
}
