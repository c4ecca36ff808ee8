package demo

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/meridian-edge/meridian/steer/geo"
)

const (
	host     = "www.demo.test" // what every client asks for
	zoneName = "demo.test"
)

// location is a region of the demo: where an edge or an origin stands.
type location struct {
	Name     string // of the edge or the origin
	Region   string
	Lat, Lon float64
	Addr     netip.Addr // on loopback
}

func (l location) point() geo.Point { return geo.At(l.Lat, l.Lon) }

// theOrigins and theEdges are real places, so that distances, and with them every decision, are real.
func theOrigins() []location {
	return []location{
		{"lon", "eu-west", 51.51, -0.13, netip.AddrFrom4([4]byte{127, 0, 1, 1})},
		{"nyc", "us-north", 40.71, -74.01, netip.AddrFrom4([4]byte{127, 0, 1, 2})},
		{"tyo", "ap-tokyo", 35.68, 139.69, netip.AddrFrom4([4]byte{127, 0, 1, 3})},
	}
}

func theEdges() []location {
	return []location{
		{"eu", "eu-central", 50.11, 8.68, netip.AddrFrom4([4]byte{127, 0, 2, 1})},
		{"us", "us-east", 39.04, -77.49, netip.AddrFrom4([4]byte{127, 0, 2, 2})},
		{"ap", "ap-osaka", 34.69, 135.50, netip.AddrFrom4([4]byte{127, 0, 2, 3})},
	}
}

// roundTrip is about how long light in a fibre takes between two places and back, detours included: a fixed part, and a
// millisecond for each 75 km.
func roundTrip(a, b geo.Point) time.Duration {
	return 4*time.Millisecond + time.Duration(a.Kilometres(b)/75*float64(time.Millisecond))
}

// country is where clients are, by an address that the embedded database places there.
type country struct {
	Code   string
	Subnet netip.Prefix // what its resolvers send as EDNS Client Subnet
}

// candidates are networks of large providers, one for each country.
func candidates() []country {
	list := []struct{ code, subnet string }{
		{"GB", "81.2.69.0/24"}, {"FR", "90.0.0.0/24"}, {"DE", "91.0.0.0/24"}, {"ZA", "196.25.1.0/24"},
		{"US", "12.0.0.0/24"}, {"CA", "99.224.0.0/24"}, {"BR", "200.160.2.0/24"}, {"MX", "189.128.0.0/24"},
		{"JP", "133.1.0.0/24"}, {"KR", "175.208.0.0/24"}, {"IN", "49.36.0.0/24"}, {"AU", "1.128.0.0/24"},
	}
	out := make([]country, len(list))
	for i, c := range list {
		out[i] = country{c.code, netip.MustParsePrefix(c.subnet)}
	}
	return out
}

// knownCountries keeps the countries whose subnet the database knows by the same code: what the demo says about them is then
// what the edges think.
func knownCountries(db *geo.DB) ([]country, error) {
	var known []country
	for _, c := range candidates() {
		if place := db.Place(c.Subnet.Addr().Next()); place.Country == c.Code && place.Bits <= c.Subnet.Bits() {
			known = append(known, c)
		}
	}
	if len(known) == 0 {
		return nil, fmt.Errorf("the country database %q places none of the demo's clients", db.Source())
	}
	return known, nil
}

// world is everything the demo is made of, before any of it runs.
type world struct {
	Dir       string
	Origins   []location
	Edges     []location
	Countries []country
	Ports     ports
}

// newWorld chooses the ports. anyPorts leaves out the well-known ones.
func newWorld(dir string, anyPorts bool) (*world, error) {
	db, err := geo.Embedded()
	if err != nil {
		return nil, err
	}
	w := &world{Dir: dir, Origins: theOrigins(), Edges: theEdges()}
	if w.Countries, err = knownCountries(db); err != nil {
		return nil, err
	}
	w.Ports, err = choosePorts(w, anyPorts)
	return w, err
}

func (w *world) configFile(edge location) string { return filepath.Join(w.Dir, edge.Name+".yaml") }
func (w *world) socket(edge location) string     { return filepath.Join(w.Dir, edge.Name+".sock") }

// nameServers are the edges' DNS addresses: what a resolver learns from the delegation.
func (w *world) nameServers() []netip.AddrPort {
	list := make([]netip.AddrPort, len(w.Edges))
	for i, e := range w.Edges {
		list[i] = netip.AddrPortFrom(e.Addr, w.Ports.DNS)
	}
	return list
}

// edgeAt returns the name of the edge with an address, or the address itself.
func (w *world) edgeAt(a netip.Addr) string {
	for _, e := range w.Edges {
		if e.Addr == a {
			return e.Name
		}
	}
	return a.String()
}

// delays is how far an origin is from each edge.
func (w *world) delays(origin location) map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, e := range w.Edges {
		out[e.Name] = roundTrip(origin.point(), e.point())
	}
	return out
}
