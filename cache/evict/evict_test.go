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
		var order evict.Order[int]
		nodes, sizes, pinned := map[int]*evict.Node[int]{}, map[int]int64{}, map[int]bool{}
		for i := range rapid.IntRange(1, 300).Draw(t, "steps") {
			k := rapid.IntRange(0, 30).Draw(t, "key")
			n := nodes[k]
			switch step := rapid.IntRange(0, 9).Draw(t, "step"); {
			case n == nil:
				nodes[k], sizes[k], pinned[k] = new(evict.Node[int]), rapid.Int64Range(1, 1000).Draw(t, "size"), i%3 == 0
				order.Add(nodes[k], k, traces.Mix(uint64(k)), sizes[k])
			case step < 5:
				order.Touch(n)
			case step == 5:
				sizes[k] = rapid.Int64Range(1, 1000).Draw(t, "size")
				order.Resize(n, sizes[k])
			case step == 6:
				order.Remove(n)
				order.Remove(n) // twice is once
				delete(nodes, k)
			default:
				v := order.Victim(func(k int) bool { return !pinned[k] })
				if v == nil {
					for k := range nodes {
						if !pinned[k] {
							t.Fatalf("no victim, although %d may go", k)
						}
					}
					continue
				}
				if k := v.Value(); nodes[k] != v || pinned[k] {
					t.Fatalf("victim %d", k)
				}
				delete(nodes, v.Value())
				order.Remove(v)
			}
			bytes := int64(0)
			for k := range nodes {
				bytes += sizes[k]
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

func BenchmarkTouch(b *testing.B) {
	var order evict.Order[int]
	nodes := make([]evict.Node[int], 4096)
	for i := range nodes {
		order.Add(&nodes[i], i, traces.Mix(uint64(i)), traces.Unit)
	}
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		i++
		order.Touch(&nodes[traces.Mix(i)%4096])
	}
}

func BenchmarkAddAndEvict(b *testing.B) {
	var order evict.Order[int]
	nodes := make([]evict.Node[int], 4096)
	for i := range nodes {
		order.Add(&nodes[i], i, traces.Mix(uint64(i)), traces.Unit)
	}
	b.ReportAllocs()
	for i := 4096; b.Loop(); i++ {
		n := order.Victim(nil)
		order.Remove(n)
		order.Add(n, i, traces.Mix(uint64(i)), traces.Unit)
	}
}
