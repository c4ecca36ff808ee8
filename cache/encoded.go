package cache

import (
	"context"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/cache/rules"
)

// form is an object in another coding. It belongs to the object: it is found through it and dies with it, so whatever becomes of
// an entry (a purge, another response in its place, eviction) becomes of its forms, and a 304, which keeps the object, keeps them.
//
// The first request for a form begins to make it, in a goroutine that reads the object, which may still grow, and writes a growing
// object. All who ask meanwhile read from that one.
type form struct {
	base    *object
	coding  encode.Coding
	object  *object      // the encoded body; one reference is the base's, one the goroutine's
	kept    atomic.Bool  // its base has it
	pending atomic.Int32 // requests that have found it and do not read yet
	read    int64        // bytes of the base encoded; the goroutine's
}

// forms are those of one object, by coding.
type forms [encode.Count]*form

// encode makes a response one of a coding, if it may be and the client wants one, when it is known what the request gets (200,
// 206, 304...). A form that is returned has a reference for the caller, and is pending until it is attached.
func (r *reply) encode(req *Request, w *wish, src source) *form {
	resp := &r.resp
	if encode.Judge(src.head.status, src.head.fields, src.object.length()) != "" {
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
		resp.Length = src.object.formLength(c)
		return nil
	}
	f := src.object.form(c)
	if f == nil {
		return nil // encode.Wrap does it for this response alone
	}
	encode.Rewrite(&resp.Fields, c)
	resp.Length = f.object.length()
	return f
}

// attach makes b a reader of the form from its start. The caller's reference passes to b.
func (f *form) attach(ctx context.Context, b *reader) {
	f.object.attach(ctx, b, rules.Span{End: -1})
	f.pending.Add(-1)
	f.object.moved()
}

// formLength is the size of a form that is complete, else -1.
func (o *object) formLength(c encode.Coding) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.forms == nil || o.forms[c] == nil {
		return -1
	}
	return o.forms[c].object.length()
}

// form finds the object's form in a coding, or begins to make it. The caller holds a reference to o. nil: there is no memory or no
// encoder for it now.
func (o *object) form(c encode.Coding) *form {
	if f := o.findForm(c, nil); f != nil {
		return f
	}
	// Memory is reserved without o's lock: what is evicted for it is looked at with its own.
	if !o.store.reserve(formCost + blockSize) {
		return nil
	}
	made := &form{base: o, coding: c, object: newObject(o.store, -1, formCost+blockSize, formCost)}
	stream := o.store.encoders.Start(c)
	ctx, cancel := context.WithCancel(context.Background())
	if stream == nil || !o.store.begin(made, cancel) {
		if stream != nil {
			stream.Abort()
		}
		cancel()
		made.object.release()
		return nil
	}
	made.object.hold() // the goroutine's
	f := o.findForm(c, made)
	if f != made { // another request was faster
		stream.Abort()
		o.store.ended(made)
		made.object.release()
		made.object.release()
		return f
	}
	o.hold()
	in := &reader{form: made}
	o.attach(ctx, in, rules.Span{End: -1})
	go f.run(ctx, in, stream)
	return f
}

// formCost is what a form takes beyond its bytes, rounded up.
const formCost = 512

// findForm returns the form that is there, or puts made in its place, which may be nil. What it returns is pending, with a
// reference for the caller.
func (o *object) findForm(c encode.Coding, made *form) *form {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.forms == nil {
		if made == nil {
			return nil
		}
		o.forms = new(forms)
	}
	f := o.forms[c]
	if f == nil {
		if f = made; f == nil {
			return nil
		}
		o.forms[c] = f
		f.kept.Store(true)
	}
	f.object.hold()
	f.pending.Add(1)
	return f
}

// begin notes a form that is being made, for Close. It fails when the store is closed.
func (s *Store) begin(f *form, cancel context.CancelFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.forms[f] = cancel
	s.wg.Add(1)
	return true
}

// ended takes a form off the list that begin has put it on.
func (s *Store) ended(f *form) {
	s.mu.Lock()
	cancel := s.forms[f]
	delete(s.forms, f)
	s.mu.Unlock()
	cancel()
	s.wg.Done()
}

// run makes the form: the whole of its goroutine.
func (f *form) run(ctx context.Context, in *reader, stream *encode.Stream) {
	defer f.base.store.ended(f)
	stream.To(writerFunc(func(p []byte) (int, error) { return f.write(ctx, p) }))
	err := f.pump(ctx, in, stream)
	if err == nil {
		err = stream.End()
	} else {
		stream.Abort()
	}
	if err != nil {
		f.drop() // nobody shall find what has no end
	}
	f.object.finish(err)
	if f.object.done.Load() {
		f.weigh()
	}
	_ = in.Close()
	f.object.release()
}

