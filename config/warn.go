package config

import (
	"net/netip"
	"slices"
	"strings"
)

// warn reports what is legal and yet probably not what was meant. It runs on complete configurations only.
func (d *document) warn(cfg *Config) {
	d.warnListeners(cfg)
	d.warnProxies(cfg)
	d.warnDNS(cfg)
	for i := range cfg.Pools {
		d.warnPool(cfg, &cfg.Pools[i])
		d.warnLoops(cfg, &cfg.Pools[i])
	}
	for i := range cfg.Distributions {
		d.warnDistribution(cfg, &cfg.Distributions[i])
	}
	for i := range cfg.Accelerators {
		d.warnAccelerator(&cfg.Accelerators[i])
	}
}

func (d *document) warnListeners(cfg *Config) {
	l := cfg.Listeners
	for i, a := range l.Metrics {
		if !private(a.Addr()) {
			d.Find("listeners", "metrics", i).Warnf("metrics are readable by everyone who reaches this address").
				Hint("listen on 127.0.0.1 or a private address")
		}
	}
	served := len(cfg.Zones) > 0 || cfg.DNS.ZoneFiles != nil
	names := len(l.DNS) + len(l.DoT) + len(l.DoH) + len(l.DoQ)
	web := len(l.HTTP)+len(l.HTTPS) > 0
	switch {
	case len(cfg.Distributions) > 0 && !web:
		d.Find("distributions").Warnf("no http or https listener serves them").Hint("add listeners: {http: [...]}")
	case len(cfg.Distributions) == 0 && web:
		d.Find("listeners").Warnf("there are http listeners but no distributions: every request gets 421")
	}
	switch {
	case served && names == 0:
		d.Find(dnsSection(cfg)...).Warnf("no dns listener serves them").Hint("add listeners: {dns: [...]}")
	case !served && names > 0:
		d.Find("listeners", dnsListener(l)).Warnf("there are dns listeners but no zones: every query is refused")
	}
}

// private says whether an address cannot be reached from the internet (RFC 1918, RFC 4193, RFC 6598, loopback and link-local).
func private(a netip.Addr) bool {
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10)
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || shared.Contains(a)
}

func (d *document) warnProxies(cfg *Config) {
	for i, p := range cfg.TrustedProxies {
		if p.Bits() == 0 {
			d.Find("trusted_proxies", i).Warnf("everyone is trusted, so any client can claim any address").
				Hint("list the addresses of your own proxies")
		}
	}
}

func (d *document) warnPool(cfg *Config, p *Pool) {
	if strings.Contains(p.Name, "/") {
		return // made from an origin's url
	}
	at := func(steps ...any) cursor { return d.Find(append([]any{"pools", p.Name}, steps...)...) }
	if len(p.Endpoints) > 1 && p.Check == "" {
		at().Warnf("several endpoints and no check: failover is off, because all of them always count as healthy").
			Hint("add check: NAME")
	}
	if len(p.Discover) > 0 && p.Check == "" {
		at("discover").Warnf("no check: whatever the source names gets traffic at once, working or not").Hint("add check: NAME")
	}
	for i, e := range p.Endpoints {
		if e.Weight != 1 && !goesByWeight(p.Policy) { // the default does no harm where it is written out
			at("endpoints", i, "weight").Warnf("has no effect: policy %s does not go by weight", p.Policy)
		}
	}
	d.warnBalance(p, at)
	switch {
	case p.Policy == "latency" && len(p.Endpoints) > 1:
		d.warnDistance(cfg, p, at)
	case goesByWeight(p.Policy) && len(p.Endpoints) > 0 && !slices.ContainsFunc(p.Endpoints, func(e Endpoint) bool { return e.Weight > 0 }):
		at("endpoints").Warnf("every weight is 0, so each endpoint gets an equal share")
	}
}

// goesByWeight says whether a pool's policy looks at weights.
func goesByWeight(policy string) bool {
	return policy != "simple" && policy != "failover" && policy != "latency"
}

// warnBalance looks for settings of a pool that do nothing.
func (d *document) warnBalance(p *Pool, at func(...any) cursor) {
	switch {
	case p.SlowStart > 0 && (p.Policy == "failover" || p.Policy == "latency"):
		at("slow_start").Warnf("has no effect: policy %s does not go by shares", p.Policy)
	case p.SlowStart > 0 && p.Check == "":
		at("slow_start").Warnf("has no effect: without a check no endpoint ever comes back").Hint("add check: NAME")
	}
	if p.Sticky != nil && p.Sticky.Key == "" && len(p.Endpoints) > 1 {
		at("sticky").Warnf("without a key a restart forgets which client belongs where, and edges do not understand each other's cookies").
			Hint("add key: ${file:...}")
	}
}

