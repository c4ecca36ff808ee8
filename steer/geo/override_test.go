package geo_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/steer/geo"
	"github.com/meridian-edge/meridian/steer/geo/internal/mmdbtest"
)

func override(country string, prefixes ...string) geo.Override {
	o := geo.Override{Country: country}
	for _, p := range prefixes {
		o.Prefixes = append(o.Prefixes, netip.MustParsePrefix(p))
	}
	return o
}

// with adds overrides to a database, which may be nil.
func with(t testing.TB, db *geo.DB, list ...geo.Override) *geo.DB {
	t.Helper()
	next, err := db.WithOverrides(list)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// place is a country's place with the bits that decided it.
func place(country string, bits int) geo.Place {
	point, _ := geo.Country(country)
	return geo.Place{Country: country, Continent: geo.Continent(country), Point: point, Bits: bits}
}

func overridden(country string, bits int) geo.Place {
	p := place(country, bits)
	p.Overridden = true
	return p
}

func TestLongestOverrideDecides(t *testing.T) {
	data := open(t, mmdbtest.File{},
		network("192.0.2.0/24", m{"country_code": "GB"}),
		network("198.51.100.0/24", m{"country_code": "FR"}),
		network("2001:db8::/32", m{"country_code": "GB"}),
	)
	home := override("US", "10.0.0.0/8")
	home.Subdivision, home.Point = "CA", geo.At(37.34, -121.89)
	db := with(t, data, home,
		override("JP", "192.0.2.0/28", "2001:db8:1::/48"),
		override("DE", "192.0.2.8/32", "10.1.0.0/16"),
	)
	f := func(addr string, want geo.Place) {
		t.Helper()
		if got := db.Place(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Place(%s) = %+v, want %+v", addr, got, want)
		}
	}
	f("192.0.2.8", overridden("DE", 32))
	f("::ffff:192.0.2.8", overridden("DE", 32))
	f("192.0.2.9", overridden("JP", 32)) // a /32 apart from the DE one
	f("192.0.2.10", overridden("JP", 31))
	f("192.0.2.0", overridden("JP", 29))
	f("192.0.2.16", place("GB", 28))  // the sibling of the JP block
	f("192.0.2.128", place("GB", 25)) // half of the network is without an override
	f("198.51.100.1", place("FR", 24))
	f("10.1.2.3", overridden("DE", 16))
	f("2001:db8:1::1", overridden("JP", 48))
	f("2001:db8:0:1::", place("GB", 48))
	f("2001:db8:8000::", place("GB", 33))
	at := geo.Place{Country: "US", Continent: "NA", Subdivision: "CA", Point: geo.At(37.34, -121.89), Bits: 9, Overridden: true}
	f("10.128.0.1", at)
	if got := data.Place(netip.MustParseAddr("192.0.2.8")); got != place("GB", 24) {
		t.Errorf("the database itself has changed: %+v", got)
	}
	if db.Source() != data.Source() || db.Built() != data.Built() {
		t.Error("source and age are the data's")
	}
}

func TestOverridesWithoutADatabase(t *testing.T) {
	var none *geo.DB
	db := with(t, none, geo.Override{Prefixes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, Point: geo.At(1, 2)})
	if got, want := db.Place(netip.MustParseAddr("192.0.2.1")), (geo.Place{Point: geo.At(1, 2), Overridden: true}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := db.Place(netip.MustParseAddr("2001:db8::1")); got != (geo.Place{}) {
		t.Errorf("got %+v for the other family", got)
	}
	if got := with(t, none); got != nil {
		t.Error("no overrides, no database")
	}
}

func TestBadOverridesAreRefused(t *testing.T) {
	f := func(want string, list ...geo.Override) {
		t.Helper()
		var none *geo.DB
		if _, err := none.WithOverrides(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error about %s", err, want)
		}
	}
	f("no country", override("XX", "192.0.2.0/24"))
	f("twice", override("GB", "192.0.2.0/24"), override("FR", "192.0.2.0/24"))
	f("prefix", override("GB", "192.0.2.1/24"))
	f("prefix", override("GB", "::ffff:192.0.2.0/120"))
	f("prefix", geo.Override{Prefixes: make([]netip.Prefix, 1)})
	many := override("GB")
	for i := range 10001 {
		many.Prefixes = append(many.Prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24))
	}
	f("10000", many)
}

// drawPrefix draws from a corner of the address space that is small enough for prefixes to meet.
func drawPrefix(t *rapid.T) netip.Prefix {
	bits := rapid.IntRange(8, 16).Draw(t, "bits")
	addr := netip.AddrFrom4([4]byte{10, rapid.Byte().Draw(t, "second")})
	if rapid.Bool().Draw(t, "v6") {
		addr = netip.AddrFrom16([16]byte{10, rapid.Byte().Draw(t, "second")})
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// RFC 7871 section 7.2.1: scopes tile, also where overrides cut into the networks of a database, and the longest prefix that
// holds an address decides. The corner has 256 blocks a family: all of them are looked at.
func TestOverriddenScopesTile(t *testing.T) {
	countries := []string{"GB", "FR", "JP", "US", "DE", "BR"}
	path := filepath.Join(t.TempDir(), "test.mmdb")
	rapid.Check(t, func(t *rapid.T) {
		var networks []mmdbtest.Network
		for i := range rapid.IntRange(1, 6).Draw(t, "networks") {
			networks = append(networks, mmdbtest.Network{Prefix: drawPrefix(t), Record: m{"country_code": countries[i]}})
		}
		if err := os.WriteFile(path, mmdbtest.Write(mmdbtest.File{}, networks), 0o600); err != nil {
			t.Fatal(err)
		}
		data, err := geo.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		said := map[netip.Prefix]string{}
		var list []geo.Override
		for i := range rapid.IntRange(1, 6).Draw(t, "overrides") {
			p := drawPrefix(t)
			if _, twice := said[p]; !twice {
				said[p] = countries[i]
				list = append(list, geo.Override{Prefixes: []netip.Prefix{p}, Country: countries[i]})
			}
		}
		db, err := data.WithOverrides(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range []int{4, 16} {
			var places [256]geo.Place
			addr := func(i int) netip.Addr {
				a, _ := netip.AddrFromSlice(append([]byte{10, byte(i)}, make([]byte, family-2)...))
				return a
			}
			for i := range places {
				places[i] = db.Place(addr(i))
				want := data.Place(addr(i))
				longest := -1
				for p, country := range said {
					if p.Contains(addr(i)) && p.Bits() > longest {
						longest = p.Bits()
						want = overridden(country, 0)
					}
				}
				if want.Bits = places[i].Bits; places[i] != want {
					t.Fatalf("%s is at %+v, want %+v", addr(i), places[i], want)
				}
			}
			for i := range places {
				scope := netip.PrefixFrom(addr(i), places[i].Bits).Masked()
				for j := range places {
					if scope.Contains(addr(j)) && places[j] != places[i] {
						t.Fatalf("%s is at %+v by %s, but %s at %+v", addr(i), places[i], scope, addr(j), places[j])
					}
				}
			}
		}
	})
}

func TestOverridesDoNotAllocate(t *testing.T) {
	db := with(t, embedded(t), override("GB", "10.0.0.0/8", "8.8.8.0/24", "2a00::/16"))
	addrs := randomAddrs()
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		i++
		sink = db.Place(addrs[i%len(addrs)])
	}); n != 0 {
		t.Errorf("%g allocations a lookup", n)
	}
}

func BenchmarkPlaceOverridden(b *testing.B) {
	o := override("GB")
	for i := range 4096 {
		o.Prefixes = append(o.Prefixes, netip.MustParsePrefix("10."+strconv.Itoa(i>>8)+"."+strconv.Itoa(i&255)+".0/24"))
	}
	db := with(b, embedded(b), o)
	addr := netip.MustParseAddr("10.3.7.1")
	b.ReportAllocs()
	for b.Loop() {
		sink = db.Place(addr)
	}
}
