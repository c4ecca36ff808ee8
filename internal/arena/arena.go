// Package arena holds many small values under numbers instead of pointers, so that the garbage collector finds one pointer for a
// thousand of them, and a reference to one takes four bytes.
//
//	var nodes arena.Arena[node]
//	i := nodes.Add()
//	nodes.At(i).size = 1
//
// An Arena is not safe for concurrent use.
package arena

import (
	"math/bits"
	"reflect" // for the size of a type parameter, which only unsafe says otherwise
)

const (
	chunkBits = 10
	chunk     = 1 << chunkBits // values in one allocation, but for the first
	firstBits = 4              // the first two have 1<<firstBits, and each one after them twice as many as the one before
	firsts    = chunkBits - firstBits + 1
)

// Arena is a list of values that only grows, in allocations of a thousand (the first ones are smaller), so that it never copies a value
// and a pointer to one stays good. T should hold no pointers: otherwise the collector has to walk all values. The zero Arena is empty.
type Arena[T any] struct {
	large []*[chunk]T
	small [][]T // the first chunk values
	n     uint32
}

// Add appends a zero value and returns its number: 0, 1, 2 and so on. More than 1<<32-1 are a bug.
func (a *Arena[T]) Add() uint32 {
	i := a.n
	switch {
	case i+1 == 0:
		panic("BUG: arena: full")
	case i >= chunk && i%chunk == 0:
		a.large = append(a.large, new([chunk]T))
	case i < chunk && bits.Len32(i>>firstBits) == len(a.small):
		a.small = append(a.small, make([]T, max(i, 1<<firstBits)))
	}
	a.n++
	return i
}

// At returns value i, which must have been added. The pointer stays good for as long as the Arena is used.
func (a *Arena[T]) At(i uint32) *T {
	if k := i >> chunkBits; k > 0 {
		return &a.large[k-1][i%chunk]
	}
	return a.first(i)
}

func (a *Arena[T]) first(i uint32) *T {
	k := bits.Len32(i >> firstBits)
	if k > 0 {
		i -= 1 << (firstBits + k - 1)
	}
	return &a.small[k][i]
}

// Len is the number of values that were added.
func (a *Arena[T]) Len() int { return int(a.n) }

// Bytes is the memory that the values take, with what is allocated for those to come.
func (a *Arena[T]) Bytes() int64 {
	n := len(a.large) * chunk
	if k := len(a.small); k > 0 {
		n += 1 << (firstBits + k - 1)
	}
	return int64(n) * int64(reflect.TypeFor[T]().Size())
}
