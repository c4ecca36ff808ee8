package disk_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/cache/disk"
)

func TestObjectsSurviveARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a", "b")
		sizes := []int{0, 1, 4095, 4096, 50_000, 65_535, 65_536, 65_537, 200_000, 1 << 20}
		x := open(t, path, nil)
		for i, n := range sizes {
			x.put(numbered(i), 7, "meta", content(uint64(i), n))
		}
		before := x.Stats()
		x.close()
		x = open(t, path, nil)
		for i, n := range sizes {
			if !x.Has(numbered(i)) {
				t.Errorf("Has: %d is missing", i)
			}
			x.wants(numbered(i), "meta", content(uint64(i), n))
		}
		if after := x.Stats(); after.Bytes != before.Bytes || after.Objects != len(sizes) || !after.Complete || after.Listed != 256 {
			t.Errorf("before %+v\nafter %+v", before, after)
		}
		if x.Has(numbered(99)) {
			t.Error("Has: 99 is there")
		}
		x.missing(numbered(99))
	})
}

func TestFolderAndFilesAreTheOwnersAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "cache")
		x := open(t, path, nil)
		x.put(numbered(1), 0, "m", content(1, 10))
		for name, want := range map[string]os.FileMode{path: 0o700, only(t, path): 0o600, filepath.Dir(only(t, path)): 0o700} {
			info, err := os.Stat(name)
			if err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, want)
			}
		}
	})
}

func TestVariantsAndKeysOfAURL(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := open(t, t.TempDir(), nil)
		x.put(key("/a", "+br"), 1, "1", content(1, 10))
		x.put(key("/a", "+br"), 2, "2", content(2, 20))
		x.put(key("/a", "+gzip"), 1, "3", content(3, 30))
		x.put(key("/b", ""), 1, "4", content(4, 40))
		found, err := x.Find(key("/a", "+br"))
		if err != nil || len(found) != 2 {
			t.Fatal(len(found), err)
		}
		slices.SortFunc(found, func(a, b *disk.Object) int { return int(a.Variant()) - int(b.Variant()) })
		for i, o := range found {
			if o.Variant() != uint64(i+1) || o.Size() != int64(10*(i+1)) || o.Key().URL != 2 {
				t.Errorf("variant %d: %d bytes", o.Variant(), o.Size())
			}
			o.Close()
		}
		if !x.Remove(key("/a", "+br"), 2) || x.Remove(key("/a", "+br"), 2) {
			t.Error("Remove does not tell what it did")
		}
		x.wants(key("/a", "+br"), "1", content(1, 10))
		if n := x.RemoveKey(key("/a", "+gzip")); n != 1 {
			t.Error("RemoveKey:", n)
		}
		x.missing(key("/a", "+gzip"))
		x.put(key("/a", "+gzip"), 9, "5", content(5, 30))
		if n, bytes := x.RemoveURL("/a"); n != 2 || bytes != 2*8192 {
			t.Error("RemoveURL:", n, bytes)
		}
		x.missing(key("/a", "+br"))
		x.missing(key("/a", "+gzip"))
		x.wants(key("/b", ""), "4", content(4, 40))
		if objects, _ := files(t, x.path); len(objects) != 1 || x.Stats().Bytes != 8192 {
			t.Error(objects, x.Stats())
		}
	})
}

func TestANewerObjectReplacesTheOlderAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := open(t, t.TempDir(), nil)
		k := numbered(1)
		for i, n := range []int{10, 10, 100_000, 5} { // the name of the file changes with its size
			x.put(k, 1, "meta", content(uint64(i), n))
			x.wants(k, "meta", content(uint64(i), n))
		}
		old := x.one(k)
		// From the moment Put is called, even if it is refused: the bubble's other goroutines have not moved yet.
		if x.Put(item(k, 1, "", make([]byte, 1), nil)); x.Has(k) {
			t.Error("the older one is found")
		}
		synctest.Wait()
		if !x.Has(k) {
			t.Error("the newer one is not found")
		}
		got := make([]byte, 5)
		if _, err := old.ReadAt(got, 0); err != nil || !bytes.Equal(got, content(3, 5)) {
			t.Error("an open object cannot be read to its end:", err)
		}
		old.Close()
		if objects, others := files(t, x.path); len(objects) != 1 || len(others) != 0 {
			t.Error(objects, others)
		}
	})
}

