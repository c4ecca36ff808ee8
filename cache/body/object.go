// Package body holds bodies of responses in memory while they come in and afterwards, whole or in another coding, and reads them.
//
//	o := body.New(body.Options{Space: space, Maker: maker, Total: -1, Most: most, Charge: reserved, Base: head})
//	p, err := o.Tail(ctx); n, _ := origin.Read(p); o.Grew(n) ...; o.Finish(nil)      // one writer
//	o.Hold(); o.Attach(ctx, &r, rules.Span{End: -1}); r.WriteTo(w); r.Close()          // any number of readers
//
// Memory is reserved before it is used, from a Space, and given back when nobody can reach it any more. Objects are safe for concurrent use
// except where a method is the writer's alone; a Reader is one goroutine's.
package body

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/meridian-edge/meridian/cache/rules"
)

// Object is a response body in memory, growing or complete, shared by the index and every reader of it. Its blocks are plain
// bytes of a fixed size, so that the collector has little to walk.
//
// Bytes are accounted for as long as somebody can reach them: refs counts the index, the fill and the readers, and the last
// one gives the charge back. An evicted object that is still being read stays valid, and stays counted.
type Object struct {
	Options

	refs atomic.Int32
	done atomic.Bool // complete: blocks and size never change again, and need no lock

	mu sync.Mutex // guards the fields below until done

	blocks  [][]byte             // every one but the last is full
	size    int64                // bytes received
	err     error                // why it will never be complete
	charge  int64                // bytes reserved for it, head and index included
	base    int64                // the part of charge that is not body
	owner   Owner                // nil: it is in no index yet
	held    int64                // what the blocks take
	wake    chan struct{}        // closed when readers have news; nil: nobody waits
	readers map[*Reader]struct{} // attached while growing
	forms   *forms               // in other codings; nil: none. Always with mu
	pinned  Pinned               // what the bytes are in; nil: memory of the object's own. Immutable
	file    File                 // where the bytes are instead of blocks; nil: there are blocks. Immutable

	// A windowed object has outgrown the limit: see makeRoom.
	windowed bool
	dropped  int           // blocks let go of before blocks[0]
	whole    bool          // all bytes have come
	late     func() bool   // whether a reader may still attach that starts at byte 0
	room     chan struct{} // has a token when the writer should look again
}

// Space is the memory that bodies are charged to. It must be safe for concurrent use.
type Space interface {
	// Reserve takes n bytes, making room for them; false: there is none.
	Reserve(n int64) bool
	// Charge takes n bytes unasked, or gives -n back.
	Charge(n int64)
	// MaxObject is the largest body that is stored, in bytes.
	MaxObject() int64
}

// Owner is the place in an index of what an Object is the body of.
type Owner interface {
	// Weigh is called, without locks, when Charged may have changed.
	Weigh()
	// Rest is called, without locks, when nobody but the index may have the object any more, or one of its forms. It must be quick.
	Rest()
	// Broken is called, without locks, when a File turns out not to give what it should.
	Broken()
}

// Pinned is memory of somebody else's that bytes are in. Release is called once nobody looks at them any more.
type Pinned interface{ Release() }

// Options says what an Object is. They do not change.
type Options struct {
	Space  Space
	Maker  *Maker // of forms; nil: there will be none
	Total  int64  // length announced; -1: unknown
	Most   int64  // length up to which it is stored
	Charge int64  // bytes that are reserved already
	Base   int64  // the part of Charge that is not body
}

// New makes an object that the caller holds one reference to.
func New(options Options) *Object {
	o := &Object{Options: options, charge: options.Charge, base: options.Base}
	o.refs.Store(1)
	return o
}

// Done reports whether all of the body is there.
func (o *Object) Done() bool { return o.done.Load() }

// Size is how many bytes have come. It is for the writer, and for anybody once Done.
func (o *Object) Size() int64 { return o.size }

// Charged is what the object takes: what is reserved for it, and its complete forms.
func (o *Object) Charged() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.charge + o.formsCharged()
}

