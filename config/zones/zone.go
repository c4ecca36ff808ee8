package zones

import (
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

const (
	defaultZoneTTL     = 300 * time.Second
	defaultNegativeTTL = 60 * time.Second
	maxTTL             = 24855 * 24 * time.Hour // the whole days in 2^31 seconds (RFC 2181 §8)
	longestZone        = 255                    // bytes of a name (RFC 1035 §2.3.4)
)

func zoneName(key string) (string, bool) {
	_, ok := dns.IsDomainName(key)
	if !ok || key == "" || strings.HasPrefix(key, "*") || !isZoneText(key) {
		return "", false
	}
	return dns.CanonicalName(key), true
}

// isZoneText keeps white space and what ends a token of zone text out of names.
func isZoneText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"();$@`, r) })
}

// New returns a zone without anything in it, with the defaults. name is fully qualified and in lower case.
func New(name string) Zone {
	z := Zone{
		Name: name, TTL: defaultZoneTTL, NegativeTTL: defaultNegativeTTL, Journal: DefaultJournal,
		RefreshMin: defaultSoonest, RefreshMax: defaultLatest, Hostmaster: "hostmaster." + name,
	}
	if name == "." {
		z.Hostmaster = "hostmaster."
	}
	return z
}

// Member returns the zone of this name that is listed in the catalog z: a secondary of the same servers.
func (z *Zone) Member(name string) Zone {
	m := New(name)
	m.Primaries, m.Notify, m.Transfer, m.Journal = z.Primaries, z.Notify, z.Transfer, z.Journal
	m.RefreshMin, m.RefreshMax, m.Line = z.RefreshMin, z.RefreshMax, z.Line
	return m
}

// readZone decodes one. name is empty when the key is not the name of a zone, which has been reported; names in the zone are then
// checked as far as that goes.
func readZone(c cursor, name string) Zone {
	if name == "" {
		name = "invalid."
	}
	z := New(name)
	z.Line = c.KeyLine()
	o := c.Object("file", "nameservers", "ttl", "negative_ttl", "hostmaster", "records", "primaries", "notify", "transfer", "update",
		"catalog", "journal", "refresh")
	o.File("file", &z.File)
	if ns, found := o.Get("nameservers"); found {
		z.Nameservers = readNameservers(ns, z.Name)
	} else if o.Absent("nameservers") && o.Absent("file") && o.Absent("primaries") {
		o.Missing("nameservers")
	}
	yamldoc.Set(o, "ttl", &z.TTL, readTTL)
	yamldoc.Set(o, "negative_ttl", &z.NegativeTTL, readTTL)
	yamldoc.Set(o, "hostmaster", &z.Hostmaster, readHostmaster)
	if records, found := o.Get("records"); found {
		items, _ := records.Items()
		for _, item := range items {
			z.Records = append(z.Records, readRecord(item, &z))
		}
	}
	readExchange(o, &z)
	checkRecords(c, &z)
	return z
}

func readNameservers(c cursor, zone string) []string {
	items, ok := c.Items()
	if ok && len(items) == 0 {
		c.Errorf("a zone needs at least one name server")
	}
	var list []string
	for _, item := range items {
		if name, ok := readFullName(item, zone); ok {
			list = append(list, name)
		}
	}
	return list
}

// readFullName reads a host name that is absolute with or without its final dot. A single label can only be a mistake.
func readFullName(c cursor, zone string) (string, bool) {
	s, ok := c.Text()
	if !ok {
		return "", false
	}
	if !yamldoc.IsHostName(s) {
		c.Errorf("%s is not a host name", c.Shown())
		return "", false
	}
	if !strings.Contains(strings.TrimSuffix(s, "."), ".") {
		m := c.Errorf("%s is not a full name", c.Shown())
		if !c.Secret() {
			m.Hint("did you mean %q?", strings.TrimSuffix(s, ".")+"."+strings.TrimSuffix(zone, "."))
		}
		return "", false
	}
	return dns.CanonicalName(s), true
}

func readTTL(c cursor) (time.Duration, bool) {
	v, ok := c.Duration(0, maxTTL)
	if ok && v%time.Second != 0 {
		c.Errorf("%s is not a whole number of seconds", c.Shown())
		return 0, false
	}
	return v, ok
}

// readHostmaster reads a mail address in either spelling: admin@example.org, or as SOA has it (RFC 1035 §3.3.13).
func readHostmaster(c cursor) (string, bool) {
	s, ok := c.Text()
	if !ok {
		return "", false
	}
	if local, domain, isMail := strings.Cut(s, "@"); isMail {
		s = strings.ReplaceAll(local, ".", `\.`) + "." + domain
	}
	if _, valid := dns.IsDomainName(s); !valid || !isZoneText(s) || !strings.Contains(strings.TrimSuffix(s, "."), ".") {
		c.Errorf("%s is not a mail address", c.Shown()).Hint("write it as hostmaster@example.org")
		return "", false
	}
	return dns.CanonicalName(s), true
}

// readOwnerName reads the name of a record: "@", relative to the zone, or absolute with its final dot.
func readOwnerName(c cursor, zone string) (string, bool) {
	s, ok := c.Text()
	if !ok {
		return "", false
	}
	name := s
	switch {
	case s == "@":
		return zone, true
	case strings.HasSuffix(s, "."):
	case zone == ".":
		name += "."
	default:
		name += "." + zone
	}
	_, valid := dns.IsDomainName(name)
	if !valid || !isZoneText(s) || len(name) > longestZone {
		c.Errorf("%s is not a domain name", c.Shown()).Hint(`write it relative to the zone, "@" for the zone itself`)
		return "", false
	}
	name = dns.CanonicalName(name)
	if !dns.IsSubDomain(zone, name) {
		m := c.Errorf("%s is not in this zone", c.Shown())
		if !c.Secret() {
			m.Hint("a name that ends with a dot is absolute; this zone is %s", zone)
		}
		return "", false
	}
	if trimmed := strings.TrimSuffix(zone, "."); !c.Secret() && trimmed != "" && !strings.HasSuffix(s, ".") &&
		(strings.EqualFold(s, trimmed) || strings.HasSuffix(strings.ToLower(s), "."+trimmed)) {
		c.Warnf("%s is relative, so it becomes %s", c.Shown(), name).
			Hint("leave the zone out, or end the name with a dot")
	}
	return name, true
}
