package geo

import (
	"encoding/json"
	"math"
)

// latLon is how a Point is written: people read degrees, not unit vectors.
type latLon struct {
	Lat float64 `json:"lat"`
	Lon float64 `json:"lon"`
}

// MarshalJSON writes latitude and longitude in degrees, to two decimals; the unknown Point is null.
func (p Point) MarshalJSON() ([]byte, error) {
	if !p.Known() {
		return []byte("null"), nil
	}
	lat, lon := p.LatLon()
	return json.Marshal(latLon{math.Round(lat*100) / 100, math.Round(lon*100) / 100})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (p *Point) UnmarshalJSON(b []byte) error {
	var at *latLon
	if err := json.Unmarshal(b, &at); err != nil {
		return err
	}
	*p = Point{}
	if at != nil {
		*p = At(at.Lat, at.Lon)
	}
	return nil
}
