package geo

import (
	"math/bits"
	"net/netip"
)

// specialBlocks are the special-purpose blocks of RFC 6890 whose addresses are in no particular place.
var specialBlocks = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/127"), // unspecified and loopback
	netip.MustParsePrefix("::ffff:0:0/96"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// SpecialPurpose reports whether an address is in a special-purpose block, and how many of its bits it takes to tell: all
// addresses that share them get the same report, so scopes that include them tile (RFC 7871 section 7.2.1).
func SpecialPurpose(a netip.Addr) (special bool, decisive int) {
	for i := range specialBlocks {
		block := specialBlocks[i]
		if block.Addr().Is4() != a.Is4() {
			continue
		}
		common := commonBits(block.Addr(), a)
		if common >= block.Bits() {
			special, common = true, block.Bits()-1
		}
		decisive = max(decisive, common+1)
	}
	return special, decisive
}

// commonBits is how many leading bits two addresses of one family share.
func commonBits(a, b netip.Addr) int {
	x, y := a.As16(), b.As16()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			n := 8*i + bits.LeadingZeros8(d)
			if a.Is4() {
				n -= 96
			}
			return n
		}
	}
	return a.BitLen()
}
