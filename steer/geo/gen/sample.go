package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/meridian-edge/meridian/steer/geo/internal/packed"
)

// sampleSize is how many addresses of each kind a sample has.
const sampleSize = 400

// drawSample writes addresses with their countries, as the original has them, one a
// line; "-" is no country. Some are the first or last of a network, some somewhere in
// one, some just outside. The same database gives the same sample.
func drawSample(pkg *source, networks []packed.Network) ([]byte, error) {
	rng := rand.New(rand.NewPCG(7871, 6890))
	var addrs []netip.Addr
	for range sampleSize {
		first, last := ends(networks[rng.IntN(len(networks))].Prefix)
		addrs = append(addrs, first, last)
		first, last = ends(networks[rng.IntN(len(networks))].Prefix)
		addrs = append(addrs, first.Prev(), last.Next())
		p := networks[rng.IntN(len(networks))].Prefix
		addrs = append(addrs, fill(p, func() byte { return byte(rng.Uint32()) }))
	}
	for _, p := range pkg.holes {
		first, last := ends(p)
		addrs = append(addrs, first, last)
	}
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return !a.IsValid() })
	slices.SortFunc(addrs, netip.Addr.Compare)

	var out bytes.Buffer
	for _, addr := range slices.Compact(addrs) {
		code, err := pkg.country(addr)
		if err != nil {
			return nil, err
		}
		if code == "" {
			code = "-"
		}
		fmt.Fprintf(&out, "%s %s\n", addr, code)
	}
	return out.Bytes(), nil
}

// ends returns the first and the last address of a prefix.
func ends(p netip.Prefix) (first, last netip.Addr) {
	return fill(p, func() byte { return 0 }), fill(p, func() byte { return 0xff })
}

// fill returns an address of a prefix, with the bits behind it taken from bytes.
func fill(p netip.Prefix, bytes func() byte) netip.Addr {
	a := p.Masked().Addr().AsSlice()
	for i := range a {
		kept := min(max(p.Bits()-8*i, 0), 8)
		a[i] |= bytes() & (0xff >> kept)
	}
	addr, _ := netip.AddrFromSlice(a)
	return addr
}