// warnDistance looks for missing ends of the distance that policy latency goes by.
func (d *document) warnDistance(cfg *Config, p *Pool, at func(...any) cursor) {
	if cfg.Edge.Region == "" {
		at("policy").Warnf("this edge has no region, so there is no distance and order decides").Hint("set edge: {region: NAME}")
	}
	for i, e := range p.Endpoints {
		if e.Region == "" {
			at("endpoints", i).Warnf("policy latency knows no distance to an endpoint without a region").Hint("add region: NAME")
		}
	}
}

// warnLoops looks for endpoints that are this node itself.
func (d *document) warnLoops(cfg *Config, p *Pool) {
	for i, e := range p.Endpoints {
		for _, l := range slices.Concat(cfg.Listeners.HTTP, cfg.Listeners.HTTPS) {
			local := l.Addr() == e.Address.Addr() || l.Addr().IsUnspecified() && e.Address.Addr().IsLoopback()
			if !e.Address.IsValid() || !local || l.Port() != e.Address.Port() {
				continue
			}
			at := []any{"pools", p.Name, "endpoints", i, "address"}
			if dist, origin, own := strings.Cut(p.Name, "/"); own {
				at = []any{"distributions", dist, "origins", origin, "url"}
			}
			d.Find(at...).Warnf("this is a listener of this node itself, so requests would go in circles")
		}
	}
}

func (d *document) warnDistribution(cfg *Config, dist *Distribution) {
	at := func(steps ...any) cursor { return d.Find(append([]any{"distributions", dist.Name}, steps...)...) }
	https := len(cfg.Listeners.HTTPS) > 0
	switch {
	case dist.Certificate.ACME:
		at("certificate").Warnf("acme is not served by this version yet").Hint("use self-signed or {cert: FILE, key: FILE}")
	case dist.Certificate == Certificate{} && https:
		at().Warnf("no certificate: clients get a self-signed one, which browsers refuse").
			Hint("add certificate: {cert: FILE, key: FILE}, or self-signed if that is meant")
	}
	for _, o := range dist.Origins {
		if o.SkipVerify {
			at("origins", o.Name, "skip_verify").Warnf("anyone on the way to this origin can pose as it").
				Hint("set tls_server_name to the name in its certificate instead")
		}
	}
	if _, written := at().Step("behaviors"); !written {
		return
	}
	for i, b := range dist.Behaviors {
		here := at("behaviors", i)
		if first := slices.IndexFunc(dist.Behaviors[:i], func(e Behavior) bool { return covers(e.Path, b.Path) }); first >= 0 {
			path := at("behaviors", i, "path")
			path.Warnf("never reached: %s in line %d matches all of it", at("behaviors", first, "path").Shown(), dist.Behaviors[first].Line).
				Hint("the first match wins: put the special before the general")
		}
		if b.RedirectToHTTPS && !https {
			at("behaviors", i, "redirect_to_https").Warnf("there is no https listener to redirect to")
		}
		if i == len(dist.Behaviors)-1 && !slices.ContainsFunc(dist.Behaviors, func(e Behavior) bool { return covers(e.Path, "*") }) {
			here.Warnf("paths that no behavior matches get 404").Hint(`add {path: "*"} at the end`)
		}
	}
}

// covers says whether pattern p certainly matches everything that pattern q matches.
func covers(p, q string) bool {
	p, q = strings.TrimPrefix(p, "/"), strings.TrimPrefix(q, "/")
	star, mark := -1, 0 // where to try again: the last * of p and how far it has eaten into q
	i, j := 0, 0
	for j < len(q) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == q[j] || p[i] == '?' && q[j] != '*'):
			i, j = i+1, j+1
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(p[i:], "*") == ""
}

func (d *document) warnAccelerator(a *Accelerator) {
	endpoints := 0
	for _, g := range a.Groups {
		endpoints += len(g.Endpoints)
	}
	for i, g := range a.Groups {
		if g.Check == "" && endpoints > 1 {
			d.Find("accelerators", a.Name, "groups", i).Warnf("no check: failover is off, because its endpoints always count as healthy").
				Hint("add check: {type: tcp}")
		}
	}
}
