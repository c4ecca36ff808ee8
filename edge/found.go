package edge

import "context"

// noteFound is told that discovery has changed the endpoints of a pool, or that an edited check has proven itself. It does not block.
func (n *Node) noteFound() {
	select {
	case n.found <- struct{}{}:
	default: // watchFound is about to look
	}
}

// watchFound makes a generation with the endpoints that discovery has found. Changes that come while one is built make one more
// together.
func (n *Node) watchFound(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.found:
			n.refill()
		}
	}
}

// refill makes a new generation if discovery has found other endpoints than those that serve, or an edited check may decide.
func (n *Node) refill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.organs.board.Passed() || n.snapshot.Load().found != n.organs.discover.Version() {
		n.renewLocked()
	}
}
