package healthcheck_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
	"github.com/meridian-edge/meridian/steer"
)

func BenchmarkBoardUp(b *testing.B) {
	board := healthcheck.NewBoard()
	slots := make([]steer.Slot, 10000)
	for i := range slots {
		slots[i] = board.Slot(healthcheck.Key{Endpoint: fmt.Sprint(i), Check: "tcp"})
	}
	reach := board.Reach()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if !reach.Up(slots[i]) {
			b.Fatal("down")
		}
		if i++; i == len(slots) {
			i = 0
		}
	}
}

// many is a plan of n tcp checks at an interval of 10 s.
func many(n int) *config.Config {
	var list []config.Check
	for i := range n {
		c := tcp(fmt.Sprint("c", i), "192.0.2.1:1")
		c.Target = netip.AddrPortFrom(c.Target.Addr(), uint16(1+i))
		c.Fall = 1 // down at once, so that no probe is a quick one
		list = append(list, c)
	}
	return checks(list...)
}

// BenchmarkSchedule runs 10,000 targets at their interval of 10 s in real time, with a network that costs nothing, and
// reports the share of one core that this takes. An operation is 1,000 probes, one second of the schedule.
func BenchmarkSchedule(b *testing.B) {
	for name, failing := range map[string]bool{"up": false, "down": true} {
		b.Run(name, func(b *testing.B) { benchmarkSchedule(b, failing) })
	}
}

func benchmarkSchedule(b *testing.B, failing bool) {
	var dials atomic.Int64
	tick := make(chan struct{}, 1)
	dial := func(context.Context, string, string) (net.Conn, error) {
		if dials.Add(1)%1000 == 0 {
			select {
			case tick <- struct{}{}:
			default:
			}
		}
		if failing {
			return nil, errRefused
		}
		return nothing{}, nil
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	board := healthcheck.NewBoard()
	checker := healthcheck.NewChecker(healthcheck.Options{Board: board, Dial: dial})
	plan := healthcheck.NewPlan(many(10000), board)
	checker.Apply(plan)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- checker.Run(ctx) }()
	if err := checker.Settled(ctx); err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	for len(tick) > 0 {
		<-tick
	}
	<-tick
	b.ReportAllocs()
	began, cpu := time.Now(), processTime()
	for b.Loop() {
		<-tick
	}
	b.ReportMetric(100*(processTime()-cpu).Seconds()/time.Since(began).Seconds(), "%core")
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/10000, "B/target")
	cancel()
	<-done
	runtime.KeepAlive(plan)
}

// nothing is a connection that can only be ended.
type nothing struct{ net.Conn }

func (nothing) Close() error { return nil }

func (nothing) SetDeadline(time.Time) error { return nil } // at the end, of a probe under way

func BenchmarkProbeHTTP(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	b.ReportAllocs()
	address := netip.MustParseAddrPort(s.Listener.Addr().String())
	for b.Loop() { // Apply, probe, result
		board := healthcheck.NewBoard()
		checker := healthcheck.NewChecker(healthcheck.Options{Board: board})
		checker.Apply(healthcheck.NewPlan(checks(config.Check{Name: "a", Type: "http", Target: address}), board))
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- checker.Run(ctx) }()
		if err := checker.Settled(ctx); err != nil {
			b.Fatal(err)
		}
		cancel()
		<-done
	}
}

func BenchmarkApplySamePlan(b *testing.B) {
	board := healthcheck.NewBoard()
	checker := healthcheck.NewChecker(healthcheck.Options{Board: board})
	cfg := many(10000)
	b.ReportAllocs()
	for b.Loop() {
		checker.Apply(healthcheck.NewPlan(cfg, board))
	}
}
