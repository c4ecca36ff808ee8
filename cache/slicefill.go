package cache

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/meridian-edge/meridian/cache/reply"
	"github.com/meridian-edge/meridian/cache/slice"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// stream is the body of a response on its way into slices: of a whole, or of a part that is one slice.
type stream struct {
	fill     *fill // whose body it is
	of       *whole
	received time.Time
	window   *slice.Window
}

// slice publishes a response that is kept in slices, and makes slices of the body as it comes. It goes on after each one only if somebody reads.
func (f *fill) slice(ctx context.Context, in arrival, e *entry, a answer) {
	st := &stream{fill: f, received: in.received, of: f.store.whole(f.sent, []byte(f.group.key), f.group.url, e.head, &f.policy)}
	first, to := int64(0), slice.Count(e.head.total)
	if in.total > 0 {
		first, to = f.ask.index, f.ask.index+1
	}
	st.window = slice.NewWindow(first, to, func() bool { return f.refs.Load() > 1 }) // requests that have not taken their answer yet
	f.window = st.window
	e.object.Finish(nil)
	streams, name := &f.store.streams, string(st.of.key)
	streams.Store(name, st.window) // before anybody finds the base
	sh := f.group.shard
	sh.mu.Lock()
	if !f.purged.Load() && e.alive() {
		e.object.Hold()
		if sh.insert(e, f.sent.Fields, f.policy.Pin) {
			e.keep()
		} else {
			e.object.Release()
		}
	}
	sh.mu.Unlock()
	f.publish(a)
	written, err := st.window.Fill(ctx, in.resp.Body, e.head.total, func(i int64, from io.Reader, length int64) (int64, error) {
		return st.copy(ctx, i, from, length)
	})
	streams.CompareAndDelete(name, st.window)
	f.cancel()
	_ = in.resp.Body.Close()
	if in.resp.Done != nil {
		in.resp.Done(written, err)
	}
}

// copy stores a slice. When it is stored already or comes on another way, or there is no memory for it, that is the end: nothing comes twice.
func (st *stream) copy(ctx context.Context, i int64, from io.Reader, length int64) (int64, error) {
	sub, e, ok := st.begin(i, length)
	if st.window.Began(i); !ok {
		return 0, slice.ErrUnwanted
	}
	defer sub.leave()
	err := sub.pump(ctx, from, e.object)
	if err != nil {
		err = httpwire.Truncated(err)
	}
	n := e.object.Size()
	sub.settle(e, err)
	return n, err
}

// begin makes a fill of a slice for others to find, which has answered already. ok is false when there is no need or no memory for it.
func (st *stream) begin(i, length int64) (sub *fill, e *entry, ok bool) {
	f, key, h := st.fill, st.of.sliceKey(i), st.of.sliceHead(st.fill.born, st.received)
	o, _ := f.store.sliceRoom(f.tenant, h.cost(string(key), nil), length)
	if o == nil {
		return nil, nil, false
	}
	sub = &fill{store: f.store, tenant: f.tenant, sent: f.sent, policy: f.policy, auth: f.auth, born: f.born, version: f.version, began: st.received,
		cancel: func() {}, ready: make(chan struct{}), answer: answer{head: h, object: o, shared: true, status: 206}}
	sub.refs.Store(1)
	close(sub.ready)
	sh := f.group.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g := sh.group(key, f.group.url)
	if g.find(nil) != nil || len(g.fills) > 0 {
		o.Release()
		return nil, nil, false
	}
	sub.group = g
	g.fills = append(g.fills, sub)
	return sub, &entry{group: g, tenant: f.tenant, object: o, head: h}, true
}

// fetchSlice is the work of a fill for a slice of a known version.
func (f *fill) fetchSlice(ctx context.Context, origin Origin) {
	in, err := f.fetch(ctx, origin, false)
	w := f.ask.of
	if err == nil {
		if err = w.version.Check(in.resp, in.received, f.ask.index); err != nil {
			reply.Discard(in.resp)
		}
	}
	if err != nil {
		f.store.metrics.fills.WithLabelValues(fillError).Inc()
		f.cancel()
		if errors.Is(err, slice.ErrVersion) {
			w.kill()
		}
		f.publish(answer{err: err, status: in.status, reason: ReasonFailed})
		return
	}
	if f.solo {
		f.hand(in, ReasonMemory)
		return
	}
	span, h := slice.Span(f.ask.index, w.version.Total), w.sliceHead(f.born, in.received)
	o, reason := f.store.sliceRoom(f.tenant, h.cost(f.group.key, nil), span.End-span.Start)
	if o == nil {
		f.hand(in, reason)
		return
	}
	f.publish(answer{head: h, object: o, shared: true, status: in.status})
	f.fill(ctx, in.resp, &entry{group: f.group, tenant: f.tenant, object: o, head: h})
}
