package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// run runs the demo with a folder of its own for temporary files and returns that folder.
func run(ctx context.Context, t *testing.T, o Options) (*Report, string) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs for seconds")
	}
	if _, err := choosePorts(smallWorld(), true); errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Skip(err)
	}
	folder, err := os.MkdirTemp("/tmp", "d") // short: there are sockets in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	t.Setenv("TMPDIR", folder)
	o.AnyPorts = true
	report, err := Run(ctx, o)
	if err != nil {
		t.Fatalf("%v\n%s", err, o.Out)
	}
	return report, folder
}

func TestDemoKeepsItsPromises(t *testing.T) {
	noLeaks(t)
	var out bytes.Buffer
	report, folder := run(t.Context(), t, Options{Duration: 8 * time.Second, JSON: true, Out: &out})
	var printed Report
	if err := json.Unmarshal(out.Bytes(), &printed); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if !printed.SLOMet || printed.Requests != report.Requests || printed.Requests < 500 || printed.DNSQueries < 24 {
		t.Errorf("%s", out.String())
	}
	if printed.FailedRequests != 0 || len(printed.Losses) != 2 || printed.FailoverMS <= 0 {
		t.Errorf("%s", out.String())
	}
	for _, e := range theEdges() {
		if printed.ByEdge[e.Name] == 0 {
			t.Errorf("edge %s served nothing", e.Name)
		}
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestInterruptedDemoCleansUp(t *testing.T) {
	noLeaks(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &cancelOn{text: "come from caches", cancel: cancel}
	report, folder := run(ctx, t, Options{Terminal: true, Keep: true, Out: out})
	if report.Requests == 0 || report.FailedRequests > 0 || report.Folder == "" {
		t.Errorf("%+v", report)
	}
	for _, name := range []string{"eu.yaml", "us.yaml", "ap.yaml", "eu.log"} {
		if _, err := os.Stat(filepath.Join(report.Folder, name)); err != nil || !strings.HasPrefix(report.Folder, folder) {
			t.Errorf("kept folder: %v", err)
		}
	}
}

// noLeaks fails the test when goroutines it started are left after all of its cleanups.
func noLeaks(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}

// cancelOn cancels when a text is written. The screen writes under a lock of its own.
type cancelOn struct {
	shown  bytes.Buffer
	text   string
	cancel func()
}

func (c *cancelOn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(c.text)) {
		c.cancel()
	}
	return c.shown.Write(b)
}

func (c *cancelOn) String() string { return c.shown.String() }
