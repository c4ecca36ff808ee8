// Package memlimit keeps the memory of a process within what its cache was given.
//
//	go memlimit.Keep(ctx, func() (size, used int64) { ... })
//
// Go lets the heap grow to twice what is live before it collects, so a cache of a gigabyte would take two. With a limit (runtime/debug.SetMemoryLimit)
// it collects more often as it comes near. The limit is the process's: one Keep at a time.
package memlimit

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	every = 5 * time.Second
	// slack is what a process may take besides 1.15 times its cache, and shell the part of it that is not Go's to count: the program
	// itself, mapped.
	slack = 64 << 20
	shell = 24 << 20
	// spare is how much of what lives outside the cache is within slack. More of it (zones, places) comes on top, and as much again, so that it
	// does not make the collector run for ever.
	spare = 12 << 20
)

// Keep sets the limit every five seconds until ctx is done, and then takes it back. An operator's GOMEMLIMIT stands: then it returns at once.
// budget gives the cache's size and what of it is used, in bytes; it must be safe for concurrent use.
func Keep(ctx context.Context, budget func() (size, used int64)) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		debug.SetMemoryLimit(limit(budget()))
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func limit(size, used int64) int64 {
	if size > math.MaxInt64/4 {
		return math.MaxInt64
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return Of(size, int64(live[0].Value.Uint64())-used)
}

// Of is the limit for a cache of this size beside other live memory.
func Of(size, other int64) int64 {
	return size + size/20*3 + slack - shell + 2*max(0, other-spare)
}
