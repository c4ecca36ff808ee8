package main

import (
	"net/netip"

	"github.com/meridian-edge/meridian/steer/geo/internal/packed"
)

// special returns the networks that have no place on earth: the special-purpose
// address registries of IANA (RFC 6890) as far as they are not reachable globally,
// multicast, what no registry gives out, and the IPv6 networks with an IPv4 address
// inside, whose clients are where that address is.
func special() []netip.Prefix {
	var list []netip.Prefix
	for _, s := range []string{
		"0.0.0.0/8",       // this network, RFC 791
		"10.0.0.0/8",      // private, RFC 1918
		"100.64.0.0/10",   // shared by carriers, RFC 6598
		"127.0.0.0/8",     // loopback, RFC 1122
		"169.254.0.0/16",  // link local, RFC 3927
		"172.16.0.0/12",   // private, RFC 1918
		"192.0.0.0/24",    // IETF protocols, RFC 6890
		"192.0.2.0/24",    // documentation, RFC 5737
		"192.88.99.0/24",  // 6to4 relays, once, RFC 7526
		"192.168.0.0/16",  // private, RFC 1918
		"198.18.0.0/15",   // benchmarks, RFC 2544
		"198.51.100.0/24", // documentation, RFC 5737
		"203.0.113.0/24",  // documentation, RFC 5737
		"224.0.0.0/3",     // multicast, RFC 5771, and reserved, RFC 1112

		"::/3",          // loopback, mapped, NAT64, and unassigned
		"2001::/32",     // Teredo, RFC 4380
		"2001:2::/48",   // benchmarks, RFC 5180
		"2001:10::/28",  // ORCHID, RFC 4843
		"2001:20::/28",  // ORCHIDv2, RFC 7343
		"2001:db8::/32", // documentation, RFC 3849
		"2002::/16",     // 6to4, RFC 3056
		"3fff::/20",     // documentation, RFC 9637
		"4000::/2",      // unassigned
		"8000::/1",      // unassigned, unique local RFC 4193, link local RFC 4291, multicast
	} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// exclude takes the holes out of networks: those inside a hole go, and a hole inside a
// network is one without a label.
func exclude(networks []packed.Network, holes []netip.Prefix) []packed.Network {
	var list []packed.Network
	for _, n := range networks {
		if !within(n.Prefix, holes) {
			list = append(list, n)
		}
	}
	for _, h := range holes {
		list = append(list, packed.Network{Prefix: h})
	}
	return list
}

func within(p netip.Prefix, holes []netip.Prefix) bool {
	for _, h := range holes {
		if h.Bits() <= p.Bits() && h.Contains(p.Addr()) {
			return true
		}
	}
	return false
}
