package origin

import (
	"sync"
	"time"
)

// step is what happens after an attempt.
type step uint8

const (
	stop  step = iota // this is the answer
	again             // the same endpoint, on a fresh connection
	next              // the next candidate
)

// outcome is everything the decision to try again depends on.
type outcome struct {
	safe     bool // the method is GET, HEAD or OPTIONS
	left     bool // bytes of the request were handed to the kernel, so the origin may have acted on it
	bodyRead bool // some of the request's body is gone
	status   int  // of the response; 0: there was none
	stale    bool // the connection had been idle, and died before a byte of the response
	second   bool // this was the endpoint's second chance
	more     bool // another endpoint may still be asked
	gone     bool // nobody waits any more
}

// decide is the retry rule of the package comment. costs says that the retry must be paid for from the budget: what never
// left a machine cannot overload another.
func decide(o outcome) (s step, costs bool) {
	switch {
	case o.gone || o.bodyRead:
		return stop, false
	case o.status != 0 && !retriedStatus(o.status):
		return stop, false
	case o.left && !o.safe:
		return stop, false
	case o.stale && !o.second:
		return again, o.left
	case o.more:
		return next, o.left
	}
	return stop, false
}

// retriedStatus lists the statuses by which an origin says that another one might do better.
func retriedStatus(status int) bool { return status == 502 || status == 503 || status == 504 }

// safeMethod reports whether a request may be sent twice: the safe methods that are forwarded (RFC 9110 section 9.2.1).
func safeMethod(method string) bool {
	return method == "GET" || method == "HEAD" || method == "OPTIONS"
}

// The budget's reserve is what a lost endpoint can cost at once: its requests in flight, twice the default of
// limits.origin_conns. The trickle lets a quiet edge always retry.
const (
	budgetReserve = 512
	budgetTrickle = 10 // per second
)

// budget bounds retries to a share of requests, so that they cannot multiply the load of an origin in trouble (attack row
// P11). Every request pays in its share, a retry takes out a whole one.
type budget struct {
	mu    sync.Mutex // guards the fields below
	level float64
	at    time.Time
}

func newBudget() *budget { return &budget{level: budgetReserve, at: time.Now()} }

// earn pays in for one request.
func (b *budget) earn(percent float64) {
	if percent <= 0 {
		percent = defaultRetryPercent
	}
	b.mu.Lock()
	b.level = min(budgetReserve, b.level+percent/100)
	b.mu.Unlock()
}

// spend takes out one retry, and reports whether there was one.
func (b *budget) spend(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if passed := now.Sub(b.at); passed > 0 {
		b.level = min(budgetReserve, b.level+passed.Seconds()*budgetTrickle)
		b.at = now
	}
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}
