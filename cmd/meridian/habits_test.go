package main

import (
	"bytes"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/key"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/edge"
	"github.com/meridian-edge/meridian/proxy"
)

// S31: what stands in a log line does not reach the terminal as an escape sequence.
func TestLogLinesHoldNoControlBytes(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(&lineHandler{w: &out, mu: new(sync.Mutex), level: slog.LevelInfo})
	log.Info("health down", "reason", "\x1b[2Jgone", "check", "web", "bell", "\a", "line", "a\u2028b\u009b2J")
	if line := out.String(); strings.ContainsAny(line, "\x1b\a\u2028\u009b") || !strings.Contains(line, "check=web") {
		t.Errorf("the line is %q", line)
	}
}

func TestExplanationsWithoutAClientSayNobody(t *testing.T) {
	var out bytes.Buffer
	printURL(&out, &proxy.Explanation{Method: "GET", URL: "http://www.example.org/"})
	printName(&out, &dns.Explanation{Name: "www.example.org.", Type: "A", Client: "invalid IP"})
	if got := out.String(); strings.Count(got, "from nobody in particular\n") != 2 {
		t.Errorf("printed %q", got)
	}
}

// What is stored is told in the order in which it is looked at: key, response, freshness, then what came over it.
func TestExplanationsOfTheCacheReadInOrder(t *testing.T) {
	parts := []key.Part{{Name: "site", Value: "www"}, {Name: "scheme", Value: "https"}, {Name: "host", Value: "www.example.org"},
		{Name: "port", Value: "8443"}, {Name: "path", Value: "/a"}, {Name: "query", Value: "?v=1"}, {Name: "accept-language", Value: "de"}}
	c := cache.Explanation{
		Decision: "answer from the store", Outcome: cache.Hit, Parts: parts, Stored: true, Variants: 2, Variant: "x-a 1", Status: 200, Bytes: 7,
		Words: []string{"lifetime 1m0s from max-age"}, Purge: "purge 3", Encode: "encoded", Codings: []string{"br"},
	}
	want := []string{"answer from the store", "key: https://www.example.org:8443/a?v=1 of www", "key: accept-language = de",
		"stored: status 200, 7 bytes, one of 2 variants", "variant: x-a 1", "lifetime 1m0s from max-age", "made stale: purge 3",
		"coding: encoded; stored as br"}
	if got := cacheLines(&c); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	var out bytes.Buffer
	printURL(&out, &proxy.Explanation{Method: "GET", URL: "http://a/", Cache: &c, Pool: "web"})
	if !strings.Contains(out.String(), "steer     pool web, which is not asked now\n") {
		t.Errorf("printed %q", out.String())
	}
	c = cache.Explanation{Decision: "fetch", Outcome: cache.Miss, Parts: parts[:6], Purge: "purge 3", Unshared: "private"}
	want = []string{"fetch", want[1], "purged: purge 3", "remembered: private"}
	if got := cacheLines(&c); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := cacheLines(&cache.Explanation{Decision: "send to the origin", Reason: "method"}); !slices.Equal(got, []string{"send to the origin (method)"}) {
		t.Errorf("got %q", got)
	}
}

func TestStatusWithoutARegionHasNoGap(t *testing.T) {
	var out bytes.Buffer
	if err := printStatus(&out, &edge.Status{Edge: "eu1", State: "serving"}); err != nil || !strings.Contains(out.String(), "eu1, serving") {
		t.Errorf("printed %q, %v", out.String(), err)
	}
}

// The node outlives a bad reload, and so its status must be had although the file is wrong: the way to it is named.
func TestBrokenFileNamesTheWayToTheNode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meridian.yaml")
	if err := os.WriteFile(path, []byte("version: 1\nbogus: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"health"}, {"reload"}, {"purge", "http://a/"}, {"prefetch", "http://a/"}, {"explain", "http://a/"}} {
		root := newRoot()
		var notes bytes.Buffer
		root.SetErr(&notes)
		root.SetArgs(append(args, "-c", path))
		if err := root.Execute(); err == nil || !strings.Contains(notes.String(), "--socket") {
			t.Errorf("%v: %v, and the notes are %q", args, err, notes.String())
		}
	}
}

// A HUP that comes while the node starts is a reload too; it does not end the process.
func TestHUPWhileStarting(t *testing.T) {
	dir := t.TempDir()
	bin, secret := filepath.Join(dir, "meridian"), filepath.Join(dir, "secret")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, bin); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(secret, 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := "version: 1\nedge: {name: '${file:secret}'}\nlog: {access: off}\nlisteners: {admin: [\"unix:./s\"]}\n"
	if err := os.WriteFile(filepath.Join(dir, "meridian.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c := exec.Command(bin, "run", "-c", filepath.Join(dir, "meridian.yaml"))
	c.Stderr = &log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(secret, os.O_WRONLY, 0) // returns when the node reads its configuration
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Process.Signal(syscall.SIGHUP)
	if err := os.WriteFile(secret+".new", []byte("eu1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(secret+".new", secret); err != nil { // the reload reads a file
		t.Fatal(err)
	}
	_, _ = pipe.WriteString("eu1")
	pipe.Close()
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	for began := time.Now(); time.Since(began) < 10*time.Second; {
		if client, err := clientOf(&config.Config{Listeners: config.Listeners{Admin: []string{filepath.Join(dir, "s")}}}); err != nil {
			t.Fatal(err)
		} else if client.Call(t.Context(), "GET", "/v1/status", nil, nil) == nil {
			break
		}
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	if err := <-done; err != nil {
		t.Errorf("the node ended with %v:\n%s", err, log.String())
	}
}
