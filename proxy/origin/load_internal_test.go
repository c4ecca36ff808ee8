package origin

import (
	"testing"
	"time"
)

func TestMeterFollowsRisesAtOnceAndFadesWithTime(t *testing.T) {
	var m meter
	start := time.Unix(1_700_000_000, 0)
	if m.latency(start) != 0 {
		t.Error("nothing observed is unknown")
	}
	near := func(after time.Duration, want time.Duration) {
		t.Helper()
		if got := m.latency(start.Add(after)); got < want*99/100 || got > want*101/100 {
			t.Errorf("after %v: %v, want %v", after, got, want)
		}
	}
	m.observe(10*time.Millisecond, start)
	near(0, 10*time.Millisecond)
	m.observe(100*time.Millisecond, start)
	near(0, 100*time.Millisecond) // a peak counts at once
	m.observe(10*time.Millisecond, start)
	near(0, 100*time.Millisecond) // and is not undone by one fast answer
	near(latencyMemory, 36788*time.Microsecond)
	m.observe(10*time.Millisecond, start.Add(latencyMemory))
	near(latencyMemory, 43109*time.Microsecond) // 100 ms / e + 10 ms (1 - 1/e)
	near(-time.Hour, 43109*time.Microsecond)    // a clock that steps back does no harm
}

func TestFailuresCountAsSlow(t *testing.T) {
	if penalized(time.Millisecond, true) != failurePenalty || penalized(time.Millisecond, false) != time.Millisecond ||
		penalized(time.Minute, true) != time.Minute {
		t.Error("an attempt without an answer counts at least the penalty")
	}
}

func TestLimitOfAnEndpoint(t *testing.T) {
	for _, c := range []struct{ conns, outstanding, capacity, want int }{
		{0, 0, 0, defaultMaxConns}, {10, 0, 0, 10}, {10, 5, 0, 5}, {10, 5, 7, 7}, {10, 0, 70, 10}, {10, 50, 0, 10},
	} {
		target := &Target{MaxConns: c.conns, MaxOutstanding: c.outstanding}
		if got := target.limit(&Endpoint{Capacity: c.capacity}); got != c.want {
			t.Errorf("%+v: limit %d", c, got)
		}
	}
}
