package cache

import (
	"context"
	"time"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/reply"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// source is what a response is made from. Whoever makes one holds a reference to the object, which passes to the response.
type source struct {
	head   *head
	object *body.Object
	age    time.Duration
	stored bool // see reply.Source
}

// respond makes the response to one request from a stored one.
func (s *Store) respond(ctx context.Context, res *Result, req *Request, w *wish, src source) *httpwire.Response {
	from := src.reply()
	return s.reply(ctx, res, req, w, &from)
}

func (src *source) reply() reply.Source {
	return reply.Source{Object: src.object, Status: src.head.status, Fields: src.head.fields,
		Received: src.head.fresh.Received, Aged: src.head.aged, Age: src.age, Stored: src.stored}
}

func (s *Store) reply(ctx context.Context, res *Result, req *Request, w *wish, src *reply.Source) (resp *httpwire.Response) {
	ask := reply.Ask{Fields: req.Head.Fields, Encode: req.Encode, Head: w.Head, Ranged: w.Ranged, Tidy: rules.CloudFront(req.Policy)}
	resp, res.reply = s.replies.Make(ctx, &ask, src)
	return resp
}
