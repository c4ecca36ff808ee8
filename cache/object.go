package cache

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/meridian-edge/meridian/cache/rules"
)

// object is a response body in memory, growing or complete, shared by the index and every reader of it. Its blocks are plain
// bytes of a fixed size, so that the collector has little to walk.
//
// Bytes are accounted for as long as somebody can reach them: refs counts the index, the fill and the readers, and the last
// one gives the charge back. An evicted object that is still being read stays valid, and stays counted.
type object struct {
	store  *Store
	tenant *tenant
	total  int64 // length announced; -1 unknown
	most   int64 // length up to which it is stored
	refs   atomic.Int32
	done   atomic.Bool           // complete: blocks and size never change again, and need no lock
	owner  atomic.Pointer[entry] // in the index; nil: it is not there yet

	mu sync.Mutex // guards the fields below until done

	blocks  [][]byte             // every one but the last is full
	size    int64                // bytes received
	err     error                // why it will never be complete
	charge  int64                // bytes reserved for it, head and index included
	base    int64                // the part of charge that is not body
	held    int64                // what the blocks take
	wake    chan struct{}        // closed when readers have news; nil: nobody waits
	readers map[*reader]struct{} // attached while growing
	forms   *forms               // in other codings; nil: none. Always with mu

	// A windowed object has outgrown the limit: see makeRoom.
	windowed bool
	dropped  int           // blocks let go of before blocks[0]
	whole    bool          // all bytes have come
	late     func() bool   // whether a reader may still attach that starts at byte 0
	room     chan struct{} // has a token when the writer should look again
}

// newObject makes an object that the caller holds one reference to, with charge bytes reserved already, of which base are not body.
func newObject(s *Store, t *tenant, total, charge, base int64) *object {
	o := &object{store: s, tenant: t, total: total, charge: charge, base: base}
	o.refs.Store(1)
	return o
}

// hold adds a reference. The caller must know that there is one.
func (o *object) hold() { o.refs.Add(1) }

// release drops a reference.
func (o *object) release() {
	if o.refs.Add(-1) == 0 {
		o.mu.Lock()
		charge, encoded := o.charge, o.forms
		o.charge, o.forms = 0, nil
		o.mu.Unlock()
		o.store.charge(o.tenant, -charge)
		if encoded != nil {
			for _, f := range encoded {
				if f != nil {
					f.object.release()
				}
			}
		}
	}
}

// length is the body's size if it is known, else -1.
func (o *object) length() int64 {
	if o.done.Load() {
		return o.size
	}
	return o.total
}

// errAbandoned ends a fill that can be neither stored nor read by anybody.
var errAbandoned = errors.New("nobody is left to read the response")

// tail returns the free part of the last block, adding a block when it is full. Only the writer calls it.
func (o *object) tail(ctx context.Context) ([]byte, error) {
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
func (o *object) nextBlock() int {
	switch {
	case o.total >= 0:
		return int(min(o.total-o.size, blockSize))
	case o.size == 0:
		return firstBlock
	}
	return blockSize
}

// makeRoom sees that size more bytes are covered, with mu held. A windowed object keeps within what it has reserved: it drops
// the blocks that every reader has passed, and waits for the slowest reader when that is not enough.
func (o *object) makeRoom(ctx context.Context, size int) error {
	if !o.windowed {
		if o.total >= 0 || o.extend(o.base+o.held+allocated(int64(size))) {
			return nil
		}
		return errTooLarge
	}
	for {
		o.shrink()
		if o.base+o.held+allocated(int64(size)) <= o.charge {
			return nil
		}
		if o.idleReaders() && !o.late() {
			return errAbandoned
		}
		o.mu.Unlock()
		var err error
		select {
		case <-o.room:
		case <-ctx.Done():
			err = ctx.Err()
		}
		o.mu.Lock()
		if err != nil {
			return err
		}
	}
}

// errTooLarge says that an object has to be windowed to go on.
var errTooLarge = errors.New("object is larger than the store allows")

// extend reserves until need bytes are covered.
func (o *object) extend(need int64) bool {
	if need <= o.charge {
		return true
	}
	if need-o.base > o.store.maxObject() || o.size >= o.most || !o.store.reserve(o.tenant, need-o.charge) {
		return false
	}
	o.charge = need
	return true
}

// shrink drops the blocks from the front that every reader has passed.
func (o *object) shrink() {
	if o.late() {
		return
	}
	least := o.dropped + len(o.blocks)
	for r := range o.readers {
		least = min(least, r.block)
	}
	if n := least - o.dropped; n > 0 {
		for _, b := range o.blocks[:n] {
			o.held -= allocated(int64(cap(b)))
		}
		clear(o.blocks[:n])
		o.blocks, o.dropped = o.blocks[n:], least
	}
}

// window makes the object one that is only passed through. late tells whether more readers may come that start at byte 0.
func (o *object) window(late func() bool) {
	o.mu.Lock()
	o.windowed, o.late, o.room = true, late, make(chan struct{}, 1)
	o.mu.Unlock()
}

// grew adds n bytes that were written to the slice from tail.
func (o *object) grew(n int) {
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

// finish makes the object complete (nil) or broken, once. The waste of a last block that is far from full is given back.
func (o *object) finish(err error) {
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
	o.store.charge(o.tenant, -surplus)
	o.done.Store(true)
}

// recharge changes the part of the charge that is not body, and returns by how much the charge has grown.
func (o *object) recharge(base int64) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	growth := base - o.base
	o.charge += growth
	o.base = base
	return growth
}

// news wakes the readers, with mu held.
func (o *object) news() {
	if o.wake != nil {
		close(o.wake)
		o.wake = nil
	}
}

// attach makes r a reader of bytes [span.Start, span.End); an End below 0 means the end of the body. The caller holds a
// reference, which passes to r.
func (o *object) attach(ctx context.Context, r *reader, span rules.Span) {
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
		o.readers = make(map[*reader]struct{})
	}
	o.readers[r] = struct{}{}
	o.mu.Unlock()
}

// detach ends r.
func (o *object) detach(r *reader) {
	if r.growing {
		o.mu.Lock()
		if delete(o.readers, r); len(o.readers) == 0 {
			o.readers = nil
		}
		o.mu.Unlock()
		o.moved()
	}
	o.release()
}

// moved tells a windowed writer that a reader has gone on or away.
func (o *object) moved() {
	o.mu.Lock()
	room := o.room
	o.mu.Unlock()
	select {
	case room <- struct{}{}:
	default:
	}
}

// at returns the bytes at a reader's place. No bytes and a channel: wait for it. io.EOF: the end of a complete body.
func (o *object) at(r *reader) ([]byte, <-chan struct{}, error) {
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
		o.moved()
	}
	return b, wait, err
}

// seek moves r to the first block with bytes it has not read.
func (o *object) seek(r *reader) ([]byte, <-chan struct{}, error) {
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

// allocated is about what the allocator takes for a block of n bytes: it has classes up to 32 KiB, and pages above.
func allocated(n int64) int64 {
	if n <= 32<<10 {
		return n + n/8
	}
	return (n + 8191) &^ 8191
}
