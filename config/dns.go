package config

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/meridian-edge/meridian/config/nameserver"
	"github.com/meridian-edge/meridian/config/zones"
)

func readDNS(top object) DNS {
	settings, o := nameserver.Read(top)
	dns := DNS{Settings: settings}
	if c, found := o.Get("certificate"); found {
		dns.Certificate = readCertificate(c)
		if dns.Certificate.ACME {
			c.Errorf("acme is for distributions only").Hint("use self-signed or {cert: FILE, key: FILE}")
		}
	}
	return dns
}

// folderKeys yields the TSIG keys that a folder of zones refers to.
func folderKeys(d *document, z *ZoneFiles) iter.Seq[zones.Reference] {
	return func(yield func(zones.Reference) bool) {
		if z == nil {
			return
		}
		key := func(name string, at ...any) bool {
			return name == "" || yield(zones.Reference{Kind: zones.Key, Name: name, At: func() cursor {
				return d.Find(append([]any{"dns", "zone_files"}, at...)...)
			}})
		}
		for i, p := range z.Notify {
			if !key(p.Key, "notify", i, "key") {
				return
			}
		}
		for i, name := range z.Transfer.Keys {
			if !key(name, "transfer", "keys", i) {
				return
			}
		}
	}
}

// dnsListener is the first key of listeners that names are served at.
func dnsListener(l Listeners) string {
	switch {
	case len(l.DNS) > 0:
		return "dns"
	case len(l.DoT) > 0:
		return "dot"
	case len(l.DoH) > 0:
		return "doh"
	}
	return "doq"
}

// dnsSection is where the file says which zones there are.
func dnsSection(cfg *Config) []any {
	if len(cfg.Zones) > 0 {
		return []any{"zones"}
	}
	return []any{"dns", "zone_files"}
}

func (d *document) warnDNS(cfg *Config) {
	l := cfg.Listeners
	encrypted := len(l.DoT)+len(l.DoH)+len(l.DoQ) > 0
	switch {
	case encrypted && cfg.DNS.Certificate == Certificate{}:
		for _, key := range []string{"dot", "doh", "doq"} {
			if c, found := d.Find("listeners").Step(key); found {
				c.Warnf("no certificate: clients get a self-signed one, which most refuse").
					Hint("add dns: {certificate: {cert: FILE, key: FILE}}, or self-signed if that is meant")
				break
			}
		}
	case !encrypted && cfg.DNS.Certificate != Certificate{}:
		d.Find("dns", "certificate").Warnf("has no effect: there is no listener dot, doh or doq")
	}
	for i, p := range cfg.DNS.ProxyProtocol {
		if p.Bits() == 0 {
			d.Find("dns", "proxy_protocol", i).Warnf("everyone is trusted, so any client can claim any address").
				Hint("list the addresses of your own load balancers")
		}
	}
	if z := cfg.DNS.ZoneFiles; z != nil {
		zones.WarnTransfer(z.Transfer, d.Find("dns", "zone_files"))
	}
	d.warnKeys(cfg)
	d.warnOwnAddresses(cfg)
}

// warnOwnAddresses looks for aliases to distributions that have no addresses to be answered with.
func (d *document) warnOwnAddresses(cfg *Config) {
	known := func(a netip.AddrPort) bool { return !a.Addr().IsUnspecified() }
	if len(cfg.Edge.Addresses) > 0 || slices.ContainsFunc(slices.Concat(cfg.Listeners.HTTP, cfg.Listeners.HTTPS), known) {
		return
	}
	for ref := range d.zones.References() {
		if ref.Kind == zones.Distribution {
			ref.At().Warnf("this edge does not know its own addresses, so there is nothing to answer").
				Hint("add edge: {addresses: [IP, ...]}")
			return
		}
	}
}

// warnKeys looks for keys that nothing is signed with.
func (d *document) warnKeys(cfg *Config) {
	section, found := d.root.Get("dns")
	if !found {
		return
	}
	keys, found := section.Step("keys")
	if !found {
		return
	}
	used := d.zones.KeysUsed()
	for ref := range folderKeys(d, cfg.DNS.ZoneFiles) {
		used[ref.Name] = true
	}
	for _, written := range keys.Keys() {
		if name, ok := nameserver.KeyName(written); ok && !used[name] {
			c, _ := keys.Step(written)
			c.Warnf("no zone uses this key")
		}
	}
}
