package slots_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/bench/traces"
	"github.com/meridian-edge/meridian/cache/slots"
)

// record is a value with its hashes, for the model.
type record struct{ key, group, value uint64 }

// hash is one of few hashes: some share a bucket for a while, some for ever.
func hash(k uint64) uint64 {
	if k == 0 {
		return 0
	}
	return traces.Mix(k/3) + k%3 // those of three differ in bits that choose no bucket
}

// newest is what a table should say about a selection: ids in the order of adding, backwards.
func newest(order []uint32, of func(uint32) bool) []uint32 {
	var ids []uint32
	for _, id := range slices.Backward(order) {
		if of(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func walk(id uint32, next func(uint32) uint32) (ids []uint32) {
	for ; id != 0; id = next(id) {
		ids = append(ids, id)
	}
	return ids
}

// Whatever is added and removed: a table finds what a map and a list of all in their order find.
func TestTableIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table slots.Table[uint64]
		held, at, order := map[uint32]record{}, map[uint32]*uint64{}, []uint32(nil)
		keys := rapid.Uint64Range(1, 200).Draw(t, "keys")
		groups := rapid.Uint64Range(0, 100).Draw(t, "groups")
		drop := func(id uint32) {
			table.Remove(id)
			delete(held, id)
			order = slices.DeleteFunc(order, func(o uint32) bool { return o == id })
		}
		for i := range uint64(rapid.IntRange(1, 500).Draw(t, "steps")) {
			k, g := hash(rapid.Uint64Range(1, keys).Draw(t, "key")), hash(rapid.Uint64Range(0, groups).Draw(t, "group"))
			switch step := rapid.IntRange(0, 9).Draw(t, "step"); {
			case step < 6:
				id := table.Add(k, g, i)
				if _, dup := held[id]; dup || id == 0 {
					t.Fatalf("id %d is in use or none", id)
				}
				held[id], at[id], order = record{k, g, i}, table.At(id), append(order, id)
			case step < 9 && len(order) > 0:
				drop(order[rapid.IntRange(0, len(order)-1).Draw(t, "which")])
				table.Remove(0) // is nothing
			default: // a purge of a group, as it is walked
				for id := table.FirstOf(g); id != 0; {
					next := table.NextOf(id)
					drop(id)
					id = next
				}
			}
			want := newest(order, func(id uint32) bool { return held[id].key == k })
			if got := walk(table.First(k), table.Next); !slices.Equal(got, want) {
				t.Fatalf("with key %x: %v, want %v", k, got, want)
			}
			want = newest(order, func(id uint32) bool { return g != 0 && held[id].group == g })
			if got := walk(table.FirstOf(g), table.NextOf); !slices.Equal(got, want) {
				t.Fatalf("of group %x: %v, want %v", g, got, want)
			}
		}
		check(t, &table, held, at)
	})
}

// check looks at everything, then empties the table while it is walked.
func check(t *rapid.T, table *slots.Table[uint64], held map[uint32]record, at map[uint32]*uint64) {
	t.Helper()
	if table.Len() != len(held) {
		t.Fatalf("%d values, want %d", table.Len(), len(held))
	}
	for id, r := range held {
		if got := (record{table.Key(id), table.Group(id), *table.At(id)}); got != r || table.At(id) != at[id] {
			t.Fatalf("%d is %v at %p, want %v at %p", id, got, table.At(id), r, at[id])
		}
		if !slices.Contains(walk(table.First(r.key), table.Next), id) {
			t.Fatalf("%d is not found by its key", id)
		}
		if r.group != 0 && !slices.Contains(walk(table.FirstOf(r.group), table.NextOf), id) {
			t.Fatalf("%d is not found by its group", id)
		}
	}
	for id := range table.All() {
		if _, in := held[id]; !in {
			t.Fatalf("%d is walked over, although it is not in", id)
		}
		delete(held, id)
		table.Remove(id)
	}
	if len(held) > 0 || table.Len() > 0 {
		t.Fatalf("%d values were not walked over, %d are left", len(held), table.Len())
	}
}

func TestRemovingTwiceIsABug(t *testing.T) {
	var table slots.Table[uint64]
	id := table.Add(1, 2, 3)
	table.Remove(id)
	defer func() {
		if recover() == nil {
			t.Error("it went unnoticed")
		}
	}()
	table.Remove(id)
}

func TestTheZeroTableIsEmpty(t *testing.T) {
	var table slots.Table[uint64]
	if table.First(1) != 0 || table.FirstOf(1) != 0 || table.FirstOf(0) != 0 || table.Len() != 0 || table.Bytes() != 0 {
		t.Error("something is in it")
	}
	for id := range table.All() {
		t.Errorf("%d is in it", id)
	}
}

// TestCostOfAValue holds the promise of the package comment, with a group for each value, which is the worst there is.
func TestCostOfAValue(t *testing.T) {
	const n = 100_000
	measure := func(bytes int64, size uintptr) {
		t.Helper()
		// The last allocations may be all but empty.
		most := int64(n)*int64(40+size) + 1024*int64(32+size+4+4)
		if bytes > most {
			t.Errorf("%d values of %d bytes take %d, want at most %d", n, size, bytes, most)
		}
		t.Logf("a value of %d bytes takes %.1f", size, float64(bytes)/n)
	}
	var words slots.Table[[16]uint64]
	var halves slots.Table[[3]uint32] // rounded up to 16
	for i := range uint64(n) {
		words.Add(hash(3*i+3), hash(3*i+4), [16]uint64{i})
		halves.Add(hash(3*i+3), hash(3*i+4), [3]uint32{})
	}
	measure(words.Bytes(), reflect.TypeFor[[16]uint64]().Size())
	measure(halves.Bytes(), reflect.TypeFor[[3]uint32]().Size()+4)
}

func TestNothingIsAllocatedToLook(t *testing.T) {
	var table slots.Table[uint64]
	ids := make([]uint32, 5000)
	for i := range ids {
		ids[i] = table.Add(hash(uint64(i)+1), hash(uint64(i)%7), uint64(i))
	}
	i := 0
	if n := testing.AllocsPerRun(2000, func() {
		id := table.First(hash(uint64(i) + 1))
		*table.At(id)++
		if table.Next(id) != 0 || table.NextOf(table.FirstOf(hash(uint64(1+i%6)))) == 0 {
			t.Fatal("lost")
		}
		table.Remove(id)
		i++
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestRefs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var refs slots.Refs[int]
		held := map[uint32]*int{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "add") {
				p := new(int)
				id := refs.Add(p)
				if id == 0 || held[id] != nil {
					t.Fatalf("number %d is in use or none", id)
				}
				held[id] = p
			} else {
				for id := range held {
					refs.Remove(id)
					delete(held, id)
					break
				}
			}
			for id, p := range held {
				if refs.At(id) != p {
					t.Fatalf("number %d is another", id)
				}
			}
		}
	})
}

func ExampleTable() {
	type page struct{ length int }
	var table slots.Table[page]
	english := table.Add(0xa1, 0xb, page{100})
	table.Add(0xa2, 0xb, page{200})
	for id := table.FirstOf(0xb); id != 0; id = table.NextOf(id) {
		fmt.Printf("%x: %d\n", table.Key(id), table.At(id).length)
	}
	table.Remove(english)
	fmt.Println(table.First(0xa1), table.Len())
	// Output:
	// a2: 200
	// a1: 100
	// 0 1
}
