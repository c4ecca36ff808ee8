package dns

import (
	"errors"
	"fmt"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns/message"
	"github.com/meridian-edge/meridian/internal/dnswire"
	"github.com/meridian-edge/meridian/steer"
)

// Fixed numbers of the SOA, which are Route 53's.
const (
	soaRefresh = 7200
	soaRetry   = 900
	soaExpire  = 1209600
)

// source is a record of the configuration on its way to becoming a set.
type source struct {
	name   []byte
	typ    uint16
	record *config.Record

	answer   message.Records // the answer, when it is always the same; without records when there are none of this type
	steered  *steered        // not nil: a policy picks the answer
	group    *steer.Group
	compiled bool
	visiting bool // on the path that is being compiled: meeting it again is a loop
}

func (s *source) String() string {
	text := s.record.Name + " " + s.record.Type
	if s.record.Line > 0 {
		text += fmt.Sprintf(" (line %d)", s.record.Line)
	}
	return text
}

// readConfig indexes the records of the configuration, the zone's SOA and NS among them unless the data has them. Mistakes in
// single records are noted and skipped.
func (b *builder) readConfig() {
	cfg := b.u.config
	for i := range cfg.Records {
		b.addSource(&cfg.Records[i])
	}
	// After the records, so that a zone can bring its own.
	if !b.hasOwn(dnswire.TypeNS) {
		if len(cfg.Nameservers) == 0 {
			b.fail(errors.New("no nameservers"))
			return
		}
		b.addSource(&config.Record{Name: cfg.Name, Type: "NS", TTL: cfg.TTL, Values: fqdns(cfg.Nameservers), Line: cfg.Line})
	}
	if !b.hasOwn(dnswire.TypeSOA) {
		b.addSource(b.soa())
	}
}

// hasOwn reports whether the zone brings a set at its apex.
func (b *builder) hasOwn(typ uint16) bool {
	return b.sets[setKey{string(b.u.apex), typ}] != nil || b.u.data.Find(b.u.apex, typ).Len() > 0
}

func (b *builder) addSource(r *config.Record) {
	s, err := b.readRecord(r)
	if err != nil {
		b.fail(fmt.Errorf("%s: %w", &source{record: r}, err))
		return
	}
	b.sets[setKey{string(s.name), s.typ}] = s
	b.sources = append(b.sources, s)
}

func (b *builder) readRecord(r *config.Record) (*source, error) {
	name, err := parseName(r.Name)
	if err != nil {
		return nil, err
	}
	typ, err := parseType(r.Type)
	if err != nil {
		return nil, err
	}
	apex := len(name) == len(b.u.apex)
	steers := r.Alias != nil || len(r.Answers) > 0
	switch other := b.sets[setKey{string(name), typ}]; {
	case !dnswire.Below(name, b.u.apex):
		return nil, errors.New("outside the zone")
	case other != nil:
		return nil, fmt.Errorf("also given as %s", other)
	case typ == dnswire.TypeSOA && !apex:
		return nil, errors.New("an SOA belongs at the apex")
	case typ == dnswire.TypeSOA && len(r.Values) != 1:
		return nil, errors.New("an SOA has one value")
	case typ == dnswire.TypeNS && isWildcard(name):
		return nil, errors.New("a wildcard cannot delegate") // RFC 4592 section 4.2
	case typ == mdns.TypeDNAME && isWildcard(name):
		return nil, errors.New("a wildcard cannot be a DNAME") // RFC 6672 section 3.3 leaves open what it would mean
	case typ == dnswire.TypeNS && !apex && steers:
		return nil, errors.New("a delegation can have neither a policy nor an alias: every server must name the same ones; give its name servers' names a policy instead")
	case (typ == dnswire.TypeNS || typ == dnswire.TypeSOA || typ == mdns.TypeDNAME) && steers:
		return nil, errors.New("neither a policy nor an alias can stand here") // every server of a zone must say the same
	}
	return &source{name: name, typ: typ, record: r}, nil
}

// soa is the record of a zone that does not bring its own.
func (b *builder) soa() *config.Record {
	cfg := b.u.config
	primary := cfg.Name // of a zone that brings its own NS records
	if len(cfg.Nameservers) > 0 {
		primary = cfg.Nameservers[0]
	}
	names := fqdns([]string{primary, cfg.Hostmaster})
	return &config.Record{
		Name: cfg.Name, Type: "SOA", TTL: cfg.TTL, Line: cfg.Line,
		Values: []string{fmt.Sprintf("%s %s %d %d %d %d %d", names[0], names[1],
			b.env.deps.Serial, soaRefresh, soaRetry, soaExpire, message.ClampTTL(cfg.NegativeTTL))},
	}
}

// fqdns adds the final dots the values of NS and SOA records need.
func fqdns(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.TrimSuffix(n, ".") + "."
	}
	return out
}
