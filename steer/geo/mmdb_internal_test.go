package geo

import (
	"net/netip"
	"testing"

	"github.com/meridian-edge/meridian/steer/geo/internal/mmdbtest"
)

// FuzzFile checks that no file makes Open or Place panic or go on for ever. It leaves
// out the disk, which would be most of the work.
func FuzzFile(f *testing.F) {
	type m = map[string]any
	for _, version := range []int{4, 6} {
		f.Add(mmdbtest.Write(mmdbtest.File{IPVersion: version}, []mmdbtest.Network{
			{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Record: m{
				"city":         m{"names": m{"en": "San Jose"}},
				"continent":    m{"code": "NA"},
				"country":      m{"iso_code": "US"},
				"location":     m{"latitude": 37.34, "longitude": float32(-121)},
				"subdivisions": []any{m{"iso_code": "CA"}, m{}},
			}},
			{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Record: m{"country_code": "GB", "state1": "x", "latitude": "1.5", "longitude": 7}},
		}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := newFile(data)
		if err != nil {
			return
		}
		for _, s := range []string{"0.0.0.0", "192.0.2.1", "198.51.100.1", "255.255.255.255", "::", "2001:db8::1", "ffff::"} {
			addr := netip.MustParseAddr(s)
			place := file.place(addr)
			if place.Bits < 0 || place.Bits > addr.BitLen() {
				t.Fatalf("%s was decided by %d bits", s, place.Bits)
			}
			if place.Country != "" && place.Continent != Continent(place.Country) {
				t.Fatalf("%s is at %+v", s, place)
			}
		}
	})
}
