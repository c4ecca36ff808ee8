package authority

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns/zone"
)

// files are the zone files of one generation.
type files struct {
	folder []config.Zone         // zones of the folder of zone files
	loads  map[group]*zone.Zones // by what a loader is made for
	byName map[string]*zone.Loaded
}

// group is what one loader reads: files of one folder that share a default TTL.
type group struct {
	dir string
	ttl time.Duration
}

// readFiles brings the files of a configuration up to date. Those that are as they were in previous, which may be nil, are not read.
// Only a folder that cannot be listed is an error.
func readFiles(cfg *config.Config, previous *files) (*files, error) {
	expected := 0
	if previous != nil {
		expected = len(previous.byName)
	}
	f := &files{loads: map[group]*zone.Zones{}, byName: make(map[string]*zone.Loaded, expected)}
	sources := map[group][]zone.Source{}
	have := map[string]bool{}
	add := func(z *config.Zone) {
		g := group{filepath.Dir(z.File), z.TTL}
		sources[g] = append(sources[g], zone.Source{Name: z.Name, Path: filepath.Base(z.File)})
	}
	for i := range cfg.Zones {
		have[cfg.Zones[i].Name] = true
		if cfg.Zones[i].File != "" {
			add(&cfg.Zones[i])
		}
	}
	if folder := cfg.DNS.ZoneFiles; folder != nil {
		listed, err := zone.NewLoader(zone.LoaderOptions{Dir: folder.Directory, Pattern: folder.Pattern}).Sources()
		if err != nil {
			return nil, fmt.Errorf("dns.zone_files: %w", err)
		}
		f.folder = make([]config.Zone, 0, len(listed))
		for _, s := range listed {
			if z, ok := folder.Zone(s.Path); ok && !have[z.Name] {
				f.folder = append(f.folder, z)
				add(&z)
			}
		}
	}
	for g, list := range sources {
		var before *zone.Zones
		if previous != nil {
			before = previous.loads[g]
		}
		loaded, err := zone.NewLoader(zone.LoaderOptions{Dir: g.dir, DefaultTTL: uint32(g.ttl / time.Second)}).Load(context.Background(), before, list)
		if err != nil {
			// The folder is not there: its zones keep what they had.
			loaded = before
			for _, s := range list {
				f.missing(s, before, err)
			}
		} else {
			for l := range loaded.All() {
				f.byName[l.Name] = l
			}
		}
		f.loads[g] = loaded
	}
	return f, nil
}

// reread is f with the file of one zone brought up to date; f itself when that has not changed.
func (f *files) reread(z *config.Zone, origin []byte) (*files, error) {
	g := group{filepath.Dir(z.File), z.TTL}
	loaded, err := zone.NewLoader(zone.LoaderOptions{Dir: g.dir, DefaultTTL: uint32(g.ttl / time.Second)}).LoadOne(f.loads[g], origin)
	if err != nil {
		return nil, err
	}
	if loaded == f.loads[g] {
		return f, nil
	}
	next := &files{folder: f.folder, loads: maps.Clone(f.loads), byName: maps.Clone(f.byName)}
	next.loads[g], next.byName[z.Name] = loaded, loaded.Get(origin)
	return next, nil
}

// missing notes a zone whose file cannot be read at all.
func (f *files) missing(s zone.Source, before *zone.Zones, err error) {
	l := &zone.Loaded{Source: s, Err: err}
	if origin, bad := zone.ParseName(s.Name); bad == nil {
		if old := before.Get(origin); old != nil {
			l.Data = old.Data
		}
	}
	f.byName[s.Name] = l
}

// get is the last good version of a zone's file; nil: there never was one.
func (f *files) get(name string) *zone.Data {
	if l := f.byName[name]; l != nil {
		return l.Data
	}
	return nil
}

// errors are why files are not served as they are.
func (f *files) errors() []error {
	var errs []error
	for name, l := range f.byName {
		if l.Err != nil {
			errs = append(errs, fileError(name, l))
		}
	}
	slices.SortFunc(errs, func(a, b error) int {
		switch {
		case a.Error() < b.Error():
			return -1
		case a.Error() > b.Error():
			return 1
		}
		return 0
	})
	return errs
}

func fileError(name string, l *zone.Loaded) error {
	kept := "the last good version is served"
	if l.Data == nil {
		kept = "it is answered with SERVFAIL"
	}
	return fmt.Errorf("zone %s, %s: %w", name, kept, l.Err)
}

// errorsOf are the Errors of one zone.
func (b *Build) errorsOf(name string) []error {
	var errs []error
	if l := b.files.byName[name]; l != nil && l.Err != nil {
		errs = append(errs, fileError(name, l))
	}
	for _, e := range b.zones.Errors() {
		if e.Zone == name {
			errs = append(errs, e)
		}
	}
	return errs
}

// changes are the zones whose files are not what they were; same is false when there are other zones than before.
func (f *files) changes(old *files) (names []string, same bool) {
	if f == nil || len(f.byName) != len(old.byName) {
		return nil, false
	}
	for name, l := range f.byName {
		o := old.byName[name]
		if o == nil || o.Path != l.Path {
			return nil, false
		}
		if o.Data != l.Data || (o.Err == nil) != (l.Err == nil) {
			names = append(names, name)
		}
	}
	return names, true
}

// Check returns the mistakes of zone files and zones as one error, nil when there are none.
func (b *Build) Check() error {
	if errs := b.Errors(); len(errs) > 0 {
		return fmt.Errorf("%w:\n%w", ErrFiles, errors.Join(errs...))
	}
	return nil
}
