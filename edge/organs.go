package edge

import (
	"io"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/disk"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/dns/guard"
	"github.com/meridian-edge/meridian/dns/tap"
	"github.com/meridian-edge/meridian/edge/authority"
	"github.com/meridian-edge/meridian/edge/discover"
	"github.com/meridian-edge/meridian/healthcheck"
	"github.com/meridian-edge/meridian/proxy"
	"github.com/meridian-edge/meridian/proxy/origin"
	"github.com/meridian-edge/meridian/proxy/std"
)

// organs are the parts that live longer than a configuration. Snapshots point at them, never the other way round.
type organs struct {
	registry  *prometheus.Registry
	board     *healthcheck.Board
	checker   *healthcheck.Checker
	fleet     *healthcheck.Fleet
	keeper    *healthcheck.Keeper // nil: nothing is kept over a restart
	cache     *cache.Store
	purges    *purge.Book
	disk      *disk.Tier // nil: memory only
	origin    *origin.Transport
	dns       *dns.Server
	authority *authority.Keeper
	guard     *guard.Guard
	queries   *tap.Log     // nil: off
	dnstap    *tap.Dnstap  // nil: off
	queryFile *logFile     // what queries writes to, when that is a file; else nil
	taps      *tap.Metrics // of query logs, whether there are any or not
	http      *proxy.Metrics
	fronts    *std.Metrics
	access    *proxy.AccessLog // nil: off
	file      *logFile         // what access writes to, when that is a file of the configuration; else nil
	places    *placesOrgan
	discover  *discover.Watcher
}

func newOrgans(o Options, registry *prometheus.Registry, n *Node) (*organs, error) {
	cfg := o.Config
	a := &organs{registry: registry, board: healthcheck.NewBoard()}
	a.checker = healthcheck.NewChecker(healthcheck.Options{Board: a.board, Log: o.Log, Registerer: registry, Passed: n.noteFound})
	a.fleet = healthcheck.NewFleet(healthcheck.FleetOptions{
		Board: a.board, Rule: healthcheck.RuleOf(cfg.Quorum), Voter: cfg.Edge.Name, Region: cfg.Edge.Region, Log: o.Log,
		References: cfg.Quorum.References, Registerer: registry,
	})
	var err error
	if a.purges, err = purge.Open(purge.Options{Dir: cfg.StateDir}); err != nil {
		return nil, err
	}
	if err = a.openDisk(cfg, o.Log); err != nil {
		return nil, err
	}
	a.cache = cache.New(cache.Options{
		Disk:   a.disk,
		Memory: cfg.Cache.Memory, TagFields: cfg.Cache.TagFields, Node: proxy.Token(cfg.Edge.Name), Log: o.Log, Registerer: registry, Purges: a.purges,
	})
	a.cache.SetQuotas(quotas(cfg))
	a.origin = origin.NewTransport(origin.Options{Log: o.Log, Registerer: registry})
	a.taps = tap.NewMetrics(registry)
	a.http = proxy.NewMetrics(registry)
	a.fronts = std.NewMetrics(registry)
	a.places = newPlaces(o.Log, registry)
	a.discover = discover.New(discover.Options{Log: o.Log, Registerer: registry, Changed: n.noteFound, Dir: cfg.StateDir})
	if err = a.nameserver(o, registry); err != nil {
		return nil, err
	}
	out, err := a.accessOutput(o)
	if out != nil {
		a.access = proxy.NewAccessLog(out, o.Log, a.http)
	}
	return a, err
}

// openDisk opens the disk tier, if there is to be one.
func (a *organs) openDisk(cfg *config.Config, log *slog.Logger) (err error) {
	if d := cfg.Cache.Disk; d != nil {
		a.disk, err = disk.Open(disk.Options{Path: d.Path, Size: d.Size, Identity: a.purges.Identity(), Log: log, Registerer: a.registry})
	}
	return err
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

func (a *organs) close() {
	a.authority.Close()
	a.origin.Close()
	a.cache.Close()
	if a.disk != nil {
		_ = a.disk.Close()
	}
	_ = a.purges.Close() // every order was synced when it was given
	if a.file != nil {
		_ = a.file.Close()
	}
	if a.queryFile != nil {
		_ = a.queryFile.Close()
	}
}