func TestPutRefusedForgetsTheOlder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := open(t, t.TempDir(), func(o *disk.Options) { o.Size = 1 << 20 })
		x.put(numbered(1), 1, "", content(1, 10))
		if x.Put(item(numbered(1), 1, "", make([]byte, 2<<20), func() { t.Error("Done of what was refused") })) {
			t.Error("an object larger than the tier was taken")
		}
		x.missing(numbered(1))
		synctest.Wait()
		if objects, _ := files(t, x.path); len(objects) != 0 {
			t.Error(objects)
		}
	})
}

// TestPutBeforeListing: the older object is on disk, in a directory nobody has looked at yet.
func TestPutBeforeListing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		path := t.TempDir()
		x := open(t, path, nil)
		for i := range 20 {
			x.put(numbered(i), 1, "old", content(1, 10))
		}
		x.close()
		d, err := disk.Open(disk.Options{Path: path, Size: 1 << 20, Identity: "a"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if i%2 == 0 {
				d.Put(item(numbered(i), 1, "new", content(2, 100), nil))
			} else {
				d.Put(item(numbered(i), 1, "", make([]byte, 2<<20), nil)) // refused
			}
		}
		x = &tier{Tier: d, t: t, path: path, settle: synctest.Wait}
		for i := range 10 {
			x.missing(numbered(i)) // not written yet: Run was not called
		}
		x.run()
		defer x.close()
		for i := range 20 {
			switch {
			case i >= 10:
				x.wants(numbered(i), "old", content(1, 10))
			case i%2 == 0:
				x.wants(numbered(i), "new", content(2, 100))
			default:
				x.missing(numbered(i))
			}
		}
	})
}

func TestMetadataInPlace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		path := t.TempDir()
		x := open(t, path, nil)
		k, body := numbered(1), content(1, 100_000)
		x.put(k, 1, "first", body)
		before, err := os.Stat(only(t, path))
		if err != nil {
			t.Fatal(err)
		}
		x.SetMeta(k, 1, 0, []byte("second, and longer"))
		x.wants(k, "second, and longer", body) // before it is written
		synctest.Wait()
		x.wants(k, "second, and longer", body)
		after, err := os.Stat(only(t, path))
		if err != nil || !os.SameFile(before, after) {
			t.Error("the file was written anew:", err)
		}
		x.SetMeta(k, 1, 0, []byte("third"))
		x.SetMeta(k, 1, 0, []byte("fourth"))
		x.SetMeta(k, 2, 0, []byte("no such variant"))
		synctest.Wait()
		x.close()
		x = open(t, path, nil)
		x.wants(k, "fourth", body)
		x.SetMeta(k, 1, 0, bytes.Repeat([]byte("x"), 10_000)) // more than there is room for
		synctest.Wait()
		x.missing(k)
		if objects, _ := files(t, path); len(objects) != 0 {
			t.Error(objects)
		}
	})
}

