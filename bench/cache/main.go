// Command cache compares what caches evict: object and byte hit ratios on generated traffic, next to the limit that knows the future.
package main

import (
	"flag"
	"fmt"

	"github.com/maypok86/otter/v2"

	"github.com/meridian-edge/meridian/bench/traces"
)

func main() {
	n := flag.Int("n", 2_000_000, "requests in each trace")
	flag.Parse()
	fmt.Printf("Object / byte hit ratio in percent, %d requests in each trace.\n\n", *n)
	fmt.Print("| trace | Meridian | otter | LRU | golang-lru | Belady |\n|---|---|---|---|---|---|\n")
	for _, t := range traces.Generate(*n) {
		fmt.Printf("| %s", t.Name)
		for _, p := range []traces.Policy{
			traces.NewOurs(t.Capacity), newOtter(t.Capacity), traces.NewLRU(t.Capacity), traces.NewGolangLRU(&t), traces.NewBelady(&t),
		} {
			objects, bytes := traces.Ratios(&t, p)
			fmt.Printf(" | %.1f / %.1f", objects, bytes)
		}
		fmt.Println(" |")
	}
}

// weighed is otter's cache with a weight in bytes. Its maintenance runs in the caller, so that every run is the same.
type weighed struct{ c *otter.Cache[uint64, int64] }

func newOtter(capacity int64) traces.Policy {
	return weighed{otter.Must(&otter.Options[uint64, int64]{
		MaximumWeight: uint64(capacity),
		Weigher:       func(_ uint64, size int64) uint32 { return uint32(size) },
		Executor:      func(f func()) { f() },
	})}
}

// Access implements traces.Policy.
func (w weighed) Access(q traces.Request) bool {
	if _, ok := w.c.GetIfPresent(q.Key); ok {
		return true
	}
	w.c.Set(q.Key, q.Size)
	return false
}
