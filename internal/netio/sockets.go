package netio

import "sync"

// Sockets add up what the kernel has dropped on several Batches, closed ones included. The zero Sockets are ready for use, and safe for concurrent
// use.
type Sockets struct {
	mu    sync.Mutex
	open  map[*Batch]bool
	ended uint64 // drops of those that were removed
}

// Add counts a Batch in until the function that it returns is called, which is to be after its Close.
func (s *Sockets) Add(b *Batch) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*Batch]bool{}
	}
	s.open[b] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open[b] {
			delete(s.open, b)
			s.ended += b.Drops()
		}
	}
}

// Drops is the sum of what Batch.Drops says. It never goes back.
func (s *Sockets) Drops() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := s.ended
	for b := range s.open {
		total += b.Drops()
	}
	return total
}