// TestMetadataOfAnOlderObject come late: the object they are about has been replaced.
func TestMetadataOfAnOlderObject(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := open(t, t.TempDir(), nil)
		newer := item(numbered(1), 1, "newer", content(2, 10), nil)
		newer.Stamp = 7
		x.put(numbered(1), 1, "older", content(1, 10))
		x.Put(newer)
		x.SetMeta(numbered(1), 1, 0, []byte("queued"))
		synctest.Wait()
		x.wants(numbered(1), "newer", content(2, 10))
		x.SetMeta(numbered(1), 1, 0, []byte("stored"))
		x.wants(numbered(1), "newer", content(2, 10))
		synctest.Wait()
		x.wants(numbered(1), "newer", content(2, 10))
		x.SetMeta(numbered(1), 1, 7, []byte("newest"))
		x.wants(numbered(1), "newest", content(2, 10))
		synctest.Wait()
		x.wants(numbered(1), "newest", content(2, 10))
		if s := x.Stats(); s.QueueBytes != 0 || s.Queued != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestMetadataOfAQueuedObject(t *testing.T) {
	bubble(t, func(t *testing.T) {
		path := t.TempDir()
		d, err := disk.Open(disk.Options{Path: path, Size: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		d.Put(item(numbered(1), 1, "first", content(1, 10), nil))
		d.SetMeta(numbered(1), 1, 0, []byte(strings.Repeat("second", 1000)))
		x := &tier{Tier: d, t: t, path: path, settle: synctest.Wait}
		x.run()
		defer x.close()
		x.wants(numbered(1), strings.Repeat("second", 1000), content(1, 10))
		if s := x.Stats(); s.QueueBytes != 0 || s.Bytes != 12288 {
			t.Errorf("%+v", s)
		}
	})
}

func TestRemoveCancelsQueuedWrites(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := open(t, t.TempDir(), nil)
		done := 0
		for i := range 10 {
			x.Put(item(key("/u", string(rune('a'+i))), 1, "", content(1, 10), func() { done++ }))
		}
		n, _ := x.RemoveURL("/u")
		synctest.Wait()
		if n != 10 || done != 10 {
			t.Errorf("%d removed, Done called %d times", n, done)
		}
		for i := range 10 {
			x.missing(key("/u", string(rune('a'+i))))
		}
		if objects, others := files(t, x.path); len(objects)+len(others) != 0 || x.Stats().Bytes != 0 || x.Stats().QueueBytes != 0 {
			t.Error(objects, others, x.Stats())
		}
	})
}

func TestWalkSeesEverythingAndRemoves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := open(t, t.TempDir(), nil)
		for i := range 30 {
			x.put(numbered(i), uint64(i), "m", content(1, i))
		}
		x.Put(item(numbered(30), 30, "m", content(1, 30), nil)) // queued
		x.Put(item(numbered(31), 31, "m", content(1, 31), nil))
		seen := map[uint64]int{}
		err := x.Walk(t.Context(), func(k disk.Key, variant uint64, meta []byte, size int64) bool {
			if string(meta) != "m" || k != numbered(int(variant)) || size != int64(variant) {
				t.Errorf("%q %d %q %d", k.Text, variant, meta, size)
			}
			seen[variant]++
			return variant%2 == 1
		})
		synctest.Wait()
		if err != nil || len(seen) != 32 {
			t.Fatal(len(seen), err)
		}
		for i := range 32 {
			if seen[uint64(i)] != 1 {
				t.Errorf("%d was visited %d times", i, seen[uint64(i)])
			}
			if i%2 == 1 {
				x.missing(numbered(i))
			} else {
				x.wants(numbered(i), "m", content(1, i))
			}
		}
	})
}

func TestSizeIsACeiling(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const size = 1 << 20
		x := open(t, t.TempDir(), func(o *disk.Options) { o.Size = size })
		held := []*disk.Object{}
		for i := range 200 {
			x.put(numbered(i), 0, "", content(1, i*200))
			if s := x.Stats(); s.Bytes > size {
				t.Fatalf("%d bytes after %d", s.Bytes, i)
			}
			if onDisk(t, x.path) > size {
				t.Fatal("more is on disk")
			}
			if o := x.one(numbered(i)); i%20 == 0 && o != nil {
				held = append(held, o) // removed or not, it takes its place
			} else if o != nil {
				o.Close()
			}
		}
		for _, o := range held {
			o.Close()
		}
		x.wants(numbered(199), "", content(1, 199*200))
		x.SetSize(size / 4)
		synctest.Wait()
		if s := x.Stats(); s.Bytes > size/4 || s.Bytes != onDisk(t, x.path) {
			t.Errorf("after SetSize: %+v, on disk %d", s, onDisk(t, x.path))
		}
	})
}

