package demo

import (
	"math/bits"
	"time"
)

const (
	subBuckets = 32              // of each power of two: a value is known to within 1/32, about 3 %
	maxMicros  = 1<<36 - 1       // 19 hours; longer durations count as this
	buckets    = subBuckets * 32 // as many as maxMicros needs
)

// histogram counts durations in buckets whose width grows with the value, so that it is precise enough everywhere and its size
// does not depend on how much it has seen. The zero histogram is empty. It is not safe for concurrent use.
type histogram struct {
	counts [buckets]uint32
	total  int
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.total++
}

// bucketOf maps 0..31 microseconds to themselves and every further power of two to 32 buckets.
func bucketOf(d time.Duration) int {
	v := uint64(min(max(d.Microseconds(), 0), maxMicros))
	shift := max(bits.Len64(v)-6, 0)
	return shift*subBuckets + int(v>>shift)
}

// middle is the duration in the middle of a bucket.
func middle(bucket int) time.Duration {
	shift := max(bucket/subBuckets-1, 0)
	low := uint64(bucket-shift*subBuckets) << shift
	return time.Duration(low+(1<<shift)/2) * time.Microsecond
}

// quantile returns the duration that a share q of everything added does not exceed, or 0 when nothing was added.
func (h *histogram) quantile(q float64) time.Duration {
	rank := max(int(q*float64(h.total)+0.5), 1)
	seen := 0
	for bucket, n := range h.counts {
		if seen += int(n); seen >= rank {
			return middle(bucket)
		}
	}
	return 0
}
