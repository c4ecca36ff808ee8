package zone_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/dns/zone"
)

const soa = "$TTL 60\n@ SOA ns1.example.net. host %d 7200 3600 1209600 300\n@ NS ns1.example.net.\n"

// folder is a zone folder whose files are long settled, so that the file system can tell whether they changed.
type folder struct {
	t   *testing.T
	dir string
	age time.Duration
}

func newFolder(t *testing.T) *folder { return &folder{t: t, dir: t.TempDir(), age: time.Hour} }

func (f *folder) write(name, format string, args ...any) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.WriteFile(path+".new", fmt.Appendf(nil, format, args...), 0o600); err != nil {
		f.t.Fatal(err)
	}
	f.age -= time.Second
	f.touch(name + ".new")
	if err := os.Rename(path+".new", path); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) touch(name string) {
	f.t.Helper()
	when := time.Now().Add(-f.age)
	if err := os.Chtimes(filepath.Join(f.dir, name), when, when); err != nil {
		f.t.Fatal(err)
	}
}

func (f *folder) load(l *zone.Loader, previous *zone.Zones) *zone.Zones {
	f.t.Helper()
	sources, err := l.Sources()
	if err != nil {
		f.t.Fatal(err)
	}
	z, err := l.Load(f.t.Context(), previous, sources)
	if err != nil {
		f.t.Fatal(err)
	}
	return z
}

func get(t *testing.T, z *zone.Zones, name string) *zone.Loaded {
	t.Helper()
	wire, err := zone.ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	l := z.Get(wire)
	if l == nil {
		t.Fatalf("no zone %s", name)
	}
	return l
}

func TestAFailingZoneKeepsItsLastGoodVersionAndHarmsNoOther(t *testing.T) {
	f := newFolder(t)
	f.write("a.example.zone", soa, 1)
	f.write("b.example.zone", soa, 1)
	f.write("c.example.zone", "nonsense\n")
	f.write(".hidden.zone", "nonsense\n")
	f.write("readme.txt", "nonsense\n")
	var progress []int
	l := zone.NewLoader(zone.LoaderOptions{Dir: f.dir, Progress: func(done, total int) { progress = append(progress, done*10+total) }})
	first := f.load(l, nil)
	if first.Len() != 3 || fmt.Sprint(progress) != "[13 23 33]" {
		t.Errorf("%d zones, progress %v", first.Len(), progress)
	}
	if c := get(t, first, "c.example"); c.Data != nil || c.Err == nil || !strings.HasPrefix(c.Err.Error(), "c.example.zone:1: ") {
		t.Errorf("%+v", c)
	}
	f.write("a.example.zone", soa+"x A 192.0.2.300\n", 2)
	f.write("b.example.zone", soa+"x A 192.0.2.3\n", 2)
	f.write("c.example.zone", soa, 1)
	second := f.load(l, first)
	a, b, c := get(t, second, "a.example"), get(t, second, "b.example"), get(t, second, "c.example")
	if a.Data != get(t, first, "a.example").Data || a.Changed || a.Err == nil || len(a.Problems) != 1 || a.Problems[0].Line != 4 {
		t.Errorf("%+v", a)
	}
	if b.Err != nil || !b.Changed || b.Data.Serial() != 2 || c.Err != nil || !c.Changed || c.Data.Serial() != 1 {
		t.Errorf("%+v %+v", b, c)
	}
	// A zone that Check refuses is no better than one that cannot be parsed; a file that is gone takes its zone along.
	f.write("a.example.zone", soa+"x CNAME y\nx A 192.0.2.3\n", 3)
	if err := os.Remove(filepath.Join(f.dir, "c.example.zone")); err != nil {
		t.Fatal(err)
	}
	third := f.load(l, second)
	if a := get(t, third, "a.example"); a.Data.Serial() != 1 || a.Err == nil || !strings.Contains(a.Err.Error(), "CNAME") {
		t.Errorf("%+v", a)
	}
	if third.Len() != 2 {
		t.Errorf("%d zones", third.Len())
	}
	// Named in a list, a missing file keeps its zone.
	sources := []zone.Source{{Name: "b.example.", Path: "b.example.zone"}, {Name: "c.example", Path: "c.example.zone"}, {Name: "B.example", Path: "x"}, {Name: "..", Path: "x"}}
	fourth, err := l.Load(t.Context(), second, sources)
	if err != nil {
		t.Fatal(err)
	}
	if c := get(t, fourth, "c.example"); c.Data.Serial() != 1 || c.Err == nil || c.Changed {
		t.Errorf("%+v", c)
	}
	var errs []string
	for l := range fourth.All() {
		errs = append(errs, fmt.Sprint(l.Err != nil))
	}
	if fmt.Sprint(errs) != "[false true true true]" || get(t, fourth, "b.example").Path != "b.example.zone" {
		t.Errorf("%v", errs)
	}
}

