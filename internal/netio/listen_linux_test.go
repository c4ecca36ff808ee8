package netio_test

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestD03NoFragments: DF is set, and what ICMP says of the path changes nothing about that.
func TestD03NoFragments(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0", "0.0.0.0:0"} {
		for i, conn := range listen(t, addr, 2) {
			raw, err := conn.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			v4, v6 := 0, unix.IPV6_PMTUDISC_PROBE
			if err := raw.Control(func(fd uintptr) {
				if v4, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER); err == nil && strings.HasPrefix(addr, "[") {
					v6, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER)
				}
			}); err != nil {
				t.Fatal(err)
			}
			if err != nil || v4 != unix.IP_PMTUDISC_PROBE || v6 != unix.IPV6_PMTUDISC_PROBE {
				t.Errorf("socket %d of %s: %d and %d, %v", i, addr, v4, v6, err)
			}
		}
	}
}
