package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// ErrTooManyOpen is returned by Find when as many objects are open as may be.
var ErrTooManyOpen = errors.New("too many stored objects are open")

// live is what is known of a file while it is open and for some time after. Tier.mu guards it, but for sums.
type live struct {
	name    name
	opens   int
	removed bool // no name leads to the file any more, but it takes its place on disk while it is open
	place   int  // in the ring of those not open
	sums    *sums
}

// Has reports whether there is an object of exactly this key. It does no I/O, but for the first touch of a directory, which it lists.
// Rarely it is wrong in saying yes: it goes by the key's hash, and does not know what became of the file.
func (t *Tier) Has(key Key) bool {
	n := nameOf(key, 0)
	f, err := t.listed(n.dir())
	if err != nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.folder == f && t.index.has(n)
}

// Find opens all objects of exactly this key, with their metadata checked. The caller closes each. A file that is damaged, or is not what
// its name says, is removed, counted and not returned. Errors say that the tier could not look (ErrTooManyOpen, or the system's): to the
// caller that is the same as nothing found, and what was found is returned beside them.
func (t *Tier) Find(key Key) ([]*Object, error) {
	if !key.valid() {
		return nil, nil
	}
	n := nameOf(key, 0)
	f, err := t.listed(n.dir())
	if errors.Is(err, errGone) {
		return nil, nil
	}
	if err != nil {
		t.metrics.readErrors.Inc()
		return nil, fmt.Errorf("list directory %s of the disk cache: %w", dirName(n.dir()), err)
	}
	t.mu.Lock()
	if t.folder != f {
		t.mu.Unlock()
		return nil, nil
	}
	names := t.index.key(n)
	t.mu.Unlock()
	var found []*Object
	for _, n := range names {
		o, err := t.open(f, n, true)
		switch {
		case err != nil:
			return found, err
		case o == nil:
		case o.rec.key != key.Text: // another key with the same hash
			o.Close()
		default:
			found = append(found, o)
		}
	}
	return found, nil
}

// open opens the object of a name, and says whether that is a use of it. It returns nil if there is none that can be used.
func (t *Tier) open(f *folder, n name, use bool) (*Object, error) {
	l, err := t.enter(f, n)
	if l == nil || err != nil {
		return nil, err
	}
	dir := &f.dirs[n.dir()]
	for again := true; again; {
		updates := dir.updates.Load()
		var o *Object
		if o, err = t.read(f, n); err != nil {
			again, err = t.unreadable(f, n, err)
			continue
		}
		if t.settle(o, l, func() bool { return dir.updates.Load() == updates }) {
			if use {
				t.use(l)
			}
			return o, nil
		}
		_ = o.file.Close()
	}
	t.leave(l)
	return nil, err
}

// settle makes an object of what was read. It returns false when that must be read again: metadata that are waiting to be written count as
// written, and so do those that were written just now, maybe after the file was read.
func (t *Tier) settle(o *Object, l *live, quiet func() bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m := t.metas[version{l.name.bare(), o.rec.stamp}]; m != nil {
		o.meta = *m
	} else if !quiet() {
		return false
	}
	if l.sums == nil || l.sums.serial != o.rec.serial {
		l.sums = &sums{serial: o.rec.serial}
	}
	o.tier, o.live, o.sums = t, l, l.sums
	o.refs.Store(1)
	return true
}

// use marks a use of an object.
func (t *Tier) use(l *live) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !l.removed {
		t.index.touch(l.name)
	}
}

// unreadable is called when a file could not be opened or read. It may have been changed at that moment, so it is looked at once more with
// its directory locked; again: it can be read now. A file that is damaged is removed. Other errors, such as too many open files, say nothing
// about this one, and are returned.
func (t *Tier) unreadable(f *folder, n name, err error) (again bool, _ error) {
	dir := &f.dirs[n.dir()]
	dir.mu.Lock()
	defer dir.mu.Unlock()
	if spoilt(err) {
		var o *Object
		if o, err = t.read(f, n); err == nil {
			_ = o.file.Close()
			return true, nil
		}
	}
	switch {
	case errors.Is(err, os.ErrClosed):
		return false, nil // the folder has just been replaced
	case !spoilt(err):
		t.metrics.readErrors.Inc()
		return false, fmt.Errorf("open a stored object: %w", err)
	}
	t.mu.Lock()
	now, ok := t.index.find(n)
	if ok = ok && now == n && t.folder == f; ok {
		t.drop(n)
	}
	t.mu.Unlock()
	switch {
	case !ok:
	case errors.Is(err, fs.ErrNotExist):
		t.complain(n, missing)
	default:
		t.complain(n, damageOf(err))
		_ = t.unlink(f, n) // tried again if it fails
	}
	return false, nil
}

