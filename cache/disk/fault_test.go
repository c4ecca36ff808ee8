//go:build linux

package disk_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/cache/disk"
)

// broken is a file that fails to be written.
type broken struct {
	disk.WriteFile
	err error
}

func (b broken) WriteAt([]byte, int64) (int, error) { return 0, b.err }

// TestF16FailingDiskStopsWritesAndRecovers: reads go on, writes stop and are tried again after a while, longer each time.
func TestF16FailingDiskStopsWritesAndRecovers(t *testing.T) {
	for _, trouble := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EDQUOT, syscall.EFBIG} {
		bubble(t, func(t *testing.T) {
			var failing atomic.Bool
			tries := 0
			d, err := disk.Open(disk.Options{Path: t.TempDir(), Size: 1 << 30})
			if err != nil {
				t.Fatal(err)
			}
			disk.Intercept(d, func(create func() (disk.WriteFile, error)) (disk.WriteFile, error) {
				tries++
				switch f, err := create(); {
				case err != nil || !failing.Load():
					return f, err
				case trouble == syscall.EROFS:
					f.Close()
					return nil, trouble
				default:
					return broken{f, trouble}, nil
				}
			})
			x := &tier{Tier: d, t: t, settle: synctest.Wait}
			x.run()
			defer x.close()
			for i := range 10 {
				x.put(numbered(10+i), 0, "m", content(1, 1000))
			}
			failing.Store(true)
			tries = 0
			taken, done := 0, 0
			for i := range 5 {
				if x.Put(item(numbered(20+i), 0, "m", content(1, 1000), func() { done++ })) {
					taken++
				}
			}
			synctest.Wait()
			if s := x.Stats(); !errors.Is(s.Failing, trouble) || s.Queued != 0 || done != taken || taken < 1 || tries < 1 || tries > 2 {
				t.Errorf("%v: %+v, taken %d, done %d, tries %d", trouble, s, taken, done, tries)
			}
			if x.Put(item(numbered(3), 0, "m", nil, nil)) {
				t.Error("Put while the disk fails")
			}
			left := 0
			for i := range 10 {
				if x.Has(numbered(10 + i)) {
					x.wants(numbered(10+i), "m", content(1, 1000))
					left++
				}
			}
			if left < 9 { // one may have gone to make room
				t.Errorf("%v: %d objects are left of 10", trouble, left)
			}
			for _, wait := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
				time.Sleep(wait - time.Millisecond)
				if x.Put(item(numbered(3), 0, "m", nil, nil)) {
					t.Errorf("%v: tried again before %v", trouble, wait)
				}
				time.Sleep(time.Millisecond)
				if !x.Put(item(numbered(3), 0, "m", nil, nil)) {
					t.Errorf("%v: not tried again after %v", trouble, wait)
				}
				synctest.Wait()
			}
			failing.Store(false)
			time.Sleep(time.Minute)
			x.put(numbered(4), 0, "m", content(4, 1000))
			x.wants(numbered(4), "m", content(4, 1000))
			if s := x.Stats(); s.Failing != nil {
				t.Error(s.Failing)
			}
		})
	}
}

// TestF16FullDisk fills a real one.
func TestF16FullDisk(t *testing.T) {
	path := t.TempDir()
	const size = 8 << 20
	if err := mountTmpfs(path, size); err != nil {
		t.Skipf("SKIPPED: a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unmount(path); err != nil {
			t.Error(err)
		}
	})
	bubble(t, func(t *testing.T) {
		x := open(t, filepath.Join(path, "cache"), nil) // its ceiling is more than the disk can hold
		for i := range 30 {
			x.put(numbered(i), 0, "m", content(uint64(i), 1<<20))
		}
		x.wants(numbered(29), "m", content(29, 1<<20)) // what went made room
		if s := x.Stats(); s.Failing != nil || s.Objects < 5 {
			t.Errorf("%+v", s)
		}
		for i := range 30 {
			x.RemoveKey(numbered(i))
		}
		x.put(numbered(1), 0, "m", content(1, 4096))
		if err := os.WriteFile(filepath.Join(path, "other"), make([]byte, size), 0o600); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal("the disk is not full:", err)
		}
		x.Put(item(numbered(2), 0, "m", content(2, 1<<20), nil))
		synctest.Wait()
		if s := x.Stats(); !errors.Is(s.Failing, syscall.ENOSPC) {
			t.Errorf("%+v", s)
		}
		x.missing(numbered(2))
		if _, others := files(t, x.path); len(others) > 0 {
			t.Error("left behind:", others)
		}
		if err := os.Remove(filepath.Join(path, "other")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		x.put(numbered(2), 0, "m", content(2, 1<<20))
		x.wants(numbered(2), "m", content(2, 1<<20))
		if s := x.Stats(); s.Failing != nil {
			t.Errorf("%+v", s)
		}
	})
}

// slow is a disk that takes a second for each write.
type slow struct{ disk.WriteFile }

func (s slow) WriteAt(p []byte, off int64) (int, error) {
	time.Sleep(time.Second)
	return s.WriteFile.WriteAt(p, off)
}

