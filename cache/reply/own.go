package reply

import (
	"context"
	"io"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Own makes a response that was fetched for the store one request's own: the fetch ends when the request's context does or the body
// is closed.
func Own(ctx context.Context, resp *httpwire.Response, cancel context.CancelFunc) {
	if resp.Body == nil {
		cancel()
		return
	}
	b := &directBody{Body: resp.Body, stop: context.AfterFunc(ctx, cancel), cancel: cancel}
	resp.Body = b
	if w, ok := b.Body.(io.WriterTo); ok {
		resp.Body = &directWriter{directBody: b, WriterTo: w}
	}
}

// directBody is a body whose closing ends its fetch.
type directBody struct {
	httpwire.Body
	stop   func() bool
	cancel context.CancelFunc
}

func (b *directBody) Close() error {
	err := b.Body.Close()
	b.stop()
	b.cancel()
	return err
}

// directWriter is a directBody that can write itself.
type directWriter struct {
	*directBody
	io.WriterTo
}

// Discard ends a response that nobody is going to get.
func Discard(resp *httpwire.Response) {
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	if resp.Done != nil {
		resp.Done(0, body.ErrAbandoned)
	}
}
