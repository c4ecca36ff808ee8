package guard

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// load knows whether more queries without a cookie arrive than the operator allows in full. Counting every one in one place would
// make all cores wait for it, so one in loadSample is counted as so many.
type load struct {
	paid  atomic.Uint64 // when all that was counted will have been paid back, microseconds
	until atomic.Uint64 // the server is under load until then, microseconds
}

const (
	loadSample = 16
	loadHold   = second // how long load is remembered, so that the cap does not flicker
)

// Cap returns how many octets a response over UDP to a client without a valid cookie may have; 0: no limit of ours. It counts the
// query. draw is random.
func (g *Guard) Cap(now time.Time, draw uint64) int {
	s := g.now.Load()
	switch {
	case s.NoCookieSize == 0:
		return 0
	case s.NoCookieRate == 0 || g.load.high(s.NoCookieRate, uint64(now.Sub(g.start).Microseconds()), draw):
		return s.NoCookieSize
	}
	return 0
}

// Exempts reports whether a client is in one of the networks that are not held to limits.
func (g *Guard) Exempts(client netip.Addr) bool { return g.now.Load().exempts(client) }

// Capped counts a response that was truncated because of Cap.
func (g *Guard) Capped() { g.metrics.capped.Inc() }

// high counts a query and reports whether there are more of them than rate.
func (l *load) high(rate int, now, draw uint64) bool {
	if draw%loadSample == 0 {
		cost := uint64(loadSample * second / rate)
		for {
			paid := l.paid.Load()
			next := max(paid, now) + cost
			if next > now+max(loadHold, cost) {
				l.until.Store(now + loadHold)
				break
			}
			if l.paid.CompareAndSwap(paid, next) {
				break
			}
		}
	}
	return now < l.until.Load()
}
