// Package reply makes the response to one request from a stored one: in full, a part or several parts of it (206, 416), its confirmation
// (304), and in another coding.
//
//	resp, handle := maker.Make(ctx, &reply.Ask{Fields: request.Fields, Ranged: true}, &reply.Source{...})
//	...                 // resp.Body is closed
//	handle.Release()    // the memory of resp is another's now
//
// A Maker is safe for concurrent use.
package reply

import (
	"context"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/byteranges"
	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Ask is what of a request matters for its response.
type Ask struct {
	Fields httpwire.Fields
	Encode encode.Ask
	Head   bool // HEAD
	Ranged bool // a Range that is heeded
	Tidy   bool // ranges that are out of order, overlap or miss the body are ignored
}

// Maker makes responses in memory that is used again. The zero Maker is ready, with an Epoch for records.
type Maker struct {
	Epoch time.Time // of the times in records

	replies sync.Pool // of *reply
}

// reply is a response, all in one piece.
type reply struct {
	resp   httpwire.Response
	body   body.Reader
	fields [inlineFields]httpwire.Field
	turn   atomic.Uint32 // how often it was released
}

// inlineFields is room for an ordinary head with what the edge adds to it.
const inlineFields = 20

// Handle is what the memory of a response is given back by. The zero Handle is of none.
type Handle struct {
	maker *Maker
	reply *reply
	turn  uint32 // of reply, at that time
}

// Release gives back the memory of a response, for another: nobody may use it any more, and its body must have been closed. Strings of its
// fields stay valid. Releasing twice, or a copy, does nothing; not to release costs the collector some work.
func (h *Handle) Release() {
	m, p, turn := h.maker, h.reply, h.turn
	*h = Handle{}
	if p == nil || p.turn.Load() != turn {
		return // it was released, and may be somebody else's by now
	}
	if p.body.Reading() || !p.turn.CompareAndSwap(turn, turn+1) {
		return
	}
	clear(p.fields[:min(len(p.resp.Fields), inlineFields)])
	p.resp, p.body = httpwire.Response{}, body.Reader{}
	m.replies.Put(p)
}

// Make makes the response. The reference that the source comes with passes to it; the source is
// changed.
func (m *Maker) Make(ctx context.Context, ask *Ask, src *Source) (*httpwire.Response, Handle) {
	r, _ := m.replies.Get().(*reply)
	if r == nil {
		r = &reply{}
	}
	resp := &r.resp
	if src.Page != nil {
		// The fields of the source are those of the response before anything is done to them: nobody looks at the former after that.
		resp.Fields = src.View.AppendFields(r.fields[:0])
		src.Status, src.Aged, src.Fields = src.View.Status(), src.View.Aged(), resp.Fields
		src.Received = m.Epoch.Add(time.Duration(src.View.Received()))
	} else {
		resp.Fields = append(httpwire.Fields(r.fields[:0]), src.Fields...)
	}
	resp.Status, resp.Length = src.Status, src.length()
	if src.Stored || src.Aged {
		resp.Fields.Add(httpwire.Age, strconv.FormatInt(int64(max(0, src.Age)/time.Second), 10))
	}
	r.fill(ctx, ask, src)
	return resp, Handle{m, r, r.turn.Load()}
}

// fill gives the response its body, and the status and fields that go with it.
func (r *reply) fill(ctx context.Context, ask *Ask, src *Source) {
	resp, span := &r.resp, rules.Span{End: -1}
	var parts []byteranges.Span
	if resp.Status == 200 {
		span, parts = r.narrow(ask, src)
	}
	if len(parts) > 0 && r.several(ctx, *src, parts) {
		return
	}
	if ask.Encode.On && r.encode(ctx, ask, src) {
		return
	}
	if ask.Head || resp.Status == 304 || resp.Status == 416 || span.End == 0 || resp.Length == 0 {
		src.release()
		return
	}
	if src.Open != nil {
		resp.Body = src.Open(span, src.Object.Release)
		return
	}
	src.attach(ctx, &r.body, span)
	resp.Body = &r.body
}

// narrow turns a 200 into what a conditional or a range request gets, in the order of RFC 9110 §13.2.2.
func (r *reply) narrow(ask *Ask, src *Source) (span rules.Span, several []byteranges.Span) {
	resp, all := &r.resp, rules.Span{End: -1}
	if rules.NotModified(ask.Fields, src.Fields, src.Received) {
		resp.Status = 304
		resp.Fields.Filter(rules.Confirming)
		return all, nil
	}
	if !ask.Ranged || resp.Length < 0 {
		return all, nil
	}
	value, _ := ask.Fields.Get(httpwire.Range)
	var room [rules.MaxRanges]rules.Span
	spans, tidy, ok := rules.ParseRanges(room[:0], value, resp.Length)
	if !ok || !tidy && ask.Tidy && len(spans) > 0 || !rules.RangeApplies(ask.Fields, src.Fields, src.Received) {
		return all, nil
	}
	size := strconv.FormatInt(resp.Length, 10)
	switch len(spans) {
	case 0:
		resp.Status, resp.Length = 416, 0
		resp.Fields.Filter(rules.Confirming)
		resp.Fields.Set(httpwire.ContentRange, "bytes */"+size)
		return rules.Span{}, nil
	case 1:
		span = spans[0]
		resp.Status, resp.Length = 206, span.End-span.Start
		resp.Fields.Set(httpwire.ContentRange,
			"bytes "+strconv.FormatInt(span.Start, 10)+"-"+strconv.FormatInt(span.End-1, 10)+"/"+size)
		return span, nil
	}
	for _, s := range spans {
		several = append(several, byteranges.Span(s))
	}
	return all, several
}

// several makes the response one of several parts of an object that is complete. It reports false when the whole is as short (attack
// row R11), or still comes: then that is the answer.
func (r *reply) several(ctx context.Context, src Source, spans []byteranges.Span) bool {
	if src.Object != nil && src.Open == nil && !src.Object.Done() {
		return false
	}
	kind, _ := r.resp.Fields.Get(httpwire.ContentType)
	size := src.length()
	var first io.ReadCloser // opened already
	open := func(s byteranges.Span) io.ReadCloser {
		if b := first; b != nil {
			first = nil
			return b
		}
		return src.part(ctx, s)
	}
	b := byteranges.New(spans, size, kind, open, func() {
		if first != nil {
			_ = first.Close()
		}
		src.release()
	})
	if b.Length() >= size {
		return false // b is not closed, and so does not let go of src
	}
	if src.Open != nil {
		first = src.part(ctx, spans[0])
	}
	r.resp.Status, r.resp.Length, r.resp.Body = 206, b.Length(), b
	r.resp.Fields.Set(httpwire.ContentType, b.ContentType())
	return true
}

// encode makes a response one of a coding, if it may be and the client wants one, when it is known what the request gets (200,
// 206, 304...). It reports whether the response has its body, for which src is used up.
func (r *reply) encode(ctx context.Context, ask *Ask, src *Source) bool {
	resp := &r.resp
	if !src.encodable() {
		return false
	}
	encode.Vary(&resp.Fields)
	c := ask.Encode.Coding
	switch {
	case c == encode.Identity:
		return false
	case resp.Status == 304:
		encode.Weaken(&resp.Fields)
		return false
	case resp.Status != src.Status:
		return false // a range is one of the identity
	case ask.Head:
		encode.Rewrite(&resp.Fields, c)
		resp.Length = src.formLength(c)
		return false
	case src.Page != nil:
		form := src.View.Body(int(c))
		encode.Rewrite(&resp.Fields, c)
		resp.Length = int64(len(form))
		r.body.Flat(form, src.Page)
		resp.Body = &r.body
		return true
	}
	f := src.Object.Form(c)
	if f == nil {
		return false // encode.Wrap does it for this response alone
	}
	encode.Rewrite(&resp.Fields, c)
	resp.Length = f.Length()
	src.Object.Release()
	f.Attach(ctx, &r.body)
	resp.Body = &r.body
	return true
}
