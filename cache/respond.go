package cache

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// source is what a response is made from. Whoever makes one holds a reference to the object, which passes to the response.
type source struct {
	head   *head
	object *object
	age    time.Duration
	stored bool // it was stored or is shared: Age is due even if the origin sent none (RFC 9111 §5.1)
}

// reply is a response from the store: one allocation.
type reply struct {
	resp   httpwire.Response
	body   reader
	fields [inlineFields]httpwire.Field
}

// inlineFields is room for an ordinary head with what the edge adds to it.
const inlineFields = 20

// respond makes the response to one request from a stored one: in full, a part of it (206, 416) or its confirmation (304).
func respond(ctx context.Context, req *Request, w *wish, src source) *httpwire.Response {
	r := &reply{}
	resp := &r.resp
	resp.Status, resp.Length = src.head.status, src.object.length()
	resp.Fields = append(httpwire.Fields(r.fields[:0]), src.head.fields...)
	if src.stored || src.head.aged {
		resp.Fields.Add(httpwire.Age, strconv.FormatInt(int64(max(0, src.age)/time.Second), 10))
	}
	span := rules.Span{End: -1}
	if resp.Status == 200 {
		span = r.narrow(req, w, src)
	}
	var coded *form
	if req.Encode.On {
		coded = r.encode(req, w, src)
	}
	if coded != nil {
		src.object.release()
		coded.attach(ctx, &r.body)
		resp.Body = &r.body
		return resp
	}
	if w.head || resp.Status == 304 || resp.Status == 416 || span.End == 0 || resp.Length == 0 {
		src.object.release()
		return resp
	}
	src.object.attach(ctx, &r.body, span)
	resp.Body = &r.body
	return resp
}

// narrow turns a 200 into what a conditional or a range request gets, in the order of RFC 9110 §13.2.2.
func (r *reply) narrow(req *Request, w *wish, src source) rules.Span {
	resp, all := &r.resp, rules.Span{End: -1}
	if rules.NotModified(req.Head.Fields, src.head.fields, src.head.fresh.Received) {
		resp.Status = 304
		resp.Fields.Filter(confirming)
		return all
	}
	if !w.ranged || resp.Length < 0 {
		return all
	}
	value, _ := req.Head.Fields.Get(httpwire.Range)
	span, ok := rules.ParseRange(value, resp.Length)
	if !ok || !rules.RangeApplies(req.Head.Fields, src.head.fields, src.head.fresh.Received) {
		return all
	}
	size := strconv.FormatInt(resp.Length, 10)
	if span == (rules.Span{}) {
		resp.Status, resp.Length = 416, 0
		resp.Fields.Filter(confirming)
		resp.Fields.Set(httpwire.ContentRange, "bytes */"+size)
		return span
	}
	resp.Status, resp.Length = 206, span.End-span.Start
	resp.Fields.Set(httpwire.ContentRange,
		"bytes "+strconv.FormatInt(span.Start, 10)+"-"+strconv.FormatInt(span.End-1, 10)+"/"+size)
	return span
}

// confirming keeps the fields of a 304: not those that describe a body (RFC 9110 §15.4.5).
func confirming(f *httpwire.Field) bool {
	switch f.ID {
	case httpwire.ContentType, httpwire.ContentEncoding, httpwire.ContentRange:
		return false
	}
	return f.ID != httpwire.Other || len(f.Name) != len("Content-Language") || !strings.EqualFold(f.Name, "Content-Language")
}
