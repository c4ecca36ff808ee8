//go:build linux

package disk_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/meridian-edge/meridian/cache/disk"
)

// TestEverythingAtOnce has goroutines store, read, change and remove the same few objects, in a tier that is too small for them. What is found
// is sound, and no older than what was removed before it was looked for.
func TestEverythingAtOnce(t *testing.T) {
	const keys, rounds, workers = 40, 1500, 6
	x := opened(t, t.TempDir(), func(o *disk.Options) { o.Size, o.MaxOpen = 2<<20, 20 }, nil)
	var version atomic.Uint64
	var removed [keys]atomic.Uint64
	var taken, done, found atomic.Int64
	step := func() {
		k := rand.IntN(keys)
		switch rand.IntN(10) {
		case 0:
			before := version.Load()
			x.RemoveURL(numbered(k).Text)
			for old := removed[k].Load(); old < before && !removed[k].CompareAndSwap(old, before); old = removed[k].Load() {
			}
		case 1:
			x.SetSize(int64(1+rand.IntN(2)) << 20)
		case 2:
			if err := x.Walk(t.Context(), func(key disk.Key, _ uint64, meta []byte, _ int64) bool {
				if _, _, ok := readProof(meta); !ok {
					t.Errorf("Walk: %q", key.Text)
				}
				return rand.IntN(100) == 0
			}); err != nil && !errors.Is(err, disk.ErrTooManyOpen) {
				t.Error(err)
			}
		case 3, 4, 5:
			v := version.Add(1)
			body := content(v, rand.IntN(1<<uint(rand.IntN(19))))
			if x.Put(item(numbered(k), uint64(rand.IntN(2)), string(proof(v, sha256.Sum256(body))), body, func() { done.Add(1) })) {
				taken.Add(1)
			}
		default:
			least := removed[k].Load()
			objects, err := x.Find(numbered(k))
			if err != nil && !errors.Is(err, disk.ErrTooManyOpen) {
				t.Error(err)
			}
			for _, o := range objects {
				found.Add(1)
				var body bytes.Buffer
				_, err := o.WriteRange(&body, 0, o.Size())
				v, sum, ok := readProof(o.Meta())
				if err != nil || !ok || sum != sha256.Sum256(body.Bytes()) {
					t.Errorf("key %d: damaged: %v", k, err)
				}
				if v <= least {
					t.Errorf("key %d: version %d was removed with all up to %d", k, v, least)
				}
				if rand.IntN(4) == 0 {
					x.SetMeta(o.Key(), o.Variant(), append(proof(v, sum), make([]byte, rand.IntN(400))...))
				}
				o.Close()
			}
		}
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				step()
			}
		})
	}
	wg.Wait()
	x.stop()
	s := x.Stats()
	if taken.Load() != done.Load() || s.QueueBytes != 0 || s.Queued != 0 || s.Open != 0 || found.Load() == 0 || s.Failing != nil {
		t.Errorf("%d taken, %d done, %d found, %+v", taken.Load(), done.Load(), found.Load(), s)
	}
	objects, others := files(t, x.path)
	if len(others) > 0 || len(objects) != s.Objects || onDisk(t, x.path) != s.Bytes {
		t.Errorf("%d files of %d bytes, %v, %+v", len(objects), onDisk(t, x.path), others, s)
	}
}
