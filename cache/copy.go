package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// fill copies a body into e's object and stores e when all of it has come.
func (f *fill) fill(ctx context.Context, resp *httpwire.Response, e *entry) {
	o, body := e.object, resp.Body
	err := f.pump(ctx, body, o)
	if err != nil {
		err = truncated(err)
	}
	written := o.size
	f.settle(e, err)
	f.cancel()
	if body != nil {
		_ = body.Close()
	}
	if resp.Done != nil {
		resp.Done(written, err)
	}
}

// settle ends a fill: e is stored if it is complete and may be.
func (f *fill) settle(e *entry, err error) {
	sh, result := f.group.shard, fillStored
	sh.mu.Lock()
	e.object.finish(err)
	switch {
	case err != nil:
		result = fillTruncated
	case f.purged.Load() || !e.object.done.Load() || !e.alive():
		result = fillNotStored
	default:
		e.object.hold()
		if !sh.insert(e, f.sent.Fields) {
			e.object.release()
			result = fillNotStored
		}
	}
	f.unlist()
	sh.mu.Unlock()
	f.store.metrics.fills.WithLabelValues(result).Inc()
}

// truncated is the error that readers of a broken body get. It is never io.EOF.
func truncated(err error) error {
	if !errors.Is(err, httpwire.ErrTruncated) {
		err = fmt.Errorf("%w: %w", httpwire.ErrTruncated, err)
	}
	return fault.New(fault.OriginAborted, err)
}

// pump reads body into o until it ends. Only io.EOF at the announced length is a good end.
func (f *fill) pump(ctx context.Context, body io.Reader, o *object) error {
	if body == nil {
		if o.total > 0 {
			return httpwire.ErrTruncated
		}
		return nil
	}
	var probe [1]byte
	for idle := 0; idle < maxIdleReads; idle++ {
		var p []byte
		full := o.total >= 0 && o.size == o.total
		if full {
			p = probe[:]
		} else {
			var err error
			if p, err = o.tail(ctx); errors.Is(err, errTooLarge) {
				f.outgrow(o)
				continue
			} else if err != nil {
				return err
			}
		}
		n, err := body.Read(p)
		if full && n > 0 {
			return errors.New("body is longer than announced")
		}
		o.grew(n)
		switch {
		case err == io.EOF && o.total >= 0 && o.size < o.total:
			return httpwire.ErrTruncated
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case f.purged.Load() && f.refs.Load() == 1 && o.unread():
			return errAbandoned
		}
		if n > 0 {
			idle = 0
		}
	}
	return io.ErrNoProgress
}

// outgrow turns an object that has become too large to store into one that its present readers pass through.
func (f *fill) outgrow(o *object) {
	f.purged.Store(true)
	f.withdraw()
	v := rules.Verdict{Reason: ReasonSize}
	f.store.remember(f.group.key, f.auth, &v, 0, time.Now())
	o.window(func() bool { return f.refs.Load() > 1 })
}

// unread reports whether nobody reads the growing object.
func (o *object) unread() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.idleReaders()
}

// idleReaders reports whether nobody reads the growing object, but for forms that nobody reads, with mu held.
func (o *object) idleReaders() bool {
	for r := range o.readers {
		if r.form == nil || !r.form.idle() {
			return false
		}
	}
	return true
}
