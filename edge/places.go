package edge

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/steer/geo"
)

const (
	// defaultPlacesWatch is how often the place database is looked at.
	defaultPlacesWatch = 30 * time.Second
	// oldPlaces is the age from which a place database is worth a warning: networks move.
	oldPlaces = 90 * 24 * time.Hour
)

// placesOrgan keeps the place database that serves, so that a reload reads it again only when it changed, and so that a damaged
// file leaves the last good one in service.
type placesOrgan struct {
	log     *slog.Logger
	built   *prometheus.GaugeVec
	reloads *prometheus.CounterVec

	mu sync.Mutex // guards the fields below

	serving *placeData // nil before the first generation
	refused fileStamp  // of a new version that is damaged; zero: none
}

// placeData is one version of a place database with the overrides of one configuration. It is immutable.
type placeData struct {
	data      *geo.DB   // without overrides
	path      string    // it was read from; "": embedded
	stamp     fileStamp // of the file it is
	overrides []config.GeoOverride
	places    *geo.DB // data with the overrides
}

func newPlaces(log *slog.Logger, reg prometheus.Registerer) *placesOrgan {
	p := &placesOrgan{log: log}
	p.built, p.reloads = newPlacesMetrics(reg)
	return p
}

// read returns the places a configuration asks for; the caller hands them to settle when they go into service. Of the file that
// serves already, a new version that is damaged is no error: the last good one stays.
func (p *placesOrgan) read(cfg *config.Config) (*placeData, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.serving
	if old == nil || old.path != cfg.Geo.Database {
		return openPlaces(cfg, nil)
	}
	if p.changedLocked() {
		now := stamp(old.path)
		next, err := openPlaces(cfg, nil)
		if err == nil {
			return next, nil
		}
		p.refused = now
		p.reloads.WithLabelValues("refused").Inc()
		p.log.Warn("place database refused, the last good one keeps serving", "file", old.path, "error", err)
	}
	if reflect.DeepEqual(old.overrides, cfg.Geo.Overrides) {
		return old, nil
	}
	return openPlaces(cfg, old)
}

// openPlaces reads the database of a configuration, unless old is it. The stamp is taken first: a file that changes while it is
// read is then read once more.
func openPlaces(cfg *config.Config, old *placeData) (*placeData, error) {
	next := &placeData{path: cfg.Geo.Database, overrides: cfg.Geo.Overrides}
	var err error
	switch {
	case old != nil:
		next.data, next.stamp = old.data, old.stamp
	case next.path == "":
		next.data, err = geo.Embedded()
	default:
		next.stamp = stamp(next.path)
		next.data, err = geo.Open(next.path)
	}
	if err != nil {
		return nil, fmt.Errorf("open place database: %w", err)
	}
	if next.places, err = next.data.WithOverrides(overridesOf(cfg)); err != nil {
		return nil, fmt.Errorf("geo.overrides: %w", err)
	}
	return next, nil
}

// changed reports whether there is a new version of the file that serves, one that has not been refused.
func (p *placesOrgan) changed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changedLocked()
}

func (p *placesOrgan) changedLocked() bool {
	if p.serving == nil || p.serving.path == "" {
		return false
	}
	now := stamp(p.serving.path)
	return now != (fileStamp{}) && now != p.serving.stamp && now != p.refused
}

// settle takes over what has just gone into service, and says what there is to say about it.
func (p *placesOrgan) settle(next *placeData, cfg *config.Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.serving
	p.serving = next
	if old != nil && old.data == next.data {
		return
	}
	source, built := "file", next.data.Built()
	if next.path == "" {
		source = "embedded"
	}
	p.built.Reset()
	p.built.WithLabelValues(source).Set(float64(built.Unix()))
	p.refused = fileStamp{}
	if old != nil {
		p.reloads.WithLabelValues("loaded").Inc()
		p.log.Info("place database loaded", "source", next.data.Source(), "built", built.Format(time.DateOnly))
	}
	if age := time.Since(built); age > oldPlaces && asksForPlaces(cfg) {
		p.log.Warn("the place database is old: networks have moved since it was made", "source", next.data.Source(),
			"built", built.Format(time.DateOnly), "days", int(age.Hours()/24))
	}
}

// asksForPlaces reports whether a configuration depends on where clients are.
func asksForPlaces(cfg *config.Config) bool {
	if cfg.Geo.Database != "" {
		return true
	}
	for i := range cfg.Zones {
		for j := range cfg.Zones[i].Records {
			switch cfg.Zones[i].Records[j].Policy {
			case "geolocation", "geoproximity", "latency":
				return true
			}
		}
	}
	return false
}

func overridesOf(cfg *config.Config) []geo.Override {
	list := make([]geo.Override, len(cfg.Geo.Overrides))
	for i := range cfg.Geo.Overrides {
		o := &cfg.Geo.Overrides[i]
		list[i] = geo.Override{Prefixes: o.CIDRs, Country: o.Country, Subdivision: o.Subdivision}
		if o.HasPoint {
			list[i].Point = geo.At(o.Lat, o.Lon)
		}
	}
	return list
}

// watchPlaces makes a generation with the new places when the database has changed.
func (n *Node) watchPlaces(ctx context.Context) {
	every := n.options.WatchPlaces
	if every == 0 {
		every = defaultPlacesWatch
	}
	if every < 0 {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n.organs.places.changed() {
			n.rebuild()
		}
	}
}
