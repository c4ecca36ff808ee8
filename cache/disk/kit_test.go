package disk_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/meridian-edge/meridian/cache/disk"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// tier is one under test.
type tier struct {
	*disk.Tier
	t      testing.TB
	path   string
	stop   func()
	settle func() // waits until it has nothing left to do; nil outside a bubble, where Done tells
}

// open opens the tier of a folder and runs it.
func open(t *testing.T, path string, change func(*disk.Options)) *tier {
	t.Helper()
	return opened(t, path, change, synctest.Wait)
}

func opened(t testing.TB, path string, change func(*disk.Options), settle func()) *tier {
	t.Helper()
	o := disk.Options{Path: path, Size: 1 << 30, Identity: "a"}
	if change != nil {
		change(&o)
	}
	d, err := disk.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	x := &tier{Tier: d, t: t, path: path, settle: settle}
	x.run()
	t.Cleanup(x.close)
	return x
}

func (x *tier) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := x.Run(ctx); err != nil {
			x.t.Error(err)
		}
	})
	x.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	if x.settle != nil {
		x.settle()
	}
}

// close ends the tier in an orderly way.
func (x *tier) close() {
	x.stop()
	if err := x.Close(); err != nil {
		x.t.Error(err)
	}
}

// key makes a key of a path and what tells apart keys of one URL.
func key(path, more string) disk.Key { return disk.Key{Text: path + more, URL: len(path)} }

// item makes an object. done counts calls of Done.
func item(k disk.Key, variant uint64, meta string, body []byte, done func()) disk.Item {
	return disk.Item{Key: k, Variant: variant, Meta: []byte(meta), Size: int64(len(body)), Done: done,
		Body: func(off int64) []byte { return body[off:min(int64(len(body)), off+10_000)] }}
}

// put stores an object and waits until it is on disk.
func (x *tier) put(k disk.Key, variant uint64, meta string, body []byte) {
	x.t.Helper()
	done := make(chan struct{}, 2)
	if !x.Put(item(k, variant, meta, body, func() { done <- struct{}{} })) {
		x.t.Fatalf("Put of %q refused: %+v", k.Text, x.Stats())
	}
	<-done
	if x.settle != nil {
		x.settle()
	}
	if len(done) > 0 {
		x.t.Fatal("Done was called again")
	}
}

// one finds the only object of a key; nil if there is none.
func (x *tier) one(k disk.Key) *disk.Object {
	x.t.Helper()
	found, err := x.Find(k)
	if err != nil || len(found) > 1 {
		x.t.Fatalf("Find %q: %d, %v", k.Text, len(found), err)
	}
	if len(found) == 0 {
		return nil
	}
	return found[0]
}

// wants checks that an object is there, with this metadata and body.
func (x *tier) wants(k disk.Key, meta string, body []byte) {
	x.t.Helper()
	o := x.one(k)
	if o == nil {
		x.t.Fatalf("%q is not found", k.Text)
	}
	defer o.Close()
	if o.Key() != k || string(o.Meta()) != meta || o.Size() != int64(len(body)) {
		x.t.Fatalf("%q: key %q, meta %q, size %d", k.Text, o.Key().Text, o.Meta(), o.Size())
	}
	var got bytes.Buffer
	if n, err := o.WriteRange(onlyWriter{&got}, 0, o.Size()); err != nil || n != o.Size() || !bytes.Equal(got.Bytes(), body) {
		x.t.Fatalf("%q: %d bytes, %v, equal %v", k.Text, n, err, bytes.Equal(got.Bytes(), body))
	}
}

func (x *tier) missing(k disk.Key) {
	x.t.Helper()
	if o := x.one(k); o != nil {
		o.Close()
		x.t.Fatalf("%q is found", k.Text)
	}
}

// onlyWriter hides every other method.
type onlyWriter struct{ w *bytes.Buffer }

func (w onlyWriter) Write(p []byte) (int, error) { return w.w.Write(p) }

// content is n bytes that depend on the seed.
func content(seed uint64, n int) []byte {
	r := rand.NewChaCha8(sha256.Sum256(binary.LittleEndian.AppendUint64(nil, seed)))
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

// files lists the files of objects, and other things in their directories.
func files(t testing.TB, path string) (objects, others []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(path, "objects"), func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
		case strings.Count(filepath.Base(p), "-") == 3:
			objects = append(objects, p)
		default:
			others = append(others, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return objects, others
}

// only returns the only file there is.
func only(t testing.TB, path string) string {
	t.Helper()
	objects, _ := files(t, path)
	if len(objects) != 1 {
		t.Fatalf("%d files, want 1", len(objects))
	}
	return objects[0]
}

func numbered(i int) disk.Key { return key(fmt.Sprintf("/object/%d", i), "") }

// bubble runs a test on a clock of its own.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
