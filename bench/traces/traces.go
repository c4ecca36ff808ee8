// Package traces generates traffic for caches and runs policies over it: it measures what is evicted.
//
//	for _, t := range traces.Generate(2_000_000) {
//		objects, bytes := traces.Ratios(&t, traces.NewOurs(t.Capacity))
//	}
//
// The same traffic comes out every time. It is for tests and benchmarks only; nothing here is safe for concurrent use.
package traces

import (
	"container/heap"
	"container/list"
	"fmt"
	"math"
	"math/rand/v2"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/meridian-edge/meridian/cache/evict"
)

// Request is one access of a Trace.
type Request struct {
	Key  uint64
	Size int64 // bytes
}

// Trace is traffic with a cache size that makes it interesting.
type Trace struct {
	Name     string
	Scans    bool  // scan-heavy: recency is misled
	Capacity int64 // bytes
	Requests []Request
}

// Unit is the size of the objects in traces of equal ones.
const Unit = 1000

func zipf(r *rand.Rand, s float64, n uint64) func() uint64 {
	z := rand.NewZipf(r, s, 1, n-1)
	return z.Uint64
}

// Generate makes traces of n requests each, the same ones every time.
func Generate(n int) []Trace {
	r := rand.New(rand.NewPCG(1, 2))
	var all []Trace
	add := func(name string, scans bool, objects int64, f func(i int) Request) {
		t := Trace{Name: name, Scans: scans, Capacity: objects * Unit, Requests: make([]Request, n)}
		for i := range t.Requests {
			t.Requests[i] = f(i)
		}
		all = append(all, t)
	}
	equal := func(k uint64) Request { return Request{k, Unit} }
	for _, s := range []float64{1.01, 1.1, 1.3} {
		z := zipf(r, s, 200_000)
		add(fmt.Sprintf("zipf %.2f", s), false, 4000, func(int) Request { return equal(z()) })
	}
	z, scan := zipf(r, 1.05, 20_000), uint64(1<<32)
	add("zipf, half of it one long scan", false, 2000, func(i int) Request {
		if i%2 == 0 {
			scan++
			return equal(scan)
		}
		return equal(z())
	})
	z2, scan2 := zipf(r, 1.05, 20_000), uint64(1<<33)
	add("zipf with bursts of scans", false, 2000, func(i int) Request {
		if i/5000%3 != 0 {
			scan2++
			return equal(scan2)
		}
		return equal(z2())
	})
	scan6 := uint64(1 << 35)
	add("a working set that fits, and twice as much scan", true, 4000, func(i int) Request {
		if i%3 != 0 {
			scan6++
			return equal(scan6)
		}
		return equal(r.Uint64N(3000))
	})
	add("loop a quarter larger than the cache", true, 4000, func(i int) Request { return equal(uint64(i) % 5000) })
	add("recent only: a window that moves", false, 4000, func(i int) Request {
		return equal(uint64(i/4) - uint64(float64(3000)*math.Abs(r.NormFloat64())/2))
	})
	z3 := zipf(r, 1.1, 100_000)
	add("zipf whose favourites change", false, 4000, func(i int) Request { return equal(z3() + uint64(i/100_000)*7919) })
	z4 := zipf(r, 1.05, 100_000)
	add("zipf of mixed sizes", false, 20_000, func(int) Request {
		k := z4()
		return Request{k, sizeOf(k)}
	})
	z5, scan5 := zipf(r, 1.05, 50_000), uint64(1<<34)
	add("mixed sizes with a scan of large ones", true, 20_000, func(i int) Request {
		if i%4 == 0 {
			scan5++
			return Request{scan5, 100 * Unit}
		}
		k := z5()
		return Request{k, sizeOf(k)}
	})
	return all
}

// sizeOf is a size that belongs to a key: lognormal, as web objects are, 100 bytes to 1 MB.
func sizeOf(k uint64) int64 {
	r := rand.New(rand.NewPCG(k, 3))
	return int64(min(max(math.Exp(8.5+1.6*r.NormFloat64()), 100), 1e6))
}

// Policy is a cache in a simulation: Access asks for an object, which is then stored if it was not, and reports whether it was.
type Policy interface {
	Access(Request) bool
}

type ours struct {
	capacity, used int64
	order          evict.Order
	nodes          map[uint64]uint32 // by key
	keys           []uint64          // by node
}

// NewOurs is package evict.
func NewOurs(capacity int64) Policy {
	return &ours{capacity: capacity, nodes: map[uint64]uint32{}}
}

