package quota_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/cache/quota"
)

// owner is a member whose things are sizes in shards.
type owner struct {
	account quota.Account
	things  [quota.Shards][]int64
}

func (o *owner) Account() *quota.Account { return &o.account }

// house is a ledger with what is in it, one lock for all shards.
type house struct {
	*quota.Ledger[*owner]

	mu      sync.Mutex
	evicted map[*owner]int
}

func newHouse(limit int64) *house {
	h := &house{evicted: map[*owner]int{}}
	h.Ledger = quota.New(quota.Options[*owner]{Limit: limit, Make: func() *owner { return &owner{} }, Evict: h.evict})
	return h
}

func (h *house) evict(o *owner, shard int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	things := o.things[shard]
	if len(things) == 0 {
		return false
	}
	h.Charge(o, -things[0])
	o.things[shard] = things[1:]
	h.evicted[o]++
	h.tell(o, shard)
	return true
}

// store puts a thing of n bytes into a shard of a name's.
func (h *house) store(name string, shard int, n int64) bool {
	o := h.Of(name)
	if !h.Reserve(o, n) {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	o.things[shard] = append(o.things[shard], n)
	h.tell(o, shard)
	return true
}

func (h *house) tell(o *owner, shard int) {
	sum := int64(0)
	for _, n := range o.things[shard] {
		sum += n
	}
	o.account.Evictable(shard, sum)
}

func (o *owner) sum() (sum int64) {
	for _, things := range o.things {
		for _, n := range things {
			sum += n
		}
	}
	return sum
}

// TestNobodyLosesToOthers: who has a quota keeps what it has, whatever others store; what others have without one goes first.
func TestNobodyLosesToOthers(t *testing.T) {
	h := newHouse(1000)
	h.Set(map[string]int64{"a": 300})
	for i := range 30 {
		h.store("a", i%quota.Shards, 10)
	}
	for i := range 500 {
		if !h.store("b", i%quota.Shards, 10) || !h.store("c", i%quota.Shards, 10) {
			t.Fatal("no room")
		}
	}
	if got := h.Of("a").sum(); got != 300 || h.evicted[h.Of("a")] > 0 {
		t.Errorf("a has %d bytes of its 300", got)
	}
	if h.Of("b") != h.Of("c") || h.Used() > 1000 || h.Used() < 990 {
		t.Errorf("%d of 1000 bytes are used", h.Used())
	}
	if h.store("a", 0, 301) || h.store("b", 0, 1001) {
		t.Error("more than there may ever be")
	}
	h.store("a", 0, 100) // at its own cost
	if got := h.Of("a").sum(); got > 300 || h.evicted[h.Of("a")] == 0 {
		t.Errorf("a has %d bytes", got)
	}
}

// TestWhoIsNamedNoMoreGoesFirst: what a distribution has left behind makes room before anything else does.
func TestWhoIsNamedNoMoreGoesFirst(t *testing.T) {
	h := newHouse(1000)
	h.Set(map[string]int64{"old": 500})
	old := h.Of("old")
	for i := range 50 {
		h.store("old", i%quota.Shards, 10)
		h.store("common", i%quota.Shards, 10)
	}
	h.Set(nil)
	if h.Of("old") == old {
		t.Error("it still has an account of its own")
	}
	for range 50 {
		h.store("new", 0, 10)
	}
	if old.sum() != 0 || h.evicted[h.Of("common")] > 0 {
		t.Errorf("%d bytes are left of the old, and %d others went", old.sum(), h.evicted[h.Of("common")])
	}
}

// TestALowerLimitIsSettled: Settle brings everybody within limits that have sunk.
func TestALowerLimitIsSettled(t *testing.T) {
	h := newHouse(1000)
	h.Set(map[string]int64{"a": 600})
	for i := range 40 {
		h.store("a", i%quota.Shards, 10)
		h.store("b", i%quota.Shards, 10)
	}
	h.Set(map[string]int64{"a": 100})
	h.Settle()
	if got := h.Of("a").sum(); got > 100 {
		t.Errorf("a has %d", got)
	}
	h.SetLimit(200)
	h.Settle()
	if h.Used() > 200 {
		t.Errorf("%d bytes", h.Used())
	}
	if h.SetLimit(-1); h.Limit() != 0 || h.store("b", 0, 1) {
		t.Error("something fits into nothing")
	}
}

// TestPins: half may be pinned, and a limit that has sunk is noticed.
func TestPins(t *testing.T) {
	h := newHouse(1000)
	o := h.Of("a")
	if !h.Pin(o, 500) || h.Pin(o, 1) || h.Overpinned(o) {
		t.Error("not half")
	}
	if h.SetLimit(900); !h.Overpinned(o) {
		t.Error("not noticed")
	}
	if o.account.Pinned(-100); h.Overpinned(o) || !h.Pin(o, 50) {
		t.Error("it may have 450")
	}
}

// TestNeverMoreThanThereIs: under any sequence of orders by many at once, what is charged keeps within limits and is what there is.
func TestNeverMoreThanThereIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(1, 2000).Draw(t, "limit")
		quotas := rapid.MapOf(rapid.SampledFrom([]string{"a", "b", "c"}), rapid.Int64Range(1, 1500)).Draw(t, "quotas")
		seed := rapid.Uint64().Draw(t, "seed")
		h := newHouse(limit)
		h.Set(quotas)
		var wg sync.WaitGroup
		for w := range uint64(4) {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, w))
				for range 100 {
					name := string(rune('a' + r.IntN(5)))
					switch r.IntN(4) {
					case 0:
						if o := h.Of(name); h.TryReserve(o, 7) {
							h.Charge(o, -7)
						}
					default:
						h.store(name, r.IntN(quota.Shards), 1+r.Int64N(200))
					}
					if used := h.Used(); used > limit || used < 0 {
						t.Errorf("%d of %d bytes", used, limit)
					}
				}
			})
		}
		wg.Wait()
		sum := int64(0)
		for _, o := range h.All() {
			sum += o.sum()
		}
		for name, q := range quotas {
			if got := h.Of(name).sum(); got > q {
				t.Errorf("%s has %d of %d", name, got, q)
			}
		}
		if sum != h.Used() {
			t.Errorf("%d bytes are charged for %d", h.Used(), sum)
		}
	})
}
