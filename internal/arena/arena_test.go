package arena_test

import (
	"testing"

	"github.com/meridian-edge/meridian/internal/arena"
)

// Every value has its own place, which does not move, across all sizes of allocation.
func TestValuesStayWhereTheyAre(t *testing.T) {
	var a arena.Arena[[3]uint64]
	if a.Len() != 0 || a.Bytes() != 0 {
		t.Fatalf("the zero Arena has %d values in %d bytes", a.Len(), a.Bytes())
	}
	const n = 5000
	var at [n]*[3]uint64
	for i := range uint32(n) {
		if got := a.Add(); got != i {
			t.Fatalf("value %d is number %d", i, got)
		}
		at[i] = a.At(i)
		if *at[i] != [3]uint64{} {
			t.Fatalf("value %d is not zero: it is another's place", i)
		}
		*at[i] = [3]uint64{uint64(i) + 1, 2, 3}
		if room := a.Bytes(); room < 24*int64(i+1) || room > max(16*24, 2*24*int64(i+1)) {
			t.Fatalf("%d values of 24 bytes take %d", i+1, room)
		}
	}
	for i := range uint32(n) {
		if a.At(i) != at[i] || at[i][0] != uint64(i)+1 {
			t.Fatalf("value %d moved or was overwritten: %v", i, *a.At(i))
		}
	}
	if a.Len() != n || a.Bytes() != 5*1024*24 {
		t.Errorf("%d values in %d bytes", a.Len(), a.Bytes())
	}
}

func TestAnAllocationServesAThousandValues(t *testing.T) {
	var a arena.Arena[uint64]
	for range 1024 {
		a.Add()
	}
	per := testing.AllocsPerRun(10, func() {
		for range 1024 {
			a.Add()
		}
	})
	if per > 3 { // a chunk, and now and then the list of chunks
		t.Errorf("%v allocations for 1024 values", per)
	}
}
