package cache_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/internal/memlimit"
)

// TestResidentMemoryStaysWithinTheCeiling: what a process with a full cache has resident, while objects of all sizes come and go, is at most 1.15
// times the configured size and 64 MiB. It is measured in a process of its own. MERIDIAN_CHURN is the size in MiB, 64 by default.
func TestResidentMemoryStaysWithinTheCeiling(t *testing.T) {
	size, child := os.LookupEnv("MERIDIAN_CHURN_CHILD")
	if child {
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		churn(t, n<<20)
		return
	}
	if runtime.GOOS != "linux" || raceDetector {
		t.Skip("SKIPPED: memory is read from /proc, and the race detector has its own on top")
	}
	mib := 64
	if n, err := strconv.Atoi(os.Getenv("MERIDIAN_CHURN")); err == nil {
		mib = n
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestResidentMemoryStaysWithinTheCeiling$", "-test.v")
	cmd.Env = append(os.Environ(), "MERIDIAN_CHURN_CHILD="+fmt.Sprint(mib), "GOMEMLIMIT=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "resident") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// churn puts ten times the size through a store and looks at what is resident all along.
func churn(t *testing.T, size int64) {
	s := newStore(t, size)
	ctx, cancel := context.WithCancel(t.Context())
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		memlimit.Keep(ctx, func() (int64, int64) { return size, s.Stats().Bytes })
	}()
	defer func() {
		cancel()
		<-kept
	}()
	random := rand.New(rand.NewPCG(1, 1))
	data := make([]byte, 2<<20)
	o := &originFunc{f: func(_ context.Context, _ *httpwire.Head, _ int) (*httpwire.Response, error) {
		n := 1 << random.IntN(21)
		n += random.IntN(n)
		return &httpwire.Response{Status: 200, Length: int64(n), Fields: fields("Cache-Control: max-age=60", "Content-Type: text/plain"),
			Body: io.NopCloser(bytes.NewReader(data[:n]))}, nil
	}}
	ceiling, worst := size+size/20*3+64<<20, int64(0)
	put, full := int64(0), false
	for i := 0; put < 10*size; i++ {
		o.heads = nil // the kit keeps them
		g, _, err := s.Serve(t.Context(), get(fmt.Sprint("/", i)), cache.Origin(o))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, g.Body)
		if err != nil {
			t.Fatal(err)
		}
		g.Body.Close()
		put += n
		full = full || s.Stats().Bytes > size*9/10
		if i%16 == 0 {
			worst = max(worst, resident(t))
		}
	}
	t.Logf("resident at most %d MiB, with a cache of %d MiB: the ceiling is %d MiB", worst>>20, size>>20, ceiling>>20)
	if worst > ceiling || !full {
		t.Errorf("%d bytes of %d; the cache was full: %v", worst, ceiling, full)
	}
}

func resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
