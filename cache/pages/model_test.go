package pages_test

import (
	"bytes"
	"slices"
	"sync/atomic"

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
