package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Object is a stored object, open for reading. It stays readable when it is removed or replaced meanwhile. Its methods are safe for
// concurrent use; each holder calls Close once.
type Object struct {
	tier *Tier
	rec  *record
	meta []byte
	live *live
	sums *sums
	refs atomic.Int32

	file     *os.File
	position sync.Mutex // of file; held while it is given away to be sent
}

// Key is the key that the object was stored under.
func (o *Object) Key() Key { return Key{Text: o.rec.key, URL: o.rec.url} }

// Variant is the number that tells apart the objects of one key.
func (o *Object) Variant() uint64 { return o.rec.variant }

// Stamp is the number that the object was stored with.
func (o *Object) Stamp() uint64 { return o.rec.stamp }

// Meta is the metadata, as it was when the object was found. It must not be changed.
func (o *Object) Meta() []byte { return o.meta }

// Size is the length of the body in bytes.
func (o *Object) Size() int64 { return o.rec.size }

// Hold adds a holder. The caller must be one.
func (o *Object) Hold() { o.refs.Add(1) }

// Close ends what Find or Hold began.
func (o *Object) Close() {
	switch n := o.refs.Add(-1); {
	case n == 0:
		_ = o.file.Close()
		o.tier.leave(o.live)
	case n < 0:
		panic("BUG: disk: an object was closed too often")
	}
}

// ReadAt implements io.ReaderAt. No byte is returned that was not checked. An error that matches ErrCorrupt means that the object has
// been removed from the tier.
func (o *Object) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	total := 0
	for total < len(p) && off < o.rec.size {
		n, err := o.readSome(p[total:], off)
		total += n
		off += int64(n)
		if err != nil {
			return total, err
		}
	}
	if total < len(p) {
		return total, io.EOF
	}
	return total, nil
}

// readSome reads within one block.
func (o *Object) readSome(p []byte, off int64) (int, error) {
	i := int(off / blockSize)
	start, length := o.rec.block(i)
	in := int(off - start)
	if len(p) >= length && in == 0 {
		if err := o.check(i, p[:length]); err != nil {
			return 0, err
		}
		return length, nil
	}
	n := min(len(p), length-in)
	if o.sums.trusted(i, time.Now()) {
		if err := readFull(o.file, p[:n], o.rec.bodyAt()+off); err != nil {
			return 0, o.damaged(err)
		}
		return n, nil
	}
	buf := o.tier.buffers.Get().(*[blockSize]byte)
	defer o.tier.buffers.Put(buf)
	if err := o.check(i, buf[:length]); err != nil {
		return 0, err
	}
	return copy(p[:n], buf[in:]), nil
}

// check reads block i into b and checks it. On an error b is cleared.
func (o *Object) check(i int, b []byte) error {
	table, err := o.sums.get(o)
	if err == nil {
		err = o.rec.readBlock(o.file, table, i, b)
	}
	if err != nil {
		clear(b)
		return o.damaged(err)
	}
	o.sums.trust(i, time.Now())
	return nil
}

// damaged removes the object, and returns the error to give to the reader.
func (o *Object) damaged(err error) error {
	o.tier.condemn(o.live.name, o.file, damageOf(err))
	if !errors.Is(err, ErrCorrupt) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return fmt.Errorf("read a stored object: %w", err)
}

// WriteRange writes the bytes of the body from start up to end. A writer that is an io.ReaderFrom is given the file itself, as an
// *io.LimitedReader of an *os.File, for stretches of 32 KiB and more that were checked within the last minute, so that the kernel can send them;
// all other bytes go through memory, and are checked on the way. It returns how many bytes w took. An error that matches ErrCorrupt means that the
// object has been removed, and that what follows was not sent.
func (o *Object) WriteRange(w io.Writer, start, end int64) (total int64, err error) {
	if start < 0 || start > end || end > o.rec.size {
		return 0, fmt.Errorf("no range of %d bytes: %d to %d", o.rec.size, start, end)
	}
	direct, _ := w.(io.ReaderFrom)
	if direct != nil && o.position.TryLock() {
		defer o.position.Unlock()
	} else {
		direct = nil // somebody else is sending
	}
	buf := o.tier.buffers.Get().(*[blockSize]byte)
	defer o.tier.buffers.Put(buf)
	for start < end && err == nil {
		var n int64
		if run := o.sums.run(start, end); direct != nil && run >= sendLeast {
			n, err = o.send(direct, start, run)
		} else {
			n, err = o.copy(w, start, end, buf)
		}
		total += n
		start += n
	}
	return total, err
}

// send gives the file away. o.position is held.
func (o *Object) send(w io.ReaderFrom, start, length int64) (int64, error) {
	if _, err := o.file.Seek(o.rec.bodyAt()+start, io.SeekStart); err != nil {
		return 0, o.damaged(fmt.Errorf("%w: %w", badMedium, err))
	}
	left := io.LimitedReader{R: o.file, N: length}
	n, err := w.ReadFrom(&left)
	switch {
	case errors.Is(err, syscall.EIO):
		err = o.damaged(fmt.Errorf("%w: %w", badMedium, err))
	case err == nil && n < length:
		err = o.damaged(badLength)
	}
	return n, err
}

// copy writes what is asked for of one block.
func (o *Object) copy(w io.Writer, start, end int64, buf *[blockSize]byte) (int64, error) {
	i := int(start / blockSize)
	first, length := o.rec.block(i)
	if err := o.check(i, buf[:length]); err != nil {
		return 0, err
	}
	b := buf[start-first : min(int64(length), end-first)]
	n, err := w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return int64(n), err
}

// sums are the checksums of a file, and which of its blocks were checked of late.
type sums struct {
	serial uint64

	mu      sync.Mutex // guards the fields below
	table   []byte
	checked []uint64  // a bit for each block
	until   time.Time // when none counts as checked any more
}

// get returns the table, reading it if need be.
func (s *sums) get(o *Object) ([]byte, error) {
	s.mu.Lock()
	table := s.table
	s.mu.Unlock()
	if table != nil || o.rec.size == 0 {
		return table, nil
	}
	table, err := o.rec.readTable(o.file)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.table == nil {
		s.table, s.checked = table, make([]uint64, (o.rec.blocks()+63)/64)
	}
	return s.table, nil
}

// trust marks a block as checked.
func (s *sums) trust(i int, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.After(s.until) {
		clear(s.checked)
		s.until = now.Add(trustFor)
	}
	s.checked[i/64] |= 1 << (i % 64)
}

// trusted reports whether a block was checked of late.
func (s *sums) trusted(i int, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has(i) && !now.After(s.until)
}

func (s *sums) has(i int) bool { return i/64 < len(s.checked) && s.checked[i/64]&(1<<(i%64)) != 0 }

// run is how many bytes from start on, up to end, are in blocks that were checked of late.
func (s *sums) run(start, end int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().After(s.until) {
		return 0
	}
	at := start
	for at < end && at-start < sendStep && s.has(int(at/blockSize)) {
		at = min(end, (at/blockSize+1)*blockSize)
	}
	return at - start
}

// appendSum appends the checksum of a block to a table.
func appendSum(table []byte, sum uint32) []byte { return binary.LittleEndian.AppendUint32(table, sum) }
