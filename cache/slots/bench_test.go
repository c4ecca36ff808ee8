package slots_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/bench/traces"
	"github.com/meridian-edge/meridian/cache/slots"
)

const million = 1 << 20

// stored is of the size of what a cache keeps for an object.
type stored [12]uint64

// full is a table of a million values in groups of four.
func full() *slots.Table[stored] {
	var t slots.Table[stored]
	for i := range uint64(million) {
		t.Add(traces.Mix(i), traces.Mix(i/4), stored{i})
	}
	return &t
}

func BenchmarkAdd(b *testing.B) {
	b.ReportAllocs()
	var t slots.Table[stored]
	i, slowest := uint64(0), time.Duration(0)
	for b.Loop() {
		if i%million == 0 {
			t = slots.Table[stored]{}
		}
		began := time.Now()
		t.Add(traces.Mix(i), traces.Mix(i/4), stored{i})
		slowest = max(slowest, time.Since(began))
		i++
	}
	b.ReportMetric(float64(slowest.Microseconds()), "µs-slowest")
}

func BenchmarkFirst(b *testing.B) {
	t := full()
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		k := traces.Mix(i) % million
		if t.At(t.First(traces.Mix(k)))[0] != k {
			b.Fatal("another")
		}
		i++
	}
}

func BenchmarkFirstMiss(b *testing.B) {
	t := full()
	b.ReportAllocs()
	i := uint64(million)
	for b.Loop() {
		if t.First(traces.Mix(i)) != 0 {
			b.Fatal("found")
		}
		i++
	}
}

// BenchmarkReplace removes one value of a million and adds another, as a full cache does.
func BenchmarkReplace(b *testing.B) {
	t := full()
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		t.Remove(t.First(traces.Mix(i)))
		t.Add(traces.Mix(i+million), traces.Mix((i+million)/4), stored{i + million})
		i++
	}
}

func BenchmarkGroup(b *testing.B) {
	t := full()
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		n := 0
		for id := t.FirstOf(traces.Mix(traces.Mix(i) % (million / 4))); id != 0; id = t.NextOf(id) {
			n++
		}
		if n != 4 {
			b.Fatal(n)
		}
		i++
	}
}

// BenchmarkCollect is a run of the garbage collector over a million values.
func BenchmarkCollect(b *testing.B) {
	t := full()
	for b.Loop() {
		runtime.GC()
	}
	runtime.KeepAlive(t)
}
