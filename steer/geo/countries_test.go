package geo_test

import (
	"testing"

	"github.com/meridian-edge/meridian/steer/geo"
)

// Where people disagree, Route 53's lists count.
func TestContinentsAreRoute53s(t *testing.T) {
	f := func(country, want string) {
		t.Helper()
		if got := geo.Continent(country); got != want {
			t.Errorf("Continent(%q) = %q, want %q", country, got, want)
		}
	}
	f("AM", "AS")
	f("AZ", "AS")
	f("GE", "AS")
	f("KZ", "AS")
	f("CY", "EU")
	f("TR", "EU")
	f("RU", "EU")
	f("UM", "OC")
	f("XK", "EU")
	f("GB", "EU")
	f("US", "NA")
	f("MX", "NA")
	f("BR", "SA")
	f("NZ", "OC")
	f("ZA", "AF")
	f("EG", "AF")
	f("JP", "AS")
	f("AQ", "AN")
	f("gb", "")
	f("EU", "")
	f("ZZ", "")
	f("", "")
}

func TestCountryCentroids(t *testing.T) {
	f := func(code string, lat, lon, within float64) {
		t.Helper()
		p, ok := geo.Country(code)
		if !ok || p.Kilometres(geo.At(lat, lon)) > within {
			gotLat, gotLon := p.LatLon()
			t.Errorf("Country(%q) = %.2f, %.2f, %v; want near %g, %g", code, gotLat, gotLon, ok, lat, lon)
		}
	}
	f("GB", 54, -2, 100)
	f("JP", 36, 138, 100)
	f("US", 39.8, -98.6, 20)
	f("FR", 46.6, 2.4, 100)
	f("DE", 51.2, 10.4, 50)
	f("IN", 22, 79, 200)
	f("ZA", -28.5, 25, 250)
	f("AU", -33, 147, 500) // New South Wales, not the desert
	f("BR", -17, -46, 300) // Minas Gerais, not the forest
	f("SG", 1.35, 103.8, 10)
	f("NZ", -41, 174, 200)
	f("IS", 65, -18.5, 100)
	f("AR", -34, -61, 300)
	f("KE", 0, 38, 100)
	f("CL", -33.5, -70.7, 200)
	for _, code := range []string{"", "gb", "EU", "AP", "ZZ", "USA"} {
		if p, ok := geo.Country(code); ok || p.Known() {
			t.Errorf("Country(%q) is known", code)
		}
	}
}
