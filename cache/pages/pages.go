// Package pages keeps many small records in few large blocks of memory, in which the collector has nothing to walk: what it costs does not
// grow with the number of records.
//
//	var a pages.Arena                                  // one for each lock
//	if !a.Room(n) { a.Add(pages.New(size, space)) }    // for which size bytes were reserved
//	ref, b := a.Alloc(owner, n)                        // fill b now; it is never changed afterwards
//	p := a.Hold(ref); use(a.Get(ref)); p.Release()     // the bytes are valid, and charged for, until then
//	a.Free(ref)
//
// A page is written once from start to end and never reused: what has become free in it is got back by moving the rest to another page
// (Compact) and letting go of it as a whole. So a view into a record stays what it was for as long as anybody has it; the collector sees to
// that. What a view pins without a Hold is not charged.
//
// An Arena is guarded by its owner's lock. Release may be called without it.
package pages

import "sync/atomic"

// Space is the memory that pages are charged to. It must be safe for concurrent use.
type Space interface {
	// Charge gives -n bytes back when a page is let go of.
	Charge(n int64)
}

// Ref is where a record is. The zero Ref is none.
type Ref struct{ page, off, len uint32 }

// Len is the size of the record in bytes.
func (r Ref) Len() int { return int(r.len) }

// header is what precedes each record in its page: whose it is, and its size.
const header = 8

// Page is a block of records.
type Page struct {
	data  []byte // up to what is written; its capacity is the page's size
	live  int    // bytes of records that are not free, with their headers
	refs  atomic.Int32
	space Space
}

// Release gives back a Hold. The page must not be looked at afterwards by way of it.
func (p *Page) Release() {
	if p.refs.Add(-1) == 0 {
		p.space.Charge(-int64(cap(p.data)))
	}
}

// Arena is a set of pages. The zero Arena is empty.
type Arena struct {
	pages  []*Page // by number, from 1; nil: free
	spare  []uint32
	active uint32 // the page that is written; 0: none
	bytes  int64
	live   int64
}

// Bytes is the size of all pages, and Live what of it is records and their headers.
func (a *Arena) Bytes() int64 { return a.bytes }

// Live is what of Bytes is records with their headers.
func (a *Arena) Live() int64 { return a.live }

// Room reports whether a record of n bytes fits without a new page.
func (a *Arena) Room(n int) bool {
	if a.active == 0 {
		return false
	}
	p := a.pages[a.active]
	return cap(p.data)-len(p.data) >= header+n
}

// New makes a page of size bytes, for which space was charged already. It is not in an Arena yet, and needs no lock.
func New(size int, space Space) *Page {
	p := &Page{data: make([]byte, 0, size), space: space}
	p.refs.Store(1)
	return p
}

// Size is how many bytes a page takes.
func (p *Page) Size() int { return cap(p.data) }

// Add makes an empty page the one that is written.
func (a *Arena) Add(p *Page) {
	if len(a.pages) == 0 {
		a.pages = append(a.pages, nil)
	}
	var number uint32
	if k := len(a.spare); k > 0 {
		number, a.spare = a.spare[k-1], a.spare[:k-1]
		a.pages[number] = p
	} else {
		number = uint32(len(a.pages))
		a.pages = append(a.pages, p)
	}
	a.bytes += int64(cap(p.data))
	before := a.active
	a.active = number
	a.dropEmpty(before)
}

// Alloc makes a record of n bytes for an owner, which is not 0. There must be Room.
func (a *Arena) Alloc(owner uint32, n int) (Ref, []byte) {
	p := a.pages[a.active]
	off := len(p.data)
	p.data = p.data[:off+header+n]
	put32(p.data[off:], owner)
	put32(p.data[off+4:], uint32(n))
	p.live += header + n
	a.live += int64(header + n)
	return Ref{a.active, uint32(off + header), uint32(n)}, p.data[off+header : off+header+n : off+header+n]
}

// Get returns the bytes of a record. They must not be written to once they have been filled.
func (a *Arena) Get(r Ref) []byte {
	return a.pages[r.page].data[r.off : r.off+r.len : r.off+r.len]
}

// Hold keeps the page of a record charged until Release.
func (a *Arena) Hold(r Ref) *Page {
	p := a.pages[r.page]
	p.refs.Add(1)
	return p
}

// Free gives a record up.
func (a *Arena) Free(r Ref) {
	p := a.pages[r.page]
	p.live -= header + int(r.len)
	a.live -= int64(header + r.len)
	put32(p.data[r.off-header:], 0)
	if r.page != a.active {
		a.dropEmpty(r.page)
	}
}

// dropEmpty lets go of a page that holds nothing.
func (a *Arena) dropEmpty(number uint32) {
	if number == 0 || a.pages[number].live > 0 {
		return
	}
	p := a.pages[number]
	a.pages[number] = nil
	a.spare = append(a.spare, number)
	a.bytes -= int64(cap(p.data))
	p.Release()
}

// Trim lets go of the page that is written if nothing is left in it.
func (a *Arena) Trim() {
	if n := a.active; n != 0 && a.pages[n].live == 0 {
		a.active = 0
		a.dropEmpty(n)
	}
}

// Wasteful is the number of the page that has most to give back, 0 if it is not worth while: of what all have, more than a sixteenth is free,
// and of that page, more than an eighth. Pages that are held give nothing back for now.
func (a *Arena) Wasteful() uint32 {
	free := a.bytes - a.live
	if a.active != 0 {
		free -= int64(cap(a.pages[a.active].data) - len(a.pages[a.active].data)) // it is still to be used
	}
	if free*16 <= a.bytes {
		return 0
	}
	best, most := uint32(0), 0
	for i, p := range a.pages {
		if p == nil || uint32(i) == a.active || p.refs.Load() > 1 {
			continue
		}
		if free := cap(p.data) - p.live; free > most && free > cap(p.data)/8 {
			best, most = uint32(i), free
		}
	}
	return best
}

// Compact moves what is left in a page to the one that is written, as far as there is room, and tells the owner of each record where it is now.
// It reports whether all of it was moved, and the page let go of.
func (a *Arena) Compact(number uint32, moved func(owner uint32, to Ref)) bool {
	p := a.pages[number]
	for off := 0; off < len(p.data); {
		owner, n := get32(p.data[off:]), int(get32(p.data[off+4:]))
		if owner != 0 {
			if !a.Room(n) {
				return false
			}
			to, b := a.Alloc(owner, n)
			copy(b, p.data[off+header:])
			moved(owner, to)
			p.live -= header + n
			a.live -= int64(header + n)
			put32(p.data[off:], 0)
		}
		off += header + n
	}
	a.dropEmpty(number)
	return true
}

func put32(b []byte, v uint32) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

func get32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}
