package config

import (
	"net/netip"

	"github.com/meridian-edge/meridian/config/zones"
)

// maxOverrides is the most networks that geo.overrides may hold.
const maxOverrides = 10_000

func (d *document) geo(top object) Geo {
	var g Geo
	c, found := top.Get("geo")
	if !found {
		return g
	}
	o := c.Object("database", "overrides")
	o.File("database", &g.Database)
	list, found := o.Get("overrides")
	if !found {
		return g
	}
	items, _ := list.Items()
	seen := make(map[netip.Prefix]int)
	for _, item := range items {
		g.Overrides = append(g.Overrides, d.geoOverride(item, seen))
	}
	if len(seen) > maxOverrides {
		list.Errorf("%d networks are more than %d", len(seen), maxOverrides).Hint("give the place database a corrected file instead")
	}
	return g
}

// geoOverride reads one override. seen holds the line of every network so far.
func (d *document) geoOverride(c cursor, seen map[netip.Prefix]int) GeoOverride {
	v := GeoOverride{Line: c.Line()}
	o := c.Object("cidrs", "country", "subdivision", "lat", "lon")
	if blocks, found := o.Need("cidrs"); found {
		v.CIDRs = overriddenBlocks(blocks, seen)
	}
	if country, found := o.Get("country"); found {
		v.Country, _ = zones.ReadCountry(country)
	}
	state, found := o.Get("subdivision")
	switch {
	case found && o.Absent("country"):
		state.KeyError("a subdivision needs its country").Hint("add country: US")
	case found && v.Country != "US" && v.Country != "":
		state.Errorf("only states of the US are known, not of %q", v.Country)
	case found:
		v.Subdivision, _ = zones.ReadSubdivision(state)
	}
	lat := o.Number("lat", &v.Lat, -90, 90)
	lon := o.Number("lon", &v.Lon, -180, 180)
	v.HasPoint = lat && lon
	switch {
	case o.Has("lat") || o.Has("lon"):
		o.Need("lat")
		o.Need("lon")
	case o.Absent("country") && o.Absent("lat") && o.Absent("lon") && !found:
		o.Missing("country").Hint("a country, or lat and lon, or both")
	}
	return v
}

// overriddenBlocks reads the networks of one override.
func overriddenBlocks(c cursor, seen map[netip.Prefix]int) []netip.Prefix {
	items, ok := c.Items()
	if ok && len(items) == 0 {
		c.Errorf("must not be empty")
	}
	list := make([]netip.Prefix, 0, len(items))
	for _, item := range items {
		p, ok := item.Prefix()
		switch {
		case !ok:
			continue
		case p.Addr().Is4In6():
			item.Errorf("%s is an IPv4 network inside IPv6", item.Shown()).Hint("write it as IPv4, such as 192.0.2.0/24")
			continue
		case seen[p] > 0:
			item.Errorf("%s is overridden in line %d already", item.Shown(), seen[p])
			continue
		}
		seen[p] = item.Line()
		list = append(list, p)
	}
	return list
}