// onDisk is the size of all files, rounded up.
func onDisk(t *testing.T, path string) (n int64) {
	objects, others := files(t, path)
	for _, f := range append(objects, others...) {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		n += (info.Size() + 4095) &^ 4095
	}
	return n
}

func TestQueueIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d, err := disk.Open(disk.Options{Path: t.TempDir(), Size: 1 << 40})
		if err != nil {
			t.Fatal(err)
		}
		taken, done := 0, 0
		for i := range 2000 {
			if d.Put(item(numbered(i), 0, "", nil, func() { done++ })) {
				taken++
			}
		}
		if taken != 1024 {
			t.Errorf("%d items were taken", taken)
		}
		if err := d.Close(); err != nil || done != taken {
			t.Errorf("Done called %d times after Close: %v", done, err)
		}
		if d, err = disk.Open(disk.Options{Path: t.TempDir(), Size: 1 << 40}); err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		large := disk.Item{Key: numbered(1), Size: 1 << 30, Body: func(int64) []byte { return nil }}
		if !d.Put(large) {
			t.Error("one large object is not taken by an empty queue")
		}
		if large.Key = numbered(2); d.Put(large) {
			t.Error("two of them are")
		}
	})
}

func TestVariantsOfAKeyAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := open(t, t.TempDir(), nil)
		for i := range 40 {
			x.put(numbered(1), uint64(i), "", content(1, 10))
		}
		found, err := x.Find(numbered(1))
		if err != nil || len(found) != 16 {
			t.Errorf("%d variants, %v", len(found), err)
		}
		for _, o := range found {
			if o.Variant() < 24 {
				t.Errorf("variant %d is there, newer ones are not", o.Variant())
			}
			o.Close()
		}
	})
}

// TestOpenFilesAreBounded is attack row R18.
func TestOpenFilesAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := open(t, t.TempDir(), func(o *disk.Options) { o.MaxOpen = 3 })
		x.put(numbered(1), 0, "", content(1, 10))
		var held []*disk.Object
		for range 3 {
			held = append(held, x.one(numbered(1)))
		}
		if found, err := x.Find(numbered(1)); len(found) > 0 || !errors.Is(err, disk.ErrTooManyOpen) {
			t.Errorf("%d, %v", len(found), err)
		}
		held[0].Hold()
		held[0].Close()
		if x.Stats().Open != 3 {
			t.Error(x.Stats())
		}
		for _, o := range held {
			o.Close()
		}
		x.wants(numbered(1), "", content(1, 10))
	})
}

func TestReadAtKeepsToItsContract(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := open(t, t.TempDir(), nil)
		body := content(1, 200_000)
		x.put(numbered(1), 0, "", body)
		for range 2 { // the second time blocks are known
			o := x.one(numbered(1))
			for off := 0; off <= len(body)+10; off += 7919 {
				for _, n := range []int{0, 1, 100, 65_536, 70_000, 200_001} {
					p := make([]byte, n)
					got, err := o.ReadAt(p, int64(off))
					want := body[min(off, len(body)):min(off+n, len(body))]
					if got != len(want) || !bytes.Equal(p[:got], want) || (err == io.EOF) != (got < n) || err != nil && err != io.EOF {
						t.Fatalf("ReadAt(%d, %d) = %d, %v", n, off, got, err)
					}
				}
			}
			if _, err := o.ReadAt(make([]byte, 1), -1); err == nil {
				t.Error("a negative offset is no error")
			}
			for _, r := range [][2]int64{{-1, 1}, {2, 1}, {0, 200_001}} {
				if _, err := o.WriteRange(io.Discard, r[0], r[1]); err == nil {
					t.Errorf("range %v is no error", r)
				}
			}
			o.Close()
		}
	})
}

