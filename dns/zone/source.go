package zone

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// stamp tells one state of a file from another.
type stamp struct {
	name       string
	size       int64
	modified   time.Time
	device, id uint64
	hash       [sha256.Size]byte
	young      bool // read so soon after its last change that another one might not show in modified
	absent     bool // could not be read
}

// watched is a file that a zone was read from, as it was when somebody last looked: a file of the same content need not be read again at each
// look because its stamp is another, or is young no more. Safe for concurrent use.
type watched struct{ atomic.Pointer[stamp] }

func watch(s stamp) *watched {
	w := new(watched)
	w.Store(&s)
	return w
}

// unchanged looks whether the file has the same content.
func (w *watched) unchanged(root *os.Root) bool {
	before := w.Load()
	now, same := before.current(root)
	if same && now != *before {
		w.CompareAndSwap(before, &now)
	}
	return same
}

// settle is how far apart two changes of a file may be and carry the same time, on the coarsest file systems.
const settle = 2 * time.Second

// readTries bounds how often a file that changes while it is read is read again.
const readTries = 5

// readStable reads a whole regular file that did not change meanwhile. during, when not nil, is called between the reading and
// the second look; tests change the file there.
func readStable(root *os.Root, name string, during func(string)) ([]byte, stamp, error) {
	for range readTries {
		text, s, err := readOnce(root, name, during)
		if !errors.Is(err, errChanged) {
			return text, s, err
		}
	}
	return nil, stamp{name: name, absent: true}, fmt.Errorf("read %s: %w", name, errChanged)
}

var errChanged = errors.New("file keeps changing while it is read; write a new file and rename it into place")

func readOnce(root *os.Root, name string, during func(string)) (text []byte, s stamp, err error) {
	s = stamp{name: name, absent: true}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe must not hold us
	if err != nil {
		return nil, s, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, s, err
	case !info.Mode().IsRegular():
		return nil, s, fmt.Errorf("open %s: not a regular file", name)
	case info.Size() > maxFile:
		return nil, s, fmt.Errorf("open %s: larger than %d octets", name, maxFile)
	}
	before := stampOf(name, info)
	before.young = time.Since(before.modified) < settle
	text = make([]byte, info.Size()+1) // one more, to see it grow
	n, err := io.ReadFull(f, text)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, s, err
	}
	if during != nil {
		during(name)
	}
	info, err = root.Stat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, s, err
	}
	if err != nil || int64(n) != before.size || !before.same(stampOf(name, info)) {
		return nil, s, errChanged
	}
	before.hash = sha256.Sum256(text[:n])
	return text[:n], before, nil
}

func stampOf(name string, info fs.FileInfo) stamp {
	s := stamp{name: name, size: info.Size(), modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.id = uint64(sys.Dev), sys.Ino
	}
	return s
}

// same compares what the file system says, not the content.
func (s stamp) same(o stamp) bool {
	return s.size == o.size && s.modified.Equal(o.modified) && s.device == o.device && s.id == o.id
}

// current looks whether the file is as it was, reading it only if the file system cannot tell. It returns the stamp to keep.
func (s stamp) current(root *os.Root) (stamp, bool) {
	if s.absent {
		return s, false
	}
	info, err := root.Stat(s.name)
	if err != nil {
		return s, false
	}
	if s.same(stampOf(s.name, info)) && !s.young {
		return s, true
	}
	_, now, err := readStable(root, s.name, nil)
	return now, err == nil && now.hash == s.hash
}
