package dns

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns/zone"
	"github.com/meridian-edge/meridian/steer"
)

// Compile makes Zones of a configuration's zones and of d.Data. Zones are compiled in parallel, and those of d.Previous that would
// come out the same are taken over. It reports everything wrong with the configuration at once: names outside their zone, data that
// does not parse, CNAMEs next to other data (RFC 1034 section 3.6.2), loops of CNAMEs or aliases. What is wrong with d.Data is
// no error: see Zones.Errors. cfg and d are only read, and must not change afterwards.
func Compile(cfg *config.Config, d Deps) (*Zones, error) {
	e := newEnv(cfg, d)
	jobs, errs := e.jobs()
	results := make([]result, len(jobs))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(jobs), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(jobs); i = int(next.Add(1)) - 1 {
				results[i] = e.run(&jobs[i])
			}
		})
	}
	wg.Wait()
	z := &Zones{env: e, deps: d, health: d.Health, units: make([]*unit, len(jobs))}
	z.deps.Previous, z.deps.Data = nil, nil // a chain of generations would never be collected
	e.deps = z.deps
	if z.health == nil {
		z.health = allUp{}
	}
	for i, r := range results {
		if r.mistake != nil {
			errs = append(errs, fmt.Errorf("zone %s: %w", jobs[i].name, r.mistake))
		}
		if r.fault != nil {
			z.errs = append(z.errs, ZoneError{Zone: jobs[i].name, Err: r.fault})
		}
		z.units[i] = r.unit
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	z.index()
	return z, nil
}

// allUp is the health of a node without a board.
type allUp struct{}

func (allUp) Up(steer.Slot) bool { return true }

// job is one zone to be compiled.
type job struct {
	name   string
	config *config.Zone
	data   *zone.Data
	inData bool // the zone is in Deps.Data
	old    *unit
}

type result struct {
	unit    *unit
	mistake error // of the configuration
	fault   error // of the data
}

// errNotThere is what a zone answers SERVFAIL for before its data has come.
var errNotThere = errors.New("not loaded yet")

// jobs lists the zones: those of the configuration, then the others by name.
func (e *env) jobs() ([]job, []error) {
	var errs []error
	previous := map[string]*unit{}
	if p := e.deps.Previous; p != nil {
		for _, u := range p.units {
			previous[u.name] = u
		}
	}
	jobs := make([]job, 0, len(e.cfg.Zones)+len(e.deps.Data))
	add := func(name string, cfg *config.Zone) {
		data, found := e.deps.Data[name]
		jobs = append(jobs, job{name: name, config: cfg, data: data, inData: found, old: previous[name]})
	}
	for i := range e.cfg.Zones {
		z := &e.cfg.Zones[i]
		if e.zones[z.Name] != z {
			errs = append(errs, fmt.Errorf("zone %s: defined twice", z.Name))
			continue
		}
		add(z.Name, z)
	}
	for _, name := range slices.Sorted(maps.Keys(e.deps.Data)) {
		if e.zones[name] == nil {
			add(name, nil)
		}
	}
	return jobs, errs
}

// run compiles one zone, or takes it over.
func (e *env) run(j *job) result {
	if u := j.old; u != nil && u.broken == nil && u.data == j.data && e.unchanged(u, j.config) {
		same := *u
		same.config = j.config // lines may have moved
		return result{unit: &same}
	}
	cfg := j.config
	if j.inData && j.data == nil && cfg != nil && len(cfg.Nameservers) == 0 {
		cfg = nil // all of it comes from elsewhere, its name servers too
	}
	u, err := buildUnit(e, j.name, cfg, j.data)
	switch {
	case err != nil:
		return result{mistake: err}
	case j.inData && j.data == nil: // what the configuration has is only a part
		u.broken = errNotThere
	}
	if u.broken == nil || j.data == nil { // not to be there yet, or any longer, is the caller's word
		return result{unit: u}
	}
	fault := u.broken
	if j.old != nil && j.old.broken == nil {
		u = j.old
	}
	return result{unit: u, fault: fault}
}

// unchanged reports whether a unit would come out the same: its part of the configuration says what it said, and so does
// everything it refers to.
func (e *env) unchanged(u *unit, cfg *config.Zone) bool {
	switch {
	case (u.config == nil) != (cfg == nil):
		return false
	case cfg != nil && u.config != cfg && !equalZones(u.config, cfg):
		return false
	}
	for _, use := range u.uses {
		if e.fact(use.kind, use.name) != use.value {
			return false
		}
	}
	return true
}

// equalZones compares everything but the lines.
func equalZones(a, b *config.Zone) bool {
	if len(a.Records) != len(b.Records) {
		return false
	}
	x, y := *a, *b
	x.Line, y.Line = 0, 0
	x.Records, y.Records = nil, nil
	if !reflect.DeepEqual(x, y) {
		return false
	}
	for i := range a.Records {
		if !equalRecords(a.Records[i], b.Records[i]) {
			return false
		}
	}
	return true
}

func equalRecords(a, b config.Record) bool {
	a.Line, b.Line = 0, 0
	a.Answers, b.Answers = withoutLines(a.Answers), withoutLines(b.Answers)
	return reflect.DeepEqual(a, b)
}

func withoutLines(answers []config.Answer) []config.Answer {
	out := slices.Clone(answers)
	for i := range out {
		out[i].Line = 0
	}
	return out
}

// With returns zones in which one zone has other data, or that have one zone more; all else is shared with z, which does not change.
// name is in lower case with its final dot. The nil data makes a zone that is not there yet. On an error nothing is to be
// replaced: the zone stays as it is in z.
func (z *Zones) With(name string, data *zone.Data) (*Zones, error) {
	j := job{name: name, config: z.env.zones[name], data: data, inData: true}
	r := z.env.run(&j)
	if r.mistake != nil {
		return nil, fmt.Errorf("zone %s: %w", name, r.mistake)
	}
	if r.fault != nil {
		return nil, ZoneError{Zone: name, Err: r.fault}
	}
	return z.replace(name, r.unit), nil
}

// Without returns zones in which a zone has no data: it is gone, or what the configuration alone says. A zone that is not in z is
// no error.
func (z *Zones) Without(name string) (*Zones, error) {
	if z.env.zones[name] == nil {
		return z.replace(name, nil), nil
	}
	j := job{name: name, config: z.env.zones[name]}
	r := z.env.run(&j)
	if r.mistake != nil {
		return nil, fmt.Errorf("zone %s: %w", name, r.mistake)
	}
	return z.replace(name, r.unit), nil
}

// replace returns a copy of z with one unit exchanged, added or, when u is nil, taken away.
func (z *Zones) replace(name string, u *unit) *Zones {
	c := *z
	c.units = slices.Clone(z.units)
	c.errs = slices.DeleteFunc(slices.Clone(z.errs), func(e ZoneError) bool { return e.Zone == name })
	at := -1
	if wire, err := parseName(name); err == nil {
		at = z.apexAt(wire)
	}
	switch {
	case at >= 0 && u != nil:
		c.units[at] = u
		return &c
	case at >= 0:
		c.units = slices.Delete(c.units, at, at+1)
	case u != nil:
		c.units = append(c.units, u)
	default:
		return z
	}
	c.index()
	return &c
}

// index is called when there are other zones than before.
func (z *Zones) index() { z.apexes, z.order = newApexTable(z.units), &order{len(z.units)} }
