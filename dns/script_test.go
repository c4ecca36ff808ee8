package dns_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/steer/geo"
)

var update = flag.Bool("update", false, "rewrite the expected replies in testdata")

// TestScripts runs testdata/*.txt: a configuration, and queries with the replies they must get. Lines before the first file are
//
//	place PREFIX COUNTRY CONTINENT LAT LON   somebody is there
//	down CHECK...                            these checks are down from here on, all others up
//	query NAME TYPE [+subnet=P] [+bufsize=N] [+do] [+tcp] [+class=C] [+random=N]
//
// A query is followed by the reply, indented: code and flags, then the records of each section, sorted.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, archive)
			if got == string(archive.Comment) {
				return
			}
			if *update {
				archive.Comment = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			reportDifference(t, file, string(archive.Comment), got)
		})
	}
}

func reportDifference(t *testing.T, file, want, got string) {
	t.Helper()
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	query := ""
	for i := range min(len(wants), len(gots)) {
		if strings.HasPrefix(gots[i], "query ") {
			query = gots[i]
		}
		if wants[i] != gots[i] {
			t.Fatalf("%s:%d: %s\n got %s\nwant %s", file, i+1, query, gots[i], wants[i])
		}
	}
	t.Fatalf("%s: %d lines, want %d", file, len(gots), len(wants))
}

type script struct {
	zones  *dns.Zones
	board  *board
	places atlas
}

// runScript returns the script with the replies that were really given.
func runScript(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	s := script{board: &board{}, places: atlas{}}
	cfg, _, err := config.Parse("meridian.yaml", archive.Files[0].Data, config.Env{})
	if err != nil {
		t.Fatal(err)
	}
	regions := map[string]geo.Point{}
	for _, r := range cfg.Regions {
		regions[r.Name] = geo.At(r.Lat, r.Lon)
	}
	s.zones, err = dns.Compile(cfg, dns.Deps{
		Health: s.board, Slot: s.board.Slot, Places: s.places, Regions: regions, From: regions[cfg.Edge.Region], Serial: 2026,
	})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(archive.Comment)) {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		out.WriteString(line)
		if f := strings.Fields(line); len(f) > 0 && f[0][0] != '#' {
			out.WriteString(s.step(t, f))
		}
	}
	return out.String()
}

func (s *script) step(t *testing.T, f []string) string {
	t.Helper()
	switch f[0] {
	case "down":
		s.board.down = map[string]bool{}
		for _, check := range f[1:] {
			s.board.down[check] = true
		}
	case "place":
		lat, err1 := strconv.ParseFloat(f[4], 64)
		lon, err2 := strconv.ParseFloat(f[5], 64)
		if err1 != nil || err2 != nil {
			t.Fatal(f)
		}
		s.places[netip.MustParsePrefix(f[1])] = geo.Place{Country: f[2], Continent: f[3], Point: geo.At(lat, lon)}
	case "query":
		return s.query(t, f[1:])
	default:
		t.Fatalf("unknown step %q", f[0])
	}
	return ""
}

func (s *script) query(t *testing.T, f []string) string {
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
	reply, _ := s.zones.Answer(nil, question(f[0], qtype, options...), &client, transport)
	m := new(mdns.Msg)
	if err := m.Unpack(reply); err != nil {
		t.Fatal(err)
	}
	if end := wireEnd(t, reply); end != len(reply) {
		t.Fatalf("%v: %d octets left over", f, len(reply)-end)
	}
	var out strings.Builder
	for part := range strings.SplitSeq(render(m), "; ") {
		fmt.Fprintf(&out, "  %s\n", part)
	}
	return out.String()
}
