package steer

import "math"

// HashString makes the value of Client.Hash of what shall stay together: an address, a path, a cookie. It is the same on
// every edge and in every release, so that edges agree without talking (FNV-1a, then mixed).
func HashString(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix(h)
}

// salt makes hashes of different kinds, and of different things of one kind, independent of each other.
func salt(kind string, names ...string) uint64 {
	h := HashString(kind)
	for _, name := range names {
		h = mix(h ^ HashString(name))
	}
	return h
}

// mix is the finalizer of splitmix64: every bit of z changes about half of the result.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// unit maps a hash to the open interval (0, 1).
func unit(h uint64) float64 { return (float64(h>>12) + 0.5) / (1 << 52) }

// rendezvous is the cost of a member for a key under weighted rendezvous hashing: the member with the least is chosen, and has
// the share weight / sum of the weights of all keys. A member that comes or goes moves only the keys it gains or loses.
func rendezvous(key, salt uint64, weight float64) float64 {
	return -math.Log(unit(mix(key^salt))) / weight
}

// below returns the next number in [0, n) of the client's sequence (splitmix64; the multiply-shift reduction has a bias below
// 2^-48 for the sums that occur).
func (w *walker) below(n int) int {
	w.random += 0x9e3779b97f4a7c15
	return int(mix(w.random) >> 32 * uint64(n) >> 32)
}
