package origin

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/meridian-edge/meridian/steer"
)

const (
	// latencyMemory is how fast the latency of an endpoint follows its answers, and is forgotten without any: an endpoint that
	// was slow once is tried again when its latency has faded below that of the others.
	latencyMemory = 10 * time.Second
	// failurePenalty is the least an attempt without an answer counts, so that an endpoint that fails fast attracts nobody.
	failurePenalty = time.Second
)

// meter is the latency of a peer: an average that fades with time and follows a rise at once ("peak EWMA"), because a slow
// answer is news and a fast one is not. It takes no lock.
type meter struct{ last atomic.Pointer[sample] }

type sample struct {
	latency float64 // nanoseconds, at that time
	at      time.Time
}

// observe takes in one answer.
func (m *meter) observe(took time.Duration, now time.Time) {
	for {
		old := m.last.Load()
		s := &sample{latency: float64(took), at: now}
		if old != nil {
			keep := fade(now.Sub(old.at))
			s.latency = max(s.latency, old.latency*keep+s.latency*(1-keep))
		}
		if m.last.CompareAndSwap(old, s) {
			return
		}
	}
}

// latency is what an answer takes; 0: unknown.
func (m *meter) latency(now time.Time) time.Duration {
	s := m.last.Load()
	if s == nil {
		return 0
	}
	return time.Duration(s.latency * fade(now.Sub(s.at)))
}

// fade is how much of what was known is left after a time.
func fade(passed time.Duration) float64 {
	return math.Exp(-float64(max(0, passed)) / float64(latencyMemory))
}

// load is what the endpoints of a target are busy with, for steer.
type load struct {
	peers []*peer
	now   time.Time
}

// Outstanding implements steer.Load.
func (l *load) Outstanding(leaf int) int { return int(l.peers[leaf].inFlight.Load()) }

// Latency implements steer.Load.
func (l *load) Latency(leaf int) time.Duration { return l.peers[leaf].meter.latency(l.now) }

// Client is who a request comes from as far as steering goes: what Do would decide by now. It counts no turn.
func (t *Transport) Client(target *Target, r *Request) steer.Client {
	c := steer.Client{
		From: target.From, Random: r.Random, Hash: r.Hash, Prefer: r.Prefer, Now: time.Now(), Turn: t.pool(target).turn.Load(),
	}
	if target.Tree.ByLoad() || advised(target.Health) {
		l := &load{peers: make([]*peer, len(target.Endpoints)), now: c.Now}
		for i := range target.Endpoints {
			l.peers[i] = t.peer(target, &target.Endpoints[i])
		}
		c.Load = l
	}
	return c
}

// advised reports whether endpoints may have told limits of their own.
func advised(h steer.Health) bool {
	a, ok := h.(steer.Adviser)
	return ok && a.Advised()
}

// limit is how many requests may be in flight to an endpoint.
func (t *Target) limit(e *Endpoint) int {
	limit := t.MaxConns
	if limit <= 0 {
		limit = defaultMaxConns
	}
	switch {
	case e.Capacity > 0:
		return min(limit, e.Capacity)
	case t.MaxOutstanding > 0:
		return min(limit, t.MaxOutstanding)
	}
	return limit
}
