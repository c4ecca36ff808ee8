package zone

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// LoaderOptions says where zone files are and how they are read. The zero value of each field but Dir has a meaning.
type LoaderOptions struct {
	Dir         string // holds all zone files and what they include; required
	Pattern     string // of the files that Sources lists, as path.Match has it; empty: *.zone
	Workers     int    // files read at once; 0: GOMAXPROCS
	DefaultTTL  uint32 // as in ParseOptions
	MaxErrors   int    // as in ParseOptions
	MaxRecords  int    // as in ParseOptions
	MaxGenerate int    // as in ParseOptions
	// Progress is told how many zones of how many are done, after each one and by one goroutine at a time; nil: nobody is.
	Progress func(done, total int)
}

// Source is a zone and its file.
type Source struct {
	Name string // in presentation form, with or without the last dot
	Path string // relative to the loader's folder
}

// Loaded is what became of a source. It must not be changed.
type Loaded struct {
	Source
	Origin   []byte    // wire form, lower case; nil when the source's name is no name
	Data     *Data     // the last good version; nil when there never was one
	Err      error     // why the text at hand is not Data, joined from Problems where it is the text's fault; nil when it is
	Problems []Problem // errors and warnings about the text at hand
	Changed  bool      // Data is not what the previous load had

	files []*watched
}

// Zones is the result of one load. It never changes. The nil Zones holds nothing.
type Zones struct {
	list   []*Loaded
	byName map[string]*Loaded
}

// All yields what was loaded, in the order of the sources.
func (z *Zones) All() iter.Seq[*Loaded] {
	return func(yield func(*Loaded) bool) {
		for i := 0; z != nil && i < len(z.list); i++ {
			if !yield(z.list[i]) {
				return
			}
		}
	}
}

// Len is the number of sources.
func (z *Zones) Len() int {
	if z == nil {
		return 0
	}
	return len(z.list)
}

// Get finds a zone by its name in wire form, lower case; nil when there is none.
func (z *Zones) Get(origin []byte) *Loaded {
	if z == nil {
		return nil
	}
	return z.byName[string(origin)]
}

// Loader reads many zone files at once and knows which of them need no reading. It holds no file open between loads and may be
// used by several goroutines.
type Loader struct {
	o      LoaderOptions
	during func(string) // see readStable
}

