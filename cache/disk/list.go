package disk

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

var errGone = errors.New("the folder is not there")

// listed sees that directory i is listed. It returns the folder even if that fails, and nil if there is none.
func (t *Tier) listed(i int) (*folder, error) {
	t.mu.Lock()
	f := t.folder
	t.mu.Unlock()
	if f == nil {
		return nil, errGone
	}
	d := &f.dirs[i]
	if d.listed.Load() {
		return f, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listed.Load() {
		return f, nil
	}
	return f, t.list(f, i)
}

// list takes the files of a directory into the index. The directory's lock is held.
func (t *Tier) list(f *folder, i int) error {
	root, err := f.dir(i)
	if err != nil {
		return err
	}
	open, err := root.Open(".")
	if err != nil {
		return err
	}
	defer open.Close()
	for err != io.EOF {
		var names []string // os looks at each file to tell its type, which may take the disk a while
		if names, err = open.Readdirnames(listStep); err != nil && err != io.EOF {
			return err
		}
		for _, file := range t.takeIn(f, i, names) {
			_ = root.Remove(file) // not in the index: at worst it takes room until the next start
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.folder != f {
		return errGone
	}
	d := &f.dirs[i]
	d.doomed, d.none = nil, false
	d.listed.Store(true)
	return nil
}

// takeIn adds files to the index. It returns those that are to be removed: what a crash left half written, what is doomed, and two files of one
// object, of which nobody knows the newer. Names that are not ours are left alone. Whether something is a file is seen when it is opened.
func (t *Tier) takeIn(f *folder, i int, names []string) (junk []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.folder != f {
		return nil
	}
	d := &f.dirs[i]
	for _, file := range names {
		if strings.HasPrefix(file, temporary) {
			junk = append(junk, file)
			continue
		}
		n, ours := parseName(file)
		if !ours {
			continue
		}
		_, doomed := d.doomed[n.bare()]
		old, twice := t.index.find(n)
		switch {
		case n.dir() != i:
			t.metrics.corrupt.WithLabelValues(string(badIdentity)).Inc()
			junk = append(junk, file)
		case d.none || doomed:
			junk = append(junk, file)
		case twice && old != n:
			t.drop(old)
			junk = append(junk, file, old.String())
		case !twice:
			t.index.add(n)
		}
	}
	return junk
}

// scan lists all directories, and then removes what was put aside. It goes on until ctx ends, because the folder may be replaced.
func (t *Tier) scan(ctx context.Context) {
	for ctx.Err() == nil {
		again := time.NewTimer(lookEvery)
		if t.scanOnce(ctx) {
			again.Stop()
		}
		select {
		case <-ctx.Done():
		case <-t.rescan:
		case <-again.C:
		}
		again.Stop()
	}
}

// scanOnce reports whether everything is known.
func (t *Tier) scanOnce(ctx context.Context) bool {
	t.mu.Lock()
	f := t.folder
	t.mu.Unlock()
	if f == nil {
		return true // rescan tells when there is another
	}
	start := time.Now()
	for i := range directories {
		if ctx.Err() != nil {
			return false
		}
		if got, err := t.listed(i); err != nil || got != f {
			t.log.Debug("a directory of the disk cache cannot be listed", "directory", dirName(i), "error", err)
			return false
		}
	}
	took := time.Since(start)
	for _, dead := range f.dead {
		if err := removeDead(ctx, f.root, dead); err != nil {
			t.log.Debug("what was put aside cannot be removed", "error", err)
			return false
		}
	}
	t.mu.Lock()
	same := t.folder == f
	t.complete = t.complete || same
	objects, bytes := t.index.len(), t.index.bytes()
	t.mu.Unlock()
	if same {
		t.log.Info("disk cache listed", "objects", objects, "bytes", bytes, "took", took.Round(time.Millisecond).String())
	}
	t.poke()
	return same
}

// removeDead removes a directory with everything in it, a few names at a time so that ctx can end it.
func removeDead(ctx context.Context, root *os.Root, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := root.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return root.Remove(dir)
	}
	in, err := root.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer in.Close()
	for {
		entries, err := someOf(in)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return root.Remove(dir)
		}
		for _, e := range entries {
			if !e.IsDir() {
				err = in.Remove(e.Name())
			} else {
				err = removeDead(ctx, in, e.Name())
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func someOf(root *os.Root) ([]fs.DirEntry, error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(listStep)
	if err == io.EOF {
		err = nil
	}
	return entries, err
}
