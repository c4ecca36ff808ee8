package config

import (
	"slices"
	"strings"

	"github.com/meridian-edge/meridian/config/nameserver"
	"github.com/meridian-edge/meridian/config/zones"
)

// names are the keys of one section. They are not sure when some of them may be hidden by a mistake in the section itself.
type names struct {
	kind string
	list []string
	has  map[string]bool
	sure bool
}

func (d *document) names(section, kind string) names {
	n := names{kind: kind, has: make(map[string]bool), sure: d.root.Absent(section)}
	c, found := d.root.Get(section)
	if !found {
		return n
	}
	// A wrong entry keeps its name; only what is wrong with the section as a whole hides names.
	n.sure = !d.Reported(section)
	for _, name := range c.Keys() {
		n.list, n.has[name] = append(n.list, name), true
	}
	return n
}

// keyNames are the TSIG keys, under their canonical names.
func (d *document) keyNames() names {
	n := names{kind: "key", has: make(map[string]bool), sure: d.root.Absent("dns")}
	section, found := d.root.Get("dns")
	if !found {
		return n
	}
	c, found := section.Step("keys")
	n.sure = !d.Reported("dns") && !d.Reported("dns.keys") && (found || section.CleanAt("keys") && section.Clean())
	if !found {
		return n
	}
	for _, written := range c.Keys() {
		if name, ok := nameserver.KeyName(written); ok {
			n.list, n.has[name] = append(n.list, written), true
		}
	}
	return n
}

// references checks the names that one section uses of another, and what only the definition of a name can tell. Values that
// could not be read are empty here. A place in the file is looked up only where there is something to report.
type references struct {
	d                      *document
	regions, checks, pools names
	distributions          names
	accelerators, keys     names
	check                  map[string]*Check
}

func (d *document) checkReferences(cfg *Config) {
	r := references{
		d: d, regions: d.names("regions", "region"), checks: d.names("checks", "check"), pools: d.names("pools", "pool"),
		distributions: d.names("distributions", "distribution"), accelerators: d.names("accelerators", "accelerator"), keys: d.keyNames(),
		check: make(map[string]*Check, len(cfg.Checks)),
	}
	for i := range cfg.Checks {
		r.check[cfg.Checks[i].Name] = &cfg.Checks[i]
	}
	r.need(r.regions, cfg.Edge.Region, "edge", "region")
	r.voting(cfg.Quorum.References)
	for _, p := range cfg.Pools {
		r.pool(p)
	}
	for _, dist := range cfg.Distributions {
		for _, o := range dist.Origins {
			if o.Pool != dist.Name+"/"+o.Name { // made from its url
				r.need(r.pools, o.Pool, "distributions", dist.Name, "origins", o.Name, "pool")
			}
		}
	}
	for i := range cfg.Checks {
		if k := &cfg.Checks[i]; !k.Inline {
			r.calculated(k, "checks", k.Name)
		}
	}
	for ref := range d.zones.References() {
		r.zone(ref)
	}
	for ref := range folderKeys(d, cfg.DNS.ZoneFiles) {
		r.zone(ref)
	}
	for _, a := range cfg.Accelerators {
		r.accelerator(a)
	}
}

// need reports a name that is not known. at is where it stands.
func (r references) need(known names, name string, at ...any) {
	r.needAt(known, name, func() cursor { return r.d.Find(at...) })
}

func (r references) needAt(known names, name string, at func() cursor) {
	if name != "" && known.sure && !known.has[name] {
		at().Dangling(known.kind, name, known.list)
	}
}

// voting checks the references of the self-test: only a check that probes something can find this node cut off.
func (r references) voting(list []string) {
	seen := make(map[string]bool, len(list))
	for i, name := range list {
		r.need(r.checks, name, "quorum", "references", i)
		k := r.check[name]
		switch {
		case seen[name]:
			r.d.Find("quorum", "references", i).Errorf("%q is named twice", name)
		case k != nil && (k.Type == "calculated" || k.Type == "manual" || k.Disabled):
			r.d.Find("quorum", "references", i).Errorf("%q probes nothing", name).
				Hint("name a check of something that is known to be up")
		}
		seen[name] = true
	}
}

func (r references) pool(p Pool) {
	if strings.Contains(p.Name, "/") {
		return // made from an origin's url
	}
	r.need(r.checks, p.Check, "pools", p.Name, "check")
	for i, e := range p.Endpoints {
		r.need(r.regions, e.Region, "pools", p.Name, "endpoints", i, "region")
	}
	for i, s := range p.Discover {
		r.need(r.regions, s.Region, "pools", p.Name, "discover", i, "region")
	}
}

func (r references) zone(ref zones.Reference) {
	switch ref.Kind {
	case zones.Region:
		r.needAt(r.regions, ref.Name, ref.At)
	case zones.Check:
		r.probeAt("an answer", ref.Name, ref.At)
	case zones.Pool:
		r.needAt(r.pools, ref.Name, ref.At)
	case zones.Distribution:
		r.needAt(r.distributions, ref.Name, ref.At)
	case zones.Accelerator:
		r.needAt(r.accelerators, ref.Name, ref.At)
	case zones.Key:
		r.needAt(r.keys, ref.Name, ref.At)
	}
}

func (r references) accelerator(a Accelerator) {
	for i, g := range a.Groups {
		r.need(r.regions, g.Region, "accelerators", a.Name, "groups", i, "region")
		if k, found := r.check[g.Check]; found && k.Inline {
			r.calculated(k, "accelerators", a.Name, "groups", i, "check")
		} else {
			r.need(r.checks, g.Check, "accelerators", a.Name, "groups", i, "check")
		}
	}
}

// calculated checks the members of a calculated check.
func (r references) calculated(k *Check, at ...any) {
	for i, name := range k.Of {
		here := slices.Concat(at, []any{"of", i})
		if member, found := r.check[name]; found && !member.Inline && member.Type == "calculated" {
			c := r.d.Find(here...)
			c.Errorf("%s is itself calculated; calculated checks do not nest", c.Shown())
			continue
		}
		r.probe("a calculated check", name, here...)
	}
}

// probe checks that a named check exists and knows by itself what to probe: a user that is no endpoint of a pool has no address to
// lend it.
func (r references) probe(user, name string, at ...any) {
	r.probeAt(user, name, func() cursor { return r.d.Find(at...) })
}

func (r references) probeAt(user, name string, at func() cursor) {
	r.needAt(r.checks, name, at)
	k, found := r.check[name]
	if !found || k.Inline || k.Target.IsValid() || k.Disabled || k.Type == "calculated" || k.Type == "manual" || k.Type == "" ||
		!r.d.Find("checks", name).Clean() {
		return
	}
	c := at()
	c.Errorf("the check %s has no target, so %s cannot use it", c.Shown(), user).Hint("give the check a target: IP:PORT")
}
