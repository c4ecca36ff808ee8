package disk

import (
	"errors"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
)

// file is what a write needs of a file.
type file interface {
	WriteAt(p []byte, off int64) (int, error)
	Close() error
}

// creator makes a new file.
type creator func(dir *os.Root, name string) (file, error)

func createFile(dir *os.Root, name string) (file, error) {
	return dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

var (
	errNoRoom    = errors.New("no room: everything that could go is being read")
	errBroken    = errors.New("the body ended early")
	errCancelled = errors.New("cancelled")
)

// store writes an object, and says what became of it. An error is the disk's.
func (t *Tier) store(f *folder, w *write, stop <-chan struct{}) (string, error) {
	err := t.makeRoom(f, w.name.bytes())
	if err == nil {
		err = t.writeFile(f, w, stop)
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		// The disk is smaller than the ceiling: what goes now takes no more than what comes.
		if err2 := t.evict(f, w.name.bytes()); err2 == nil {
			err = t.writeFile(f, w, stop)
		}
	}
	switch {
	case err == nil:
		t.metrics.written.Add(float64(w.item.Size))
		return writeStored, nil
	case errors.Is(err, errCancelled):
		return writeCancelled, nil
	case errors.Is(err, errBroken):
		return writeBroken, nil
	case errors.Is(err, errNoRoom):
		return writeNoRoom, nil
	}
	return writeTrouble, err
}

// writeFile writes a file under another name, and gives it its own.
func (t *Tier) writeFile(f *folder, w *write, stop <-chan struct{}) error {
	dir, err := t.directory(f, w.name.dir())
	if err != nil {
		return err
	}
	r := w.record()
	r.serial = rand.Uint64() | 1
	temp := temporary + strconv.FormatUint(r.serial, 16)
	out, err := t.create(dir, temp)
	if errors.Is(err, fs.ErrNotExist) { // the directory was removed
		if dir, err = t.directoryAgain(f, w.name.dir()); err == nil {
			out, err = t.create(dir, temp)
		}
	}
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.writing = w.name.bytes()
	t.mu.Unlock()
	p := &pen{tier: t, write: w, rec: r, out: out, stop: stop}
	err = errors.Join(p.all(), out.Close())
	if err == nil {
		err = t.commit(f, w, dir, temp)
	}
	if err != nil {
		_ = dir.Remove(temp) // what stays is removed at the next start
	}
	t.mu.Lock()
	t.writing = 0
	t.mu.Unlock()
	return err
}

func (t *Tier) directory(f *folder, i int) (*os.Root, error) {
	f.dirs[i].mu.Lock()
	defer f.dirs[i].mu.Unlock()
	return f.dir(i)
}

func (t *Tier) directoryAgain(f *folder, i int) (*os.Root, error) {
	f.dirs[i].mu.Lock()
	defer f.dirs[i].mu.Unlock()
	return f.again(i)
}

// commit gives a file its name and takes it into the index.
func (t *Tier) commit(f *folder, w *write, dir *os.Root, temp string) error {
	d := &f.dirs[w.name.dir()]
	d.mu.Lock()
	defer d.mu.Unlock()
	if t.cancelled(w) {
		return errCancelled
	}
	if err := dir.Rename(temp, w.name.String()); err != nil {
		return err
	}
	t.mu.Lock()
	if w.over || t.folder != f {
		t.mu.Unlock()
		_ = t.unlink(f, w.name)
		return errCancelled
	}
	defer t.mu.Unlock()
	if _, there := t.trash[w.name]; there { // the new file has taken its place
		t.recycled(w.name)
	}
	if others := t.index.key(w.name); len(others) >= maxVariants {
		t.drop(others[len(others)-1])
		t.discard(others[len(others)-1])
	}
	t.index.add(w.name)
	t.writing = 0
	return nil
}

func (t *Tier) cancelled(w *write) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return w.over
}

// pen writes one file.
type pen struct {
	tier  *Tier
	write *write
	rec   *record
	out   file
	stop  <-chan struct{}

	table []byte
	sum   uint32
	off   int64 // of the body, so far
}

