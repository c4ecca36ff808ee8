package packed_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/steer/geo/internal/packed"
)

// pack encodes and decodes networks.
func pack(t interface {
	Helper()
	Fatal(...any)
}, networks []packed.Network) *packed.Table {
	t.Helper()
	var file bytes.Buffer
	if err := packed.Encode(&file, packed.Header{Source: "test"}, networks); err != nil {
		t.Fatal(err)
	}
	table, err := packed.Decode(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func network(prefix, label string) packed.Network {
	return packed.Network{Prefix: netip.MustParsePrefix(prefix), Label: label}
}

func label(table *packed.Table, addr netip.Addr) string {
	i, _ := table.Lookup(addr)
	return table.Labels()[i]
}

func TestLookup(t *testing.T) {
	table := pack(t, []packed.Network{
		network("10.0.0.0/8", "a"),
		network("10.1.0.0/16", "b"),
		network("10.1.1.0/24", ""),
		network("192.0.2.0/25", "a"),
		network("192.0.2.128/25", "a"),
		network("255.255.255.255/32", "b"),
		network("2001:db8::/32", "a"),
		network("2001:db8::1/128", "b"),
		network("2001:db8:0:1::/64", "b"),
		network("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", "a"),
	})
	f := func(addr, wantLabel string, wantLength int) {
		t.Helper()
		i, length := table.Lookup(netip.MustParseAddr(addr))
		if got := table.Labels()[i]; got != wantLabel || length != wantLength {
			t.Errorf("Lookup(%s) = %q, %d; want %q, %d", addr, got, length, wantLabel, wantLength)
		}
	}
	f("0.0.0.0", "", 5)
	f("9.255.255.255", "", 7)
	f("10.0.0.0", "a", 16)
	f("10.1.0.0", "b", 24)
	f("10.1.1.255", "", 24)
	f("10.1.2.0", "b", 23)
	f("10.128.0.0", "a", 9)
	f("11.0.0.0", "", 8)
	f("192.0.2.0", "a", 24) // two halves merge
	f("192.0.2.255", "a", 24)
	f("255.255.255.254", "", 32)
	f("255.255.255.255", "b", 32)
	f("::", "", 3)
	f("2001:db8::", "a", 128)
	f("2001:db8::1", "b", 128)
	f("2001:db8::2", "a", 127)
	f("2001:db8:0:0:8000::", "a", 65)
	f("2001:db8:0:1::7", "b", 64)
	f("2001:db8:8000::", "a", 33)
	f("2001:db8::1%eth0", "b", 128)
	f("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "a", 127)
	f("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffd", "", 127)

	if i, length := table.Lookup(netip.Addr{}); i != packed.Unknown || length != 0 {
		t.Errorf("Lookup of no address = %d, %d", i, length)
	}
}

func TestEmptyTableIsOneNetwork(t *testing.T) {
	table := pack(t, nil)
	for _, addr := range []string{"0.0.0.0", "255.255.255.255", "::", "ffff::"} {
		if i, length := table.Lookup(netip.MustParseAddr(addr)); i != packed.Unknown || length != 0 {
			t.Errorf("Lookup(%s) = %d, %d; want 0, 0", addr, i, length)
		}
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	want := packed.Header{Source: "example 1.2", Built: time.Date(2026, 6, 17, 1, 2, 3, 0, time.UTC)}
	var file bytes.Buffer
	if err := packed.Encode(&file, want, nil); err != nil {
		t.Fatal(err)
	}
	table, err := packed.Decode(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if table.Header != want {
		t.Errorf("header %v, want %v", table.Header, want)
	}
}

func TestEncodeRefuses(t *testing.T) {
	f := func(header packed.Header, networks []packed.Network, want string) {
		t.Helper()
		err := packed.Encode(new(bytes.Buffer), header, networks)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	f(packed.Header{}, []packed.Network{network("10.0.0.0/8", "a"), network("10.1.2.3/8", "b")}, "twice")
	f(packed.Header{}, []packed.Network{{}}, "invalid prefix")
	f(packed.Header{}, []packed.Network{network("10.0.0.0/8", strings.Repeat("a", 256))}, "longer")
	f(packed.Header{Source: strings.Repeat("a", 256)}, nil, "longer")
	var many []packed.Network
	for i := range 256 {
		many = append(many, network(fmt.Sprintf("10.0.%d.0/24", i), fmt.Sprint(i)))
	}
	f(packed.Header{}, many, "256 labels")
}

// Networks, addresses and neighbourhoods of the property tests are drawn close
// together: within a few bits at the edges that matter, such as the first level's and
// the halves of an IPv6 address.
var windows = []struct {
	base string
	bits int // the bits before the window
}{
	{"0.0.0.0", 0}, {"10.0.0.0", 12}, {"255.255.255.248", 29}, {"192.0.0.0", 14},
	{"::", 0}, {"2001:db8::", 12}, {"2001:db8::", 46}, {"2001:db8::", 61},
	{"2001:db8::", 124}, {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0", 124}, {"8000::", 61},
	{"2000::", 0}, {"2000::", 18}, {"3fff:ffff:ffff:ffff::", 60}, {"4000::", 61},
}

const windowBits = 5

// inWindow returns an address of a window, told by the value of its few bits.
func inWindow(base netip.Addr, bits int, value uint32) netip.Addr {
	a := base.AsSlice()
	for i := range windowBits {
		at := bits + i
		if at >= base.BitLen() {
			break
		}
		mask := byte(0x80) >> (at % 8)
		a[at/8] &^= mask
		if value>>(windowBits-1-i)&1 == 1 {
			a[at/8] |= mask
		}
	}
	addr, _ := netip.AddrFromSlice(a)
	return addr
}

func drawNetworks(t *rapid.T) (networks []packed.Network, base netip.Addr, bits int) {
	w := rapid.SampledFrom(windows).Draw(t, "window")
	base = netip.MustParseAddr(w.base)
	used := map[netip.Prefix]bool{}
	for range rapid.IntRange(0, 12).Draw(t, "networks") {
		addr := inWindow(base, w.bits, rapid.Uint32().Draw(t, "value"))
		length := min(w.bits+rapid.IntRange(0, windowBits).Draw(t, "length"), addr.BitLen())
		prefix := netip.PrefixFrom(addr, length)
		if used[prefix.Masked()] {
			continue
		}
		used[prefix.Masked()] = true
		networks = append(networks, packed.Network{Prefix: prefix, Label: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "label")})
	}
	return networks, base, w.bits
}

// longestMatch is the model of a table: the label of the longest network around addr.
func longestMatch(networks []packed.Network, addr netip.Addr) string {
	label, best := "", -1
	for _, n := range networks {
		if n.Prefix.Contains(addr) && n.Prefix.Bits() > best {
			label, best = n.Label, n.Prefix.Bits()
		}
	}
	return label
}

// uniform reports whether the model has one label all over a prefix: the labels change
// only where a network starts or just after one ends.
func uniform(networks []packed.Network, p netip.Prefix) bool {
	want := longestMatch(networks, p.Masked().Addr())
	for _, n := range networks {
		if !n.Prefix.Overlaps(p) {
			continue
		}
		for _, addr := range []netip.Addr{n.Prefix.Masked().Addr(), lastOf(n.Prefix), lastOf(n.Prefix).Next()} {
			if addr.IsValid() && p.Contains(addr) && longestMatch(networks, addr) != want {
				return false
			}
		}
	}
	return true
}

func lastOf(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(a); i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(a)
	return addr
}

// The length that decided is that of the shortest prefix with one label all over.
func TestLengthIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		networks, base, bits := drawNetworks(t)
		table := pack(t, networks)
		addr := inWindow(base, bits, rapid.Uint32().Draw(t, "address"))
		if rapid.Bool().Draw(t, "last") {
			addr = lastOf(netip.PrefixFrom(addr, min(bits+windowBits, addr.BitLen())))
		}
		i, length := table.Lookup(addr)
		if got, want := table.Labels()[i], longestMatch(networks, addr); got != want {
			t.Fatalf("%v: %s has label %q, want %q", networks, addr, got, want)
		}
		if p := netip.PrefixFrom(addr, length); !uniform(networks, p) {
			t.Fatalf("%v: %s says /%d, but that has several labels", networks, addr, length)
		}
		if length > 0 && uniform(networks, netip.PrefixFrom(addr, length-1)) {
			t.Fatalf("%v: %s says /%d, but /%d has one label too", networks, addr, length, length-1)
		}
	})
}

// Every address of the prefix that decided says the same prefix.
func TestPrefixesTile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		networks, base, bits := drawNetworks(t)
		table := pack(t, networks)
		lengths := map[netip.Prefix]uint8{}
		for value := range uint32(1 << windowBits) {
			addr := inWindow(base, bits, value)
			i, length := table.Lookup(addr)
			p := netip.PrefixFrom(addr, length).Masked()
			for q, label := range lengths {
				if q.Overlaps(p) && (q != p || label != i) {
					t.Fatalf("%v: %v and %v overlap", networks, p, q)
				}
			}
			lengths[p] = i
		}
	})
}

// A large table with the shape of the internet's gives what the slow model gives.
func TestLargeTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var networks []packed.Network
	for i := range 1 << 12 {
		networks = append(networks,
			packed.Network{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{1, byte(i >> 8), byte(i)}), 24), Label: fmt.Sprint(rng.IntN(3))},
			packed.Network{Prefix: netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(i >> 8), byte(i)}), 32), Label: fmt.Sprint(rng.IntN(3))})
	}
	table := pack(t, networks)
	for _, n := range networks {
		for _, addr := range []netip.Addr{n.Prefix.Addr(), lastOf(n.Prefix)} {
			if got := label(table, addr); got != n.Label {
				t.Fatalf("%s has label %q, want %q", addr, got, n.Label)
			}
		}
	}
}

func TestEncodeIsDeterministic(t *testing.T) {
	networks := []packed.Network{network("10.0.0.0/8", "b"), network("2001:db8::/32", "a"), network("192.0.2.0/24", "c")}
	var a, b bytes.Buffer
	if err := packed.Encode(&a, packed.Header{}, networks); err != nil {
		t.Fatal(err)
	}
	networks[0], networks[2] = networks[2], networks[0]
	if err := packed.Encode(&b, packed.Header{}, networks); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("two files of the same networks differ")
	}
}
