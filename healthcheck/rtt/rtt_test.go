package rtt_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/healthcheck/rtt"
)

const ms = time.Millisecond

// feed adds measurements and returns how often the value changed.
func feed(m *rtt.Meter, list ...time.Duration) int {
	changes := 0
	for _, took := range list {
		if m.Add(took) {
			changes++
		}
	}
	return changes
}

func TestValueNeedsThreeMeasurements(t *testing.T) {
	var m rtt.Meter
	if feed(&m, 10*ms, 10*ms) != 0 || m.Value() != 0 {
		t.Errorf("after two: %s", m.Value())
	}
	if feed(&m, 10*ms) != 1 || m.Value() != 10*ms {
		t.Errorf("after three: %s, want 10ms", m.Value())
	}
}

func TestOutliersMoveNothing(t *testing.T) {
	var m rtt.Meter
	feed(&m, 10*ms, 10*ms, 10*ms)
	for range 100 {
		if feed(&m, 10*ms, 900*ms, 10*ms, 10*ms, 2*ms, 10*ms) != 0 {
			t.Fatalf("two of six measurements moved it to %s", m.Value())
		}
	}
}

func TestLastingChangeIsFollowed(t *testing.T) {
	for _, to := range []time.Duration{ms, 5 * ms, 12 * ms, 80 * ms} {
		var m rtt.Meter
		feed(&m, 10*ms, 10*ms, 10*ms)
		for range 40 {
			m.Add(to)
		}
		if off := m.Value() - to; off > max(ms, to*15/100) || -off > max(ms, to*15/100) {
			t.Errorf("from 10ms to %s: %s", to, m.Value())
		}
	}
}

// Noise of 10 % either way never moves what is shown, however long it lasts.
func TestNoiseDoesNotFlap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var m rtt.Meter
	changes := 0
	for range 100_000 {
		changes += feed(&m, time.Duration(float64(20*ms)*(0.9+0.2*r.Float64())))
	}
	if changes != 1 {
		t.Errorf("%d changes, want the first only", changes)
	}
}

// Whatever is measured, two changes are at least three measurements apart and differ by more than the margin.
func TestChangesAreFarApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m rtt.Meter
		since, shown := 0, time.Duration(0)
		for _, took := range rapid.SliceOfN(rapid.Int64Range(-5, int64(2*time.Minute)), 0, 200).Draw(t, "measurements") {
			changed := m.Add(time.Duration(took))
			if took > 0 {
				since++
			}
			if !changed {
				if m.Value() != shown {
					t.Fatalf("changed without saying so: %s, %s", shown, m.Value())
				}
				continue
			}
			if off := (m.Value() - shown).Abs(); since < 3 || m.Value() <= 0 || m.Value() > rtt.Max || shown > 0 && off < ms-time.Microsecond {
				t.Fatalf("%s, then %s after %d measurements", shown, m.Value(), since)
			}
			since, shown = 0, m.Value()
		}
	})
}

func TestRecallGoesOn(t *testing.T) {
	var m rtt.Meter
	m.Recall(10 * ms)
	if m.Value() != 10*ms || feed(&m, 10*ms, 10*ms, 10*ms, 10*ms) != 0 {
		t.Errorf("%s, want 10ms and no change", m.Value())
	}
	var none rtt.Meter
	none.Recall(0)
	if none.Value() != 0 {
		t.Errorf("%s from nothing", none.Value())
	}
}

func BenchmarkAdd(b *testing.B) {
	var m rtt.Meter
	b.ReportAllocs()
	for b.Loop() {
		m.Add(ms)
	}
}