// spoilt reports whether an error means that a file is damaged, or not there.
func spoilt(err error) bool { return errors.Is(err, ErrCorrupt) || errors.Is(err, fs.ErrNotExist) }

// read opens a file and reads its head.
func (t *Tier) read(f *folder, n name) (*Object, error) {
	root := f.dirs[n.dir()].root.Load()
	if root == nil {
		return nil, fs.ErrNotExist
	}
	file, size, err := openFile(root, n.String(), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	o := &Object{file: file}
	buf := t.buffers.Get().(*[blockSize]byte)
	defer t.buffers.Put(buf)
	if o.rec, o.meta, err = readRecord(file, size, buf[:]); err == nil {
		is := nameOf(Key{Text: o.rec.key, URL: o.rec.url}, o.rec.variant)
		if is.pages = uint32(pages(size)); is != n {
			err = badIdentity
		}
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return o, nil
}

// enter counts a file as open. It returns nil if the name is not in the index any more.
func (t *Tier) enter(f *folder, n name) (*live, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now, ok := t.index.find(n); !ok || now != n || t.folder != f {
		return nil, nil
	}
	if t.opened >= t.maxOpen {
		t.metrics.tooMany.Inc()
		return nil, ErrTooManyOpen
	}
	t.opened++
	l := t.lives[n]
	if l == nil {
		l = &live{name: n}
		t.lives[n] = l
	}
	l.opens++
	return l, nil
}

// leave ends what enter began. The checksums of the files that were closed last are kept for a while.
func (t *Tier) leave(l *live) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opened--
	if l.opens--; l.opens > 0 {
		return
	}
	if l.removed {
		t.lingering -= l.name.bytes()
		return
	}
	if l.name.bytes() > maxIdleTable*blockSize || l.sums == nil {
		delete(t.lives, l.name)
		return
	}
	if old := t.ring[t.next]; old != nil && old.opens == 0 && old.place == t.next && t.lives[old.name] == old {
		delete(t.lives, old.name)
	}
	l.place = t.next
	t.ring[t.next] = l
	t.next = (t.next + 1) % maxIdle
}

// drop takes a name out of the index. Its file is the caller's to unlink. t.mu is held.
func (t *Tier) drop(n name) {
	t.index.remove(n)
	if l := t.lives[n]; l != nil {
		delete(t.lives, n)
		if l.removed = true; l.opens > 0 {
			t.lingering += n.bytes()
		}
	}
}

// condemn removes a file that turned out to be damaged while it was read, unless another one has its name by now.
func (t *Tier) condemn(n name, file *os.File, why damage) {
	t.mu.Lock()
	f := t.folder
	t.mu.Unlock()
	if f == nil {
		return
	}
	dir := &f.dirs[n.dir()]
	dir.mu.Lock()
	defer dir.mu.Unlock()
	root := dir.root.Load()
	if root == nil {
		return
	}
	mine, err := file.Stat()
	if err != nil {
		return
	}
	named, err := root.Lstat(n.String())
	if err != nil || !os.SameFile(mine, named) {
		return
	}
	t.mu.Lock()
	now, ok := t.index.find(n)
	if ok = ok && now == n && t.folder == f; ok {
		t.drop(n)
	}
	t.mu.Unlock()
	if ok {
		t.complain(n, why)
		_ = t.unlink(f, n) // tried again if it fails
	}
}

// complain counts a damaged file. A disk that goes bad must not fill the log: one line a minute says it.
func (t *Tier) complain(n name, why damage) {
	t.metrics.corrupt.WithLabelValues(string(why)).Inc()
	t.mu.Lock()
	now := time.Now()
	quiet := now.Before(t.complained)
	if !quiet {
		t.complained = now.Add(complainEvery)
	}
	t.mu.Unlock()
	if !quiet {
		t.log.Warn("a damaged file of the disk cache was removed", "file", n.String(), "damage", string(why))
	}
}

// unlink removes a file that is in no index any more; what cannot be removed now is tried again later. The directory's lock is held.
func (t *Tier) unlink(f *folder, n name) error {
	root, err := f.dir(n.dir())
	if err == nil {
		err = root.Remove(n.String())
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) { // the last: somebody made a directory of that name
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.folder == f {
		t.discard(n)
	}
	return err
}

// discard leaves a file to be unlinked by the writer. t.mu is held.
func (t *Tier) discard(n name) {
	if _, there := t.trash[n]; !there {
		t.trash[n] = struct{}{}
		t.trashBytes += n.bytes()
	}
}
