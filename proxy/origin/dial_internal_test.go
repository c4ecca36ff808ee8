package origin

import (
	"errors"
	"net/netip"
	"testing"
)

func TestForbiddenAddresses(t *testing.T) {
	f := func(address string, want bool) {
		t.Helper()
		if got := errors.Is(vet("tcp", address, nil), errForbidden); got != want {
			t.Errorf("%s: refused %v, want %v", address, got, want)
		}
	}
	for _, a := range []string{
		"169.254.169.254", "169.254.0.1", "0.0.0.0", "0.1.2.3", "255.255.255.255", "224.0.0.1", "239.1.2.3",
		"168.63.129.16", "100.100.100.200", "192.0.0.192", "::", "fe80::1", "fe80::1%lo", "febf::1", "ff02::1",
		"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::169.254.169.254",
		"64:ff9b::169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::ffff:0.0.0.0",
	} {
		f(netip.AddrPortFrom(netip.MustParseAddr(a), 80).String(), true)
	}
	for _, a := range []string{
		"127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "192.0.2.1", "::1", "fd12::1", "2001:db8::1",
		"::ffff:127.0.0.1", "64:ff9b::192.0.2.1", "2002:c000:201::1",
	} {
		f(netip.AddrPortFrom(netip.MustParseAddr(a), 80).String(), false)
	}
	f("nonsense", true)
	f("127.0.0.1", true)
}
