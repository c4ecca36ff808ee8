package evict_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/bench/traces"
)

// TestHitRatios: ten points better than LRU where scans mislead it, and never more than one worse. MERIDIAN_RATIOS=1 prints the table
// of longer traces.
func TestHitRatios(t *testing.T) {
	n := 150_000
	long := os.Getenv("MERIDIAN_RATIOS") != ""
	if long {
		n = 2_000_000
	}
	var table strings.Builder
	fmt.Fprintf(&table, "| trace | ours | LRU | golang-lru | Belady |\n|---|---|---|---|---|\n")
	for _, tr := range traces.Generate(n) {
		oursObjects, oursBytes := traces.Ratios(&tr, traces.NewOurs(tr.Capacity))
		lruObjects, lruBytes := traces.Ratios(&tr, traces.NewLRU(tr.Capacity))
		if oursObjects < lruObjects-1 || tr.Scans && oursObjects < lruObjects+10 {
			t.Errorf("%s: %.1f %% of requests, LRU %.1f %%", tr.Name, oursObjects, lruObjects)
		}
		if !long {
			continue
		}
		hashiObjects, hashiBytes := traces.Ratios(&tr, traces.NewGolangLRU(&tr))
		bestObjects, bestBytes := traces.Ratios(&tr, traces.NewBelady(&tr))
		fmt.Fprintf(&table, "| %s | %.1f / %.1f | %.1f / %.1f | %.1f / %.1f | %.1f / %.1f |\n", tr.Name, oursObjects, oursBytes,
			lruObjects, lruBytes, hashiObjects, hashiBytes, bestObjects, bestBytes)
	}
	if long {
		t.Logf("object / byte hit ratio in percent, %d requests\n%s", n, &table)
	}
}