func (o *ours) Access(q Request) bool {
	if n := o.nodes[q.Key]; n != 0 {
		o.order.Touch(n)
		return true
	}
	for o.used+q.Size > o.capacity {
		v := o.order.Victim(nil)
		o.used -= o.order.Size(v)
		delete(o.nodes, o.keys[v])
		o.order.Remove(v)
	}
	n := o.order.Add(Mix(q.Key), q.Size, 0)
	o.nodes[q.Key] = n
	o.keys = append(o.keys, make([]uint64, max(0, int(n)+1-len(o.keys)))...)
	o.keys[n] = q.Key
	o.used += q.Size
	return false
}

// Mix is a hash that is the same every time.
func Mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

type lruBytes struct {
	capacity, used int64
	l              *list.List
	m              map[uint64]*list.Element
}

// NewLRU is plain LRU, weighted by bytes.
func NewLRU(capacity int64) Policy {
	return &lruBytes{capacity: capacity, l: list.New(), m: map[uint64]*list.Element{}}
}

func (c *lruBytes) Access(q Request) bool {
	if e := c.m[q.Key]; e != nil {
		c.l.MoveToFront(e)
		return true
	}
	for c.used+q.Size > c.capacity {
		e := c.l.Back()
		old := e.Value.(Request)
		c.l.Remove(e)
		delete(c.m, old.Key)
		c.used -= old.Size
	}
	c.m[q.Key] = c.l.PushFront(q)
	c.used += q.Size
	return false
}

// hashicorp counts entries, so its size is what the objects' mean makes of the bytes.
type hashicorp struct{ c *lru.LRU[uint64, struct{}] }

// NewGolangLRU is golang-lru, as many entries of it as the mean size makes of the bytes.
func NewGolangLRU(t *Trace) Policy {
	total, seen := int64(0), map[uint64]bool{}
	for _, q := range t.Requests {
		if !seen[q.Key] {
			seen[q.Key] = true
			total += q.Size
		}
	}
	c, err := lru.NewLRU[uint64, struct{}](int(max(1, t.Capacity/(total/int64(len(seen))))), nil)
	if err != nil {
		panic(err)
	}
	return hashicorp{c}
}

func (h hashicorp) Access(q Request) bool {
	if _, ok := h.c.Get(q.Key); ok {
		return true
	}
	h.c.Add(q.Key, struct{}{})
	return false
}

// belady knows the future: what is used again last goes first. For objects of unequal size it is a good limit, not the exact one.
type belady struct {
	capacity, used int64
	next           []int // of each Request: when its key comes again
	at             int
	in             map[uint64]*future
	h              futures
}

type future struct {
	key   uint64
	size  int64
	next  int
	index int
}

type futures []*future

func (h futures) Len() int           { return len(h) }
func (h futures) Less(i, j int) bool { return h[i].next > h[j].next }
func (h futures) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].index, h[j].index = i, j }
func (h *futures) Push(x any)        { f := x.(*future); f.index = len(*h); *h = append(*h, f) }
func (h *futures) Pop() any {
	f := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return f
}

// NewBelady knows the future of a trace.
func NewBelady(t *Trace) Policy {
	b := &belady{capacity: t.Capacity, next: make([]int, len(t.Requests)), in: map[uint64]*future{}}
	last := map[uint64]int{}
	for i := len(t.Requests) - 1; i >= 0; i-- {
		k := t.Requests[i].Key
		b.next[i] = len(t.Requests)
		if n, ok := last[k]; ok {
			b.next[i] = n
		}
		last[k] = i
	}
	return b
}

func (b *belady) Access(q Request) bool {
	next := b.next[b.at]
	b.at++
	if f := b.in[q.Key]; f != nil {
		f.next = next
		heap.Fix(&b.h, f.index)
		return true
	}
	if next == len(b.next) {
		return false // never again: not kept
	}
	f := &future{key: q.Key, size: q.Size, next: next}
	heap.Push(&b.h, f)
	b.in[q.Key] = f
	for b.used += q.Size; b.used > b.capacity; {
		gone := heap.Pop(&b.h).(*future)
		delete(b.in, gone.key)
		b.used -= gone.size
	}
	return false
}

// Ratios runs a trace: object and byte hit ratio in percent.
func Ratios(t *Trace, p Policy) (objects, bytes float64) {
	var hits, hitBytes, all int64
	for _, q := range t.Requests {
		all += q.Size
		if p.Access(q) {
			hits++
			hitBytes += q.Size
		}
	}
	return 100 * float64(hits) / float64(len(t.Requests)), 100 * float64(hitBytes) / float64(all)
}
