package zones

import (
	"iter"

	"github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// The generic halves of reading, under the names that this package's own code has for them.
type (
	cursor = yamldoc.Cursor
	object = yamldoc.Object
)

// Section is the zones of one file on their way to being complete.
type Section struct {
	Zones []Zone // in the order of the file; those with mistakes are there too, with what could be read

	at   cursor            // the section
	keys map[string]string // normal name of a zone -> as written
}

// Read reads the section under the key zones of a file. The zero Section is what it returns where there is none.
func Read(top yamldoc.Object) *Section {
	s := &Section{keys: make(map[string]string)}
	c, found := top.Get("zones")
	if !found {
		return s
	}
	s.at = c
	entries, _ := c.Entries()
	lines := make(map[string]int)
	for _, e := range entries {
		name, ok := zoneName(e.Key())
		switch {
		case !ok:
			e.KeyError("is not the name of a zone").Hint("write it as example.org")
		case lines[name] > 0:
			e.Errorf("the zone %s is already in line %d", name, lines[name])
		default:
			lines[name] = e.KeyLine()
			s.keys[name] = e.Key()
		}
		s.Zones = append(s.Zones, readZone(e, name))
	}
	s.checkHosts()
	return s
}

// find walks from a zone in the file along keys and positions, as far as they are written.
func (s *Section) find(z *Zone, steps ...any) cursor {
	c, _ := s.at.Step(s.keys[z.Name])
	for _, step := range steps {
		next, found := c.Step(step)
		if !found {
			break
		}
		c = next
	}
	return c
}

// Kind is the sort of thing that a Reference names, in the word that mistakes have for it.
type Kind string

// What zones refer to in other sections.
const (
	Region Kind = "region"
	Check  Kind = "check" // of an answer, which has no address to lend it

	Pool         Kind = "pool" // of an alias, as the two below
	Distribution Kind = "distribution"
	Accelerator  Kind = "accelerator"

	Key Kind = "key" // for TSIG, by its canonical name
)

// Reference is a name in a zone of something in another section.
type Reference struct {
	Kind Kind
	Name string
	At   func() yamldoc.Cursor // where it stands
}

// References yields the names that the zones have of what is in other sections. Names that could not be read are left out.
func (s *Section) References() iter.Seq[Reference] {
	return func(yield func(Reference) bool) {
		for i := range s.Zones {
			if z := &s.Zones[i]; s.keys[z.Name] != "" && !s.zoneReferences(z, yield) {
				return
			}
		}
	}
}

func (s *Section) zoneReferences(z *Zone, yield func(Reference) bool) bool {
	ref := func(kind Kind, name string, at ...any) bool {
		return name == "" || yield(Reference{kind, name, func() yamldoc.Cursor { return s.find(z, at...) }})
	}
	alias := func(a *Alias, at ...any) bool {
		return a == nil || ref(Pool, a.Pool, append(at, "alias", "pool")...) &&
			ref(Distribution, a.Distribution, append(at, "alias", "distribution")...) &&
			ref(Accelerator, a.Accelerator, append(at, "alias", "accelerator")...)
	}
	for i := range z.Records {
		if !alias(z.Records[i].Alias, "records", i) {
			return false
		}
		for j, a := range z.Records[i].Answers {
			if !ref(Region, a.Region, "records", i, "answers", j, "region") ||
				!ref(Check, a.Check, "records", i, "answers", j, "check") || !alias(a.Alias, "records", i, "answers", j) {
				return false
			}
		}
	}
	return keyReferences(z, func(name string, at ...any) bool { return ref(Key, name, at...) })
}

func keyReferences(z *Zone, ref func(name string, at ...any) bool) bool {
	for i, p := range z.Primaries {
		if !ref(p.Key, "primaries", i, "key") {
			return false
		}
	}
	for i, p := range z.Notify {
		if !ref(p.Key, "notify", i, "key") {
			return false
		}
	}
	for i, name := range z.Transfer.Keys {
		if !ref(name, "transfer", "keys", i) {
			return false
		}
	}
	if z.Update == nil {
		return true
	}
	for i, name := range z.Update.Keys {
		if !ref(name, "update", "keys", i) {
			return false
		}
	}
	return true
}

// checkHosts reports aliases to a host that is in one of the zones here: what we know ourselves is not asked of others.
func (s *Section) checkHosts() {
	for i := range s.Zones {
		z := &s.Zones[i]
		if s.keys[z.Name] == "" {
			continue
		}
		for j := range z.Records {
			r := &z.Records[j]
			s.checkHost(z, r.Alias, "records", j, "alias", "host")
			for n, a := range r.Answers {
				s.checkHost(z, a.Alias, "records", j, "answers", n, "alias", "host")
			}
		}
	}
}

func (s *Section) checkHost(z *Zone, a *Alias, at ...any) {
	if a == nil || a.Host == "" {
		return
	}
	for _, start := range dns.Split(a.Host) {
		key, found := s.keys[a.Host[start:]]
		if !found {
			continue
		}
		c := s.find(z, at...)
		m := c.Errorf("%s is in the zone %s of this file, and a host is a name that others serve", c.Shown(), key)
		if a.Host[start:] == z.Name {
			m.Hint("use {record: NAME}")
		} else {
			m.Hint("an alias leads to a record of its own zone, or out of all of them")
		}
		return
	}
}

// Finish completes the zones of a file without mistakes, and warns about what is legal there and yet probably not meant.
func (s *Section) Finish() {
	s.inheritTTLs()
	for i := range s.Zones {
		s.warnZone(&s.Zones[i])
	}
}
