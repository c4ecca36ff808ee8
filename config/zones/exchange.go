package zones

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

const (
	dnsPort        = 53
	maxPeers       = 64 // of one zone
	minJournal     = 4 << 10
	maxJournal     = 1 << 30
	defaultSoonest = 30 * time.Second
	defaultLatest  = 7 * 24 * time.Hour
)

// DefaultJournal is how many bytes of a zone's changes are kept unless the file says otherwise.
const DefaultJournal = 1 << 20

// readExchange reads what a zone has to do with other servers and with those who change it.
func readExchange(o object, z *Zone) {
	yamldoc.Set(o, "primaries", &z.Primaries, ReadPeers)
	yamldoc.Set(o, "notify", &z.Notify, ReadPeers)
	if c, found := o.Get("transfer"); found {
		z.Transfer = ReadTransfer(c)
	}
	if c, found := o.Get("update"); found {
		z.Update = readUpdate(c, z.Name)
	}
	o.Boolean("catalog", &z.Catalog)
	ReadJournal(o, &z.Journal)
	if c, found := o.Get("refresh"); found {
		readRefresh(c, z)
	}
	if o.Has("primaries") {
		o.Refuse("a secondary has what its primaries send", "file", "nameservers", "ttl", "negative_ttl", "hostmaster", "records", "update")
	} else if o.Absent("primaries") {
		o.Refuse("only a secondary has this, and this zone has no primaries", "catalog", "refresh")
	}
}

func readRefresh(c cursor, z *Zone) {
	o := c.Object("min", "max")
	lo := o.Duration("min", &z.RefreshMin, time.Second, 7*24*time.Hour)
	hi := o.Duration("max", &z.RefreshMax, time.Second, 365*24*time.Hour)
	if z.RefreshMin > z.RefreshMax && (lo || hi) && !o.Unsure("min") && !o.Unsure("max") {
		c.Errorf("min is longer than max, which is %s", yamldoc.FormatDuration(z.RefreshMax))
	}
}

// ReadJournal reads the key journal of a section: how many bytes of changes are kept.
func ReadJournal(o yamldoc.Object, into *int64) { o.Size("journal", into, minJournal, maxJournal) }

// ReadPeers reads servers, each as an address or as a mapping with its key.
func ReadPeers(c cursor) ([]Peer, bool) {
	items, ok := c.Items()
	if ok && (len(items) == 0 || len(items) > maxPeers) {
		c.Errorf("must be 1 to %d servers", maxPeers)
	}
	list := make([]Peer, 0, len(items))
	for _, item := range items {
		p, right := readPeer(item)
		if first := slices.IndexFunc(list, func(q Peer) bool { return q.Address == p.Address }); right && first >= 0 {
			item.Errorf("the same server as %s[%d]", c.Path(), first)
		}
		list = append(list, p)
	}
	return list, ok
}

func readPeer(c cursor) (Peer, bool) {
	if c.Single() {
		address, ok := c.ServerAddress(dnsPort)
		return Peer{Address: address}, ok
	}
	var p Peer
	o := c.Object("address", "key")
	o.Need("address")
	yamldoc.Set(o, "key", &p.Key, readKeyName)
	ok := yamldoc.Set(o, "address", &p.Address, func(c cursor) (netip.AddrPort, bool) { return c.ServerAddress(dnsPort) })
	return p, ok
}

// readKeyName reads the name of a TSIG key, which is a domain name on the wire.
func readKeyName(c cursor) (string, bool) {
	s, ok := c.Text()
	if !ok {
		return "", false
	}
	return dns.CanonicalName(s), true
}

func readKeyNames(c cursor) ([]string, bool) {
	return readSet(c, readKeyName)
}

// readSet reads a list that is neither empty nor has anything twice.
func readSet(c cursor, read func(cursor) (string, bool)) ([]string, bool) {
	items, ok := c.Items()
	if ok && len(items) == 0 {
		c.Errorf("must not be empty")
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		s, right := read(item)
		if right && slices.Contains(list, s) {
			item.Errorf("%s is listed twice", item.Shown())
		}
		list = append(list, s)
	}
	return list, ok
}

func readNetworks(c cursor) ([]netip.Prefix, bool) {
	list, ok := c.Prefixes()
	if ok && len(list) == 0 {
		c.Errorf("must not be empty")
	}
	return list, ok
}

// ReadTransfer reads who may have a whole zone.
func ReadTransfer(c cursor) Transfer {
	var t Transfer
	o := c.Object("to", "keys")
	yamldoc.Set(o, "to", &t.To, readNetworks)
	yamldoc.Set(o, "keys", &t.Keys, readKeyNames)
	if o.Absent("to") && o.Absent("keys") {
		o.Missing("keys").Hint("say whose key, or which networks, may have the zone")
	}
	return t
}

func readUpdate(c cursor, zone string) *Update {
	u := &Update{}
	o := c.Object("keys", "from", "names", "types")
	if o.Absent("keys") {
		o.Missing("keys").Hint("an address can be forged: updates must be signed with a key of dns.keys")
	}
	yamldoc.Set(o, "keys", &u.Keys, readKeyNames)
	yamldoc.Set(o, "from", &u.From, readNetworks)
	yamldoc.Set(o, "names", &u.Names, func(c cursor) ([]string, bool) {
		return readSet(c, func(c cursor) (string, bool) { return readOwnerName(c, zone) })
	})
	yamldoc.Set(o, "types", &u.Types, func(c cursor) ([]string, bool) { return readSet(c, readRecordType) })
	return u
}

// Allows says whether an update may touch the records of a type at a name, which is fully qualified and in lower case.
func (u *Update) Allows(name, rrtype string) bool {
	if u == nil || len(u.Types) > 0 && !slices.Contains(u.Types, rrtype) {
		return false
	}
	return len(u.Names) == 0 || slices.ContainsFunc(u.Names, func(pattern string) bool { return matchName(pattern, name) })
}

// matchName says whether a name is the pattern, in which a first label * stands for one or more labels and every other label * for
// exactly one.
func matchName(pattern, name string) bool {
	p, n := strings.Split(pattern, "."), dns.SplitDomainName(name)
	p = p[:len(p)-1] // behind the final dot
	if len(n) < len(p) || len(n) > len(p) && (len(p) == 0 || p[0] != "*") {
		return false
	}
	n = n[len(n)-len(p):]
	for i, label := range p {
		if label != "*" && label != n[i] {
			return false
		}
	}
	return true
}

// KeysUsed are the names of the TSIG keys that zones refer to.
func (s *Section) KeysUsed() map[string]bool {
	used := make(map[string]bool)
	for ref := range s.References() {
		if ref.Kind == Key {
			used[ref.Name] = true
		}
	}
	return used
}