// writerFunc is a function that is an io.Writer.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// pump encodes the base until it ends. What has come is flushed when more is slow to follow.
func (f *form) pump(ctx context.Context, in *reader, stream *encode.Stream) error {
	var due time.Time // of a flush; zero: nothing is held back
	for {
		b, wait, err := f.base.at(in)
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case wait != nil:
			if due, err = f.pause(ctx, wait, due, stream); err != nil {
				return err
			}
			continue
		case f.unwanted():
			return errAbandoned
		}
		if _, err := stream.Write(b); err != nil {
			return err
		}
		in.advance(len(b))
		if f.read += int64(len(b)); f.read > encode.MaxLength {
			f.outgrow()
		}
		if due.IsZero() {
			due = time.Now().Add(encode.FlushDelay)
		}
	}
}

// pause waits for news of the base, until a flush is due. It returns when the next one is.
func (f *form) pause(ctx context.Context, wait <-chan struct{}, due time.Time, stream *encode.Stream) (time.Time, error) {
	var flush <-chan time.Time
	if !due.IsZero() {
		timer := time.NewTimer(time.Until(due))
		defer timer.Stop()
		flush = timer.C
	}
	select {
	case <-wait:
		return due, nil
	case <-ctx.Done():
		return due, ctx.Err()
	case <-flush:
		return time.Time{}, stream.Flush()
	}
}

// write adds encoded bytes to the form.
func (f *form) write(ctx context.Context, p []byte) (int, error) {
	total := 0
	for len(p) > 0 {
		to, err := f.object.tail(ctx)
		if err == errTooLarge {
			f.outgrow()
			continue
		}
		if err != nil {
			return total, err
		}
		n := copy(to, p)
		f.object.grew(n)
		p, total = p[n:], total+n
	}
	return total, nil
}

// outgrow turns a form that has become too large to keep into one that its present readers pass through.
func (f *form) outgrow() {
	if f.object.windowed { // only this goroutine sets it
		return
	}
	f.drop() // from here on nobody finds it
	f.object.window(func() bool { return f.pending.Load() > 0 })
}

// unwanted reports whether nobody reads the form and nobody can any more: it is not to be found, or its base is held by its own
// goroutine alone.
func (f *form) unwanted() bool {
	return f.idle() && (f.base.refs.Load() == 1 || !f.kept.Load())
}

// idle reports whether nobody reads the form just now or is about to: of its references, one is the goroutine's and one the base's.
func (f *form) idle() bool {
	own := int32(1)
	if f.kept.Load() {
		own++
	}
	return f.object.refs.Load() <= own
}

// drop takes the form from its base.
func (f *form) drop() {
	o := f.base
	o.mu.Lock()
	found := o.forms != nil && o.forms[f.coding] == f
	if found {
		o.forms[f.coding] = nil
		f.kept.Store(false)
	}
	o.mu.Unlock()
	if found {
		f.object.release()
	}
}

// weigh tells the index that an entry has become larger. An entry that is not in it yet is weighed when it gets there.
func (f *form) weigh() {
	e := f.base.owner.Load()
	if e == nil {
		return
	}
	sh := e.group.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if slices.Contains(e.group.entries, e) {
		sh.order.Resize(&e.place, e.object.charged())
		sh.stamp()
	}
}

// formsCharged is what complete forms take, with mu held. Others may be reserving memory, with their own lock held.
func (o *object) formsCharged() int64 {
	if o.forms == nil {
		return 0
	}
	n := int64(0)
	for _, f := range o.forms {
		if f != nil && f.object.done.Load() {
			n += f.object.charged()
		}
	}
	return n
}

// idle reports whether nobody but the index holds an object or reads its forms, with the shard's lock held.
func (o *object) idle() bool {
	if o.refs.Load() != 1 {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.forms == nil {
		return true
	}
	for _, f := range o.forms {
		if f != nil && f.object.refs.Load() > 1 {
			return false
		}
	}
	return true
}

// codings names the forms that are stored.
func (o *object) codings() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var names []string
	if o.forms == nil {
		return nil
	}
	for _, f := range o.forms {
		if f != nil && f.object.done.Load() {
			names = append(names, f.coding.String())
		}
	}
	return names
}
