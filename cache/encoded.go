package cache

import (
	"context"
	"math"
	"slices"
	"sync/atomic"

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
	if !o.store.reserve(o.tenant, formCost+blockSize) {
		return nil
	}
	made := &form{base: o, coding: c, object: newObject(o.store, o.tenant, -1, formCost+blockSize, formCost)}
	made.object.most = math.MaxInt64 // the bound of what is encoded is the base's
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
		e.order().Resize(&e.place, e.object.charged())
		sh.stamp(e.object.tenant)
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
