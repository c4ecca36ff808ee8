package healthcheck_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck"
)

// restart gives a rig a new board and checker, as a new process has them, restored from what text holds.
func (r *rig) restart(text []byte, test func(n *rig)) {
	r.Helper()
	n := &rig{T: r.T, farm: newFarm(), board: healthcheck.NewBoard()}
	if _, _, err := n.board.Restore(text); err != nil {
		r.Fatal(err)
	}
	n.checker = healthcheck.NewChecker(healthcheck.Options{Board: n.board, Dial: n.farm.dial})
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan error, 1)
	go func() { done <- n.checker.Run(ctx) }()
	defer func() { cancel(); <-done }()
	test(n)
}

func (r *rig) save() []byte {
	r.Helper()
	text, err := r.board.Save()
	if err != nil {
		r.Fatal(err)
	}
	return text
}

func TestRestartForgetsNothing(t *testing.T) {
	inBubble(t, func(r *rig) {
		cfg := checks(
			with(tcp("a", one), func(c *config.Check) {
				c.HoldDown = &config.HoldDown{Min: time.Minute, Max: time.Hour, HalfLife: time.Hour}
			}),
			tcp("b", two), config.Check{Name: "any", Type: "calculated", Of: []string{"a", "b"}, AtLeast: 2})
		pool := web("", "192.0.2.7:80", "192.0.2.8:80")
		pool.Passive = envoy
		cfg.Pools = []config.Pool{pool}
		r.apply(cfg)
		r.pass(time.Minute)
		r.farm.set(one, true)
		r.pass(time.Minute)
		r.saw(0, repeat(healthcheck.GatewayError, 5)...)
		r.order("b", healthcheck.Drain, time.Hour)
		before := r.verdict("a")
		any := r.verdict("any")
		text := r.save()

		r.pass(10 * time.Second) // the process is away
		r.restart(text, func(n *rig) {
			n.farm.hold(one, true) // nothing new is learnt
			n.farm.hold(two, true)
			n.apply(cfg)
			after := n.verdict("a")
			before.Names, after.Names = nil, nil
			after.HeldUntil = before.HeldUntil // told with the first result
			if !after.Since.Equal(before.Since) || !after.Last.Equal(before.Last) || after.State != before.State ||
				after.Failures != before.Failures || after.Probes != before.Probes || after.Flips != before.Flips || after.Reason != before.Reason {
				n.Errorf("verdict\n%+v, was\n%+v", after, before)
			}
			if v := n.verdict("any"); v.State != healthcheck.Down || v.Flips != any.Flips || !v.Since.Equal(any.Since) {
				n.Errorf("calculated %+v, was %+v", v, any)
			}
			n.wantUp("b", false) // the order
			n.wantReach(0, false)
			if err := n.checker.Settled(n.Context()); err != nil {
				n.Error(err)
			}
			if took := time.Since(epoch); took > 131*time.Second {
				n.Error("a restored verdict is waited for")
			}
			n.pass(20 * time.Second)
			n.wantReach(0, true) // the ejection is over
			n.pass(time.Hour)
			if len(n.board.Orders()) != 0 {
				n.Error("the order is not over")
			}
		})
	})
}

func TestHoldSurvivesARestart(t *testing.T) {
	inBubble(t, func(r *rig) {
		cfg := checks(with(tcp("a", one), func(c *config.Check) {
			c.Rise = 1
			c.HoldDown = &config.HoldDown{Min: 10 * time.Minute, Max: time.Hour, HalfLife: time.Hour}
		}))
		r.apply(cfg)
		r.pass(time.Minute)
		r.farm.set(one, true)
		r.pass(time.Minute)
		r.restart(r.save(), func(n *rig) {
			n.apply(cfg)
			n.pass(8 * time.Minute)
			n.wantState("a", healthcheck.Down)
			if v := n.verdict("a"); v.Successes < 40 || !strings.Contains(v.Reason, "held down until ") {
				n.Errorf("verdict %+v", v)
			}
			n.pass(3 * time.Minute)
			n.wantState("a", healthcheck.Up)
		})
	})
}

func TestOldVerdictsAreNotBelieved(t *testing.T) {
	f := func(away time.Duration, want healthcheck.State) {
		t.Helper()
		inBubble(t, func(r *rig) {
			r.farm.set(one, true)
			cfg := checks(tcp("a", one))
			r.apply(cfg)
			r.pass(time.Minute)
			r.order("a", healthcheck.NoForce, 0)
			text := r.save()
			r.pass(away)
			r.restart(text, func(n *rig) {
				n.farm.hold(one, true)
				n.apply(cfg)
				n.wantState("a", want)
			})
		})
	}
	f(4*time.Minute, healthcheck.Down)
	f(6*time.Minute, healthcheck.Unknown)
}

func TestForeignFilesAreRefused(t *testing.T) {
	for _, text := range []string{
		``, `{`, `[]`, `null`, `{"format":2}`, `{"format":1,"checks":[{}]}`, `{"format":1,"checks":[{"check":"tcp","state":"sideways"}]}`,
		`{"format":1,"checks":[{"check":"tcp","state":"up","failures":-1}]}`, `{"format":1,"orders":[{"target":"a","state":"clear"}]}`,
		`{"format":1,"orders":[{"target":"","state":"up"}]}`, `{"format":1,"ejections":[{"count":-1}]}`, `{"format":1,"checks":[{"check":"tcp","state":"up","flaps":1e9}]}`,
	} {
		b := healthcheck.NewBoard()
		if _, _, err := b.Restore([]byte(text)); err == nil {
			t.Errorf("%s is taken", text)
		}
		if len(b.Orders()) != 0 {
			t.Errorf("%s: an order of it is", text)
		}
	}
}

