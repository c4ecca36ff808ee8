package geo_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/steer/geo"
)

func ExampleEmbedded() {
	db, err := geo.Embedded()
	if err != nil {
		fmt.Println(err)
		return
	}
	place := db.Place(netip.MustParseAddr("192.0.2.1"))
	fmt.Printf("%q, known: %v, decided by /%d\n", place.Country, place.Point.Known(), place.Bits)
	// Output: "", known: false, decided by /24
}

// once expands the embedded database for all tests that only read it.
var once = sync.OnceValues(geo.Embedded)

func embedded(t testing.TB) *geo.DB {
	t.Helper()
	db, err := once()
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestEmbeddedKnowsTheWorld(t *testing.T) {
	db := embedded(t)
	f := func(addr, country string) {
		t.Helper()
		got := db.Place(netip.MustParseAddr(addr))
		point, _ := geo.Country(country)
		want := geo.Place{Country: country, Continent: geo.Continent(country), Point: point, Bits: got.Bits}
		if got != want {
			t.Errorf("Place(%s) = %+v, want %+v", addr, got, want)
		}
	}
	f("8.8.8.8", "US")
	f("81.2.69.142", "GB")
	f("1.0.16.1", "JP")
	f("2001:4860:4860::8888", "US")
	f("2001:200::1", "JP")
	f("::ffff:81.2.69.142", "GB")
	if db.Built().Year() < 2026 || db.Built().Location() != time.UTC {
		t.Errorf("built on %v", db.Built())
	}
	if !strings.Contains(db.Source(), "iptoasn") {
		t.Errorf("source %q", db.Source())
	}
}

// Addresses that are nobody's in particular are nowhere, and say how far that goes.
func TestSpecialAddressesAreUnknown(t *testing.T) {
	db := embedded(t)
	for _, s := range []string{
		"0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.1.1", "172.31.255.255", "192.0.2.1",
		"192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "64:ff9b::808:808", "fe80::1%eth0", "fd00::1", "ff02::1", "2001:db8::1", "2002:808:808::1", "3fff::1", "::ffff:10.0.0.1",
	} {
		addr := netip.MustParseAddr(s)
		got := db.Place(addr)
		if want := (geo.Place{Bits: got.Bits}); got != want {
			t.Errorf("Place(%s) = %+v, want nothing", s, got)
		}
		if got.Bits < 1 || got.Bits > addr.Unmap().BitLen() {
			t.Errorf("Place(%s) was decided by %d bits", s, got.Bits)
		}
	}
	if got := db.Place(netip.Addr{}); got != (geo.Place{}) {
		t.Errorf("the zero address is at %+v", got)
	}
}

// testdata/sample.txt was written by the reader of the original database.
func TestEmbeddedAgreesWithTheOriginal(t *testing.T) {
	db := embedded(t)
	f, err := os.Open("testdata/sample.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		addr, want, _ := strings.Cut(lines.Text(), " ")
		if _, ok := geo.Country(want); !ok {
			want = "" // "-", and codes such as AP that are no country's
		}
		if got := db.Place(netip.MustParseAddr(addr)).Country; got != want {
			t.Errorf("%s is in %q, want %q", addr, got, want)
		}
	}
	if n < 1000 {
		t.Errorf("only %d addresses in the sample", n)
	}
}

func drawAddr(t *rapid.T) netip.Addr {
	if rapid.Bool().Draw(t, "v4") {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], rapid.Uint32().Draw(t, "address"))
		return netip.AddrFrom4(a)
	}
	a := [16]byte{0x20 | rapid.Byte().Draw(t, "first")&0x1f}
	binary.BigEndian.PutUint64(a[1:], rapid.Uint64().Draw(t, "address"))
	return netip.AddrFrom16(a)
}

// RFC 7871 section 7.2.1: scopes tile. Whoever shares the deciding bits is in the same
// Place, by the same bits.
func TestEmbeddedScopesTile(t *testing.T) {
	db := embedded(t)
	rapid.Check(t, func(t *rapid.T) {
		addr := drawAddr(t)
		place := db.Place(addr)
		b := addr.AsSlice()
		for i := place.Bits; i < addr.BitLen(); i++ {
			if rapid.Bool().Draw(t, "flip") {
				b[i/8] ^= 0x80 >> (i % 8)
			}
		}
		other, _ := netip.AddrFromSlice(b)
		if got := db.Place(other); got != place {
			t.Fatalf("%s is at %+v, but %s at %+v", addr, place, other, got)
		}
	})
}

func TestNilAndZeroDatabase(t *testing.T) {
	for _, db := range []*geo.DB{nil, new(geo.DB)} {
		if got := db.Place(netip.MustParseAddr("192.0.2.1")); got != (geo.Place{}) {
			t.Errorf("found %+v in an empty database", got)
		}
		if !db.Built().IsZero() || db.Source() != "" {
			t.Errorf("an empty database was built %v from %q", db.Built(), db.Source())
		}
	}
}

func TestEmbeddedPlaceDoesNotAllocate(t *testing.T) {
	db := embedded(t)
	addrs := randomAddrs()
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		i++
		sink = db.Place(addrs[i%len(addrs)])
	}); n != 0 {
		t.Errorf("%g allocations a lookup", n)
	}
}

// sink keeps results alive.
var sink geo.Place

// randomAddrs returns addresses of both families, IPv4 first: half each.
func randomAddrs() []netip.Addr {
	const n = 1 << 14
	rng := rand.New(rand.NewPCG(1, 2))
	addrs := make([]netip.Addr, 2*n)
	for i := range n {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], rng.Uint32())
		addrs[i] = netip.AddrFrom4(a)
		b := [16]byte{0x2a, byte(rng.UintN(16))} // where most of the networks are
		binary.BigEndian.PutUint64(b[2:], rng.Uint64())
		addrs[n+i] = netip.AddrFrom16(b)
	}
	return addrs
}

func BenchmarkPlaceEmbedded(b *testing.B) {
	db := embedded(b)
	addrs := randomAddrs()
	run := func(name string, addrs []netip.Addr) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				sink = db.Place(addrs[i&(len(addrs)-1)])
			}
		})
	}
	run("v4", addrs[:len(addrs)/2])
	run("v6", addrs[len(addrs)/2:])
}

func BenchmarkEmbedded(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := geo.Embedded(); err != nil {
			b.Fatal(err)
		}
	}
}
