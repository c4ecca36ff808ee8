// Package statefile keeps a text in a file that is always a whole one, whatever stops the machine while it is written.
//
//	f := statefile.File{Dir: dir, Name: "health.json"}
//	err := f.Write(text)
//	text, err := f.Read(64 << 20)
//
// A File is a value; one goroutine at a time may write it.
package statefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// File is a file in a folder that nobody else writes to. Symbolic links do not lead out of the folder.
type File struct {
	Dir  string // made when something is written, for its owner alone
	Name string
}

// ErrForeign is wrapped by errors about what Write cannot have left there.
var ErrForeign = errors.New("not a file of ours")

// Read returns what is in the file. It fails with fs.ErrNotExist when there is none, and wraps ErrForeign when it is not a plain
// file of at most so many bytes.
func (f *File) Read(most int64) ([]byte, error) {
	root, err := os.OpenRoot(f.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Lstat(f.Name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, fmt.Errorf("%w: %s of %d bytes", ErrForeign, info.Mode(), info.Size())
	}
	open, err := root.Open(f.Name)
	if err != nil {
		return nil, err
	}
	defer open.Close()
	return io.ReadAll(io.LimitReader(open, most))
}

// Write replaces the file: what is there is always a whole one, and on the disk before it has the name (fsync, rename, fsync
// of the folder).
func (f *File) Write(text []byte) error {
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(f.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	fresh := f.Name + ".new"
	if err := root.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	made, err := root.OpenFile(fresh, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = made.Write(text)
	if err == nil {
		err = made.Sync()
	}
	if err = errors.Join(err, made.Close()); err != nil {
		return err
	}
	if err := root.Rename(fresh, f.Name); err != nil {
		return err
	}
	folder, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
