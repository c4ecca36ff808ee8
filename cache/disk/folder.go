package disk

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Names in the folder. Objects are in 256 directories under objects.
const (
	lockName    = "lock"
	stateName   = "state"
	objectsName = "objects"
	deadPrefix  = "dead-" // what was under objects once, and is being removed
)

// ErrInUse is returned by Open when another process has the folder.
var ErrInUse = errors.New("in use by another process")

// state is what the folder says of itself.
type state struct {
	Format   int    `json:"format"`
	Identity string `json:"identity"`
}

// folder is the tier's place on disk, opened. When its path leads elsewhere another one takes its place as a whole.
type folder struct {
	root, objects *os.Root
	lock          *os.File
	dirs          [directories]directory
	dead          []string // directories that are to be removed
	closed        atomic.Bool
	dropped       bool // what was there was of another identity
}

// directory is one of the 256.
type directory struct {
	mu   sync.Mutex // held while a name in it changes
	root atomic.Pointer[os.Root]

	listed  atomic.Bool   // all of its files are in the index. Set with Tier.mu held
	updates atomic.Uint64 // how often metadata were written in place. Changed with Tier.mu held, before they stop waiting

	doomed map[name]struct{} // bare names that must not be taken in; guarded by Tier.mu
	none   bool              // nothing may be taken in; guarded by Tier.mu
}

// openFolder makes the folder if need be, locks it, and puts everything in it aside if it was written under another identity.
func openFolder(path, identity string) (_ *folder, err error) {
	if err = os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	f := &folder{}
	if f.root, err = os.OpenRoot(path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if err = f.takeLock(path); err != nil {
		return nil, err
	}
	want := state{Format: format, Identity: identity}
	if f.readState() != want {
		if err = f.setAside(); err != nil {
			return nil, err
		}
	}
	if f.objects, err = openDir(f.root, objectsName); err != nil {
		return nil, err
	}
	if f.readState() != want {
		if err = f.writeState(want); err != nil {
			return nil, err
		}
	}
	return f, f.findDead()
}

// takeLock sees that no other process uses the folder. The lock ends with the process.
func (f *folder) takeLock(path string) (err error) {
	f.lock, err = f.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	if err = lockFile(f.lock); errors.Is(err, ErrInUse) {
		return fmt.Errorf("folder %s is %w: stop that one, or give each a folder of its own", path, err)
	}
	return err
}

// readState returns the zero state if there is none that can be read.
func (f *folder) readState() state {
	text, err := f.root.ReadFile(stateName)
	var s state
	if err != nil || json.Unmarshal(text, &s) != nil {
		return state{}
	}
	return s
}

// writeState makes the state durable.
func (f *folder) writeState(s state) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	next := stateName + ".new"
	_ = f.root.Remove(next)
	file, err := f.root.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = file.Write(append(text, '\n')); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err = f.root.Rename(next, stateName); err != nil {
		return err
	}
	return f.sync()
}

// sync makes names in the folder durable.
func (f *folder) sync() error {
	d, err := f.root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// setAside renames what is stored, in one step however much it is; it is removed later. The new state is written after that.
func (f *folder) setAside() error {
	err := f.root.Rename(objectsName, deadPrefix+rand.Text())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f.dropped = true
	return errors.Join(err, f.sync())
}

// findDead lists what setAside has left, this time or an earlier one.
func (f *folder) findDead() error {
	d, err := f.root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	for _, n := range names {
		if strings.HasPrefix(n, deadPrefix) {
			f.dead = append(f.dead, n)
		}
	}
	return err
}

// moved reports whether path does not lead to this folder any more.
func (f *folder) moved(path string) bool {
	there, err := os.Stat(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
	}
	here, err := f.root.Stat(".")
	if err != nil || !os.SameFile(here, there) {
		return true
	}
	locked, err := f.lock.Stat()
	if err != nil {
		return true
	}
	named, err := f.root.Lstat(lockName) // a second process could lock a new file
	return err != nil || !os.SameFile(locked, named)
}

// dir opens directory i, or makes it. It is called with the directory's lock held.
func (f *folder) dir(i int) (*os.Root, error) {
	d := &f.dirs[i]
	if r := d.root.Load(); r != nil {
		return r, nil
	}
	if f.closed.Load() {
		return nil, os.ErrClosed
	}
	r, err := openDir(f.objects, dirName(i))
	if err != nil {
		return nil, err
	}
	d.root.Store(r)
	return r, nil
}

// again opens directory i anew after it was removed. It is called with the directory's lock held.
func (f *folder) again(i int) (*os.Root, error) {
	if r := f.dirs[i].root.Swap(nil); r != nil {
		_ = r.Close()
	}
	return f.dir(i)
}

// close gives everything up, the lock too.
func (f *folder) close() {
	f.closed.Store(true)
	for i := range f.dirs {
		f.dirs[i].mu.Lock()
		if r := f.dirs[i].root.Swap(nil); r != nil {
			_ = r.Close()
		}
		f.dirs[i].mu.Unlock()
	}
	if f.objects != nil {
		_ = f.objects.Close()
	}
	if f.lock != nil {
		_ = f.lock.Close()
	}
	_ = f.root.Close()
}

// openDir opens a directory in another, and makes it if it is not there. A link, or anything else of that name, is removed: os.Root
// would follow links as long as they lead to a place inside.
func openDir(parent *os.Root, dir string) (*os.Root, error) {
	info, err := parent.Lstat(dir)
	if err == nil && !info.IsDir() {
		if err = parent.Remove(dir); err == nil {
			err = fs.ErrNotExist
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err = parent.Mkdir(dir, 0o700); err == nil {
			info, err = parent.Lstat(dir)
		}
	}
	if err != nil {
		return nil, err
	}
	r, err := parent.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if opened, err := r.Stat("."); err != nil || !os.SameFile(info, opened) {
		_ = r.Close()
		return nil, fmt.Errorf("open directory %s: %w", filepath.Join(parent.Name(), dir), badDirectory)
	}
	return r, nil
}

// openFile opens an object's file and returns its size. What is not a regular file with one name is badIdentity: os.Root follows
// links to places inside, so what was opened is compared with what the name stands for.
func openFile(dir *os.Root, file string, flag int) (*os.File, int64, error) {
	named, err := dir.Lstat(file)
	if err != nil {
		return nil, 0, err
	}
	if !named.Mode().IsRegular() || links(named) != 1 {
		return nil, 0, badIdentity
	}
	f, err := dir.OpenFile(file, flag|syscall.O_NONBLOCK, 0) // a pipe that takes its place must not make us wait
	if err != nil {
		return nil, 0, err
	}
	opened, err := f.Stat()
	if err == nil && !os.SameFile(opened, named) {
		err = badIdentity
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, opened.Size(), nil
}
