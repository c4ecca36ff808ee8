package edge

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meridian-edge/meridian/config"
)

// A mistake is logged once, whoever finds the file changed first: HUP, the admin API or the watch.
func TestWatchDoesNotReadWhatReloadHasRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meridian.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("version: 1\nlog: {access: off}\n")
	cfg, _, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(Options{Config: cfg, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer n.organs.close()
	f := func(want bool, when string) {
		t.Helper()
		if got := n.fileChanged(); got != want {
			t.Errorf("%s: changed is %v", when, got)
		}
	}
	f(false, "at the start")
	write("version: 1\nbogus: 1\n")
	f(true, "after a write")
	if err := n.Reload(); err == nil {
		t.Error("a bad file was loaded")
	}
	f(false, "after a reload that refused it")
	write("version: 1\nbogus: 10\n")
	f(true, "after another write")
}

// A reload that is under way at one tick must not cost the node its life.
func TestWatchdogIsPattedInTimeBesideAReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "10000000")
	synctest.Test(t, func(t *testing.T) {
		n := &Node{log: slog.New(slog.DiscardHandler)}
		go n.watchdog(t.Context())
		time.Sleep(4900 * time.Millisecond)
		n.mu.Lock()
		time.Sleep(200 * time.Millisecond)
		n.mu.Unlock()
		received := 0
		for buf := make([]byte, 64); ; received++ {
			if _, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT); err != nil {
				break
			}
		}
		time.Sleep(4800 * time.Millisecond)
		synctest.Wait()
		buf := make([]byte, 64)
		size, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
		if received == 0 && (err != nil || !strings.HasPrefix(string(buf[:size]), "WATCHDOG=1")) {
			t.Errorf("nothing within 9.9 s of a period of 10 s: %v", err)
		}
	})
}
