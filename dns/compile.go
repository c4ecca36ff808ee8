package dns

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/dnswire"
	"github.com/meridian-edge/meridian/steer"
)

// Fixed numbers of the SOA, which are Route 53's.
const (
	soaRefresh = 7200
	soaRetry   = 900
	soaExpire  = 1209600
)

// Compile makes Zones of a configuration's zones. It is pure, and reports everything wrong at once: names outside their zone, data
// that does not parse, CNAMEs next to other data (RFC 1034 section 3.6.2), loops of CNAMEs or aliases. cfg is only read, and
// must not change afterwards.
func Compile(cfg *config.Config, d Deps) (*Zones, error) {
	c := compiler{
		deps:  d,
		zones: make([]zone, len(cfg.Zones)),
		apex:  map[string]*zone{},
		sets:  map[setKey]*source{},
	}
	var sources []*source
	for i := range cfg.Zones {
		found, err := c.readZone(&cfg.Zones[i], &c.zones[i])
		if err != nil {
			c.fail(fmt.Errorf("zone %s: %w", cfg.Zones[i].Name, err))
			continue
		}
		c.zones[i].index = i + 1
		sources = append(sources, found...)
	}
	for _, s := range sources {
		if err := c.compileSet(s); err != nil {
			c.fail(fmt.Errorf("zone %s: %s: %w", s.zone.name, s, err))
		}
	}
	if err := errors.Join(c.errs...); err != nil {
		return nil, err
	}
	z := &Zones{deps: d, health: d.Health, zones: c.zones, leaves: c.leaves}
	if z.health == nil {
		z.health = allUp{}
	}
	if err := z.link(sources, c.apex); err != nil {
		return nil, err
	}
	return z, nil
}

// allUp is the health of a node without a board.
type allUp struct{}

func (allUp) Up(steer.Slot) bool { return true }

type compiler struct {
	deps   Deps
	zones  []zone
	apex   map[string]*zone // by name in wire form
	sets   map[setKey]*source
	leaves []blob
	errs   []error
}

func (c *compiler) fail(err error) { c.errs = append(c.errs, err) }

// setKey names an RRset of a zone: an occluded parent may hold the same name as its child.
type setKey struct {
	zone *zone
	name string // wire form, lower case
	typ  uint16
}

// source is a record of the configuration on its way to becoming an rrset.
type source struct {
	zone   *zone
	name   []byte
	typ    uint16
	record *config.Record

	set      rrset
	compiled bool
	group    *steer.Group // what aliases to this record point at
	visiting bool         // on the path that is being compiled: meeting it again is a loop
}

func (s *source) String() string {
	text := s.record.Name + " " + s.record.Type
	if s.record.Line > 0 {
		text += fmt.Sprintf(" (line %d)", s.record.Line)
	}
	return text
}

// readZone indexes the records of a zone, its SOA and NS among them. Mistakes in single records are noted and skipped.
func (c *compiler) readZone(cfg *config.Zone, z *zone) ([]*source, error) {
	wire, err := parseName(cfg.Name)
	if err != nil {
		return nil, err
	}
	z.name, z.wireLen = cfg.Name, len(wire)
	if c.apex[string(wire)] != nil {
		return nil, errors.New("defined twice")
	}
	c.apex[string(wire)] = z
	var sources []*source
	add := func(r *config.Record) {
		s, err := c.readRecord(z, wire, r)
		if err != nil {
			c.fail(fmt.Errorf("zone %s: %s: %w", z.name, &source{record: r}, err))
			return
		}
		sources = append(sources, s)
	}
	for i := range cfg.Records {
		add(&cfg.Records[i])
	}
	// Written after the records so that a zone can bring its own.
	if c.sets[setKey{z, string(wire), dnswire.TypeNS}] == nil {
		if len(cfg.Nameservers) == 0 {
			return nil, errors.New("no nameservers")
		}
		add(&config.Record{Name: cfg.Name, Type: "NS", TTL: cfg.TTL, Values: fqdns(cfg.Nameservers), Line: cfg.Line})
	}
	key := setKey{z, string(wire), dnswire.TypeSOA}
	if c.sets[key] == nil {
		add(c.soa(cfg))
	}
	if soa := c.sets[key]; soa != nil {
		return sources, z.setNegative(soa.record)
	}
	return sources, nil
}

func (c *compiler) readRecord(z *zone, apex []byte, r *config.Record) (*source, error) {
	name, err := parseName(r.Name)
	if err != nil {
		return nil, err
	}
	typ, err := parseType(r.Type)
	if err != nil {
		return nil, err
	}
	s := &source{zone: z, name: name, typ: typ, record: r}
	key := setKey{z, string(name), typ}
	switch {
	case !below(name, apex):
		return nil, errors.New("outside the zone")
	case c.sets[key] != nil:
		return nil, fmt.Errorf("also given as %s", c.sets[key])
	case typ == dnswire.TypeSOA && len(name) != len(apex):
		return nil, errors.New("an SOA belongs at the apex")
	case typ == dnswire.TypeSOA && len(r.Values) != 1:
		return nil, errors.New("an SOA has one value")
	case typ == dnswire.TypeNS && isWildcard(name):
		return nil, errors.New("a wildcard cannot delegate") // RFC 4592 section 4.2
	}
	c.sets[key] = s
	return s, nil
}

// soa is the record of a zone that does not bring its own.
func (c *compiler) soa(cfg *config.Zone) *config.Record {
	primary := cfg.Name // of a zone that brings its own NS records
	if len(cfg.Nameservers) > 0 {
		primary = cfg.Nameservers[0]
	}
	names := fqdns([]string{primary, cfg.Hostmaster})
	return &config.Record{
		Name: cfg.Name, Type: "SOA", TTL: cfg.TTL, Line: cfg.Line,
		Values: []string{fmt.Sprintf("%s %s %d %d %d %d %d", names[0], names[1],
			c.deps.Serial, soaRefresh, soaRetry, soaExpire, clampTTL(cfg.NegativeTTL))},
	}
}

// setNegative prepares the SOA that goes with negative answers; its TTL is the lower of its own and its minimum field
// (RFC 2308 section 3).
func (z *zone) setNegative(soa *config.Record) error {
	b, err := compileValues(dnswire.TypeSOA, soa.TTL, soa.Values)
	if err != nil {
		return err
	}
	minimum := b.wire[len(b.wire)-4:]
	if ttl := b.wire[ownerLen+4 : ownerLen+8]; bytes.Compare(minimum, ttl) < 0 {
		copy(ttl, minimum)
	}
	z.negative = b
	return nil
}

// fqdns adds the final dots the values of NS and SOA records need.
func fqdns(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = n
		if n == "" || n[len(n)-1] != '.' {
			out[i] = n + "."
		}
	}
	return out
}

func isWildcard(name []byte) bool { return name[0] == 1 && name[1] == '*' }
