package pages_test

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/cache/pages"
)

// Whatever is stored, given up, held, moved and trimmed: what is stored is what was written, what is held stays, and each page's charge
// comes back once, when neither the arena nor anybody else has it.
func TestArenaIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, of: make(map[*pages.Page]*account), records: make(map[uint32]*stored)}
		size := rapid.SampledFrom([]int{64, 200, 1000}).Draw(t, "page")
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "which") }
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 10).Draw(t, "op"); {
			case op < 4:
				m.alloc(rapid.IntRange(0, size/3).Draw(t, "bytes"), size)
			case op < 6 && len(m.owners) > 0:
				m.free(pick(len(m.owners)))
			case op == 6 && len(m.owners) > 0:
				m.hold(pick(len(m.owners)))
			case op == 7 && len(m.holds) > 0:
				m.release(pick(len(m.holds)))
			case op == 8:
				m.compact()
			case op == 9:
				m.trim()
			case op == 10:
				m.add(size) // what was written until now is let go of if it is empty
			}
			m.check()
		}
		for len(m.owners) > 0 {
			m.free(len(m.owners) - 1)
		}
		m.trim()
		m.check()
		if m.arena.Bytes() != 0 || m.arena.Live() != 0 {
			t.Fatalf("%d bytes are left", m.arena.Bytes())
		}
		for len(m.holds) > 0 {
			m.release(0)
		}
		m.check()
	})
}

// Compact ends when the page that is written is full, goes on with another, and lets go of the old page then.
func TestCompactGoesOnWithAnotherPage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, of: make(map[*pages.Page]*account), records: make(map[uint32]*stored)}
		for range 8 {
			m.alloc(92, 400) // four to a page
		}
		wasteful := m.records[m.owners[0]].in
		m.free(0)
		m.alloc(192, 200)                                                               // fills a page of its own
		m.add(rapid.SampledFrom([]int{108, 208, 299, 308}).Draw(t, "size of the next")) // too small for the three
		first := m.compact()
		m.check()
		if first != (m.active.size >= 300) {
			t.Fatalf("three records of 100 bytes moved to a page of %d: %v", m.active.size, first)
		}
		for range 5 {
			if wasteful.times.Load() == 0 && !m.compact() {
				m.add(400)
			}
			m.check()
		}
		if wasteful.times.Load() != 1 {
			t.Fatal("the page is still there")
		}
	})
}

// A page is worth compacting if more than an eighth of it is free, and more than a sixteenth of all; the worst comes first. What is
// still to be written does not count, nor what is held.
func TestTheWorstPageIsWasteful(t *testing.T) {
	var a pages.Arena
	fill := func(size, n int) (refs []pages.Ref) {
		a.Add(pages.New(size, &account{}))
		for range n {
			ref, _ := a.Alloc(1, size/n-header)
			refs = append(refs, ref)
		}
		return refs
	}
	one, two := fill(1600, 16), fill(1600, 16)
	a.Add(pages.New(1600, &account{}))
	a.Alloc(1, 800-header)
	if a.Wasteful() != 0 {
		t.Error("full pages and one that is written are wasteful")
	}
	for i := range 3 {
		a.Free(one[i])
	}
	if a.Wasteful() != 0 {
		t.Error("a sixteenth of all is free, and a page is wasteful")
	}
	a.Free(two[0])
	if a.Wasteful() == 0 {
		t.Fatal("three sixteenths of a page are free, and it is not wasteful")
	}
	first := a.Wasteful()
	for i := range 4 {
		a.Free(two[1+i])
	}
	second := a.Wasteful()
	if second == first {
		t.Error("there is a worse page, and it does not come first")
	}
	held := a.Hold(two[8])
	if a.Wasteful() != first {
		t.Error("a page that is held comes first")
	}
	held.Release()
	if a.Wasteful() != second {
		t.Error("a page that was held does not come first")
	}
	for i := range 3 {
		a.Free(one[3+i])
	}
	if a.Wasteful() != first {
		t.Error("the worst page does not come first if others follow it")
	}
}

// Pages of which an eighth is free are not worth it, however many they are.
func TestAnEighthIsNotWasteful(t *testing.T) {
	var a pages.Arena
	var refs []pages.Ref
	for range 4 {
		a.Add(pages.New(800, &account{}))
		for range 8 {
			ref, _ := a.Alloc(1, 100-header)
			refs = append(refs, ref)
		}
	}
	a.Add(pages.New(800, &account{}))
	for i := range 4 {
		a.Free(refs[8*i])
	}
	if a.Wasteful() != 0 {
		t.Error("one record of eight is free in each, and one is wasteful")
	}
	if a.Free(refs[1]); a.Wasteful() == 0 {
		t.Error("two records of eight are free in one, and it is not wasteful")
	}
}

