package body

import (
	"context"
	"errors"
)

// makeRoom sees that size more bytes are covered, with mu held. A windowed object keeps within what it has reserved: it drops
// the blocks that every reader has passed, and waits for the slowest reader when that is not enough.
func (o *Object) makeRoom(ctx context.Context, size int) error {
	if !o.windowed {
		if o.Total >= 0 || o.extend(o.base+o.held+allocated(int64(size))) {
			return nil
		}
		return ErrTooLarge
	}
	for {
		o.shrink()
		if o.base+o.held+allocated(int64(size)) <= o.charge {
			return nil
		}
		if o.idleReaders() && !o.late() {
			return ErrAbandoned
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

// ErrTooLarge says that an object has to be windowed to go on.
var ErrTooLarge = errors.New("object is larger than the store allows")

// shrink drops the blocks from the front that every reader has passed.
func (o *Object) shrink() {
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

// Window makes the object one that is only passed through. late tells whether more readers may come that start at byte 0.
func (o *Object) Window(late func() bool) {
	o.mu.Lock()
	o.windowed, o.late, o.room = true, late, make(chan struct{}, 1)
	o.mu.Unlock()
}
