package body

import (
	"context"
	"math"
	"sync/atomic"

	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/cache/rules"
)

// Form is an object in another coding. It belongs to the object: it is found through it and dies with it, so whatever becomes of
// an entry (a purge, another response in its place, eviction) becomes of its forms, and a 304, which keeps the object, keeps them.
//
// The first request for a form begins to make it, in a goroutine that reads the object, which may still grow, and writes a growing
// object. All who ask meanwhile read from that one.
type Form struct {
	base    *Object
	coding  encode.Coding
	object  *Object      // the encoded body; one reference is the base's, one the goroutine's
	kept    atomic.Bool  // its base has it
	pending atomic.Int32 // requests that have found it and do not read yet
	read    int64        // bytes of the base encoded; the goroutine's
}

// forms are those of one object, by coding.
type forms [encode.Count]*Form

// Attach makes b a reader of the form from its start. The caller's reference passes to b.
func (f *Form) Attach(ctx context.Context, b *Reader) {
	f.object.Attach(ctx, b, rules.Span{End: -1})
	f.pending.Add(-1)
	f.object.Moved()
}

// Length is the size of the form if it is known, else -1.
func (f *Form) Length() int64 { return f.object.Length() }

// FormLength is the size of a form that is complete, else -1.
func (o *Object) FormLength(c encode.Coding) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.forms == nil || o.forms[c] == nil {
		return -1
	}
	return o.forms[c].object.Length()
}

// Form finds the object's form in a coding, or begins to make it. The caller holds a reference to o. nil: there is no memory or no
// encoder for it now.
func (o *Object) Form(c encode.Coding) *Form {
	if f := o.findForm(c, nil); f != nil {
		return f
	}
	// Memory is reserved without o's lock: what is evicted for it is looked at with its own.
	if !o.Space.Reserve(formCost + blockSize) {
		return nil
	}
	// The bound of what is encoded is the base's.
	made := &Form{base: o, coding: c, object: New(Options{Space: o.Space, Total: -1, Most: math.MaxInt64, Charge: formCost + blockSize, Base: formCost})}
	made.object.owner = formOwner{o}
	stream := o.Maker.encoders.Start(c)
	ctx, cancel := context.WithCancel(context.Background())
	if stream == nil || !o.Maker.begin(made, cancel) {
		if stream != nil {
			stream.Abort()
		}
		cancel()
		made.object.Release()
		return nil
	}
	made.object.Hold() // the goroutine's
	f := o.findForm(c, made)
	if f != made { // another request was faster
		stream.Abort()
		o.Maker.ended(made)
		made.object.Release()
		made.object.Release()
		return f
	}
	o.Hold()
	in := &Reader{form: made}
	o.Attach(ctx, in, rules.Span{End: -1})
	go f.run(ctx, in, stream)
	return f
}

// formCost is what a form takes beyond its bytes, rounded up.
const formCost = 512

// findForm returns the form that is there, or puts made in its place, which may be nil. What it returns is pending, with a
// reference for the caller.
func (o *Object) findForm(c encode.Coding, made *Form) *Form {
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
	f.object.Hold()
	f.pending.Add(1)
	return f
}

// formOwner tells the owner of the base what becomes of a form.
type formOwner struct{ base *Object }

// Weigh implements Owner. The form itself tells of its weight: see Form.weigh.
func (f formOwner) Weigh() {}

// Broken implements Owner. A form is never on a disk.
func (f formOwner) Broken() {}

// Rest implements Owner.
func (f formOwner) Rest() {
	f.base.mu.Lock()
	owner := f.base.owner
	f.base.mu.Unlock()
	if owner != nil {
		owner.Rest()
	}
}

// AddForm gives a stored object a form that lies in the same memory. Nobody else may have the object yet.
func (o *Object) AddForm(c encode.Coding, data []byte, pinned Pinned) {
	if o.forms == nil {
		o.forms = new(forms)
	}
	f := &Form{base: o, coding: c, object: NewStored(Options{Space: o.Space, Most: math.MaxInt64}, data, pinned)}
	f.object.owner = formOwner{o}
	f.kept.Store(true)
	o.forms[c] = f
}

// Forms has a bit for each coding in which there is a form that is complete.
func (o *Object) Forms() (set uint8) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.forms == nil {
		return 0
	}
	for c, f := range o.forms {
		if f != nil && f.object.done.Load() {
			set |= 1 << c
		}
	}
	return set
}

// Bodies are the bytes of an object that is Done, and of its forms that are complete, by coding; nil where there are none. They must not be
// written to.
func (o *Object) Bodies() (all [encode.Count][]byte) {
	all[encode.Identity] = o.bytes()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.forms == nil {
		return all
	}
	for c, f := range o.forms {
		if f != nil && f.object.done.Load() {
			all[c] = f.object.bytes()
		}
	}
	return all
}

// drop takes the form from its base.
func (f *Form) drop() {
	o := f.base
	o.mu.Lock()
	found := o.forms != nil && o.forms[f.coding] == f
	if found {
		o.forms[f.coding] = nil
		f.kept.Store(false)
	}
	o.mu.Unlock()
	if found {
		f.object.Release()
	}
}

// weigh tells the index that an entry has become larger. An entry that is not in it yet is weighed when it gets there.
func (f *Form) weigh() {
	f.base.mu.Lock()
	owner := f.base.owner
	f.base.mu.Unlock()
	if owner != nil {
		owner.Weigh()
	}
}

// formsCharged is what complete forms take, with mu held. Others may be reserving memory, with their own lock held.
func (o *Object) formsCharged() int64 {
	if o.forms == nil {
		return 0
	}
	n := int64(0)
	for _, f := range o.forms {
		if f != nil && f.object.done.Load() {
			n += f.object.Charged()
		}
	}
	return n
}

// Idle reports whether nobody but the index holds an object or reads its forms, and nobody who could take a reference may run meanwhile.
func (o *Object) Idle() bool {
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

// Codings names the forms that are stored.
func (o *Object) Codings() []string {
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
