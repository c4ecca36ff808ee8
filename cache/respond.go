package cache

import (
	"context"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/byteranges"
	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// reply is a response from the store, all in one piece, which Result.Release makes another of.
type reply struct {
	resp   httpwire.Response
	body   body.Reader
	fields [inlineFields]httpwire.Field
	head   head          // of a response at rest
	turn   atomic.Uint32 // how often it was released
}

// inlineFields is room for an ordinary head with what the edge adds to it.
const inlineFields = 20

// respond makes the response to one request from a stored one: in full, a part of it (206, 416) or its confirmation (304).
func (s *Store) respond(ctx context.Context, res *Result, req *Request, w *wish, src source) *httpwire.Response {
	r, _ := s.replies.Get().(*reply)
	if r == nil {
		r = &reply{}
	}
	res.store, res.reply, res.turn = s, r, r.turn.Load()
	resp := &r.resp
	if src.page != nil {
		// Its fields are those of the response before anything is done to them: nobody looks at the former after that.
		resp.Fields = src.view.AppendFields(r.fields[:0])
		r.head.status, r.head.aged, r.head.fields = src.view.Status(), src.view.Aged(), resp.Fields
		r.head.fresh.Received = s.epoch.Add(time.Duration(src.view.Received()))
		src.head = &r.head
	} else {
		resp.Fields = append(httpwire.Fields(r.fields[:0]), src.head.fields...)
	}
	resp.Status, resp.Length = src.head.status, src.length()
	if src.stored || src.head.aged {
		resp.Fields.Add(httpwire.Age, strconv.FormatInt(int64(max(0, src.age)/time.Second), 10))
	}
	span := rules.Span{End: -1}
	var parts []byteranges.Span
	if resp.Status == 200 {
		span, parts = r.narrow(req, w, src)
	}
	if len(parts) > 0 && r.several(ctx, src, parts) {
		return resp
	}
	if req.Encode.On && r.encode(ctx, req, w, src) {
		return resp
	}
	if w.head || resp.Status == 304 || resp.Status == 416 || span.End == 0 || resp.Length == 0 {
		src.release()
		return resp
	}
	src.attach(ctx, &r.body, span)
	resp.Body = &r.body
	return resp
}

// narrow turns a 200 into what a conditional or a range request gets, in the order of RFC 9110 §13.2.2.
func (r *reply) narrow(req *Request, w *wish, src source) (span rules.Span, several []byteranges.Span) {
	resp, all := &r.resp, rules.Span{End: -1}
	if rules.NotModified(req.Head.Fields, src.head.fields, src.head.fresh.Received) {
		resp.Status = 304
		resp.Fields.Filter(rules.Confirming)
		return all, nil
	}
	if !w.ranged || resp.Length < 0 {
		return all, nil
	}
	value, _ := req.Head.Fields.Get(httpwire.Range)
	var room [rules.MaxRanges]rules.Span
	spans, tidy, ok := rules.ParseRanges(room[:0], value, resp.Length)
	if !ok || !tidy && rules.CloudFront(req.Policy) && len(spans) > 0 || !rules.RangeApplies(req.Head.Fields, src.head.fields, src.head.fresh.Received) {
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
func (r *reply) several(ctx context.Context, src source, spans []byteranges.Span) bool {
	if src.object != nil && !src.object.Done() {
		return false
	}
	kind, _ := r.resp.Fields.Get(httpwire.ContentType)
	size := src.length()
	b := byteranges.New(spans, size, kind, func(s byteranges.Span) io.ReadCloser { return src.part(ctx, s) }, src.release)
	if b.Length() >= size {
		return false // b is not closed, and so does not let go of src
	}
	r.resp.Status, r.resp.Length, r.resp.Body = 206, b.Length(), b
	r.resp.Fields.Set(httpwire.ContentType, b.ContentType())
	return true
}

// encode makes a response one of a coding, if it may be and the client wants one, when it is known what the request gets (200,
// 206, 304...). It reports whether the response has its body, for which src is used up.
func (r *reply) encode(ctx context.Context, req *Request, w *wish, src source) bool {
	resp := &r.resp
	if !src.encodable() {
		return false
	}
	encode.Vary(&resp.Fields)
	c := req.Encode.Coding
	switch {
	case c == encode.Identity:
		return false
	case resp.Status == 304:
		encode.Weaken(&resp.Fields)
		return false
	case resp.Status != src.head.status:
		return false // a range is one of the identity
	case w.head:
		encode.Rewrite(&resp.Fields, c)
		resp.Length = src.formLength(c)
		return false
	case src.page != nil:
		form := src.view.Body(int(c))
		encode.Rewrite(&resp.Fields, c)
		resp.Length = int64(len(form))
		r.body.Flat(form, src.page)
		resp.Body = &r.body
		return true
	}
	f := src.object.Form(c)
	if f == nil {
		return false // encode.Wrap does it for this response alone
	}
	encode.Rewrite(&resp.Fields, c)
	resp.Length = f.Length()
	src.object.Release()
	f.Attach(ctx, &r.body)
	resp.Body = &r.body
	return true
}
