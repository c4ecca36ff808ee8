package cache

import "github.com/meridian-edge/meridian/cache/rules"

// wish is what a request says to the cache, and what became of it so far.
type wish struct {
	rules.Wish
	alone  bool   // it has waited for others often enough
	origin Origin // where slices come from that are not stored
}

// readWish reads a request. The reason is not empty when the store has nothing to do with it.
func readWish(req *Request) (w wish, reason string) {
	w.Wish, reason = rules.ReadWish(req.Head, req.Policy)
	return w, reason
}