// Unread reports whether nobody reads the growing object, but for forms that nobody reads.
func (o *Object) Unread() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.idleReaders()
}

// idleReaders is Unread with mu held.
func (o *Object) idleReaders() bool {
	for r := range o.readers {
		if r.form == nil || !r.form.idle() {
			return false
		}
	}
	return true
}

// SetOwner says who is to be told what becomes of the object from now on; nil: nobody.
func (o *Object) SetOwner(w Owner) {
	o.mu.Lock()
	o.owner = w
	o.mu.Unlock()
}

// Hold adds a reference. The caller must know that there is one.
func (o *Object) Hold() { o.refs.Add(1) }

// Release drops a reference. It may call the owner's Rest.
func (o *Object) Release() {
	switch o.refs.Add(-1) {
	case 1:
		if o.done.Load() {
			o.mu.Lock()
			owner := o.owner
			o.mu.Unlock()
			if owner != nil {
				owner.Rest()
			}
		}
	case 0:
		o.end()
	}
}

// end gives back what the object takes.
func (o *Object) end() {
	o.mu.Lock()
	charge, encoded := o.charge, o.forms
	o.charge, o.forms = 0, nil
	o.mu.Unlock()
	o.Space.Charge(-charge)
	if o.pinned != nil {
		o.pinned.Release()
	}
	if o.file != nil {
		o.file.Close()
	}
	if encoded != nil {
		for _, f := range encoded {
			if f != nil {
				f.object.Release()
			}
		}
	}
}

// Base is the part of the charge that is not body.
func (o *Object) Base() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.base
}

// bytes is all of an object that is Done; nil: it is empty.
func (o *Object) bytes() []byte {
	if len(o.blocks) == 1 {
		return o.blocks[0]
	}
	var all []byte
	for _, b := range o.blocks {
		all = append(all, b...)
	}
	return all
}

// Length is the body's size if it is known, else -1.
func (o *Object) Length() int64 {
	if o.done.Load() {
		return o.size
	}
	return o.Total
}

// ErrAbandoned ends a fill that can be neither stored nor read by anybody.
var ErrAbandoned = errors.New("nobody is left to read the response")

// Tail returns the free part of the last block, adding a block when it is full. Only the writer calls it.
func (o *Object) Tail(ctx context.Context) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.blocks); n > 0 {
		if last := o.blocks[n-1]; len(last) < cap(last) {
			return last[len(last):cap(last)], nil
		}
	}
	size := o.nextBlock()
	if err := o.makeRoom(ctx, size); err != nil {
		return nil, err
	}
	o.blocks = append(o.blocks, make([]byte, 0, size))
	o.held += allocated(int64(size))
	return o.blocks[len(o.blocks)-1][:size], nil
}

// nextBlock chooses the size of the next block: what is left of a known length, else small first and large afterwards.
func (o *Object) nextBlock() int {
	switch {
	case o.Total >= 0:
		return int(min(o.Total-o.size, blockSize))
	case o.size == 0:
		return firstBlock
	}
	return blockSize
}

// extend reserves until need bytes are covered.
func (o *Object) extend(need int64) bool {
	if need <= o.charge {
		return true
	}
	if need-o.base > o.Space.MaxObject() || o.size >= o.Most || !o.Space.Reserve(need-o.charge) {
		return false
	}
	o.charge = need
	return true
}

// Grew adds n bytes that were written to the slice from tail.
func (o *Object) Grew(n int) {
	if n == 0 {
		return
	}
	o.mu.Lock()
	last := &o.blocks[len(o.blocks)-1]
	*last = (*last)[:len(*last)+n]
	o.size += int64(n)
	o.news()
	o.mu.Unlock()
}

// Finish makes the object complete (nil) or broken, once. The waste of a last block that is far from full is given back.
func (o *Object) Finish(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.news()
	o.err, o.whole = err, err == nil
	if err != nil || o.windowed {
		return
	}
	if n := len(o.blocks); n > 0 {
		last := o.blocks[n-1]
		if cap(last)-len(last) > cap(last)/8 {
			o.held += allocated(int64(len(last))) - allocated(int64(cap(last)))
			o.blocks[n-1] = append(make([]byte, 0, len(last)), last...)
		}
		if len(last) == 0 {
			o.blocks = o.blocks[:n-1]
		}
	}
	surplus := o.charge - o.base - o.held
	o.charge -= surplus
	o.Space.Charge(-surplus)
	o.done.Store(true)
}

