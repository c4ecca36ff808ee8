package edge

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// notify tells the service manager about the node (sd_notify(3)). Without a manager it does nothing.
func (n *Node) notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if path[0] == '@' {
		path = "\x00" + path[1:] // abstract namespace
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		n.log.Warn("service manager not reached", "error", err)
		return
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		n.log.Warn("service manager not told", "state", state, "error", err)
	}
}

// notifyReloading begins a reload for the manager; READY=1 ends it. The monotonic time lets it tell reloads apart.
func (n *Node) notifyReloading() {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	n.notify(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
}

// watchdog pats the manager's watchdog for as long as the node can still take its reload lock: a reload that hangs, or a process
// that no longer schedules, is restarted. It does so four times in a period, because a reload that happens to be under way at
// one tick must not be one too many.
func (n *Node) watchdog(ctx context.Context) {
	period, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || period <= 0 {
		return
	}
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return
	}
	tick := time.NewTicker(time.Duration(period) * time.Microsecond / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if n.mu.TryLock() {
				n.mu.Unlock()
				n.notify("WATCHDOG=1")
			}
		}
	}
}
