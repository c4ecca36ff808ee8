package origin

import (
	"testing"
	"time"
)

func TestDecide(t *testing.T) {
	f := func(name string, o outcome, want step, costs bool) {
		t.Helper()
		if got, paid := decide(o); got != want || paid != costs {
			t.Errorf("%s: got %d, %v; want %d, %v", name, got, paid, want, costs)
		}
	}
	f("answer", outcome{safe: true, left: true, status: 200, more: true}, stop, false)
	f("answer nobody else can better", outcome{safe: true, left: true, status: 500, more: true}, stop, false)
	f("502", outcome{safe: true, left: true, status: 502, more: true}, next, true)
	f("503", outcome{safe: true, left: true, status: 503, more: true}, next, true)
	f("504", outcome{safe: true, left: true, status: 504, more: true}, next, true)
	f("503 to the last", outcome{safe: true, left: true, status: 503}, stop, false)
	f("503 to POST", outcome{left: true, status: 503, more: true}, stop, false)
	f("refused", outcome{safe: true, more: true}, next, false)
	f("refused POST", outcome{more: true}, next, false)
	f("refused POST, body read", outcome{more: true, bodyRead: true}, stop, false)
	f("refused by the last", outcome{safe: true}, stop, false)
	f("GET timed out", outcome{safe: true, left: true, more: true}, next, true)
	f("POST timed out", outcome{left: true, more: true}, stop, false)
	f("GET on a dead connection", outcome{safe: true, left: true, stale: true, more: true}, again, true)
	f("GET on a dead connection of the last", outcome{safe: true, left: true, stale: true}, again, true)
	f("GET on a second dead connection", outcome{safe: true, left: true, stale: true, second: true, more: true}, next, true)
	f("POST on a dead connection", outcome{left: true, stale: true, more: true}, stop, false)
	f("POST that never left a dead connection", outcome{stale: true}, again, false)
	f("nobody waits", outcome{safe: true, more: true, gone: true}, stop, false)
}

func TestBudgetIsAShareOfRequests(t *testing.T) {
	b := newBudget()
	now := b.at
	for range budgetReserve {
		if !b.spend(now) {
			t.Fatal("the reserve is not there")
		}
	}
	if b.spend(now) {
		t.Fatal("a retry from an empty budget")
	}
	for range 100 {
		b.earn(20)
	}
	n := 0
	for b.spend(now) {
		n++
	}
	if n < 19 || n > 20 { // 100 * 0.2, as floating point has it
		t.Errorf("100 requests at 20 %% paid for %d retries", n)
	}
}

func TestQuietEdgeCanAlwaysRetry(t *testing.T) {
	b := newBudget()
	now := b.at
	for b.spend(now) {
	}
	if !b.spend(now.Add(time.Second)) {
		t.Error("no retry after a second")
	}
	n := 0
	for b.spend(now.Add(time.Hour)) {
		n++
	}
	if n != budgetReserve {
		t.Errorf("an hour saved up %d retries, want the reserve of %d", n, budgetReserve)
	}
}