// all writes the file: body first, head last.
func (p *pen) all() error {
	r := p.rec
	p.table = make([]byte, 0, tableEntry*r.blocks())
	var whole []byte // all of a small file, to be written in one go
	if r.fileSize() <= blockSize {
		buf := p.tier.buffers.Get().(*[blockSize]byte)
		defer p.tier.buffers.Put(buf)
		whole = buf[:r.fileSize()]
	}
	for p.off < r.size {
		b := p.write.item.Body(p.off)
		if len(b) == 0 {
			return errBroken
		}
		b = b[:min(int64(len(b)), r.size-p.off, writeStep)]
		if whole != nil {
			copy(whole[r.bodyAt()+p.off:], b)
		} else if err := p.put(b); err != nil {
			return err
		}
		p.add(b)
	}
	r.tableSum = crc32.Checksum(p.table, castagnoli)
	head := r.appendMeta(r.appendHead(whole[:0]), p.write.item.Meta)
	at := len(head)
	head = append(head, make([]byte, int(r.tableAt())-at)...)
	head = append(head, p.table...)
	if whole != nil {
		head = whole
	}
	_, err := p.out.WriteAt(head, 0)
	return err
}

// put writes a part of the body, unless the object is not wanted any more.
func (p *pen) put(b []byte) error {
	if p.tier.cancelled(p.write) {
		return errCancelled
	}
	select {
	case <-p.stop:
		return errCancelled
	default:
	}
	_, err := p.out.WriteAt(b, p.rec.bodyAt()+p.off)
	return err
}

// add sums up the blocks.
func (p *pen) add(b []byte) {
	for len(b) > 0 {
		n := int(min(int64(len(b)), blockSize-p.off%blockSize))
		p.sum = crc32.Update(p.sum, castagnoli, b[:n])
		p.off += int64(n)
		b = b[n:]
		if p.off%blockSize == 0 || p.off == p.rec.size {
			p.table = appendSum(p.table, p.sum)
			p.sum = 0
		}
	}
}

// update writes metadata over those of a file.
func (t *Tier) update(f *folder, w *write) (string, error) {
	d := &f.dirs[w.name.dir()]
	d.mu.Lock()
	defer d.mu.Unlock()
	t.mu.Lock()
	meta := t.metas[w.version()]
	n, there := t.index.find(w.name)
	t.mu.Unlock()
	if meta == nil {
		return writeCancelled, nil
	}
	done, other, err := false, !there, error(nil)
	if there {
		done, other, err = t.overwrite(f, n, w.item.Stamp, *meta)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	d.updates.Add(1)
	if now := t.metas[w.version()]; now != nil && now != meta && !other { // newer ones have come
		w = &write{item: w.item, name: w.name, meta: true, cost: int64(len(*now))}
		t.queue.push(w)
		return writeCancelled, err
	}
	delete(t.metas, w.version())
	if now, ok := t.index.find(n); !done && !other && ok && now == n { // they do not fit, the file is damaged, or the disk is
		t.drop(n)
		t.discard(n)
	}
	if !done {
		return writeCancelled, err
	}
	return writeUpdated, nil
}

// overwrite writes metadata into a file, and reports whether they are in it; other: the file is another object's. An error is the disk's.
// The directory's lock is held.
func (t *Tier) overwrite(f *folder, n name, stamp uint64, meta []byte) (done, other bool, err error) {
	root := f.dirs[n.dir()].root.Load()
	if root == nil {
		return false, false, nil
	}
	out, size, err := openFile(root, n.String(), os.O_RDWR)
	if err != nil {
		return false, false, nil
	}
	defer out.Close()
	r, _, err := readRecord(out, size, make([]byte, firstRead))
	switch {
	case err != nil || len(meta)+frameSize > r.area:
		return false, false, nil
	case r.stamp != stamp:
		return false, true, nil
	}
	_, err = out.WriteAt(r.appendMeta(nil, meta), r.metaAt())
	return err == nil, false, err
}