// Recharge changes the part of the charge that is not body, and returns by how much the charge has grown.
func (o *Object) Recharge(base int64) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	growth := base - o.base
	o.charge += growth
	o.base = base
	return growth
}

// news wakes the readers, with mu held.
func (o *Object) news() {
	if o.wake != nil {
		close(o.wake)
		o.wake = nil
	}
}

// Attach makes r a reader of bytes [span.Start, span.End); an End below 0 means the end of the body. The caller holds a
// reference, which passes to r.
func (o *Object) Attach(ctx context.Context, r *Reader, span rules.Span) {
	r.object, r.ctx, r.skip, r.left = o, ctx, span.Start, -1
	if span.End >= 0 {
		r.left = span.End - span.Start
	}
	if o.done.Load() {
		return
	}
	o.mu.Lock()
	r.growing = true
	if o.readers == nil {
		o.readers = make(map[*Reader]struct{})
	}
	o.readers[r] = struct{}{}
	o.mu.Unlock()
}

// detach ends r.
func (o *Object) detach(r *Reader) {
	if r.growing {
		o.mu.Lock()
		if delete(o.readers, r); len(o.readers) == 0 {
			o.readers = nil
		}
		o.mu.Unlock()
		o.Moved()
	}
	o.Release()
}

// Moved tells a windowed writer that a reader has gone on or away.
func (o *Object) Moved() {
	o.mu.Lock()
	room := o.room
	o.mu.Unlock()
	select {
	case room <- struct{}{}:
	default:
	}
}

// at returns the bytes at a reader's place. No bytes and a channel: wait for it. io.EOF: the end of a complete body.
func (o *Object) at(r *Reader) ([]byte, <-chan struct{}, error) {
	if o.file != nil {
		b, err := o.readFile(r)
		return b, nil, err
	}
	if o.done.Load() {
		return o.seek(r)
	}
	o.mu.Lock()
	before := r.block
	b, _, err := o.seek(r)
	var wait chan struct{}
	if err == io.EOF && b == nil {
		switch {
		case o.err != nil:
			err = o.err
		case !o.whole:
			if o.wake == nil {
				o.wake = make(chan struct{})
			}
			wait, err = o.wake, nil
		}
	}
	windowed := o.windowed && r.block != before
	o.mu.Unlock()
	if windowed {
		o.Moved()
	}
	return b, wait, err
}

// seek moves r to the first block with bytes it has not read.
func (o *Object) seek(r *Reader) ([]byte, <-chan struct{}, error) {
	for r.block-o.dropped < len(o.blocks) {
		b := o.blocks[r.block-o.dropped]
		if r.skip > 0 {
			n := min(r.skip, int64(len(b)-r.off))
			r.skip -= n
			r.off += int(n)
		}
		if r.off < len(b) {
			return b[r.off:], nil, nil
		}
		if r.block-o.dropped == len(o.blocks)-1 && len(b) < cap(b) {
			break // the block still grows
		}
		r.block, r.off = r.block+1, 0
	}
	return nil, nil, io.EOF
}

// The blocks of a body.
const (
	firstBlock = 4 << 10  // bytes; the first block of a body of unknown length
	blockSize  = 64 << 10 // bytes; every later block
)

// Need is what must be reserved for a body of this length before it comes: all of it when that is known, and a block when it is not (-1).
func Need(total int64) int64 {
	if total < 0 {
		return blockSize
	}
	return total/blockSize*blockSize + allocated(total%blockSize)
}

// allocated is about what the allocator takes for a block of n bytes: it has classes up to 32 KiB, and pages above.
func allocated(n int64) int64 {
	if n <= 32<<10 {
		return n + n/8
	}
	return (n + 8191) &^ 8191
}
