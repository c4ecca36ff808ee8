package geo_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/steer/geo"
)

func TestDistances(t *testing.T) {
	f := func(lat1, lon1, lat2, lon2, want, tolerance float64) {
		t.Helper()
		p, q := geo.At(lat1, lon1), geo.At(lat2, lon2)
		if got := p.Kilometres(q); math.Abs(got-want) > tolerance {
			t.Errorf("from %g,%g to %g,%g: %g km, want %g", lat1, lon1, lat2, lon2, got, want)
		}
	}
	f(51.4700, -0.4543, 40.6413, -73.7781, 5540, 10)     // London to New York
	f(35.5494, 139.7798, 1.3644, 103.9915, 5300, 15)     // Tokyo to Singapore
	f(-33.9399, 151.1753, -33.3930, -70.7858, 11340, 30) // Sydney to Santiago, over the date line
	f(0, 0, 0, 180, math.Pi*6371.0088, 1e-6)
	f(90, 0, -90, 0, math.Pi*6371.0088, 1e-6)
	f(90, 17, 90, -120, 0, 1e-6) // the pole has every longitude
	f(0, 0, 0, 1e-7, 11.119e-6, 1e-8)
	f(0, 179.5, 0, -179.5, 111.195, 0.001)
	f(10, 370, 10, 10, 0, 1e-6)
}

func TestUnknownPoint(t *testing.T) {
	for _, p := range []geo.Point{{}, geo.At(math.NaN(), 0), geo.At(0, math.NaN()), geo.At(0, math.Inf(1)), geo.At(90.1, 0), geo.At(-91, 0)} {
		if p.Known() {
			t.Errorf("%v is known", p)
		}
		if lat, lon := p.LatLon(); lat != 0 || lon != 0 {
			t.Errorf("LatLon of the unknown point = %g, %g", lat, lon)
		}
		// Neither near nor far, and the same for both measures.
		if dot, km := p.Dot(geo.At(1, 2)), p.Kilometres(geo.At(1, 2)); dot != 0 || math.Abs(km-10007.557) > 0.001 {
			t.Errorf("distance to the unknown point: %g, %g km", dot, km)
		}
	}
	if !geo.At(0, 0).Known() {
		t.Error("0, 0 is unknown")
	}
}

func latitudes() *rapid.Generator[float64]  { return rapid.Float64Range(-90, 90) }
func longitudes() *rapid.Generator[float64] { return rapid.Float64Range(-180, 180) }

func TestLatLonRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lat, lon := latitudes().Draw(t, "lat"), longitudes().Draw(t, "lon")
		p := geo.At(lat, lon)
		gotLat, gotLon := p.LatLon()
		if math.Abs(gotLat-lat) > 1e-6 || p.Kilometres(geo.At(gotLat, gotLon)) > 1e-6 {
			t.Fatalf("%g, %g comes back as %g, %g", lat, lon, gotLat, gotLon)
		}
	})
}

func TestDotOrdersLikeKilometres(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) geo.Point {
			if rapid.IntRange(0, 9).Draw(t, name+" unknown") == 0 {
				return geo.Point{}
			}
			return geo.At(latitudes().Draw(t, name+" lat"), longitudes().Draw(t, name+" lon"))
		}
		p, a, b := draw("p"), draw("a"), draw("b")
		ka, kb := p.Kilometres(a), p.Kilometres(b)
		if math.IsNaN(ka) || ka < 0 || ka > 20016 {
			t.Fatalf("%g km", ka)
		}
		if math.Abs(ka-a.Kilometres(p)) > 1e-9 {
			t.Fatalf("%g km there, %g km back", ka, a.Kilometres(p))
		}
		if ka < kb-0.2 && p.Dot(a) < p.Dot(b) {
			t.Fatalf("%g km is nearer than %g km, but cosines are %g and %g", ka, kb, p.Dot(a), p.Dot(b))
		}
	})
}
