package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"
)

// Put queues an object to be written and never waits. The older object of the same key and variant is not found any more from now on,
// whatever becomes of this one. When Put returns false the body is not taken and Done is not called: the queue is full, the disk fails, or
// the object is larger than the tier can hold. It may be found when it is written, which Put does not wait for.
func (t *Tier) Put(item Item) bool {
	if !item.Key.valid() {
		return false
	}
	w := &write{item: item, name: nameOf(item.Key, item.Variant)}
	fits := item.Size >= 0 && item.Size <= maxBody && len(item.Meta) <= maxMeta
	if fits {
		w.plan()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(w.name)
	defer t.poke()
	refused := ""
	switch {
	case !fits || w.name.bytes() > t.size:
		refused = writeNoRoom
	case t.closed || t.failing != nil && time.Now().Before(t.retry):
		refused = writeTrouble
	case !t.queue.fits(w.cost):
		refused = writeFull
	default:
		t.queue.push(w)
		return true
	}
	t.metrics.writes.WithLabelValues(refused).Inc()
	return false
}

// plan computes the size of the file.
func (w *write) plan() {
	r := w.record()
	w.name.pages = uint32(pages(r.fileSize()))
	w.cost = w.item.Size + int64(len(w.item.Meta))
}

func (w *write) record() *record {
	r := &record{key: w.item.Key.Text, url: w.item.Key.URL, variant: w.item.Variant, stamp: w.item.Stamp, size: w.item.Size}
	r.reserve(len(w.item.Meta))
	return r
}

// forget sees that nothing of a bare name is found from now on. Files are left to the writer. t.mu is held.
func (t *Tier) forget(n name) (found bool) {
	bare := n.bare()
	found = t.queue.cancel(bare)
	for v := range t.metas { // few, or none
		if v.bare == bare {
			delete(t.metas, v)
		}
	}
	if old, ok := t.index.find(bare); ok {
		t.drop(old)
		t.discard(old)
		found = true
	}
	if t.folder != nil {
		t.folder.dirs[bare.dir()].doom(bare)
	}
	return found
}

// doom sees that a file is not taken in by a listing that is still to come. Tier.mu is held.
func (d *directory) doom(bare name) {
	if d.listed.Load() || d.none {
		return
	}
	if d.doomed == nil {
		d.doomed = map[name]struct{}{}
	}
	if d.doomed[bare] = struct{}{}; len(d.doomed) > maxDoomed {
		d.none, d.doomed = true, nil
	}
}

// SetMeta replaces the metadata of the object that has this stamp and never waits: from now on Find returns the new ones. They are written
// over the old ones in the file if they fit; if not, or when the queue is full, the object is removed. Nothing is done when there is no such
// object, or a newer one.
func (t *Tier) SetMeta(key Key, variant, stamp uint64, meta []byte) {
	if !key.valid() {
		return
	}
	bare := nameOf(key, variant)
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.poke()
	if w := t.queue.by[bare]; w != nil {
		if w.item.Stamp == stamp && len(meta) <= maxMeta {
			w.item.Meta = meta
			t.queue.bytes -= w.cost
			w.plan()
			t.queue.bytes += w.cost
		} else if w.item.Stamp == stamp {
			t.forget(bare)
		}
		return
	}
	_, there := t.index.find(bare)
	if w := t.queue.current; w != nil && !w.meta && !w.over && w.name.bare() == bare {
		there = true
	}
	if f := t.folder; !there && (f == nil || f.dirs[bare.dir()].listed.Load()) {
		return
	}
	w := &write{item: Item{Stamp: stamp}, name: bare, meta: true, cost: int64(len(meta))}
	_, waiting := t.metas[w.version()]
	if len(meta) > maxMeta || !waiting && !t.queue.fits(w.cost) {
		t.forget(bare)
		return
	}
	if t.metas[w.version()] = &meta; !waiting {
		t.queue.push(w)
	}
}

func (w *write) version() version { return version{w.name.bare(), w.item.Stamp} }

// Remove removes one object, queued or stored. When it returns the object is not found any more and its file is gone; a file that cannot be
// removed now is never taken in again while the process runs, and removed as soon as it can be. It reports whether there was one.
func (t *Tier) Remove(key Key, variant uint64) bool {
	n, _ := t.remove(key, func(n, of name) bool { return n == of.bare() }, variant)
	return n > 0
}

// RemoveKey removes all objects of a key as Remove does, and returns how many there were.
func (t *Tier) RemoveKey(key Key) int {
	n, _ := t.remove(key, func(n, of name) bool { return n.url == of.url && n.key == of.key }, 0)
	return n
}

// RemoveURL removes all objects of all keys whose URL part is url, as Remove does. It returns how many there were, and their size on disk.
func (t *Tier) RemoveURL(url string) (n int, bytes int64) {
	return t.remove(Key{Text: url, URL: len(url)}, func(n, of name) bool { return n.url == of.url }, 0)
}

// remove removes what matches; all of it is in the directory of the key's URL.
func (t *Tier) remove(key Key, match func(n, of name) bool, variant uint64) (count int, bytes int64) {
	if !key.valid() {
		return 0, 0
	}
	n := nameOf(key, variant)
	f, err := t.listed(n.dir())
	if f == nil {
		return 0, 0
	}
	dir := &f.dirs[n.dir()]
	dir.mu.Lock()
	defer dir.mu.Unlock()
	t.mu.Lock()
	defer t.poke()
	defer func() { t.metrics.removed.Add(float64(count)) }()
	count, bytes = t.queue.cancelAll(func(of name) bool { return match(n, of) })
	for v := range t.metas {
		if match(n, v.bare) {
			delete(t.metas, v)
		}
	}
	var gone []name
	for _, of := range t.index.url(n.url) {
		if match(n, of) {
			t.drop(of)
			gone = append(gone, of)
			bytes += of.bytes()
		}
	}
	count += len(gone)
	for of := range t.trash { // forgotten, but a crash now would bring it back
		if _, again := t.index.find(of); !again && match(n, of) {
			gone = append(gone, of)
		}
	}
	if err != nil && !dir.listed.Load() {
		dir.none, dir.doomed = true, nil // nobody can tell what is there
	}
	t.mu.Unlock()
	for _, of := range gone {
		if t.unlink(f, of) == nil { // else it is tried again
			t.mu.Lock()
			t.recycled(of)
			t.mu.Unlock()
		}
	}
	return count, bytes
}

// Walk visits every object, queued or stored, in no order; visit says whether it is to be removed, and may be called from one goroutine at a
// time only. What is stored while Walk runs may be left out. It reads the head of every file. Directories that cannot be read are left out and
// reported at the end; ctx ends the walk with its error.
func (t *Tier) Walk(ctx context.Context, visit func(key Key, variant uint64, meta []byte, size int64) (remove bool)) error {
	seen := t.walkQueue(visit)
	var errs []error
	for i := range directories {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := t.walkDirectory(ctx, i, seen, visit); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// walkQueue visits what is queued, first: what is written meanwhile would else be in neither place.
func (t *Tier) walkQueue(visit func(Key, uint64, []byte, int64) bool) map[name]bool {
	t.mu.Lock()
	var items []Item
	for _, w := range append([]*write{t.queue.current}, t.queue.list...) {
		if w != nil && !w.meta && !w.over {
			items = append(items, w.item)
		}
	}
	t.mu.Unlock()
	seen := map[name]bool{}
	for _, item := range items {
		if visit(item.Key, item.Variant, item.Meta, item.Size) {
			t.Remove(item.Key, item.Variant)
			continue
		}
		seen[nameOf(item.Key, item.Variant)] = true
	}
	return seen
}

func (t *Tier) walkDirectory(ctx context.Context, i int, seen map[name]bool, visit func(Key, uint64, []byte, int64) bool) error {
	f, err := t.listed(i)
	if err != nil {
		return err
	}
	root := f.dirs[i].root.Load()
	if root == nil {
		return nil
	}
	d, err := root.Open(".")
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, os.ErrClosed) {
			return nil
		}
		return err
	}
	defer d.Close()
	files, err := d.Readdirnames(-1)
	for _, file := range files {
		n, ok := parseName(file)
		if !ok || seen[n.bare()] {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		o, err := t.open(f, n, false)
		if err != nil {
			return err
		}
		if o == nil {
			continue
		}
		remove := visit(o.Key(), o.Variant(), o.Meta(), o.Size())
		key, variant := o.Key(), o.Variant()
		o.Close()
		if remove {
			t.Remove(key, variant)
		}
	}
	return err
}
