package edge_test

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/edge"
)

const placesNode = `
version: 1
edge: {name: eu1}
log: {access: off}
listeners: {dns: ["127.0.0.1:0"], metrics: ["127.0.0.1:0"]}
geo:
  database: places.mmdb
  overrides:
    - {cidrs: [10.0.0.0/8, 203.0.112.64/26], country: US, subdivision: CA, lat: 37.3, lon: -121.9}
zones:
  example.org:
    nameservers: [ns1.example.net]
    records:
      - name: www
        type: A
        ttl: 30s
        policy: geolocation
        answers:
          - {id: gb, country: GB, values: [192.0.2.1]}
          - {id: jp, country: JP, values: [192.0.2.2]}
          - {id: ca, country: US, subdivision: CA, values: [192.0.2.3]}
          - {id: rest, default: true, values: [192.0.2.4]}
`

// swap puts a copy of one of the databases in testdata/places, whose networks are all in one country, in the place of path.
func swap(t *testing.T, path, country string) {
	t.Helper()
	data, err := os.ReadFile("testdata/places/" + country + ".mmdb")
	if err != nil {
		t.Fatal(err)
	}
	replace(t, path, data)
}

// replace writes a file and puts it in the place of path, with a later time than the one before, whatever the steps of the clock.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		t.Fatal(err)
	}
	modified := time.Now()
	if info, err := os.Stat(path); err == nil {
		modified = info.ModTime().Add(time.Second)
	}
	if err := os.Chtimes(next, modified, modified); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// startPlaces runs placesNode with the GB database.
func startPlaces(t *testing.T, watch time.Duration) (n *node, database string) {
	t.Helper()
	dir := t.TempDir()
	database = filepath.Join(dir, "places.mmdb")
	swap(t, database, "gb")
	n = &node{path: filepath.Join(dir, "meridian.yaml"), log: &logBuffer{}}
	n.write(t, placesNode)
	cfg, _, err := config.Load(n.path)
	if err != nil {
		t.Fatal(err)
	}
	n.Node, err = edge.New(edge.Options{Config: cfg, Path: n.path, Watch: -1, WatchPlaces: watch, Log: slog.New(slog.NewTextHandler(n.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	n.run(t)
	return n, database
}

// answer returns the answer for a client and the scope it is good for.
func (n *node) answer(t *testing.T, client string) (id string, scope int) {
	t.Helper()
	e, err := n.ExplainDNS("www.example.org", "A", netip.MustParseAddr(client))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(e.Hops[0].Chosen, ","), e.Scope
}

func TestChangedPlaceDatabaseIsSwappedIn(t *testing.T) {
	n, database := startPlaces(t, 5*time.Millisecond)
	if id, _ := n.answer(t, "192.0.2.9"); id != "gb" {
		t.Fatalf("answer %s before the swap", id)
	}
	if !strings.Contains(n.log.String(), "place database is old") {
		t.Error("nobody says that the database is of 2025")
	}
	serial := n.metric(t, "meridian_config_reloads_total")
	swap(t, database, "jp")
	waitFor(t, "the new database", func() bool { id, _ := n.answer(t, "192.0.2.9"); return id == "jp" })
	if got := n.metric(t, `meridian_geo_reloads_total{result="loaded"}`); got != "1" {
		t.Errorf("%s databases were loaded", got)
	}
	if got := n.metric(t, `meridian_geo_database_built_timestamp_seconds{source="file"}`); got != "1.735776e+09" {
		t.Errorf("built at %s", got)
	}
	if got := n.metric(t, "meridian_config_reloads_total"); got != serial {
		t.Error("a new database is no reload of the configuration")
	}
}

// A damaged file costs nothing but a warning, once; the next good one is taken.
func TestDamagedPlaceDatabaseKeepsTheLastGoodOne(t *testing.T) {
	n, database := startPlaces(t, 5*time.Millisecond)
	good, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, database, good[:len(good)/2])
	refused := `meridian_geo_reloads_total{result="refused"}`
	waitFor(t, "the refusal", func() bool { return n.metric(t, refused) == "1" })
	if err := n.Reload(); err != edge.ErrUnchanged { //nolint:errorlint // the value itself is promised
		t.Errorf("a reload with the damaged file: %v", err)
	}
	n.write(t, placesNode+"limits: {idle_timeout: 9s}\n")
	if err := n.Reload(); err != nil {
		t.Errorf("the configuration is none the worse for it: %v", err)
	}
	if id, _ := n.answer(t, "192.0.2.9"); id != "gb" {
		t.Errorf("answer %s after the damage", id)
	}
	if got := strings.Count(n.log.String(), "place database refused"); got != 1 || n.metric(t, refused) != "1" {
		t.Errorf("the damage is reported %d times", got)
	}
	swap(t, database, "jp")
	waitFor(t, "the next good database", func() bool { id, _ := n.answer(t, "192.0.2.9"); return id == "jp" })
}

// An operator who replaces the file and reloads need not wait for the watch.
func TestReloadReadsAChangedPlaceDatabase(t *testing.T) {
	n, database := startPlaces(t, -1)
	swap(t, database, "jp")
	if err := n.Reload(); err != nil {
		t.Fatal(err)
	}
	if id, _ := n.answer(t, "192.0.2.9"); id != "jp" {
		t.Errorf("answer %s", id)
	}
	if err := n.Reload(); err != edge.ErrUnchanged { //nolint:errorlint // the value itself is promised
		t.Errorf("nothing has changed since: %v", err)
	}
}

// The operator's word goes before the database, places private addresses too, and keeps scopes exact.
func TestOverridesPlaceClients(t *testing.T) {
	n, _ := startPlaces(t, -1)
	f := func(client, id string, scope int) {
		t.Helper()
		if got, bits := n.answer(t, client); got != id || bits != scope {
			t.Errorf("%s gets %s, good for /%d; want %s, /%d", client, got, bits, id, scope)
		}
	}
	f("192.0.2.9", "gb", 24)
	f("203.0.115.9", "gb", 23) // all of 203.0.114.0/23 is of one mind
	f("203.0.113.9", "gb", 24) // its sibling holds the override
	f("203.0.112.9", "gb", 26) // longer than the /24 that came with the question (RFC 7871 section 7.2.1)
	f("10.1.2.3", "ca", 8)
	f("172.16.0.1", "rest", 12)
	e, err := n.ExplainDNS("www.example.org", "A", netip.MustParseAddr("10.1.2.3"))
	if err != nil || !e.Place.Overridden || e.Place.Subdivision != "CA" {
		t.Errorf("explained as %+v, %v", e.Place, err)
	}
}

// A new path is the configuration's own mistake when it cannot be read, and does not stop the watch on the old one.
func TestUnreadablePlaceDatabaseRefusesTheConfiguration(t *testing.T) {
	n, database := startPlaces(t, 5*time.Millisecond)
	n.write(t, strings.Replace(placesNode, "places.mmdb", "missing.mmdb", 1))
	if err := n.Reload(); err == nil || !strings.Contains(err.Error(), "missing.mmdb") {
		t.Errorf("reload: %v", err)
	}
	swap(t, database, "jp")
	waitFor(t, "the new database", func() bool { id, _ := n.answer(t, "192.0.2.9"); return id == "jp" })
}
