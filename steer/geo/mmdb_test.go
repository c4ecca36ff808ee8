package geo_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/steer/geo"
	"github.com/meridian-edge/meridian/steer/geo/internal/mmdbtest"
)

type m = map[string]any

func write(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.mmdb")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, f mmdbtest.File, networks ...mmdbtest.Network) *geo.DB {
	t.Helper()
	db, err := geo.Open(write(t, mmdbtest.Write(f, networks)))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func network(prefix string, record any) mmdbtest.Network {
	return mmdbtest.Network{Prefix: netip.MustParsePrefix(prefix), Record: record}
}

// check compares a lookup with a place, whose continent and point are the country's
// when the test leaves them out.
func check(t *testing.T, db *geo.DB, addr string, want geo.Place) {
	t.Helper()
	if want.Continent == "" {
		want.Continent = geo.Continent(want.Country)
	}
	if !want.Point.Known() {
		want.Point, _ = geo.Country(want.Country)
	}
	if got := db.Place(netip.MustParseAddr(addr)); got != want {
		t.Errorf("Place(%s) = %+v, want %+v", addr, got, want)
	}
}

// nested is a City record as MaxMind and DB-IP lay it out.
func nested() m {
	return m{
		"city":               m{"geoname_id": uint32(1), "names": m{"de": "Kalifornien", "en": "San Jose", "fr": "Saint-Joseph"}},
		"continent":          m{"code": "NA", "geoname_id": uint32(2), "names": m{"en": "North America"}},
		"country":            m{"iso_code": "US", "names": m{"en": "United States"}, "is_in_european_union": false},
		"location":           m{"accuracy_radius": uint16(20), "latitude": 37.34, "longitude": -121.89, "time_zone": "America/Los_Angeles"},
		"registered_country": m{"iso_code": "DE"},
		"subdivisions":       []any{m{"iso_code": "CA", "names": m{"en": "California"}}, m{"iso_code": "SC"}},
	}
}

func TestNestedLayout(t *testing.T) {
	for _, size := range []int{24, 28, 32} {
		db := open(t, mmdbtest.File{RecordSize: size, Type: "Nested-City", Built: time.Unix(1781726061, 0)},
			network("192.0.2.0/24", nested()),
			network("2001:db8::/32", nested()),
			network("198.51.100.0/24", m{"country": m{"iso_code": "GB"}}),
			network("203.0.113.0/24", m{"continent": m{"code": "EU"}}),
		)
		city := geo.Place{Country: "US", Subdivision: "CA", City: "San Jose", Point: geo.At(37.34, -121.89)}
		city.Bits = 24
		check(t, db, "192.0.2.200", city)
		check(t, db, "::ffff:192.0.2.200", city)
		city.Bits = 32
		check(t, db, "2001:db8::1", city)
		check(t, db, "198.51.100.1", geo.Place{Country: "GB", Bits: 24})
		check(t, db, "203.0.113.1", geo.Place{Continent: "EU", Bits: 24})
		check(t, db, "10.0.0.1", geo.Place{Bits: 1})
		check(t, db, "8000::", geo.Place{Bits: 1})
		check(t, db, "2001:db9::", geo.Place{Bits: 32})
		if want := "Nested-City (test.mmdb)"; db.Source() != want {
			t.Errorf("source %q, want %q", db.Source(), want)
		}
		if want := time.Unix(1781726061, 0).UTC(); db.Built() != want {
			t.Errorf("built %v, want %v", db.Built(), want)
		}
	}
}

func TestFlatLayout(t *testing.T) {
	db := open(t, mmdbtest.File{},
		network("192.0.2.0/24", m{"country_code": "US", "state1": "California", "city": "San Jose", "latitude": float32(37.25), "longitude": float32(-121.5), "postcode": "95101", "timezone": ""}),
		network("198.51.100.0/25", m{"country_code": "DE", "state1": "Bavaria", "city": "Munich", "latitude": "48.5", "longitude": "11.5"}),
		network("198.51.100.128/25", m{"country_code": "DE", "city": "", "latitude": 0.0, "longitude": 0.0}),
		network("203.0.113.0/24", m{"country_code": "GE", "state1": "Georgia"}),
	)
	check(t, db, "192.0.2.1", geo.Place{Country: "US", Subdivision: "CA", City: "San Jose", Point: geo.At(37.25, -121.5), Bits: 24})
	check(t, db, "198.51.100.1", geo.Place{Country: "DE", City: "Munich", Point: geo.At(48.5, 11.5), Bits: 25})
	check(t, db, "198.51.100.129", geo.Place{Country: "DE", Bits: 25})
	check(t, db, "203.0.113.1", geo.Place{Country: "GE", Bits: 24}) // the country, not the state
}

// Other vendors use the same names for other things: what does not fit is left out.
func TestForeignLayouts(t *testing.T) {
	db := open(t, mmdbtest.File{},
		network("192.0.2.0/28", m{"country": "United Kingdom", "country_code": "GB", "continent": "Europe", "continent_code": "EU"}),
		network("192.0.2.16/28", m{"country": "JP", "continent": "AS", "city": []any{"x"}, "location": "35,139"}),
		network("192.0.2.32/28", m{"country": m{"iso_code": "EU"}, "continent": m{"code": "EU"}}),
		network("192.0.2.48/28", m{"country_code": "ZZ", "latitude": 1, "longitude": 2}),
		network("192.0.2.64/28", m{"country_code": "FR", "latitude": uint16(1), "longitude": true}),
		network("192.0.2.80/28", m{"country_code": "FR", "latitude": 91.0, "longitude": 1.0, "subdivisions": m{}}),
		network("192.0.2.96/28", m{"country": m{"iso_code": "TR"}, "continent": m{"code": "AS"}}),
		network("192.0.2.112/28", "text"),
		network("192.0.2.128/28", m{"city": strings.Repeat("x", 300), "country": uint32(7), "continent_code": "XX"}),
	)
	check(t, db, "192.0.2.1", geo.Place{Country: "GB", Bits: 28})
	check(t, db, "192.0.2.17", geo.Place{Country: "JP", Bits: 28})
	check(t, db, "192.0.2.33", geo.Place{Continent: "EU", Bits: 28})
	check(t, db, "192.0.2.49", geo.Place{Point: geo.At(1, 2), Bits: 28})
	check(t, db, "192.0.2.65", geo.Place{Country: "FR", Bits: 28})
	check(t, db, "192.0.2.81", geo.Place{Country: "FR", Bits: 28})
	check(t, db, "192.0.2.97", geo.Place{Country: "TR", Continent: "EU", Bits: 28})
	check(t, db, "192.0.2.113", geo.Place{Bits: 28})
	check(t, db, "192.0.2.129", geo.Place{City: strings.Repeat("x", 300), Bits: 28})
}

func TestFileOfOneFamily(t *testing.T) {
	four := open(t, mmdbtest.File{IPVersion: 4}, network("192.0.2.0/24", m{"country_code": "GB"}))
	check(t, four, "192.0.2.1", geo.Place{Country: "GB", Bits: 24})
	check(t, four, "::ffff:192.0.2.1", geo.Place{Country: "GB", Bits: 24})
	check(t, four, "10.0.0.1", geo.Place{Bits: 1})
	check(t, four, "2001:db8::1", geo.Place{}) // one empty network

	six := open(t, mmdbtest.File{}, network("2001:db8::/32", m{"country_code": "GB"}))
	check(t, six, "2001:db8::1", geo.Place{Country: "GB", Bits: 32})
	check(t, six, "192.0.2.1", geo.Place{}) // likewise
}

// A private network is where the operator's own file says it is.
func TestFileMayPlacePrivateNetworks(t *testing.T) {
	db := open(t, mmdbtest.File{}, network("10.1.0.0/16", m{"country_code": "NL"}))
	check(t, db, "10.1.2.3", geo.Place{Country: "NL", Bits: 16})
}

func TestNetworksOfAFileTile(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var networks []mmdbtest.Network
	for range 200 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(rng.UintN(4)), byte(rng.Uint32())}), 8+rng.IntN(17)).Masked()
		networks = append(networks, mmdbtest.Network{Prefix: p, Record: m{"country_code": []string{"GB", "FR", "JP"}[rng.IntN(3)]}})
	}
	db := open(t, mmdbtest.File{}, networks...)
	found := map[netip.Prefix]geo.Place{}
	for i := range 1 << 10 {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i)})
		place := db.Place(addr)
		p := netip.PrefixFrom(addr, place.Bits).Masked()
		if other, ok := found[p]; ok && other != place {
			t.Fatalf("%v is at %+v and %+v", p, other, place)
		}
		found[p] = place
	}
	for p := range found {
		for q := range found {
			if p != q && p.Overlaps(q) {
				t.Fatalf("%v and %v overlap", p, q)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	good := mmdbtest.Write(mmdbtest.File{}, []mmdbtest.Network{network("192.0.2.0/24", m{"country_code": "GB"})})
	f := func(path, want string) {
		t.Helper()
		db, err := geo.Open(path)
		if err == nil || db != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open = %v, %v; want an error with %q", db, err, want)
		}
	}
	f(filepath.Join(t.TempDir(), "missing.mmdb"), "missing.mmdb")
	f(t.TempDir(), "no regular file")
	f(write(t, nil), "invalid MaxMind DB file")
	f(write(t, []byte("<html>not found</html>")), "invalid MaxMind DB file")
	f(write(t, good[:len(good)/2]), "invalid MaxMind DB file")
	f(write(t, good[len(good)/2:]), "invalid metadata")
	f(write(t, mmdbtest.Write(mmdbtest.File{Type: "ASN"}, []mmdbtest.Network{
		network("192.0.2.0/24", m{"autonomous_system_number": uint32(64496), "autonomous_system_organization": "Example"}),
	})), "no place in the first")
	f(write(t, mmdbtest.Write(mmdbtest.File{IPVersion: 5}, []mmdbtest.Network{network("2001:db8::/32", m{"country_code": "GB"})})), "unknown version")

	for i := range good {
		if db, err := geo.Open(write(t, good[:i])); err == nil {
			t.Errorf("the first %d bytes of %d open as %v", i, len(good), db)
		}
	}
}

// A damaged tree can have more leaves than anyone can visit: here both sides of every
// node lead to the next one, and the last to nothing.
func TestOpenEndsOnAnyTree(t *testing.T) {
	const nodes = 100
	data := mmdbtest.Write(mmdbtest.File{}, []mmdbtest.Network{network("2001:db8::/100", m{"country_code": "GB"})})
	for i := range nodes {
		copy(data[6*i:], []byte{0, 0, byte(i + 1), 0, 0, byte(i + 1)})
	}
	if db, err := geo.Open(write(t, data)); err == nil || !strings.Contains(err.Error(), "no place") {
		t.Errorf("Open = %v, %v", db, err)
	}
}

// A file is in memory: what happens to it on the disk later does no harm.
func TestFileMayBeCutInPlace(t *testing.T) {
	path := write(t, mmdbtest.Write(mmdbtest.File{}, []mmdbtest.Network{network("192.0.2.0/24", nested())}))
	db, err := geo.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	if got := db.Place(netip.MustParseAddr("192.0.2.1")); got.City != "San Jose" {
		t.Errorf("found %+v", got)
	}
}

// A damaged record makes its addresses unknown, with a scope that nobody shares.
func TestDamagedRecord(t *testing.T) {
	data := mmdbtest.Write(mmdbtest.File{}, []mmdbtest.Network{
		network("192.0.2.0/24", m{"country_code": "GB"}),
		network("198.51.100.0/24", m{"country_code": "FR"}),
	})
	i := bytes.LastIndex(data, []byte("country_code"))
	data[i-1] = 0x80 // the key is no string any more
	db, err := geo.Open(write(t, data))
	if err != nil {
		t.Fatal(err)
	}
	check(t, db, "192.0.2.1", geo.Place{Country: "GB", Bits: 24})
	check(t, db, "198.51.100.1", geo.Place{Bits: 32})
}

func TestRecordIsBounded(t *testing.T) {
	many := m{"country_code": "GB"}
	for i := range 5000 {
		many["k"+string(rune('a'+i%26))+strings.Repeat("x", i/26)] = true
	}
	db := open(t, mmdbtest.File{}, network("192.0.2.0/24", m{"country_code": "GB"}), network("198.51.100.0/24", many))
	check(t, db, "192.0.2.1", geo.Place{Country: "GB", Bits: 24})
	check(t, db, "198.51.100.1", geo.Place{Bits: 32})
}

func TestFileConcurrently(t *testing.T) {
	db := open(t, mmdbtest.File{}, network("192.0.2.0/25", nested()), network("192.0.2.128/25", m{"country_code": "JP"}))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 200 {
				if i%2 == 0 {
					check(t, db, "192.0.2.1", geo.Place{Country: "US", Subdivision: "CA", City: "San Jose", Point: geo.At(37.34, -121.89), Bits: 25})
				} else {
					check(t, db, "192.0.2.129", geo.Place{Country: "JP", Bits: 25})
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkPlaceFile(b *testing.B) {
	run := func(name string, record any) {
		db := open(b, mmdbtest.File{}, network("192.0.2.0/24", record))
		b.Run(name, func(b *testing.B) {
			addr := netip.MustParseAddr("192.0.2.1")
			b.ReportAllocs()
			for b.Loop() {
				sink = db.Place(addr)
			}
		})
	}
	run("country", m{"country_code": "GB"})
	run("city", nested())
}
