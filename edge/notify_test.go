package edge_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sd_notify(3): READY once it serves, RELOADING and READY around a reload, WATCHDOG in time, STOPPING when it drains.
func TestServiceManagerIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	read := func(want string) {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		buf := make([]byte, 256)
		for {
			size, err := conn.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %s: %v", want, err)
			}
			if strings.HasPrefix(string(buf[:size]), want) {
				return
			}
		}
	}
	eu, us := newOrigin(t, "eu", nil), newOrigin(t, "us", nil)
	yaml := fill(fullNode, eu, us)
	n := start(t, yaml)
	read("READY=1")
	read("WATCHDOG=1")
	n.write(t, yaml+"# again\n")
	if err := n.Reload(); err != nil {
		t.Fatal(err)
	}
	read("RELOADING=1\nMONOTONIC_USEC=")
	read("READY=1")
	n.stop()
	read("STOPPING=1")
}
