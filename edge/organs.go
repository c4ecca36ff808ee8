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
	keeper   *healthcheck.Keeper // nil: nothing is kept over a restart
	cache    *cache.Store
	origin   *origin.Transport
	dns      *dns.Server
	http     *proxy.Metrics
	fronts   *std.Metrics
	access   *proxy.AccessLog // nil: off
	closers  []io.Closer      // what close closes, in order

	mu     sync.Mutex // guards the fields below
	places *geo.DB
	source string // path places was read from; "": embedded
}

func newOrgans(o Options, registry *prometheus.Registry, n *Node) (*organs, error) {
	cfg := o.Config
	a := &organs{registry: registry, board: healthcheck.NewBoard()}
	a.checker = healthcheck.NewChecker(healthcheck.Options{Board: a.board, Log: o.Log, Registerer: registry})
	a.cache = cache.New(cache.Options{Memory: cfg.Cache.Memory, Node: proxy.Token(cfg.Edge.Name), Log: o.Log, Registerer: registry})
	a.origin = origin.NewTransport(origin.Options{Log: o.Log, Registerer: registry})
	a.dns = dns.NewServer(dns.Options{Source: n, Limits: cfg.Limits, Log: o.Log, Registerer: registry})
	a.http = proxy.NewMetrics(registry)
	a.fronts = std.NewMetrics(registry)
	out, err := accessOutput(o)
	if err != nil {
		return nil, err
	}
	if out != nil {
		a.access = proxy.NewAccessLog(out, o.Log, a.http)
		if c, ok := out.(io.Closer); ok && out != os.Stdout {
			a.closers = append(a.closers, c)
		}
	}
	return a, nil
}

// accessOutput opens where access log lines go; nil is nowhere.
func accessOutput(o Options) (io.Writer, error) {
	if o.AccessLog != nil {
		return struct{ io.Writer }{o.AccessLog}, nil // the caller's to close
	}
	switch path := o.Config.Log.Access; path {
	case "off":
		return nil, nil
	case "", "stdout":
		return os.Stdout, nil
	default:
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
		if err != nil {
			return nil, fmt.Errorf("open access log: %w", err)
		}
		return f, nil
	}
}

// placesFor returns the database the configuration names, read again only when that changed.
func (a *organs) placesFor(cfg *config.Config) (*geo.DB, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.places != nil && a.source == cfg.Geo.Database {
		return a.places, nil
	}
	db, err := geo.Embedded()
	if cfg.Geo.Database != "" {
		db, err = geo.Open(cfg.Geo.Database)
	}
	if err != nil {
		return nil, fmt.Errorf("open place database: %w", err)
	}
	a.places, a.source = db, cfg.Geo.Database
	return db, nil
}

func (a *organs) close() {
	a.origin.Close()
	a.cache.Close()
	for _, c := range a.closers {
		_ = c.Close()
	}
}
