package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/edge"
	"github.com/meridian-edge/meridian/edge/admin"
	"github.com/meridian-edge/meridian/proxy"
)

// Every line is a URL, passed over, or reported: nothing is lost.
func TestListsAreReadLineByLine(t *testing.T) {
	long := "http://a/" + strings.Repeat("x", maxLine)
	text := "\ufeffhttp://a/1\r\n\n# comment\n\t http://a/2#part \nhttp://a/3 # comment\nhttp://a/4 5\nnothing\n" + long + "\n# " + long +
		"\nHTTPS://a/6?b=#c\nhttp://a/\x1b[2J\nmailto:a@example.org\nhttp://a/last"
	var got []string
	for item := range readList(strings.NewReader(text)) {
		line := fmt.Sprintf("%d %s", item.line, item.url)
		if item.bad != nil {
			line = fmt.Sprintf("%d bad", item.line)
			if msg := item.bad.Error(); len(msg) > 200 || strings.ContainsRune(msg, '\x1b') {
				t.Errorf("line %d: %q", item.line, msg)
			}
		}
		got = append(got, line)
	}
	want := []string{"1 http://a/1", "4 http://a/2#part", "5 http://a/3", "6 bad", "7 bad", "8 bad", "10 HTTPS://a/6?b=#c", "11 bad", "12 bad",
		"13 http://a/last"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	items := slices.Collect(readList(io.MultiReader(strings.NewReader("http://a/1\n"), iotest.ErrReader(errors.New("the disk is gone")))))
	if len(items) != 2 || items[1].line != 2 || !strings.Contains(items[1].bad.Error(), "the disk is gone") {
		t.Errorf("a list that breaks off is %v", items)
	}
}

// results make a fetch of URLs that say what comes of them.
func results(_ context.Context, target string) (proxy.Prefetched, error) {
	p := proxy.Prefetched{URL: target, Status: 200, Outcome: cache.Miss, Bytes: 100}
	switch _, word, _ := strings.Cut(strings.TrimPrefix(target, "http://"), "/"); word {
	case "fresh":
		p.Stored, p.Outcome = true, cache.Hit
	case "private", "set-cookie":
		p.Reason = word
	case "404":
		p.Status = 404
	case "error":
		return p, errors.New("E-SOMETHING: \x1b[2J")
	default:
		p.Stored = true
	}
	return p, nil
}

// newPrefetching makes a run whose output is collected.
func newPrefetching() (p *prefetching, out, notes *bytes.Buffer) {
	out, notes = &bytes.Buffer{}, &bytes.Buffer{}
	return &prefetching{fetch: results, parallel: 1, total: -1, out: out, notes: notes}, out, notes
}

func lists(text string) []iter.Seq[listed] {
	return []iter.Seq[listed]{readList(strings.NewReader(text))}
}

func TestPrefetchCountsEveryURL(t *testing.T) {
	const text = "http://a/1\nhttp://a/fresh\nhttp://a/private\nhttp://a/2\nhttp://a/set-cookie\nhttp://a/private\nhttp://a/404\nhttp://a/error\nnone\n"
	p, out, notes := newPrefetching()
	err := p.run(t.Context(), lists(text))
	if want := "2 stored, 200 bytes; 1 fresh already; 3 not stored (private 2, set-cookie 1); 2 failed; 1 no URL\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out, want)
	}
	for _, want := range []string{"line 7: http://a/404: status 404\n", `"line 8: http://a/error: E-SOMETHING: \x1b[2J"`, "line 9: \"none\" is no URL"} {
		if !strings.Contains(notes.String(), want) {
			t.Errorf("the notes lack %q: %q", want, notes)
		}
	}
	if err == nil || err.Error() != "6 of 9 are not in the cache as they should be" || exitCode(err) != exitFailure {
		t.Errorf("ends with %v", err)
	}
	p, out, notes = newPrefetching()
	p.parallel = 3
	if err := p.run(t.Context(), lists("http://a/1\nhttp://a/fresh\n")); err != nil || notes.Len() > 0 {
		t.Errorf("%q, %q, %v", out, notes, err)
	}
	p, out, notes = newPrefetching()
	p.asJSON = true
	_ = p.run(t.Context(), lists(text))
	n := 0
	for line := range strings.Lines(out.String()) {
		var a struct {
			Line        int
			URL, Result string
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil || a.Line == 0 || a.Result == "" || a.URL == "" {
			t.Errorf("%q: %v", line, err)
		}
		n++
	}
	if n != 9 || strings.Count(notes.String(), "\n") != 1 {
		t.Errorf("%d objects, and the notes are %q", n, notes)
	}
}

// Progress is for terminals, and for lists that take their time; what fails stays to be read.
func TestPrefetchShowsProgress(t *testing.T) {
	text := strings.Repeat("http://a/1\n", 5) + "http://a/404\n" + strings.Repeat("http://a/1\n", 4)
	run := func(terminal bool, total int) string {
		var notes *bytes.Buffer
		synctest.Test(t, func(t *testing.T) {
			var p *prefetching
			p, _, notes = newPrefetching()
			p.terminal, p.total = terminal, total
			p.fetch = func(ctx context.Context, target string) (proxy.Prefetched, error) {
				time.Sleep(290 * time.Millisecond)
				return results(ctx, target)
			}
			_ = p.run(t.Context(), lists(text))
		})
		return notes.String()
	}
	const clear = "\r\x1b[K"
	want := clear + "3 of 10" + clear + "5 of 10" + clear + "line 6: http://a/404: status 404\n" + clear + "6 of 10, 1 failed" + clear + "8 of 10, 1 failed" + clear
	if got := run(true, 10); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := run(true, -1); !strings.Contains(got, clear+"6, 1 failed"+clear) {
		t.Errorf("without a total: %q", got)
	}
	if got := run(false, 10); got != "line 6: http://a/404: status 404\n" {
		t.Errorf("without a terminal: %q", got)
	}
}

// As many at a time as were asked for, and no more.
func TestPrefetchesInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		p, _, _ := newPrefetching()
		p.parallel = 7
		p.fetch = func(ctx context.Context, target string) (proxy.Prefetched, error) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer now.Add(-1)
			time.Sleep(time.Second)
			return results(ctx, target)
		}
		began := time.Now()
		if err := p.run(t.Context(), lists(strings.Repeat("http://a/1\n", 70))); err != nil || most.Load() != 7 || time.Since(began) != 10*time.Second {
			t.Errorf("%v; %d at a time, %v", err, most.Load(), time.Since(began))
		}
	})
}

