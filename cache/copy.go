package cache

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// fill copies a body into e's object and stores e when all of it has come.
func (f *fill) fill(ctx context.Context, resp *httpwire.Response, e *entry) {
	o := e.object
	err := f.pump(ctx, resp.Body, o)
	if err != nil {
		err = httpwire.Truncated(err)
	}
	written := o.Size()
	f.settle(e, err)
	f.cancel()
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	if resp.Done != nil {
		resp.Done(written, err)
	}
}

// settle ends a fill: e is stored if it is complete and may be.
func (f *fill) settle(e *entry, err error) {
	sh, result := f.group.shard, fillStored
	sh.mu.Lock()
	e.object.Finish(err)
	switch {
	case err != nil:
		result = fillTruncated
	case f.purged.Load() || !e.object.Done() || !e.alive():
		result = fillNotStored
	default:
		e.object.Hold()
		if !sh.insert(e, f.sent.Fields, f.policy.Pin) {
			e.object.Release()
			result = fillNotStored
		} else {
			e.keep()
		}
	}
	f.unlist()
	sh.mu.Unlock()
	f.store.metrics.fills.WithLabelValues(result).Inc()
}

// pump reads body into o until it ends. Only io.EOF at the announced length is a good end.
func (f *fill) pump(ctx context.Context, from io.Reader, o *body.Object) error {
	if from == nil {
		if o.Total > 0 {
			return httpwire.ErrTruncated
		}
		return nil
	}
	var probe [1]byte
	for idle := 0; idle < maxIdleReads; idle++ {
		var p []byte
		full := o.Total >= 0 && o.Size() == o.Total
		if full {
			p = probe[:]
		} else {
			var err error
			if p, err = o.Tail(ctx); errors.Is(err, body.ErrTooLarge) {
				f.outgrow(o)
				continue
			} else if err != nil {
				return err
			}
		}
		n, err := from.Read(p)
		if full && n > 0 {
			return errors.New("body is longer than announced")
		}
		o.Grew(n)
		switch {
		case err == io.EOF && o.Total >= 0 && o.Size() < o.Total:
			return httpwire.ErrTruncated
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case f.purged.Load() && f.refs.Load() == 1 && o.Unread():
			return body.ErrAbandoned
		}
		if n > 0 {
			idle = 0
		}
	}
	return io.ErrNoProgress
}

// outgrow turns an object that has become too large to store into one that its present readers pass through.
func (f *fill) outgrow(o *body.Object) {
	f.purged.Store(true)
	f.withdraw()
	v := rules.Verdict{Reason: ReasonSize}
	f.store.remember(f.group.key, f.auth, &v, 0, time.Now())
	o.Window(func() bool { return f.refs.Load() > 1 })
}