// TestF16SlowDiskHoldsNobodyUp: the queue fills, and that is all. Time stands still but for the disk's.
func TestF16SlowDiskHoldsNobodyUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d, err := disk.Open(disk.Options{Path: t.TempDir(), Size: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		disk.Intercept(d, func(create func() (disk.WriteFile, error)) (disk.WriteFile, error) {
			f, err := create()
			return slow{f}, err
		})
		x := &tier{Tier: d, t: t, settle: synctest.Wait}
		x.run()
		defer x.close()
		x.put(numbered(0), 0, "m", content(0, 10))
		start, taken := time.Now(), 0
		for i := range 3000 {
			if x.Put(item(numbered(i), 1, "m", content(1, 10), nil)) {
				taken++
			}
		}
		x.wants(numbered(0), "m", content(0, 10))
		x.RemoveURL("/object/5")
		x.SetMeta(numbered(7), 1, 0, []byte("n"))
		if taken < 1024 || taken > 1025 || time.Since(start) != 0 {
			t.Errorf("%d were taken, in %v", taken, time.Since(start))
		}
		time.Sleep(10*time.Second + time.Millisecond)
		if n := x.Stats().Objects; n < 9 || n > 11 {
			t.Errorf("%d objects after 10 seconds", n)
		}
	})
}

// TestF17FolderIsRemovedOrReplaced: misses, and a new folder.
func TestF17FolderIsRemovedOrReplaced(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"removed":          os.RemoveAll,
		"moved":            func(path string) error { return os.Rename(path, path+"-old") },
		"replaced":         func(path string) error { return errors.Join(os.Rename(path, path+"-old"), os.Mkdir(path, 0o700)) },
		"replaced by file": func(path string) error { return errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o600)) },
		"objects removed":  func(path string) error { return os.RemoveAll(filepath.Join(path, "objects")) },
		"directories removed": func(path string) error {
			dirs, err := filepath.Glob(filepath.Join(path, "objects", "*"))
			for _, d := range dirs {
				err = errors.Join(err, os.RemoveAll(d))
			}
			return err
		},
		"files removed": func(path string) error {
			return filepath.WalkDir(filepath.Join(path, "objects"), func(p string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					err = os.Remove(p)
				}
				return err
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "cache")
				x := open(t, path, nil)
				for i := range 20 {
					x.put(numbered(i), 0, "m", content(uint64(i), 1000))
				}
				held := x.one(numbered(19))
				defer held.Close()
				if err := change(path); err != nil {
					t.Fatal(err)
				}
				for i := range 10 { // at once: whatever happens, no wrong byte and no panic
					if o := x.one(numbered(i)); o != nil {
						o.Close()
					}
					x.Put(item(numbered(i), 0, "m", content(uint64(i), 1000), nil))
					x.Remove(numbered(10+i), 0)
				}
				synctest.Wait()
				if name == "replaced by file" {
					time.Sleep(10 * time.Second)
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(10 * time.Second)
				for i := range 20 {
					if i >= 10 {
						x.missing(numbered(i))
					}
					x.put(numbered(i), 0, "m", content(uint64(i), 1000))
					x.wants(numbered(i), "m", content(uint64(i), 1000))
				}
				p := make([]byte, 1000)
				if n, err := held.ReadAt(p, 0); n != 1000 || err != nil {
					t.Error("an open object:", n, err)
				}
				if objects, _ := files(t, path); len(objects) != 20 {
					t.Errorf("%d files", len(objects))
				}
				if s := x.Stats(); s.Failing != nil || s.Objects != 20 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// TestBodyThatEndsEarlyIsNotStored: nor does it count against the disk.
func TestBodyThatEndsEarlyIsNotStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := open(t, t.TempDir(), nil)
		for _, n := range []int64{100, 200_000} {
			i := item(numbered(1), 0, "m", nil, nil)
			i.Size = n
			i.Body = func(off int64) []byte { return make([]byte, n-off)[:max(0, n-off-10)] }
			x.Put(i)
			synctest.Wait()
			x.missing(numbered(1))
		}
		if objects, others := files(t, x.path); len(objects)+len(others) > 0 || x.Stats().Failing != nil || x.Stats().Bytes != 0 {
			t.Error(objects, others, x.Stats())
		}
	})
}

// TestUnlinkThatFailsIsTriedAgain: what was removed is not found meanwhile.
func TestUnlinkThatFailsIsTriedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := open(t, t.TempDir(), nil)
		x.put(numbered(1), 0, "m", content(1, 1000))
		file := only(t, x.path)
		if err := forbid(filepath.Dir(file), true); err != nil {
			t.Skipf("SKIPPED: a directory cannot be made immutable here: %v", err)
		}
		if !x.Remove(numbered(1), 0) {
			t.Error("not removed")
		}
		synctest.Wait()
		x.missing(numbered(1))
		if s := x.Stats(); s.Failing == nil || s.Bytes != 8192 {
			t.Errorf("%+v", s)
		}
		if err := forbid(filepath.Dir(file), false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if objects, _ := files(t, x.path); len(objects) > 0 || x.Stats().Bytes != 0 {
			t.Error(objects, x.Stats())
		}
	})
}

// Example shows a tier at work.
func Example() {
	path, err := os.MkdirTemp("", "disk")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(path)
	run(path, func(tier *disk.Tier) {
		stored := make(chan struct{})
		body := []byte("hello, world\n")
		tier.Put(disk.Item{
			Key: disk.Key{Text: "https://www.example.org/", URL: 24}, Meta: []byte("200"), Size: int64(len(body)),
			Body: func(off int64) []byte { return body[off:] }, Done: func() { close(stored) },
		})
		<-stored
		objects, err := tier.Find(disk.Key{Text: "https://www.example.org/", URL: 24})
		if err != nil {
			panic(err)
		}
		for _, o := range objects {
			fmt.Printf("%s ", o.Meta())
			_, _ = o.WriteRange(os.Stdout, 7, o.Size())
			o.Close()
		}
	})
	// Output: 200 world
}
