package discover_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meridian-edge/meridian/edge/discover"
)

// life runs a watcher on a configuration for some time, as one process, on a bubble's clock.
func life(t *testing.T, yaml, dir string, during func(w *watched)) {
	t.Helper()
	w := &watched{cfg: parse(t, yaml), log: &lines{}, registry: prometheus.NewRegistry()}
	w.Watcher = discover.New(discover.Options{Log: slog.New(slog.NewTextHandler(w.log, nil)), Registerer: w.registry, Dir: dir})
	w.Load()
	before := w.endpoints() // what the first snapshot is built from
	w.Apply(w.cfg)
	w.expect(t, "after Apply", before...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	synctest.Wait()
	during(w)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func (w *watched) old(t *testing.T) float64 {
	t.Helper()
	n, err := testutil.GatherAndCount(w.registry, "meridian_discovery_old_sources")
	if err != nil || n != 1 {
		t.Fatalf("%d series, %v", n, err)
	}
	families, _ := w.registry.Gather()
	for _, f := range families {
		if f.GetName() == "meridian_discovery_old_sources" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return -1
}

func TestEndpointsSurviveARestart(t *testing.T) {
	source, dir := filepath.Join(t.TempDir(), "found.yaml"), t.TempDir()
	put := func(text string) {
		if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	yaml := "pools: {p: {discover: [{file: " + source + "}]}}"
	synctest.Test(t, func(t *testing.T) {
		put("- targets: [192.0.2.1:80, 192.0.2.2:80]\n  labels: {weight: \"5\"}\n")
		life(t, yaml, dir, func(w *watched) {
			w.expect(t, "found", "192.0.2.1:80 weight 5", "192.0.2.2:80 weight 5")
		})
		if err := os.Remove(source); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		life(t, yaml, dir, func(w *watched) {
			w.expect(t, "after a restart without the source", "192.0.2.1:80 weight 5", "192.0.2.2:80 weight 5")
			if s := w.Status()[0]; !s.Restored || s.Old || time.Since(s.LastGood) != time.Hour {
				t.Errorf("status %+v", s)
			}
			time.Sleep(22*time.Hour + 59*time.Minute)
			if w.old(t) != 0 || w.log.count("older than a day") != 0 {
				t.Error("a set of 23 hours counts as old")
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if w.old(t) != 1 || w.log.count("older than a day") != 1 || !w.Status()[0].Old {
				t.Errorf("a set of a day: %v old, status %+v", w.old(t), w.Status()[0])
			}
			w.expect(t, "when it is old", "192.0.2.1:80 weight 5", "192.0.2.2:80 weight 5")
		})
		life(t, yaml, dir, func(w *watched) { // old from the start
			if w.old(t) != 1 || w.log.count("older than a day") != 1 {
				t.Error("an old set was restored silently")
			}
			put("- targets: [192.0.2.9:80]\n") // all that was there has vanished
			time.Sleep(6 * time.Second)
			synctest.Wait()
			w.expect(t, "held over the restart", "192.0.2.9:80", "192.0.2.1:80 weight 5", "192.0.2.2:80 weight 5")
			if s := w.Status()[0]; s.Restored || s.Old || w.old(t) != 0 {
				t.Errorf("confirmed, and status is %+v", s)
			}
		})
	})
}

func TestHoldIsAsLongAsConfigured(t *testing.T) {
	source := filepath.Join(t.TempDir(), "found.yaml")
	put := func(text string) {
		if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		put("- targets: [192.0.2.1:80, 192.0.2.2:80]\n")
		life(t, "pools: {p: {vanish_looks: 2, max_vanish: 10, discover: [{file: "+source+", interval: 10s}]}}", "", func(w *watched) {
			put("- targets: [192.0.2.1:80] # one\n")
			time.Sleep(12 * time.Second)
			w.expect(t, "after a look", "192.0.2.1:80", "192.0.2.2:80")
			time.Sleep(35 * time.Second)
			synctest.Wait()
			w.expect(t, "after two more", "192.0.2.1:80")
		})
	})
}

func TestForeignFilesAreIgnored(t *testing.T) {
	for name, text := range map[string]string{
		"damaged":         `{"format":1,"sets":[{"pool":"p"`,
		"another version": `{"format":2}`,
		"no endpoints":    `{"format":1,"sets":[{"pool":"p","source":"x","good":"2026-01-01T00:00:00Z","endpoints":[]}]}`,
		"a lie":           `{"format":1,"sets":[{"pool":"p","source":"x","good":"2026-01-01T00:00:00Z","endpoints":[{"ID":"192.0.2.1:80","Address":"192.0.2.2:80"}]}]}`,
		"an address":      `{"format":1,"sets":[{"pool":"p","source":"x","good":"2026-01-01T00:00:00Z","endpoints":[{"ID":"224.0.0.1:80","Address":"224.0.0.1:80"}]}]}`,
	} {
		dir, log := t.TempDir(), &lines{}
		if err := os.WriteFile(filepath.Join(dir, "discovery.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		discover.New(discover.Options{Log: slog.New(slog.NewTextHandler(log, nil)), Dir: dir}).Load()
		if log.count("saved endpoints not used") != 1 {
			t.Errorf("%s: the log says %q", name, log.b.String())
		}
	}
	log := &lines{}
	discover.New(discover.Options{Log: slog.New(slog.NewTextHandler(log, nil)), Dir: t.TempDir()}).Load()
	if log.b.String() != "" {
		t.Errorf("nothing is there, and the log says %q", log.b.String())
	}
}

func TestPasswordsAreNotWritten(t *testing.T) {
	source, dir := filepath.Join(t.TempDir(), "hunter2.yaml"), t.TempDir()
	if err := os.WriteFile(source, []byte("- targets: [192.0.2.1:80]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		life(t, "pools: {p: {discover: [{file: "+source+"}]}}", dir, func(*watched) { time.Sleep(6 * time.Second) })
	})
	text, err := os.ReadFile(filepath.Join(dir, "discovery.json"))
	if err != nil || !strings.Contains(string(text), "192.0.2.1:80") || strings.Contains(string(text), "hunter2") {
		t.Errorf("%v: %s", err, text)
	}
	info, err := os.Stat(filepath.Join(dir, "discovery.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