func TestIdentityMismatchDropsAll(t *testing.T) { // fault row F29
	bubble(t, func(t *testing.T) {
		path := t.TempDir()
		for i, change := range []func(){
			func() {},
			func() { os.Remove(filepath.Join(path, "state")) },
			func() { os.WriteFile(filepath.Join(path, "state"), []byte(`{"format":1,"iden`), 0o600) },
			func() { os.WriteFile(filepath.Join(path, "state"), []byte(`{"format":2,"identity":"a"}`), 0o600) },
			func() { os.WriteFile(filepath.Join(path, "state"), []byte(`{"format":1,"identity":"b"}`), 0o600) },
		} {
			x := open(t, path, nil)
			for i := range 20 {
				x.put(numbered(i), 0, "", content(1, 10))
			}
			x.close()
			change()
			x = open(t, path, nil)
			if i == 0 {
				x.wants(numbered(1), "", content(1, 10))
			} else {
				x.missing(numbered(1))
			}
			names, _ := filepath.Glob(filepath.Join(path, "dead-*"))
			if objects, _ := files(t, path); i > 0 && len(objects) > 0 || len(names) > 0 {
				t.Errorf("case %d: %d files are left, %v", i, len(objects), names)
			}
			x.close()
		}
	})
}

func TestTwoProcessesOneFolder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		path := t.TempDir()
		x := open(t, path, nil)
		_, err := disk.Open(disk.Options{Path: path, Size: 1 << 20})
		if !errors.Is(err, disk.ErrInUse) || !strings.Contains(err.Error(), "a folder of its own") {
			t.Error(err)
		}
		x.close()
		x = open(t, path, nil)
		x.put(numbered(1), 0, "", nil)
	})
}

func TestRunEndsWithTheQueueWritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		path := t.TempDir()
		x := open(t, path, nil)
		done := 0
		for i := range 100 {
			x.Put(item(numbered(i), 0, "", content(uint64(i), 1000), func() { done++ }))
		}
		x.close()
		if x.Put(item(numbered(1), 0, "", nil, nil)) || done != 100 {
			t.Error("after the end; done:", done)
		}
		x = open(t, path, nil)
		for i := range 100 {
			x.wants(numbered(i), "", content(uint64(i), 1000))
		}
	})
}

func TestBlocksAreTrustedForAMinute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		x := open(t, t.TempDir(), nil)
		body := content(1, 150_000)
		x.put(numbered(1), 0, "", body)
		sent := func() int64 {
			o := x.one(numbered(1))
			defer o.Close()
			w := &sender{}
			if n, err := o.WriteRange(w, 100, 149_000); err != nil || n != 148_900 || !bytes.Equal(w.Bytes(), body[100:149_000]) {
				t.Fatal(n, err)
			}
			return w.sent
		}
		if n := sent(); n != 0 {
			t.Error("bytes were sent unchecked:", n)
		}
		if n := sent(); n != 148_900 {
			t.Error("checked blocks were not given to the kernel:", n)
		}
		time.Sleep(time.Minute + time.Second)
		if n := sent(); n != 0 {
			t.Error("trusted for too long:", n)
		}
	})
}

// sender takes files, as a TCP connection does.
type sender struct {
	bytes.Buffer
	sent int64
}

func (s *sender) ReadFrom(r io.Reader) (int64, error) {
	l, ok := r.(*io.LimitedReader)
	if !ok {
		return 0, errors.New("not a limited reader")
	}
	if _, ok = l.R.(*os.File); !ok {
		return 0, errors.New("not of a file")
	}
	n, err := s.Buffer.ReadFrom(r)
	s.sent += n
	return n, err
}

// TestAStopWritesWhatIsQueued: also what was put before the folder was listed, so that a process that stops soon after its start loses nothing.
func TestAStopWritesWhatIsQueued(t *testing.T) {
	path := t.TempDir()
	first, err := disk.Open(disk.Options{Path: path, Size: 1 << 20, Identity: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if !first.Put(item(key("/a", ""), 1, "head", []byte("body"), func() {})) {
		t.Fatal("not taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := first.Run(ctx); err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	second, err := disk.Open(disk.Options{Path: path, Size: 1 << 20, Identity: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	found, err := second.Find(key("/a", ""))
	if err != nil || len(found) != 1 || string(found[0].Meta()) != "head" {
		t.Fatalf("%v, %v", found, err)
	}
	found[0].Close()
}