func TestOnlyChangedFilesAreReadAgain(t *testing.T) {
	f := newFolder(t)
	f.write("a.example.zone", soa+"$INCLUDE hosts.inc\n", 1)
	f.write("b.example.zone", soa+"$INCLUDE absent.inc\n", 1)
	f.write("hosts.inc", "h A 192.0.2.1\n")
	l := zone.NewLoader(zone.LoaderOptions{Dir: f.dir})
	first := f.load(l, nil)
	second := f.load(l, first)
	if a, b := get(t, first, "a.example"), get(t, second, "a.example"); a.Err != nil || a.Data != b.Data || b.Changed {
		t.Errorf("%+v %+v", a, b)
	}
	f.touch("hosts.inc") // another time, the same content
	f.age -= time.Second
	f.touch("a.example.zone")
	third := f.load(l, second)
	if a := get(t, third, "a.example"); a.Changed || a.Data != get(t, first, "a.example").Data {
		t.Errorf("%+v", a)
	}
	f.write("hosts.inc", "h A 192.0.2.2\n") // of the same size
	f.write("absent.inc", "h A 192.0.2.2\n")
	fourth := f.load(l, third)
	a := get(t, fourth, "a.example")
	if !a.Changed || a.Err != nil || len(a.Problems) != 1 || !strings.Contains(a.Problems[0].Text, "the serial number 1 has not") {
		t.Errorf("%+v", a)
	}
	if b := get(t, fourth, "b.example"); !b.Changed || b.Err != nil {
		t.Errorf("%+v", b)
	}
	// A zone whose text is as bad as before says the same again.
	f.write("hosts.inc", "h A nonsense\n")
	fifth := f.load(l, fourth)
	sixth := f.load(l, fifth)
	if a, b := get(t, fifth, "a.example"), get(t, sixth, "a.example"); a.Err == nil || a.Err != b.Err || len(b.Problems) != 1 || b.Data != a.Data {
		t.Errorf("%+v %+v", a, b)
	}
}

func TestAYoungFileIsComparedByItsContent(t *testing.T) {
	f := newFolder(t)
	f.age = -time.Hour // a time to come: no reading of the clock makes it settled
	f.write("a.example.zone", soa+"h A 192.0.2.1\n", 1)
	l := zone.NewLoader(zone.LoaderOptions{Dir: f.dir})
	first := f.load(l, nil)
	path := filepath.Join(f.dir, "a.example.zone")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if second := f.load(l, first); get(t, second, "a.example").Changed {
		t.Error("changed, without a change")
	}
	// In place, of one size and time.
	if err := os.WriteFile(path, fmt.Appendf(nil, soa+"h A 192.0.2.2\n", 2), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if second := f.load(l, first); !get(t, second, "a.example").Changed {
		t.Error("the change was not noticed")
	}
}

// F23: a truncated or restored file is refused.
func TestASerialThatGoesBackIsRefused(t *testing.T) {
	f := newFolder(t)
	l := zone.NewLoader(zone.LoaderOptions{Dir: f.dir})
	f.write("a.example.zone", soa, 5)
	first := f.load(l, nil)
	f.write("a.example.zone", soa, 4)
	second := f.load(l, first)
	if a := get(t, second, "a.example"); a.Data.Serial() != 5 || a.Err == nil || !strings.Contains(a.Err.Error(), "serial number goes back from 5 to 4") {
		t.Errorf("%+v", a)
	}
	f.write("a.example.zone", "$TTL 60\n@ SOA ns1.exam")
	if a := get(t, f.load(l, second), "a.example"); a.Data.Serial() != 5 || a.Err == nil {
		t.Errorf("%+v", a)
	}
}

func TestLoadEndsWithItsContextAndNeedsItsFolder(t *testing.T) {
	f := newFolder(t)
	f.write("a.example.zone", soa, 5)
	l := zone.NewLoader(zone.LoaderOptions{Dir: f.dir})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if z, err := l.Load(ctx, nil, []zone.Source{{Name: "a.example", Path: "a.example.zone"}}); z != nil || err == nil {
		t.Error(z, err)
	}
	l = zone.NewLoader(zone.LoaderOptions{Dir: filepath.Join(f.dir, "absent")})
	if z, err := l.Load(t.Context(), nil, nil); z != nil || err == nil {
		t.Error(z, err)
	}
	if _, err := l.Sources(); err == nil {
		t.Error("no error")
	}
}

func TestManyZonesLoadSideBySide(t *testing.T) {
	f := newFolder(t)
	f.dir = manyFiles(t, 200, 100)
	z := f.load(zone.NewLoader(zone.LoaderOptions{Dir: f.dir, Workers: 8}), nil)
	for l := range z.All() {
		if l.Err != nil || l.Data.Len() < 100 || len(l.Problems) > 0 {
			t.Fatalf("%+v", l)
		}
	}
	if z.Len() != 200 {
		t.Error(z.Len())
	}
}
