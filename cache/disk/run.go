package disk

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"
)

// Run writes what is queued and lists what is stored, until ctx ends. It then goes on to write for five seconds at most, and returns nil;
// what is not written by then is given back. It is called once.
func (t *Tier) Run(ctx context.Context) error {
	limit, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		t.refuse()
		select {
		case <-time.After(drainFor):
			cancel()
		case <-limit.Done():
		}
	})()
	var wg sync.WaitGroup
	wg.Go(func() { t.scan(limit) })
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		t.turn(limit.Done())
		select {
		case <-ctx.Done():
		case <-t.wake:
		case <-tick.C:
			t.look(false)
		}
	}
	t.refuse()
	t.awaitScan(limit)
	t.turn(limit.Done())
	cancel()
	t.mu.Lock()
	left := t.queue.clear()
	t.mu.Unlock()
	finish(left)
	wg.Wait()
	return nil
}

// awaitScan waits until everything is listed, if anything is to be written: nothing is before that.
func (t *Tier) awaitScan(ctx context.Context) {
	for {
		t.mu.Lock()
		wait := t.folder != nil && !t.complete && t.queue.len() > 0
		t.mu.Unlock()
		if !wait {
			return
		}
		select {
		case <-t.wake:
		case <-ctx.Done():
			return
		}
	}
}

// refuse ends Put.
func (t *Tier) refuse() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// turn does what there is to do, until stop is closed.
func (t *Tier) turn(stop <-chan struct{}) {
	for {
		t.mu.Lock()
		cancelled := t.queue.reap()
		f, ready := t.folder, t.complete
		resting := t.failing != nil && time.Now().Before(t.retry)
		t.mu.Unlock()
		finish(cancelled)
		t.metrics.writes.WithLabelValues(writeCancelled).Add(float64(len(cancelled)))
		if f == nil || !ready || resting {
			return
		}
		select {
		case <-stop:
			return
		default:
		}
		err := t.clearTrash(f)
		if err == nil {
			err = t.makeRoom(f, 0)
		}
		if err != nil && !errors.Is(err, errNoRoom) {
			t.fail(err)
			return
		}
		if !t.one(f, stop) {
			return
		}
	}
}

// one does the first write of the queue, and reports whether there was one and the disk is well.
func (t *Tier) one(f *folder, stop <-chan struct{}) bool {
	t.mu.Lock()
	w := t.queue.pop()
	t.mu.Unlock()
	if w == nil {
		return false
	}
	var result string
	var err error
	if w.meta {
		result, err = t.update(f, w)
	} else {
		result, err = t.store(f, w, stop)
	}
	t.mu.Lock()
	t.queue.end()
	t.mu.Unlock()
	finish([]*write{w})
	t.metrics.writes.WithLabelValues(result).Inc()
	if err != nil {
		t.fail(err)
		return false
	}
	if result == writeStored || result == writeUpdated {
		t.recover()
	}
	return true
}

// fail stops writes for a while. What waits is given back: it may be long.
func (t *Tier) fail(err error) {
	moved := errors.Is(err, fs.ErrNotExist)
	t.mu.Lock()
	first := t.failing == nil
	t.failing = err
	t.backoff = min(max(2*t.backoff, firstBackoff), lastBackoff)
	t.retry = time.Now().Add(t.backoff)
	left := t.queue.clear()
	for v := range t.metas {
		t.forget(v.bare)
	}
	clear(t.metas)
	t.mu.Unlock()
	t.metrics.writes.WithLabelValues(writeTrouble).Add(float64(len(left)))
	finish(left)
	if first {
		t.log.Warn("nothing is written to the disk cache: the disk fails", "path", t.path, "error", err)
	}
	if moved {
		t.look(true)
	}
}

// recover ends what fail began.
func (t *Tier) recover() {
	t.mu.Lock()
	failed := t.failing != nil
	t.failing, t.backoff = nil, 0
	t.mu.Unlock()
	if failed {
		t.log.Info("the disk cache is written to again", "path", t.path)
	}
}

// look sees whether the folder is still where it was, and opens it anew if not, or if it must. The writer calls it.
func (t *Tier) look(must bool) {
	t.mu.Lock()
	f := t.folder
	t.mu.Unlock()
	if f != nil {
		if !must && !f.moved(t.path) {
			return
		}
		t.log.Warn("the folder of the disk cache has been moved or removed: it is made anew", "path", t.path)
		t.leaveFolder()
		f.close()
	}
	next, err := openFolder(t.path, t.identity)
	t.mu.Lock()
	first := err != nil && t.failing == nil
	if err == nil {
		t.folder = next
	} else {
		t.failing = err
	}
	t.mu.Unlock()
	if first {
		t.log.Warn("the folder of the disk cache cannot be opened", "path", t.path, "error", err)
	}
	if err == nil {
		select {
		case t.rescan <- struct{}{}:
		default:
		}
	}
}

// leaveFolder forgets everything that is known of the folder.
func (t *Tier) leaveFolder() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for n, l := range t.lives {
		delete(t.lives, n)
		if l.removed = true; l.opens > 0 {
			t.lingering += n.bytes()
		}
	}
	t.folder, t.complete = nil, false
	t.index = newIndex()
	clear(t.trash)
	clear(t.metas)
	t.trashBytes = 0
}
