package dns_test

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/internal/script"
	"github.com/meridian-edge/meridian/steer/geo"
)

// TestScripts runs testdata/*.txt: a configuration, and queries with the replies they must get. The steps are
//
//	place PREFIX COUNTRY CONTINENT LAT LON   somebody is there
//	down CHECK...                            these checks are down from here on, all others up
//	query NAME TYPE [+subnet=P] [+bufsize=N] [+do] [+tcp] [+class=C] [+random=N]
//
// A query prints the reply: code and flags, then the records of each section, sorted.
func TestScripts(t *testing.T) {
	script.Run(t, "testdata/*.txt", func(t *testing.T, files map[string][]byte) script.Step {
		return newWorld(t, files["meridian.yaml"]).step
	})
}

// world is what the steps of one script act on.
type world struct {
	zones  *dns.Zones
	board  *board
	places atlas
}

func newWorld(t *testing.T, yaml []byte) *world {
	t.Helper()
	w := &world{board: &board{}, places: atlas{}}
	cfg, _, err := config.Parse("meridian.yaml", yaml, config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	regions := map[string]geo.Point{}
	for _, r := range cfg.Regions {
		regions[r.Name] = geo.At(r.Lat, r.Lon)
	}
	w.zones, err = dns.Compile(cfg, dns.Deps{
		Health: w.board, Slot: w.board.Slot, Places: w.places, Regions: regions, From: regions[cfg.Edge.Region], Serial: 2026,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) step(t *testing.T, f []string) string {
	t.Helper()
	switch f[0] {
	case "down":
		w.board.down = map[string]bool{}
		for _, check := range f[1:] {
			w.board.down[check] = true
		}
	case "place":
		lat, err1 := strconv.ParseFloat(f[4], 64)
		lon, err2 := strconv.ParseFloat(f[5], 64)
		if err1 != nil || err2 != nil {
			t.Fatal(f)
		}
		w.places[netip.MustParsePrefix(f[1])] = geo.Place{Country: f[2], Continent: f[3], Point: geo.At(lat, lon)}
	case "query":
		return w.query(t, f[1:])
	default:
		t.Fatalf("unknown step %q", f[0])
	}
	return ""
}

func (w *world) query(t *testing.T, f []string) string {
	t.Helper()
	qtype, ok := mdns.StringToType[f[1]]
	if !ok {
		t.Fatalf("type %q", f[1])
	}
	transport, client := dns.UDP, dns.Client{Addr: resolver}
	var options []func(*mdns.Msg)
	for _, o := range f[2:] {
		key, value, _ := strings.Cut(o, "=")
		n, _ := strconv.Atoi(value)
		switch key {
		case "+subnet":
			options = append(options, subnet(value))
		case "+bufsize":
			options = append(options, edns(uint16(n)))
		case "+do":
			options = append(options, func(m *mdns.Msg) { m.SetEdns0(1232, true) })
		case "+tcp":
			transport = dns.TCP
		case "+class":
			options = append(options, func(m *mdns.Msg) { m.Question[0].Qclass = mdns.StringToClass[value] })
		case "+random":
			client.Random = uint64(n)
		default:
			t.Fatalf("unknown option %q", o)
		}
	}
	reply, _ := w.zones.Answer(nil, question(f[0], qtype, options...), &client, transport)
	m := new(mdns.Msg)
	if err := m.Unpack(reply); err != nil {
		t.Fatal(err)
	}
	if end := wireEnd(t, reply); end != len(reply) {
		t.Fatalf("%v: %d octets left over", f, len(reply)-end)
	}
	return strings.ReplaceAll(render(m), "; ", "\n")
}