// Without a node nothing else is tried, and the exit code says so; interrupted, it says how far it came.
func TestPrefetchStopsEarly(t *testing.T) {
	text := strings.Repeat("http://a/1\n", 100)
	p, out, _ := newPrefetching()
	asked := 0
	p.total = 100
	p.fetch = func(ctx context.Context, target string) (proxy.Prefetched, error) {
		if asked++; asked > 10 {
			return proxy.Prefetched{}, fmt.Errorf("%w on a.sock", admin.ErrUnreachable)
		}
		return results(ctx, target)
	}
	err := p.run(t.Context(), lists(text))
	if exitCode(err) != exitUnreachable || !strings.HasPrefix(err.Error(), "90 of 100 not fetched: ") || asked > 13 {
		t.Errorf("%v after %d", err, asked)
	}
	if want := "10 stored, 1000 bytes\n"; out.String() != want {
		t.Errorf("printed %q", out)
	}

	ctx, interrupt := context.WithCancel(t.Context())
	p, _, _ = newPrefetching()
	p.total = 100
	p.fetch = func(ctx context.Context, target string) (proxy.Prefetched, error) {
		interrupt()
		<-ctx.Done()
		return proxy.Prefetched{}, context.Cause(ctx)
	}
	if err := p.run(ctx, lists(text)); err == nil || err.Error() != "100 of 100 not fetched: interrupted" || exitCode(err) != exitFailure {
		t.Errorf("ends with %v", err)
	}
}

// The command, a node and an origin.
func TestPrefetchFillsANode(t *testing.T) {
	var asked atomic.Int32
	var language atomic.Value
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		language.Store(r.Header.Get("Accept-Language"))
		if w.Header().Set("Cache-Control", "max-age=60"); r.URL.Path == "/private" {
			w.Header().Set("Cache-Control", "private")
		}
		_, _ = io.WriteString(w, "body of "+r.URL.Path)
	}))
	defer origin.Close()
	dir := t.TempDir()
	path := filepath.Join(dir, "meridian.yaml")
	yaml := fmt.Sprintf("version: 1\nlisteners: {http: [\"127.0.0.1:0\"], admin: [\"unix:./a.sock\"]}\n"+
		"distributions: {www: {domains: [www.example.org], origins: {app: {url: %q}}}}\n", origin.URL)
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	node, err := edge.New(edge.Options{Config: cfg, Path: path, Watch: -1, Log: slog.New(slog.DiscardHandler), AccessLog: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	<-node.Ready()
	command := func(list string, args ...string) (string, string, error) {
		var out, notes bytes.Buffer
		root := newRoot()
		root.SetIn(strings.NewReader(list))
		root.SetOut(&out)
		root.SetErr(&notes)
		root.SetArgs(append([]string{"prefetch", "-c", path}, args...))
		err := root.ExecuteContext(t.Context())
		return out.String(), notes.String(), err
	}

	out, notes, err := command("http://www.example.org/b\nhttp://other.example.org/\nhttp://www.example.org/private\n", "-", "http://www.example.org/a",
		"--header", "Accept-Language: de, en")
	if out != "2 stored, 20 bytes; 1 not stored (private 1); 1 failed\n" || err == nil ||
		notes != "line 2: http://other.example.org/: E-ROUTE-NOHOST: no distribution serves this host\n" {
		t.Errorf("%q, %q, %v", out, notes, err)
	}
	if language.Load() != "de, en" || asked.Load() != 3 {
		t.Errorf("the origin was asked %d times, for %q", asked.Load(), language.Load())
	}
	list := filepath.Join(dir, "list.txt")
	if err := os.WriteFile(list, []byte("http://www.example.org/a\nhttp://www.example.org/b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, notes, err := command("", "--file", list); out != "2 fresh already\n" || notes != "" || err != nil || asked.Load() != 3 {
		t.Errorf("%q, %q, %v", out, notes, err)
	}
}
