package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/key"
	"github.com/meridian-edge/meridian/cache/reply"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/cache/slice"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// whole is a response that is kept in slices, and the way in which one request gets those that are missing. It is immutable, and a
// slice.Source.
type whole struct {
	store     *Store
	site      string
	tenant    *tenant
	tags      []string
	version   slice.Version
	key       []byte // of the slices, but for their numbers
	base, url int    // lengths of the parts of key that are the base's key and its URL's
	sent      httpwire.Head
	policy    config.CachePolicy
	auth      bool
	origin    Origin
}

// whole makes one. The head sent is detached, and what a fill for the request sends.
func (s *Store) whole(sent httpwire.Head, base []byte, url int, h *head, policy *config.CachePolicy) *whole {
	w := &whole{store: s, tags: h.tags, version: slice.NewVersion(h.fields, h.fresh.Received, h.total), base: len(base), url: url,
		sent: sent, policy: *policy, auth: sent.Fields.Has(httpwire.Authorization)}
	var variant rules.Variant
	if !rules.CloudFront(policy) {
		variant = rules.NewVariant(sent.Fields, h.fields)
	}
	w.key = key.AppendPart(key.AppendPart(bytes.Clone(base), "slices"), w.version.Text(variant, h.tags))
	return w
}

// sliceKey is the key of a slice.
func (w *whole) sliceKey(index int64) []byte {
	return key.AppendPart(key.AppendPart(w.key[:len(w.key):len(w.key)], "slice"), strconv.FormatInt(index, 10))
}

// sliceHead is what is stored with a slice: what purges and the order of arrival go by.
func (w *whole) sliceHead(born uint64, received time.Time) *head {
	return &head{status: 206, fresh: rules.Freshness{Received: received}, born: born, tags: w.tags}
}

// kill takes the base out: the origin has another version.
func (w *whole) kill() {
	sh := w.store.shard(w.key[:w.url])
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g := sh.groups[string(w.key[:w.base])]
	if g == nil {
		return
	}
	for _, e := range slices.Clone(g.entries) {
		if e.head.total > 0 && slice.NewVersion(e.head.fields, e.head.fresh.Received, e.head.total) == w.version {
			e.dead.Store(true)
			sh.remove(e)
		}
	}
	sh.tidy(g)
}

// answer is respond for what may be kept in slices. Of that the first slice that is wanted is waited for. When it cannot be had, nothing has
// been sent: errAgain says that the origin has another version, and the base is gone.
func (s *Store) answer(ctx context.Context, result Result, req *Request, w *wish, src source) (*httpwire.Response, Result, error) {
	if src.head.total == 0 {
		resp := s.respond(ctx, &result, req, w, src)
		return resp, result, nil
	}
	keyed := req.keyed()
	k, url := keyed.Append(nil)
	of := s.whole(keyed.Fetch(), k, url, src.head, req.Policy)
	of.site, of.tenant, of.origin = strings.Clone(req.Site), s.memory.Of(req.Site), w.origin
	var first *slice.Body
	from := src.reply()
	from.Total = of.version.Total
	from.Open = func(part rules.Span, done func()) io.ReadCloser {
		b := slice.NewBody(ctx, of, of.version.Total, part, done)
		if first == nil {
			first = b
		}
		return b
	}
	resp := s.reply(ctx, &result, req, w, &from)
	if first == nil {
		return resp, result, nil
	}
	found, err := first.Begin()
	if err == nil {
		if t := found.(*slot); result.Outcome == Hit && !t.stored {
			result.Outcome, result.partial, result.FwdStatus = Miss, true, 206
			result.Stored, result.Collapsed = t.direct == nil, !t.own
		}
		return resp, result, nil
	}
	_ = resp.Body.Close()
	result.Release()
	switch {
	case errors.Is(err, slice.ErrVersion):
		err = errAgain
	case errors.Is(err, slice.ErrRefused): // the origin may say so itself
		return s.pass(ctx, req, w.origin, Result{Outcome: Miss, Reason: ReasonRange, Key: result.Key})
	}
	return nil, result, err
}

// Window implements slice.Source.
func (w *whole) Window() *slice.Window {
	found, _ := w.store.streams.Load(string(w.key))
	window, _ := found.(*slice.Window)
	return window
}

