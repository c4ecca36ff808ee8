package healthcheck

import (
	"fmt"
	"sync/atomic"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/steer"
)

// Outcome is how one request to an endpoint ended, as far as the endpoint is to blame.
type Outcome uint8

// The outcomes.
const (
	Good         Outcome = iota // it answered, with anything below 500
	ServerError                 // it answered with a 5xx that is no gateway's
	GatewayError                // 502, 503 or 504; or it was not reached, broke off, or did not answer in time
)

// Causes of an ejection, the values of a metric's label.
const (
	causeServerErrors = "server_errors"
	causeGateway      = "gateway_failures"
	causeSuccessRate  = "success_rate"
)

// Watch hears how the requests to the endpoints of one pool end, and ejects those that fail too many: they count as down for
// this edge (Reach), not for the fleet (Alive). Its numbers belong to the board and outlive the plan. A nil Watch hears
// nothing. It is safe for concurrent use; hearing about a request takes no lock.
type Watch struct {
	board   *Board
	rules   config.Passive
	members []*row // by index of the endpoint
}

// watch makes the Watch of a pool.
func (b *Board) watch(rules *config.Passive, slots []steer.Slot) *Watch {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &Watch{board: b, rules: *rules}
	for _, s := range slots {
		w.members = append(w.members, b.rows[s])
	}
	return w
}

// tally is what is counted of an endpoint's requests.
type tally struct {
	server  atomic.Int32  // failures of any kind in a row
	gateway atomic.Int32  // gateway failures in a row
	rate    atomic.Uint64 // of this interval: requests in the upper half, good ones in the lower
}

func (t *tally) clear() {
	t.server.Store(0)
	t.gateway.Store(0)
	t.rate.Store(0)
}

// take begins a new interval and returns the numbers of the old one.
func (t *tally) take() (requests, good uint64) {
	n := t.rate.Swap(0)
	return n >> 32, n & 0xffffffff
}

// Saw takes the outcome of one request to the i-th endpoint of the pool.
func (w *Watch) Saw(i int, o Outcome) {
	if w == nil || i < 0 || i >= len(w.members) {
		return
	}
	r := w.members[i]
	t := &r.member.tally
	if o == Good {
		if t.server.Load() != 0 {
			t.server.Store(0)
		}
		if t.gateway.Load() != 0 {
			t.gateway.Store(0)
		}
		if w.rules.Deviations > 0 {
			t.rate.Add(1<<32 | 1)
		}
		return
	}
	if w.rules.Deviations > 0 {
		t.rate.Add(1 << 32)
	}
	failed := t.server.Add(1)
	gateway := int32(0)
	if o == GatewayError {
		gateway = t.gateway.Add(1)
	} else {
		t.gateway.Store(0)
	}
	switch {
	case w.rules.GatewayFailures > 0 && gateway >= int32(w.rules.GatewayFailures):
		w.trip(r, causeGateway, fmt.Sprintf("%d requests in a row did not reach it or got 502, 503 or 504", gateway))
	case w.rules.ServerErrors > 0 && failed >= int32(w.rules.ServerErrors):
		w.trip(r, causeServerErrors, fmt.Sprintf("%d requests in a row failed with a 5xx or without an answer", failed))
	}
}

// trip ejects an endpoint. The rows begin anew in any case, so a flood of failures takes the lock once in a while only.
func (w *Watch) trip(r *row, cause, why string) {
	r.member.tally.server.Store(0)
	r.member.tally.gateway.Store(0)
	w.board.mu.Lock()
	defer w.board.mu.Unlock()
	w.board.eject(r, cause, why)
}

func rateReason(rate, least float64) string {
	return fmt.Sprintf("%.1f %% of its requests succeeded, its pool wants %.1f %%", 100*rate, 100*least)
}
