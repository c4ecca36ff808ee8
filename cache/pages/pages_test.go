package pages_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/cache/pages"
)

// header is what a record takes beyond its bytes.
const header = 8

// account is the Space of one page: it sees whether the charge comes back, and how often.
type account struct {
	size  int
	used  int // of the page
	held  int // Holds that were not released
	back  atomic.Int64
	times atomic.Int32
}

func (a *account) Charge(n int64) {
	a.back.Add(-n)
	a.times.Add(1)
}

// stored is a record as the model has it.
type stored struct {
	ref  pages.Ref
	want []byte
	view []byte
	in   *account
}

// model is an Arena, and what is known about it.
type model struct {
	t        *rapid.T
	arena    pages.Arena
	accounts []*account
	of       map[*pages.Page]*account
	active   *account // nil: none
	records  map[uint32]*stored
	owners   []uint32
	next     uint32
	holds    []hold
	old      []*stored // freed or moved; their bytes stay
}

type hold struct {
	page *pages.Page
	in   *account
	s    stored
}

func (m *model) add(size int) {
	a := &account{size: size}
	p := pages.New(size, a)
	if p.Size() != size {
		m.t.Fatalf("a page of %d bytes for %d", p.Size(), size)
	}
	m.of[p] = a
	m.accounts = append(m.accounts, a)
	m.arena.Add(p)
	m.active = a
}

// alloc makes a record, on a new page if the present one is full.
func (m *model) alloc(n, size int) {
	fits := m.active != nil && m.active.size-m.active.used >= header+n
	if m.arena.Room(n) != fits {
		m.t.Fatalf("room for %d bytes: %v, want %v", n, !fits, fits)
	}
	if !fits {
		m.add(max(size, header+n))
	}
	m.next++
	ref, b := m.arena.Alloc(m.next, n)
	if len(b) != n || cap(b) != n || ref.Len() != n {
		m.t.Fatalf("%d bytes, room for %d, for %d", len(b), cap(b), n)
	}
	for i := range b {
		b[i] = byte(m.next) + byte(i)
	}
	m.active.used += header + n
	m.records[m.next] = &stored{ref: ref, want: slices.Clone(b), view: m.arena.Get(ref), in: m.active}
	m.owners = append(m.owners, m.next)
}

func (m *model) free(i int) {
	owner := m.owners[i]
	m.owners = slices.Delete(m.owners, i, i+1)
	m.old = append(m.old, m.records[owner])
	m.arena.Free(m.records[owner].ref)
	delete(m.records, owner)
}

func (m *model) hold(i int) {
	s := m.records[m.owners[i]]
	p := m.arena.Hold(s.ref)
	if m.of[p] != s.in {
		m.t.Fatal("another page is held")
	}
	s.in.held++
	m.holds = append(m.holds, hold{p, s.in, *s})
}

func (m *model) release(i int) {
	h := m.holds[i]
	m.holds = slices.Delete(m.holds, i, i+1)
	if !bytes.Equal(h.s.view, h.s.want) {
		m.t.Fatal("bytes that were held have changed")
	}
	h.in.held--
	h.page.Release()
}

// compact moves what is left in the most wasteful page, and reports whether there was one that all could be moved from.
func (m *model) compact() bool {
	number := m.arena.Wasteful()
	if number == 0 {
		return false
	}
	return m.arena.Compact(number, func(owner uint32, to pages.Ref) {
		s := m.records[owner]
		if s == nil {
			m.t.Fatalf("record %d was moved, which is not there", owner)
		}
		if s.in == m.active || s.in.held > 0 {
			m.t.Fatal("moved from a page that is written, or held")
		}
		before := *s
		m.old = append(m.old, &before)
		s.ref, s.view, s.in = to, m.arena.Get(to), m.active
		m.active.used += header + len(s.want)
	})
}

func (m *model) trim() {
	m.arena.Trim()
	if m.active != nil && !m.there()[m.active] {
		m.active = nil
	}
}

// there are the pages that have a record.
func (m *model) there() map[*account]bool {
	in := make(map[*account]bool)
	for _, s := range m.records {
		in[s.in] = true
	}
	return in
}

// check compares the arena with what is known.
func (m *model) check() {
	var live, size int64
	for owner, s := range m.records {
		live += int64(header + len(s.want))
		if got := m.arena.Get(s.ref); !bytes.Equal(got, s.want) || cap(got) != len(got) {
			m.t.Fatalf("record %d is %x, want %x", owner, got, s.want)
		}
	}
	for _, s := range m.old {
		if !bytes.Equal(s.view, s.want) {
			m.t.Fatal("a view of what is free or moved has changed")
		}
	}
	in := m.there()
	for _, a := range m.accounts {
		mine := in[a] || a == m.active
		if mine {
			size += int64(a.size)
		}
		switch times := a.times.Load(); {
		case mine || a.held > 0:
			if times != 0 {
				m.t.Fatalf("a page that is in use was given back %d times", times)
			}
		case times != 1 || a.back.Load() != int64(a.size):
			m.t.Fatalf("a page of %d bytes was given back %d times, %d bytes", a.size, times, a.back.Load())
		}
	}
	if m.arena.Live() != live || m.arena.Bytes() != size {
		m.t.Fatalf("%d bytes live in %d, want %d in %d", m.arena.Live(), m.arena.Bytes(), live, size)
	}
}

// Whatever is stored, given up, held, moved and trimmed: what is stored is what was written, what is held stays, and each page's charge
// comes back once, when neither the arena nor anybody else has it.
func TestArenaIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, of: make(map[*pages.Page]*account), records: make(map[uint32]*stored)}
		size := rapid.SampledFrom([]int{64, 200, 1000}).Draw(t, "page")
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "which") }
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			switch op := rapid.IntRange(0, 9).Draw(t, "op"); {
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
	if a.Wasteful() != 0 {
		t.Error("full pages and an empty one are wasteful")
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