// NewLoader makes a loader; it touches no file.
func NewLoader(o LoaderOptions) *Loader {
	if o.Pattern == "" {
		o.Pattern = "*.zone"
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	return &Loader{o: o}
}

// Sources lists the folder's files that match the pattern, by name. A zone is called like its file without the last extension:
// example.org.zone holds example.org. Files whose names begin with a dot are left out.
func (l *Loader) Sources() ([]Source, error) {
	entries, err := os.ReadDir(l.o.Dir)
	if err != nil {
		return nil, fmt.Errorf("list zone files: %w", err)
	}
	var list []Source
	for _, e := range entries {
		match, err := path.Match(l.o.Pattern, e.Name())
		if err != nil {
			return nil, fmt.Errorf("list zone files: pattern %q: %w", l.o.Pattern, err)
		}
		if match && !e.IsDir() && e.Name()[0] != '.' {
			list = append(list, Source{Name: strings.TrimSuffix(e.Name(), path.Ext(e.Name())), Path: e.Name()})
		}
	}
	return list, nil
}

// Load brings all sources up to date. A zone whose files, includes too, are as in previous is taken over without reading; one
// that cannot be read, parsed or passed by Check keeps its previous version and says why in Err, and takes no other zone with
// it. previous must come from a loader with equal options, or be nil. The error is about the load as a whole: the folder
// cannot be opened, or ctx has ended; then there is no result, and the previous one stays good.
func (l *Loader) Load(ctx context.Context, previous *Zones, sources []Source) (*Zones, error) {
	root, err := os.OpenRoot(l.o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open zone folder: %w", err)
	}
	defer root.Close()
	z := &Zones{list: make([]*Loaded, len(sources)), byName: make(map[string]*Loaded, len(sources))}
	jobs := make([]int, 0, len(sources))
	for i, s := range sources {
		z.list[i] = &Loaded{Source: s}
		origin, err := ParseName(s.Name)
		switch {
		case err != nil:
			z.list[i].Err = fmt.Errorf("zone of %s: %w", s.Path, err)
		case z.byName[string(lower(origin))] != nil:
			z.list[i].Err = fmt.Errorf("zone %s is in %s and in %s", s.Name, z.byName[string(origin)].Path, s.Path)
		default:
			z.list[i].Origin, z.byName[string(origin)] = origin, z.list[i]
			jobs = append(jobs, i)
		}
	}
	l.work(ctx, root, previous, z, jobs)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return z, nil
}

// LoadOne is Load for one zone that previous has, by its name in wire form in lower case: the others are taken over unseen. When
// nothing about it has changed the result is previous.
func (l *Loader) LoadOne(previous *Zones, origin []byte) (*Zones, error) {
	before := previous.Get(origin)
	if before == nil {
		return nil, fmt.Errorf("load zone %s: there is no such zone", NameText(origin))
	}
	root, err := os.OpenRoot(l.o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open zone folder: %w", err)
	}
	defer root.Close()
	if len(before.files) > 0 && unchanged(root, before.files) {
		return previous, nil
	}
	next := &Loaded{Source: before.Source, Origin: before.Origin}
	l.update(root, before, next)
	z := &Zones{list: slices.Clone(previous.list), byName: maps.Clone(previous.byName)}
	z.list[slices.Index(z.list, before)] = next
	z.byName[string(origin)] = next
	return z, nil
}

// work updates the zones at jobs; it returns when its workers have.
func (l *Loader) work(ctx context.Context, root *os.Root, previous *Zones, z *Zones, jobs []int) {
	var next atomic.Int64
	var workers sync.WaitGroup
	var mu sync.Mutex
	done := len(z.list) - len(jobs)
	for range min(l.o.Workers, len(jobs)) {
		workers.Go(func() {
			for n := next.Add(1) - 1; n < int64(len(jobs)) && ctx.Err() == nil; n = next.Add(1) - 1 {
				zone := z.list[jobs[n]]
				l.update(root, previous.Get(zone.Origin), zone)
				if l.o.Progress != nil {
					mu.Lock()
					done++
					l.o.Progress(done, len(z.list))
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
}

// update fills in one zone.
func (l *Loader) update(root *os.Root, before, zone *Loaded) {
	if before != nil && before.Path == zone.Path && len(before.files) > 0 && unchanged(root, before.files) {
		zone.Data, zone.Err, zone.Problems, zone.files = before.Data, before.Err, before.Problems, before.files
		return
	}
	var last *Data
	if before != nil {
		last = before.Data
	}
	data, err := l.read(root, zone)
	if err == nil && last != nil {
		err = zone.compare(last, data)
	}
	if err != nil {
		zone.Data, zone.Err = last, err
		return
	}
	zone.Data, zone.Changed = data, true
}

func unchanged(root *os.Root, files []*watched) bool {
	for _, f := range files {
		if !f.unchanged(root) {
			return false
		}
	}
	return true
}

// read parses and checks one zone. It notes the files it looked at, whatever comes of it.
func (l *Loader) read(root *os.Root, zone *Loaded) (data *Data, err error) {
	defer func() {
		if v := recover(); v != nil { // one zone never takes the others down
			data, err = nil, fmt.Errorf("BUG: reading %s: %v", zone.Path, v)
		}
	}()
	open := func(name string) ([]byte, error) {
		text, s, err := readStable(root, name, l.during)
		zone.files = append(zone.files, watch(s))
		return text, err
	}
	text, err := open(zone.Path)
	if err != nil {
		return nil, err
	}
	p := newParser(ParseOptions{
		Origin: zone.Origin, File: zone.Path, Root: root, DefaultTTL: l.o.DefaultTTL,
		MaxErrors: l.o.MaxErrors, MaxRecords: l.o.MaxRecords, MaxGenerate: l.o.MaxGenerate,
	}, open)
	p.file(&file{name: zone.Path, origin: zone.Origin}, text)
	data, zone.Problems, err = p.result()
	if err != nil {
		return nil, err
	}
	for _, problem := range Check(data) {
		problem.File = zone.Path
		zone.Problems = append(zone.Problems, problem)
	}
	return data, failure(zone.Problems)
}

// compare holds a new version against the last good one. A serial number that goes back is a file that was truncated, restored
// or half-written more often than it is meant; and no secondary would follow.
func (l *Loaded) compare(last, next *Data) error {
	was, is := last.Serial(), next.Serial()
	if was == is {
		if removed, added := Diff(last, next); !empty(removed) || !empty(added) {
			l.Problems = append(l.Problems, Problem{
				File: l.Path, Name: NameText(l.Origin),
				Text:   fmt.Sprintf("records have changed, the serial number %d has not", is),
				Remedy: "raise it, or secondaries will not notice",
			})
		}
		return nil
	}
	if !SerialLess(was, is) {
		p := Problem{
			Severity: Error, File: l.Path, Name: NameText(l.Origin), Text: fmt.Sprintf("serial number goes back from %d to %d", was, is),
			Remedy: "write a serial number above the one in service (RFC 1982)",
		}
		l.Problems = append(l.Problems, p)
		return p
	}
	return nil
}

func empty(seq iter.Seq[Record]) bool {
	for range seq {
		return false
	}
	return true
}
