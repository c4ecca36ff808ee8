package memlimit_test

import (
	"context"
	"math"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/internal/memlimit"
)

func TestLimits(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct{ size, other, least, most int64 }{
		{0, 0, 40 * mib, 40 * mib},
		{256 * mib, 10 * mib, 256 * mib * 115 / 100, 256*mib*115/100 + 64*mib},
		{256 * mib, 400 * mib, 256*mib + 800*mib, 256*mib*115/100 + 64*mib + 800*mib}, // a collector must have room beside what lives
		{10 << 30, -5 * mib, 10 << 30, 12 << 30},                                      // live is of the last collection, and may be behind
	} {
		if got := memlimit.Of(test.size, test.other); got < test.least || got > test.most {
			t.Errorf("Of(%d, %d) = %d", test.size, test.other, got)
		}
	}
}

func TestKeepFollowsTheCacheAndTakesItselfBack(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var size atomic.Int64
		size.Store(1 << 30)
		done := make(chan struct{})
		go func() {
			defer close(done)
			memlimit.Keep(ctx, func() (int64, int64) { return size.Load(), 0 })
		}()
		synctest.Wait()
		small := debug.SetMemoryLimit(-1)
		size.Store(math.MaxInt64 / 2)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if large := debug.SetMemoryLimit(-1); small >= 4<<30 || large != math.MaxInt64 {
			t.Errorf("%d, then %d", small, large)
		}
		cancel()
		<-done
	})
	if after := debug.SetMemoryLimit(-1); after != before {
		t.Errorf("%d is left, %d was there", after, before)
	}
}

func TestAnOperatorsLimitStands(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "3GiB")
	memlimit.Keep(t.Context(), func() (int64, int64) { panic("asked") }) // returns at once
}
