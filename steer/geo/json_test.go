package geo_test

import (
	"encoding/json"
	"testing"

	"github.com/meridian-edge/meridian/steer/geo"
)

func TestPlacesReadBackFromJSON(t *testing.T) {
	f := func(p geo.Place, want string) {
		t.Helper()
		text, err := json.Marshal(p)
		if err != nil || string(text) != want {
			t.Fatalf("got %s, %v, want %s", text, err, want)
		}
		var back geo.Place
		if err := json.Unmarshal(text, &back); err != nil || back.Country != p.Country || back.Point.Known() != p.Point.Known() {
			t.Errorf("%s reads back as %+v, %v", text, back, err)
		}
		if p.Point.Known() && back.Point.Kilometres(p.Point) > 2 {
			t.Errorf("%s moved by %v km", text, back.Point.Kilometres(p.Point))
		}
	}
	f(geo.Place{Country: "GB", Continent: "EU", Point: geo.At(54.123, -2.5), Bits: 18},
		`{"country":"GB","continent":"EU","point":{"lat":54.12,"lon":-2.5},"bits":18}`)
	f(geo.Place{Bits: 8}, `{"bits":8}`)
}
