package edge

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/edge/authority"
	"github.com/meridian-edge/meridian/edge/cert"
	"github.com/meridian-edge/meridian/healthcheck"
	"github.com/meridian-edge/meridian/proxy"
	"github.com/meridian-edge/meridian/steer/geo"
)

// snapshot is one immutable generation of everything configured.
type snapshot struct {
	generation uint64
	loaded     time.Time
	serial     uint32 // of the zones' SOA
	cfg        *config.Config
	plan       *healthcheck.Plan
	zones      *authority.Build
	router     *proxy.Router
	certs      *cert.Set
	places     *geo.DB
	placeData  *placeData // what places was made from
	found      uint64     // version of the endpoints that discovery found
}

// build makes the next generation. It opens no socket, starts nothing and writes nothing; old is nil the first time.
func (n *Node) build(cfg *config.Config, old *snapshot) (*snapshot, error) {
	s := &snapshot{generation: 1, loaded: time.Now(), cfg: cfg}
	s.serial = uint32(s.loaded.Unix())
	var oldCerts *cert.Set
	if old != nil {
		s.generation = old.generation + 1
		s.serial = max(s.serial, old.serial+1) // RFC 1982: it rises even when the clock does not
		if old.cfg == cfg {
			s.serial = old.serial // a rebuild: the zones say what they said
		}
		oldCerts = old.certs
	}
	var err error
	if s.placeData, err = n.organs.places.read(cfg); err != nil {
		return nil, err
	}
	s.places = s.placeData.places
	regions := make(map[string]geo.Point, len(cfg.Regions))
	for _, r := range cfg.Regions {
		regions[r.Name] = geo.At(r.Lat, r.Lon)
	}
	filled, found := n.organs.discover.Fill(cfg)
	s.found = found
	s.plan = healthcheck.NewPlan(filled, n.organs.board)
	s.zones, err = n.organs.authority.Build(filled, dns.Deps{
		Health: n.organs.board.Alive(), Places: s.places, From: regions[cfg.Edge.Region],
		Slot: s.plan.Check, Endpoint: s.plan.Endpoint, Regions: regions, Serial: s.serial,
	})
	if err != nil {
		return nil, err
	}
	s.router, err = proxy.Build(filled, proxy.Deps{
		Cache: n.organs.cache, Origin: n.organs.origin, Health: n.organs.board.Reach(), Slot: s.plan.Endpoint, Observer: s.observer,
		Regions: regions, Log: n.organs.access, Metrics: n.organs.http,
	})
	if err != nil {
		return nil, err
	}
	if old != nil && old.cfg == cfg {
		s.certs = old.certs // a rebuild must not fail because of what did not ask for it
		return s, nil
	}
	if s.certs, err = cert.Build(cfg, oldCerts); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	return s, nil
}

func explainDNS(zones *dns.Zones, name, qtype string, client netip.Addr, subnet netip.Prefix) (*dns.Explanation, error) {
	t, err := dns.ParseType(qtype)
	if err != nil {
		return nil, err
	}
	return zones.Explain(name, t, &dns.Client{Addr: client, Subnet: subnet, Random: rand.Uint64()})
}

// Preview builds a configuration without opening a socket or starting anything: what New would refuse before it binds, it
// refuses. The node it returns can explain decisions, with no health known (everything counts as up), and must not be run.
func Preview(cfg *config.Config, log *slog.Logger) (*Node, error) {
	quiet := *cfg
	quiet.Log.Access, quiet.StateDir = "off", "" // a preview opens no file for writing
	quiet.DNS.QueryLog, quiet.DNS.Tap = nil, nil
	n := &Node{options: Options{Config: &quiet, Log: log}, log: log, ready: make(chan struct{}), killed: make(chan struct{}), found: make(chan struct{}, 1)}
	registry := prometheus.NewRegistry()
	n.metrics = newMetrics(registry, "", n)
	var err error
	if n.organs, err = newOrgans(n.options, registry, n); err != nil {
		return nil, err
	}
	defer n.organs.close()
	s, err := n.build(&quiet, nil)
	if err != nil {
		return nil, err
	}
	n.snapshot.Store(s)
	return n, s.zones.Check()
}
