package evict_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/bench/traces"
	"github.com/meridian-edge/meridian/cache/evict"
)

// Whatever is added, used, resized and removed: the sums are right, a victim is one that may go, and there is one as long as any may.
func TestTheOrderKeepsItsBooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var order evict.Order
		nodes, sizes, pinned := map[uint32]uint32{}, map[uint32]int64{}, map[uint32]bool{}
		for i := range rapid.IntRange(1, 300).Draw(t, "steps") {
			k := rapid.Uint32Range(0, 30).Draw(t, "key")
			n := nodes[k]
			switch step := rapid.IntRange(0, 9).Draw(t, "step"); {
			case n == 0:
				sizes[k], pinned[k] = rapid.Int64Range(1, 1000).Draw(t, "size"), i%3 == 0
				if nodes[k] = order.Add(traces.Mix(uint64(k)), sizes[k], k+1000); nodes[k] == 0 {
					t.Fatal("node 0 is none")
				}
				order.SetValue(nodes[k], k)
			case step < 5:
				order.Touch(n)
			case step == 5:
				sizes[k] = rapid.Int64Range(1, 1000).Draw(t, "size")
				order.Resize(n, sizes[k])
			case step == 6:
				order.Remove(n)
				order.Remove(0) // is nothing
				delete(nodes, k)
			default:
				v := order.Victim(func(k uint32) bool { return !pinned[k] })
				if v == 0 {
					for k := range nodes {
						if !pinned[k] {
							t.Fatalf("no victim, although %d may go", k)
						}
					}
					continue
				}
				if k := order.Value(v); nodes[k] != v || pinned[k] {
					t.Fatalf("victim %d", k)
				}
				delete(nodes, order.Value(v))
				order.Remove(v)
			}
			bytes := int64(0)
			for k, n := range nodes {
				bytes += sizes[k]
				if order.Value(n) != k || order.Size(n) != sizes[k] {
					t.Fatalf("node %d is %d of %d bytes, want %d of %d", n, order.Value(n), order.Size(n), k, sizes[k])
				}
			}
			if order.Bytes() != bytes || order.Len() != len(nodes) {
				t.Fatalf("%d bytes in %d objects, want %d in %d", order.Bytes(), order.Len(), bytes, len(nodes))
			}
		}
	})
}

func TestAScanPassesThrough(t *testing.T) {
	c := traces.NewOurs(100 * traces.Unit)
	for range 3 {
		for k := range uint64(50) {
			c.Access(traces.Request{Key: k, Size: traces.Unit})
		}
	}
	for k := range uint64(10_000) {
		c.Access(traces.Request{Key: 1000 + k, Size: traces.Unit})
	}
	kept := 0
	for k := range uint64(50) {
		if c.Access(traces.Request{Key: k, Size: traces.Unit}) {
			kept++
		}
	}
	if kept != 50 {
		t.Errorf("%d of 50 popular objects are left after a scan", kept)
	}
}

// What an object costs is what docs and budgets count with: with as many ghosts as there can be.
func TestCostOfAnObject(t *testing.T) {
	for _, n := range []int{1000, 10_000, 100_000} {
		var order evict.Order
		for i := range n {
			order.Add(traces.Mix(uint64(i)), traces.Unit, 0)
		}
		for i := range 2 * n {
			order.Remove(order.Victim(nil))
			order.Add(traces.Mix(uint64(n+i)), traces.Unit, 0)
		}
		// The last allocation of each kind may be all but empty.
		if most := int64(n)*(32+16) + 1024*(32+64); order.Cost() > most {
			t.Errorf("%d objects: %d bytes, want at most %d", n, order.Cost(), most)
		}
	}
}

// A key that left the small queue lately enters the main queue at once, however the memory of such keys grew meanwhile: also where all
// hashes end in the same bits, as those of one shard do.
func TestGhostsAreFound(t *testing.T) {
	hash := func(i int) uint64 { return traces.Mix(uint64(i))<<4 | 5 }
	for _, n := range []int{100, 3000, 50_000} {
		var order evict.Order
		add := func(i int) { order.Add(hash(i), traces.Unit, uint32(i)) }
		for i := range n {
			add(i)
		}
		gone := make([]int, 0, n/2)
		for range n / 2 {
			v := order.Victim(nil)
			gone = append(gone, int(order.Value(v)))
			order.Remove(v)
		}
		for _, i := range gone {
			add(i)
		}
		// Those that were taken for new are in the small queue, the others in the main one, which gives up nothing while the small one
		// has more than its share.
		for i := range 2 * n {
			order.Remove(order.Victim(nil))
			add(n + i)
		}
		kept := map[int]bool{}
		for order.Len() > 0 {
			v := order.Victim(nil)
			kept[int(order.Value(v))] = true
			order.Remove(v)
		}
		found := 0
		for _, i := range gone {
			if kept[i] {
				found++
			}
		}
		if found < len(gone)*95/100 {
			t.Errorf("%d objects: %d of %d keys were remembered", n, found, len(gone))
		}
	}
}

const held = 100_000 // objects in the benchmarks

func filled() (order *evict.Order, nodes []uint32) {
	order = &evict.Order{}
	for i := range uint32(held) {
		nodes = append(nodes, order.Add(traces.Mix(uint64(i)), traces.Unit, i))
	}
	return order, nodes
}

func BenchmarkTouch(b *testing.B) {
	order, nodes := filled()
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		i++
		order.Touch(nodes[traces.Mix(i)%held])
	}
}

func BenchmarkAddAndEvict(b *testing.B) {
	order, _ := filled()
	b.ReportAllocs()
	for i := uint64(held); b.Loop(); i++ {
		order.Remove(order.Victim(nil))
		order.Add(traces.Mix(i), traces.Unit, 0)
	}
}