// The zero Arena has no room, and nothing to trim or compact.
func TestTheZeroArenaIsEmpty(t *testing.T) {
	var a pages.Arena
	a.Trim()
	if a.Room(0) || a.Wasteful() != 0 || a.Bytes() != 0 || a.Live() != 0 {
		t.Errorf("%+v", &a)
	}
	if a.Add(pages.New(64, &account{})); !a.Room(64-header) || a.Room(64-header+1) {
		t.Error("an empty page has room for all but a header")
	}
}

// Release needs no lock: readers look at what they hold while records come, go and are moved.
func TestReadersHoldWithoutTheLock(t *testing.T) {
	var a pages.Arena
	var mu sync.Mutex // the owner's lock
	var space account
	refs := make(map[uint32]pages.Ref)
	write := func(owner uint32) {
		if !a.Room(64) {
			a.Add(pages.New(1024, &space))
		}
		ref, b := a.Alloc(owner, 64)
		for i := 0; i < len(b); i += 4 {
			binary.LittleEndian.PutUint32(b[i:], owner)
		}
		refs[owner] = ref
	}
	read := func(r *rand.Rand) {
		owner := uint32(1 + r.IntN(50))
		mu.Lock()
		ref, ok := refs[owner]
		if !ok {
			mu.Unlock()
			return
		}
		p, b := a.Hold(ref), a.Get(ref)
		mu.Unlock()
		for i := 0; i < len(b); i += 4 {
			if got := binary.LittleEndian.Uint32(b[i:]); got != owner {
				t.Errorf("record %d has %d", owner, got)
			}
		}
		p.Release()
	}
	var wg sync.WaitGroup
	for k := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(k)))
			for range 2000 {
				read(r)
			}
		})
	}
	r := rand.New(rand.NewPCG(2, 2))
	for range 2000 {
		owner := uint32(1 + r.IntN(50))
		mu.Lock()
		if ref, ok := refs[owner]; ok {
			a.Free(ref)
			delete(refs, owner)
		} else {
			write(owner)
		}
		if n := a.Wasteful(); n != 0 {
			a.Compact(n, func(owner uint32, to pages.Ref) { refs[owner] = to })
		}
		mu.Unlock()
	}
	wg.Wait()
	made := a.Bytes() + space.back.Load()
	for _, ref := range refs {
		a.Free(ref)
	}
	a.Trim()
	if space.back.Load() != made || space.times.Load() != int32(made/1024) {
		t.Errorf("%d bytes of %d came back", space.back.Load(), made)
	}
}

// Records come and go without the allocator.
func TestRecordsAllocateNothing(t *testing.T) {
	var a pages.Arena
	a.Add(pages.New(1<<20, &account{}))
	keep, _ := a.Alloc(1, 8)
	if n := testing.AllocsPerRun(1000, func() {
		ref, b := a.Alloc(2, 100)
		b[0] = 1
		p := a.Hold(ref)
		_ = a.Get(ref)
		p.Release()
		a.Free(ref)
	}); n != 0 || len(a.Get(keep)) != 8 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkChurn is a full arena of 8 MiB in which a record of 1 KiB replaces another at random, and pages are compacted for it.
func BenchmarkChurn(b *testing.B) {
	var a pages.Arena
	var space account
	refs := make([]pages.Ref, 1+7000)
	r := rand.New(rand.NewPCG(1, 1))
	moved := func(owner uint32, to pages.Ref) { refs[owner] = to }
	b.ReportAllocs()
	b.SetBytes(1024)
	for b.Loop() {
		owner := uint32(1 + r.IntN(len(refs)-1))
		if refs[owner].Len() > 0 {
			a.Free(refs[owner])
		}
		for !a.Room(1024) {
			a.Add(pages.New(256<<10, &space))
			for a.Bytes() > 8<<20 {
				if n := a.Wasteful(); n == 0 || !a.Compact(n, moved) {
					break
				}
			}
		}
		refs[owner], _ = a.Alloc(owner, 1024)
	}
	b.ReportMetric(float64(a.Bytes())/(1<<20), "MiB")
}

// BenchmarkAllocFree is one record that comes and goes.
func BenchmarkAllocFree(b *testing.B) {
	var a pages.Arena
	var space account
	b.ReportAllocs()
	for b.Loop() {
		if !a.Room(1024) {
			a.Add(pages.New(256<<10, &space))
		}
		ref, _ := a.Alloc(1, 1024)
		a.Free(ref)
	}
}