func FuzzRestore(f *testing.F) {
	f.Add([]byte(`{"format":1,"saved":"2026-01-01T00:00:00Z","checks":[{"endpoint":"192.0.2.1:80","check":"tcp","state":"down","flaps":3}]}`))
	f.Add([]byte(`{"format":1,"orders":[{"target":"a","state":"drain","given":"2026-01-01T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var any map[string]json.RawMessage
		if json.Unmarshal(text, &any) == nil && any["saved"] != nil {
			any["saved"], _ = json.Marshal(time.Now()) // so that it is believed
			text, _ = json.Marshal(any)
		}
		b := healthcheck.NewBoard()
		if _, _, err := b.Restore(text); err != nil {
			return
		}
		cfg := checks(tcp("a", one), config.Check{Name: "any", Type: "calculated", Of: []string{"a"}, AtLeast: 1})
		healthcheck.NewChecker(healthcheck.Options{Board: b}).Apply(healthcheck.NewPlan(cfg, b))
		b.Verdicts()
		again, err := b.Save()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := healthcheck.NewBoard().Restore(again); err != nil {
			t.Errorf("what was saved is refused: %v\n%s", err, again)
		}
	})
}

func TestKeeperWritesSoonAfterAChangeAndAtTheEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	file := filepath.Join(dir, "health.json")
	inBubble(t, func(r *rig) {
		k := healthcheck.NewKeeper(r.board, dir, nil)
		k.Load() // there is nothing
		ctx, cancel := context.WithCancel(r.Context())
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		synctest.Wait()
		r.pass(time.Hour)
		if _, err := os.Stat(dir); err == nil {
			r.Error("a folder was made, with nothing to write")
		}
		r.apply(checks(tcp("a", one)))
		r.pass(6 * time.Second)
		first := stat(r, file)
		if first.Mode() != 0o600 {
			r.Errorf("mode %v", first.Mode())
		}
		r.pass(30 * time.Second)
		if !os.SameFile(stat(r, file), first) {
			r.Error("written again although nothing but counts changed")
		}
		r.pass(time.Minute)
		second := stat(r, file)
		if os.SameFile(second, first) {
			r.Error("counts are a minute old")
		}
		r.order("a", healthcheck.Drain, 0)
		cancel()
		<-done
		if os.SameFile(stat(r, file), second) {
			r.Error("the end did not write")
		}
		board := healthcheck.NewBoard()
		healthcheck.NewKeeper(board, dir, nil).Load()
		if len(board.Orders()) != 1 {
			r.Error("the order was not saved")
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 1 {
			r.Errorf("left behind: %v", entries)
		}
	})
}

func stat(r *rig, file string) fs.FileInfo {
	r.Helper()
	info, err := os.Stat(file)
	if err != nil {
		r.Fatal(err)
	}
	return info
}

func TestKeeperSaysOnceWhatIsWrong(t *testing.T) {
	f := func(what string, prepare func(file string) error) {
		t.Helper()
		var out bytes.Buffer
		dir := t.TempDir()
		if err := prepare(filepath.Join(dir, "health.json")); err != nil {
			t.Fatal(err)
		}
		board := healthcheck.NewBoard()
		k := healthcheck.NewKeeper(board, dir, slog.New(slog.NewTextHandler(&out, nil)))
		k.Load()
		if strings.Count(out.String(), "level=WARN") != 1 || len(board.Orders()) != 0 {
			t.Errorf("%s: log %s", what, out.String())
		}
	}
	secret := filepath.Join(t.TempDir(), "secret")
	order := []byte(`{"format":1,"orders":[{"target":"a","state":"down"}]}`)
	if err := os.WriteFile(secret, order, 0o600); err != nil {
		t.Fatal(err)
	}
	f("damaged", func(file string) error { return os.WriteFile(file, []byte(`{"format":1,"ord`), 0o600) })
	f("a folder", func(file string) error { return os.Mkdir(file, 0o700) })
	f("a link to elsewhere", func(file string) error { return os.Symlink(secret, file) })

	var out bytes.Buffer
	blocked := filepath.Join(secret, "under-a-file")
	k := healthcheck.NewKeeper(healthcheck.NewBoard(), blocked, slog.New(slog.NewTextHandler(&out, nil)))
	k.Save()
	k.Save()
	if n := strings.Count(out.String(), "health not saved"); n != 1 {
		t.Errorf("said %d times:\n%s", n, out.String())
	}
}

// BenchmarkSave encodes 10,000 verdicts, which is done at most every 5 s.
func BenchmarkSave(b *testing.B) {
	board := healthcheck.NewBoard()
	checker := healthcheck.NewChecker(healthcheck.Options{Board: board, Dial: func(context.Context, string, string) (net.Conn, error) { return nothing{}, nil }})
	checker.Apply(healthcheck.NewPlan(many(10000), board))
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- checker.Run(ctx) }()
	if err := checker.Settled(ctx); err != nil {
		b.Fatal(err)
	}
	cancel()
	<-done
	b.ReportAllocs()
	for b.Loop() {
		text, err := board.Save()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(text)), "B/file")
	}
}
