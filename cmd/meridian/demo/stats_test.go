package demo

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestHistogramQuantileIsWithinFourPercent(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h histogram
	var all []time.Duration
	for range 20000 {
		d := time.Duration(random.ExpFloat64() * float64(5*time.Millisecond)).Truncate(time.Microsecond)
		h.add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(int(q*float64(len(all))+0.5), 1)-1]
		got := h.quantile(q)
		if diff := (got - want).Abs(); diff > want/25+time.Microsecond {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
}

func TestHistogramTakesEveryDuration(t *testing.T) {
	var h histogram
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("empty: %v", got)
	}
	for _, d := range []time.Duration{-time.Second, 0, time.Nanosecond, 31 * time.Microsecond, 32 * time.Microsecond, time.Hour, 1 << 62} {
		h.add(d)
	}
	if h.total != 7 || h.quantile(1) < 19*time.Hour-time.Hour {
		t.Errorf("total %d, largest %v", h.total, h.quantile(1))
	}
	last := -1
	for us := range 100_000 {
		b := bucketOf(time.Duration(us) * time.Microsecond)
		if b != last && b != last+1 {
			t.Fatalf("%d us is in bucket %d, the one before in %d", us, b, last)
		}
		last = b
	}
}

func TestCacheStatusHit(t *testing.T) {
	f := func(field string, want bool) {
		t.Helper()
		if got := wasHit(field); got != want {
			t.Errorf("wasHit(%q) = %t", field, got)
		}
	}
	f("", false)
	f("eu; hit; ttl=57", true)
	f("eu;hit", true)
	f("eu; fwd=uri-miss; fwd-status=200; stored", false)
	f("shield; hit; ttl=3, eu; fwd=uri-miss", false)
	f("shield; fwd=stale, eu; hit", true)
	f(`eu; detail="a, b; hit"`, false)
	f(`eu; detail="\"; hit"; fwd=miss`, false)
	f(`"e;u"; hit; detail="x"`, true)
}

func FuzzCacheStatus(f *testing.F) {
	for _, seed := range []string{"eu; hit; ttl=57", `eu; detail="\"; hit"`, "a, b;hit", `"`, `\`, "eu;hit,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		if wasHit(field) && !strings.Contains(field, "hit") {
			t.Errorf("%q has no hit", field)
		}
		if !strings.ContainsAny(field, `"\`) && wasHit(field+", other; fwd=miss") {
			t.Errorf("%q: a hit further away counts", field)
		}
	})
}

// smallWorld is the demo's, with neither folder nor ports.
func smallWorld() *world {
	return &world{Edges: theEdges(), Origins: theOrigins(), Countries: candidates()}
}

func goodSample(c *client, edge netip.Addr, origin string) *sample {
	now := time.Now()
	return &sample{client: c, proto: protoH1, edge: edge, origin: origin, hit: origin == "", began: now, ended: now.Add(time.Millisecond), attempts: 1}
}

func TestLossFollowsTheClientsOfWhatWasLost(t *testing.T) {
	w := smallWorld()
	s := newStats(w)
	eu, us := w.Edges[0].Addr, w.Edges[1].Addr
	a, b := &client{id: 1, country: w.Countries[0]}, &client{id: 2, country: w.Countries[4]}
	s.record(goodSample(a, eu, "lon"))
	s.record(goodSample(b, us, "nyc"))

	l := s.lose(lossEdge, "eu")
	if r := s.progress(l); r.Clients != 1 || r.Waiting != 1 {
		t.Fatalf("at the kill: %+v", r)
	}
	s.record(goodSample(b, us, "nyc")) // not affected
	failed := goodSample(a, eu, "")
	failed.err = errors.New("reset")
	s.record(failed)
	select {
	case <-l.done:
		t.Fatal("done before the client was served another way")
	default:
	}
	moved := goodSample(a, us, "")
	moved.attempts, moved.ended = 3, l.at.Add(700*time.Millisecond)
	s.record(moved)
	<-l.done
	s.record(goodSample(a, us, "nyc")) // changes nothing any more
	r := s.settle(l)
	want := lossResult{Clients: 1, Failover: 700 * time.Millisecond, Good: 3, Retried: 1, Failed: 1}
	if r != want {
		t.Errorf("got %+v, want %+v", r, want)
	}
}

func TestOriginLossIsNotOverByAHit(t *testing.T) {
	w := smallWorld()
	s := newStats(w)
	c := &client{id: 1, country: w.Countries[0]}
	s.record(goodSample(c, w.Edges[0].Addr, "lon"))
	s.record(goodSample(c, w.Edges[0].Addr, "")) // a hit does not change where misses come from
	l := s.lose(lossOrigin, "lon")
	s.record(goodSample(c, w.Edges[0].Addr, ""))
	if r := s.progress(l); r.Waiting != 1 {
		t.Errorf("a hit ended the wait: %+v", r)
	}
	s.record(goodSample(c, w.Edges[0].Addr, "nyc"))
	<-l.done
}

func TestLossNobodyNoticesIsOverAtOnce(t *testing.T) {
	s := newStats(smallWorld())
	<-s.lose(lossEdge, "eu").done
}

func TestAnswersThatNameADeadEdgeAreCounted(t *testing.T) {
	w := smallWorld()
	s := newStats(w)
	eu, us := w.Edges[0].Addr, w.Edges[1].Addr
	now := time.Now()
	ask := func(sent time.Time, answer netip.Addr) {
		s.asked(query{server: netip.AddrPortFrom(us, 53), sent: sent, answers: []netip.Addr{answer}})
	}
	l := s.lose(lossEdge, "eu")
	ask(l.at.Add(time.Millisecond), eu) // us does not know yet
	s.avoid(us, eu, now.Add(time.Second))
	s.avoid(us, eu, now.Add(2*time.Second)) // the first time counts
	ask(now.Add(500*time.Millisecond), eu)  // sent before it knew
	ask(now.Add(1500*time.Millisecond), us)
	s.confirm(us, true)
	ask(now.Add(1500*time.Millisecond), eu) // everything seemed down: it had to fail open
	s.confirm(us, false)
	if n := s.snapshot().Named; n != 0 {
		t.Errorf("%d answers counted, want none", n)
	}
	ask(now.Add(1500*time.Millisecond), eu)
	s.confirm(us, true)
	s.allow(eu)
	ask(now.Add(1600*time.Millisecond), eu) // back in service
	s.confirm(us, true)
	if n := s.snapshot().Named; n != 1 {
		t.Errorf("%d answers counted, want 1", n)
	}
	if r := s.settle(l); r.Named != 5 || r.LastNamed < 1500*time.Millisecond {
		t.Errorf("the loss saw %d, the last after %v", r.Named, r.LastNamed)
	}
}