// Find implements slice.Source.
func (w *whole) Find(ctx context.Context, index int64) slice.Slot { return w.find(ctx, index, false) }

// slot is one slice on its way to a body. It has one of object, fill, coming, direct and err.
type slot struct {
	of     *whole
	index  int64
	object *body.Object       // with a reference
	fill   *fill              // that is to answer, with a reference
	coming <-chan struct{}    // closed when it is worth looking again
	direct *httpwire.Response // nobody else's, for lack of memory
	err    error
	own    bool // fill was begun for this body
	stored bool // object was complete when it was found
}

// find returns a slice as it is: stored, growing or coming, or begins to fetch it. alone: it is fetched for this body, whatever there is.
func (w *whole) find(ctx context.Context, index int64, alone bool) *slot {
	t, k, window := &slot{of: w, index: index}, w.sliceKey(index), w.Window()
	w.store.recall(ctx, &Request{Site: w.site, Head: &w.sent, Policy: &w.policy}, k, w.url)
	sh := w.store.shard(k[:w.url])
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if g := sh.groups[string(k)]; g != nil && !alone {
		if e := g.find(nil); e != nil {
			e.touch(w.policy.Pin)
			e.object.Hold()
			t.object, t.stored = e.object, true
			return t
		}
		for _, f := range slices.Backward(g.fills) {
			if !f.solo && !f.outdated() && (f.auth == w.auth || f.published()) {
				f.refs.Add(1)
				t.fill = f
				return t
			}
		}
	}
	if window != nil && !alone {
		if t.coming = window.Coming(index); t.coming != nil {
			return t
		}
	}
	f := &fill{store: w.store, group: sh.group(k, w.url), tenant: w.tenant, sent: w.sent, policy: w.policy, auth: w.auth, solo: alone,
		ask: &ask{index: index, of: w}, ready: make(chan struct{}), began: time.Now()}
	f, run := f.enlist(ctx)
	if f == nil {
		t.err = slice.ErrRefused // the store is closed
		return t
	}
	f.start(run, w.origin)
	t.fill, t.own = f, true
	return t
}

// Open implements slice.Slot.
func (t *slot) Open(ctx context.Context, part rules.Span) (io.ReadCloser, error) {
	if err := t.wait(ctx); err != nil {
		t.Drop()
		return nil, err
	}
	if t.object != nil {
		r := new(body.Reader)
		t.object.Attach(ctx, r, part)
		return r, nil
	}
	reply.Own(ctx, t.direct, t.fill.cancel)
	return slice.Part(t.direct, part)
}

// wait waits until a slot has an object or a response of its own.
func (t *slot) wait(ctx context.Context) error {
	for t.object == nil && t.direct == nil {
		switch {
		case t.err != nil:
			return t.err
		case t.coming != nil:
			select {
			case <-t.coming:
				*t = *t.of.find(ctx, t.index, false)
			case <-ctx.Done():
				return fault.New(fault.ClientGone, context.Cause(ctx))
			}
		default:
			if err := t.fill.wait(ctx, -1); err != nil {
				return err
			}
			t.receive(ctx)
		}
	}
	return nil
}

// receive takes the answer of a slot's fill.
func (t *slot) receive(ctx context.Context) {
	f, a := t.fill, &t.fill.answer
	defer f.leave()
	switch {
	case a.object != nil && (t.own || !f.outdated()):
		a.object.Hold()
		t.object = a.object
	case a.err != nil:
		t.err = a.err
	case t.own && a.object == nil:
		f.mu.Lock()
		t.direct, f.direct = f.direct, nil
		f.mu.Unlock()
		return
	default: // purged meanwhile, or for one alone
		*t = *t.of.find(ctx, t.index, a.object == nil)
		return
	}
	t.fill = nil
}

// Drop implements slice.Slot. A fetch goes on, to the end of its slice.
func (t *slot) Drop() {
	switch {
	case t.object != nil:
		t.object.Release()
	case t.direct != nil:
		t.fill.cancel()
		reply.Discard(t.direct)
	case t.fill != nil:
		if t.own {
			t.fill.abandon()
		}
		t.fill.leave()
	}
}
