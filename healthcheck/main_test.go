package healthcheck_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// farm is a network of endpoints that accept or refuse, and remembers when each was dialled.
type farm struct {
	mu     sync.Mutex
	down   map[string]bool
	hang   map[string]bool // neither accepts nor refuses
	dialed map[string][]time.Time
	open   map[string]int // dials that have not returned
	most   int            // of open, for any endpoint
}

func newFarm() *farm {
	return &farm{down: map[string]bool{}, hang: map[string]bool{}, dialed: map[string][]time.Time{}, open: map[string]int{}}
}

var errRefused = errors.New("connection refused")

func (f *farm) dial(ctx context.Context, _, address string) (net.Conn, error) {
	f.mu.Lock()
	f.dialed[address] = append(f.dialed[address], time.Now())
	f.open[address]++
	f.most = max(f.most, f.open[address])
	down, hang := f.down[address], f.hang[address]
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.open[address]--
	}()
	switch {
	case hang:
		<-ctx.Done()
		return nil, ctx.Err()
	case down:
		return nil, errRefused
	}
	near, far := net.Pipe()
	_ = far.Close()
	return near, nil
}

func (f *farm) set(address string, down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down[address] = down
}

// hold makes an endpoint hang, or ends it for later dials.
func (f *farm) hold(address string, hang bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hang[address] = hang
}

// underway is how many dials of an endpoint have not returned.
func (f *farm) underway(address string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open[address]
}

// atOnce is the most dials of one endpoint that there were at the same time.
func (f *farm) atOnce() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

func (f *farm) times(address string) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Time(nil), f.dialed[address]...)
}

func (f *farm) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, times := range f.dialed {
		n += len(times)
	}
	return n
}

// rig is a running checker in a synctest bubble.
type rig struct {
	*testing.T
	farm    *farm
	board   *healthcheck.Board
	checker *healthcheck.Checker
	plan    *healthcheck.Plan
}

// inBubble runs a test with a checker that dials a farm, on a fake clock.
func inBubble(t *testing.T, test func(r *rig), more ...func(*healthcheck.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, farm: newFarm(), board: healthcheck.NewBoard()}
		o := healthcheck.Options{Board: r.board, Log: slog.New(slog.DiscardHandler), Dial: r.farm.dial}
		for _, change := range more {
			change(&o)
		}
		r.checker = healthcheck.NewChecker(o)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.checker.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		}()
		test(r)
	})
}

func (r *rig) apply(cfg *config.Config) {
	r.plan = healthcheck.NewPlan(cfg, r.board)
	r.checker.Apply(r.plan)
	synctest.Wait()
}

// pass lets time go by and everything that is due happen.
func (r *rig) pass(d time.Duration) {
	time.Sleep(d) // on the bubble's clock
	synctest.Wait()
}

func (r *rig) state(name string) healthcheck.State {
	r.Helper()
	return r.verdict(name).State
}

func (r *rig) verdict(name string) healthcheck.Verdict {
	r.Helper()
	for _, v := range r.board.Verdicts() {
		for _, n := range v.Names {
			if n == name {
				return v
			}
		}
	}
	r.Fatalf("no verdict for %s", name)
	return healthcheck.Verdict{}
}

func (r *rig) wantState(name string, want healthcheck.State) {
	r.Helper()
	if got := r.state(name); got != want {
		r.Errorf("%v: %s is %s, want %s", time.Since(epoch), name, got, want)
	}
}

func (r *rig) wantUp(name string, want bool) {
	r.Helper()
	slot := r.plan.Check(name)
	if got := r.board.Reach().Up(slot); got != want {
		r.Errorf("%s: Reach up = %t, want %t", name, got, want)
	}
	if got := r.board.Alive().Up(slot); got != want {
		r.Errorf("%s: Alive up = %t, want %t", name, got, want)
	}
}

// epoch is where a bubble's clock begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// tcp is a check of one address with an interval of 10 s, rise 2 and fall 3.
func tcp(name, target string) config.Check {
	return config.Check{
		Name: name, Type: "tcp", Target: netip.MustParseAddrPort(target),
		Interval: 10 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3,
	}
}

func with(c config.Check, change func(*config.Check)) config.Check {
	change(&c)
	return c
}

func checks(list ...config.Check) *config.Config { return &config.Config{Checks: list} }

const one, two = "192.0.2.1:80", "192.0.2.2:80"
