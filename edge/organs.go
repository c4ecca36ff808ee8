package edge

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/healthcheck"
	"github.com/meridian-edge/meridian/proxy"
	"github.com/meridian-edge/meridian/proxy/origin"
	"github.com/meridian-edge/meridian/proxy/std"
	"github.com/meridian-edge/meridian/steer/geo"
)

// organs are the parts that live longer than a configuration. Snapshots point at them, never the other way round.
type organs struct {
	registry *prometheus.Registry
	board    *healthcheck.Board
	checker  *healthcheck.Checker
	fleet    *healthcheck.Fleet
	cache    *cache.Store
	origin   *origin.Transport
	dns      *dns.Server
	http     *proxy.Metrics
	fronts   *std.Metrics
	access   *proxy.AccessLog // nil: off
	file     *logFile         // what access writes to, when that is a file of the configuration; else nil

	mu     sync.Mutex // guards the fields below
	places *geo.DB
	source string // path places was read from; "": embedded
	read   fileStamp
}

func newOrgans(o Options, registry *prometheus.Registry, n *Node) (*organs, error) {
	cfg := o.Config
	a := &organs{registry: registry, board: healthcheck.NewBoard()}
	a.checker = healthcheck.NewChecker(healthcheck.Options{Board: a.board, Log: o.Log, Registerer: registry})
	a.fleet = healthcheck.NewFleet(healthcheck.FleetOptions{
		Board: a.board, Rule: healthcheck.RuleOf(cfg.Quorum), Voter: cfg.Edge.Name, Region: cfg.Edge.Region, Log: o.Log,
	})
	a.cache = cache.New(cache.Options{Memory: cfg.Cache.Memory, Node: proxy.Token(cfg.Edge.Name), Log: o.Log, Registerer: registry})
	a.origin = origin.NewTransport(origin.Options{Log: o.Log, Registerer: registry})
	a.dns = dns.NewServer(dns.Options{Source: n, Limits: cfg.Limits, Log: o.Log, Registerer: registry})
	a.http = proxy.NewMetrics(registry)
	a.fronts = std.NewMetrics(registry)
	out, err := a.accessOutput(o)
	if out != nil {
		a.access = proxy.NewAccessLog(out, o.Log, a.http)
	}
	return a, err
}

// accessOutput opens where access log lines go; nil is nowhere.
func (a *organs) accessOutput(o Options) (io.Writer, error) {
	if o.AccessLog != nil {
		return o.AccessLog, nil // the caller's to close
	}
	switch path := o.Config.Log.Access; path {
	case "off":
		return nil, nil
	case "", "stdout":
		return os.Stdout, nil
	default:
		var err error
		if a.file, err = openLog(path); err != nil {
			return nil, err
		}
		return a.file, nil
	}
}

// placesFor returns the database the configuration names, read again only when that changed.
func (a *organs) placesFor(cfg *config.Config) (*geo.DB, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := stamp(cfg.Geo.Database)
	if a.places != nil && a.source == cfg.Geo.Database && a.read == now {
		return a.places, nil
	}
	db, err := geo.Embedded()
	if cfg.Geo.Database != "" {
		db, err = geo.Open(cfg.Geo.Database)
	}
	if err != nil {
		return nil, fmt.Errorf("open place database: %w", err)
	}
	a.places, a.source, a.read = db, cfg.Geo.Database, now
	return db, nil
}

// samePlaces reports whether placesFor would return what it returned last.
func (a *organs) samePlaces(cfg *config.Config) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.source == cfg.Geo.Database && a.read == stamp(cfg.Geo.Database)
}

func (a *organs) close() {
	a.origin.Close()
	a.cache.Close()
	if a.file != nil {
		_ = a.file.Close()
	}
}
