// Package geo tells where an address is: its country, its place on the globe, and
// the prefix length that decided it.
//
//	db, err := geo.Embedded()
//	place := db.Place(netip.MustParseAddr("192.0.2.1"))
//	if place.Point.Known() { ... }
//
// A DB never changes once it is made; build a new one to take in new data.
// Everything in the package is safe for concurrent use.
package geo

import "math"

// earthRadius is the mean radius of the earth in kilometres (IUGG R1).
const earthRadius = 6371.0088

// Point is a place on the unit sphere, so that comparing distances is one dot
// product. The zero Point is "unknown".
type Point struct{ X, Y, Z float64 }

// At returns the point at a latitude and a longitude in degrees, north and east
// positive. Longitudes wrap. A latitude outside -90..90, and anything that is not
// a finite number, gives the unknown Point.
func At(lat, lon float64) Point {
	if !(lat >= -90 && lat <= 90) || math.IsNaN(lon) || math.IsInf(lon, 0) {
		return Point{}
	}
	sinLat, cosLat := math.Sincos(lat * math.Pi / 180)
	sinLon, cosLon := math.Sincos(math.Remainder(lon, 360) * math.Pi / 180)
	return Point{X: cosLat * cosLon, Y: cosLat * sinLon, Z: sinLat}
}

// Known reports whether p is a place at all.
func (p Point) Known() bool { return p != Point{} }

// Dot returns the cosine of the angle between p and q: the larger, the nearer. It
// is 0, a quarter of the way round the globe, when either point is unknown.
func (p Point) Dot(q Point) float64 { return p.X*q.X + p.Y*q.Y + p.Z*q.Z }

// Kilometres returns the great-circle distance between p and q on a sphere of the
// earth's mean radius. It is never NaN. Like Dot it puts an unknown point a quarter
// of the way round the globe from everything, so that both sort alike; ask Known
// before showing the figure to anyone.
func (p Point) Kilometres(q Point) float64 {
	if !p.Known() || !q.Known() {
		return earthRadius * math.Pi / 2
	}
	x, y, z := p.Y*q.Z-p.Z*q.Y, p.Z*q.X-p.X*q.Z, p.X*q.Y-p.Y*q.X
	// The arc tangent is exact where the arc cosine is not: near and antipodal points.
	return earthRadius * math.Atan2(math.Sqrt(x*x+y*y+z*z), p.Dot(q))
}

// LatLon returns the latitude and the longitude of p in degrees, longitude in
// -180..180. Both are zero when p is unknown.
func (p Point) LatLon() (lat, lon float64) {
	lat = math.Atan2(p.Z, math.Hypot(p.X, p.Y)) * 180 / math.Pi
	lon = math.Atan2(p.Y, p.X) * 180 / math.Pi
	return lat, lon
}

// Place is where an address is, with the prefix length that was decisive. The zero
// Place is nowhere.
type Place struct {
	// Country is the ISO 3166-1 alpha-2 code, "" when unknown.
	Country string `json:"country,omitempty"`
	// Continent is one of AF AN AS EU NA OC SA, "" when unknown.
	Continent string `json:"continent,omitempty"`
	// Subdivision is the second part of the ISO 3166-2 code, such as "CA" of US-CA;
	// "" when unknown. The flat file layout gives it for the United States only.
	Subdivision string `json:"subdivision,omitempty"`
	// City is the English name, "" when unknown.
	City string `json:"city,omitempty"`
	// Point is the city's when the database knows it, else the country's centroid;
	// the zero Point when neither is known.
	Point Point `json:"point,omitzero"`
	// Bits is how many leading bits of the address were looked at to find the rest,
	// in the family of the address asked (0..32 or 0..128): every address that shares
	// them is in the same Place, so it is the scope of an EDNS Client Subnet answer
	// (RFC 7871 section 7.2.1). An address that the database does not know has it too:
	// the length of the empty network around it.
	Bits int `json:"bits"`
	// Overridden says that the operator's word decided and not the database; see DB.WithOverrides.
	Overridden bool `json:"overridden,omitempty"`
}
