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

// source is what a response is made from. Whoever makes one holds a reference to the object, which passes to the response.
type source struct {
	head   *head
	object *body.Object
	age    time.Duration
	stored bool // it was stored or is shared: Age is due even if the origin sent none (RFC 9111 §5.1)
}

// reply is a response from the store, all in one piece, which Result.Release makes another of.
type reply struct {
	resp   httpwire.Response
	body   body.Reader
	fields [inlineFields]httpwire.Field
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
	resp.Status, resp.Length = src.head.status, src.object.Length()
	resp.Fields = append(httpwire.Fields(r.fields[:0]), src.head.fields...)
	if src.stored || src.head.aged {
		resp.Fields.Add(httpwire.Age, strconv.FormatInt(int64(max(0, src.age)/time.Second), 10))
	}
	span := rules.Span{End: -1}
	var parts []byteranges.Span
	if resp.Status == 200 {
		span, parts = r.narrow(req, w, src)
	}
	if len(parts) > 0 && r.several(ctx, src.object, parts) {
		return resp
	}
	var coded *body.Form
	if req.Encode.On {
		coded = r.encode(req, w, src)
	}
	if coded != nil {
		src.object.Release()
		coded.Attach(ctx, &r.body)
		resp.Body = &r.body
		return resp
	}
	if w.head || resp.Status == 304 || resp.Status == 416 || span.End == 0 || resp.Length == 0 {
		src.object.Release()
		return resp
	}
	src.object.Attach(ctx, &r.body, span)
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
func (r *reply) several(ctx context.Context, o *body.Object, spans []byteranges.Span) bool {
	if !o.Done() {
		return false
	}
	kind, _ := r.resp.Fields.Get(httpwire.ContentType)
	b := byteranges.New(spans, o.Size(), kind, func(s byteranges.Span) io.ReadCloser {
		part := new(body.Reader)
		o.Hold()
		o.Attach(ctx, part, rules.Span(s))
		return part
	}, o.Release)
	if b.Length() >= o.Size() {
		return false // b is not closed, and so does not let go of o
	}
	r.resp.Status, r.resp.Length, r.resp.Body = 206, b.Length(), b
	r.resp.Fields.Set(httpwire.ContentType, b.ContentType())
	return true
}

// encode makes a response one of a coding, if it may be and the client wants one, when it is known what the request gets (200,
// 206, 304...). A form that is returned has a reference for the caller, and is pending until it is attached.
func (r *reply) encode(req *Request, w *wish, src source) *body.Form {
	resp := &r.resp
	if encode.Judge(src.head.status, src.head.fields, src.object.Length()) != "" {
		return nil
	}
	encode.Vary(&resp.Fields)
	c := req.Encode.Coding
	if c == encode.Identity {
		return nil
	}
	switch {
	case resp.Status == 304:
		encode.Weaken(&resp.Fields)
		return nil
	case resp.Status != src.head.status:
		return nil // a range is one of the identity
	case w.head:
		encode.Rewrite(&resp.Fields, c)
		resp.Length = src.object.FormLength(c)
		return nil
	}
	f := src.object.Form(c)
	if f == nil {
		return nil // encode.Wrap does it for this response alone
	}
	encode.Rewrite(&resp.Fields, c)
	resp.Length = f.Length()
	return f
}
