//go:build linux

package disk_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/meridian-edge/meridian/cache/disk"
)

// TestEverythingAtOnce has goroutines store, read, change and remove the same few objects, in a tier that is too small for them. What is found
// is sound, and no older than what was removed before it was looked for. A caller that uses no stamps keeps what is about one key in order.
func TestEverythingAtOnce(t *testing.T) {
	t.Run("stamps", func(t *testing.T) { everythingAtOnce(t, true) })
	t.Run("order", func(t *testing.T) { everythingAtOnce(t, false) })
}

func everythingAtOnce(t *testing.T, stamps bool) {
	const keys, rounds, workers = 40, 1500, 6
	x := opened(t, t.TempDir(), func(o *disk.Options) { o.Size, o.MaxOpen = 2<<20, 20 }, nil)
	var version atomic.Uint64
	var orders [keys]sync.Mutex // of Put and RemoveURL
	var removed [keys]atomic.Uint64
	var taken, done, found atomic.Int64
	step := func() {
		k := rand.IntN(keys)
		switch rand.IntN(10) {
		case 0:
			orders[k].Lock()
			before := version.Load()
			x.RemoveURL(numbered(k).Text)
			removed[k].Store(before)
			orders[k].Unlock()
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
			orders[k].Lock()
			v := version.Add(1)
			body := content(v, rand.IntN(1<<uint(rand.IntN(19))))
			i := item(numbered(k), uint64(rand.IntN(2)), string(proof(v, sha256.Sum256(body))), body, func() { done.Add(1) })
			if stamps {
				i.Stamp = v
			}
			if x.Put(i) {
				taken.Add(1)
			}
			orders[k].Unlock()
		default:
			change := rand.IntN(4) == 0
			if change && !stamps {
				orders[k].Lock()
				defer orders[k].Unlock()
			}
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
				if change {
					x.SetMeta(o.Key(), o.Variant(), o.Stamp(), append(proof(v, sum), make([]byte, rand.IntN(400))...))
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

// TestMetadataNeverGoToTheNextObject: a caller that uses no stamps changes the metadata of an object twice, and replaces it while they are being
// written.
func TestMetadataNeverGoToTheNextObject(t *testing.T) {
	x := opened(t, t.TempDir(), nil, nil)
	for i := range 2000 {
		mine := string(rune('a' + i%26))
		x.put(numbered(1), 1, mine, content(1, 10))
		x.SetMeta(numbered(1), 1, 0, []byte("of the older"))
		for range rand.IntN(300) {
			runtime.Gosched() // until the writer has begun, now and then
		}
		x.SetMeta(numbered(1), 1, 0, []byte("of the older too"))
		x.put(numbered(1), 1, mine, content(2, 20))
		for x.Stats().Queued > 0 {
			runtime.Gosched()
		}
		x.wants(numbered(1), mine, content(2, 20))
	}
}
