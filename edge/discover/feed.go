package discover

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/meridian-edge/meridian/config"
)

// feed is one source of one pool and the last good endpoints it named.
type feed struct {
	key    feedKey
	manner manner
	name   string // of the source, for people
	look   func(context.Context) (found, error)

	// The fields below are guarded by Watcher.mu.

	looked   bool
	set      []config.Endpoint // in use: the last good ones, and those that are held
	latest   []config.Endpoint // what the source named last
	held     int               // how many of set the source no longer names
	agreed   int               // looks in a row that would take away too much
	total    int               // endpoints of the pool before the first of them
	failures int               // in a row
	failure  string            // why; empty: none
	good     time.Time         // when the source last named endpoints; zero: never
	restored bool              // set is what an earlier process has found
	old      bool              // set is older than tooOld, and that has been said
}

// found is what one look at a source led to.
type found struct {
	endpoints []config.Endpoint
	same      bool          // nothing has changed since the look before; endpoints is empty
	again     time.Duration // when to look next
}

var errNone = errors.New("it names no endpoint")

// take puts the result of a look to use, and returns when to look again.
func (w *Watcher) take(f *feed, result found, err error) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.feeds[f.key] != f {
		return slowest // it is gone, and about to hear of it
	}
	if err == nil && !result.same && len(result.endpoints) == 0 {
		err = errNone // an empty answer is a failure (F33)
	}
	if err == nil && len(result.endpoints) > maxEndpoints {
		err = errors.New("it names more endpoints than a pool can have, 256")
	}
	defer w.looked(f)
	if err != nil {
		return w.failed(f, err)
	}
	w.metrics.looks.WithLabelValues(f.key.pool, f.manner.Kind, "ok").Inc()
	if f.failure != "" {
		w.log.Info("discovery works again", "pool", f.key.pool, "source", f.name)
	}
	f.failures, f.failure, f.good, f.restored, f.old = 0, "", time.Now(), false, false
	w.confirmed = true
	w.metrics.good.WithLabelValues(f.key.pool, f.name).Set(float64(f.good.UnixMilli()) / 1000)
	if !result.same {
		f.latest = result.endpoints
	}
	w.weigh(f)
	return result.again
}

// failed keeps what there is. The first failure of a row is logged. The caller holds mu.
func (w *Watcher) failed(f *feed, err error) time.Duration {
	w.metrics.looks.WithLabelValues(f.key.pool, f.manner.Kind, "failed").Inc()
	if f.failure == "" {
		w.log.Warn("discovery failed, the last good endpoints stay", "pool", f.key.pool, "source", f.name,
			"endpoints", len(f.set), "error", err)
	}
	f.failure = err.Error()
	f.failures++
	if f.manner.Kind == "file" {
		return f.manner.Interval // it costs nobody anything
	}
	return max(min(floor<<min(f.failures-1, 10), slowest), f.manner.Interval)
}

// weigh decides whether what a source named last is put in use as it is. What is new always is; what has vanished is held while
// it is too much at once. The caller holds mu.
func (w *Watcher) weigh(f *feed) {
	p := w.pools[f.key.pool]
	gone := missing(f.set, slices.Concat(f.latest, merge(p.written, without(p.feeds, f))))
	if f.agreed == 0 {
		f.total = len(merge(p.written, p.feeds))
	}
	if float64(len(gone))*100 <= p.maxVanish*float64(f.total) {
		w.use(f, f.latest, 0)
		return
	}
	f.agreed++
	if f.agreed > p.looks {
		w.log.Warn("endpoints that had vanished are given up: the source has confirmed it", "pool", f.key.pool, "source", f.name,
			"endpoints", len(gone))
		w.use(f, f.latest, 0)
		return
	}
	if f.agreed == 1 {
		w.log.Warn("too much of a pool vanished at once and is held", "pool", f.key.pool, "source", f.name,
			"vanished", len(gone), "of", f.total, "max_vanish", p.maxVanish)
	}
	w.use(f, slices.Concat(f.latest, gone), len(gone))
}

// use puts a set in use. The caller holds mu.
func (w *Watcher) use(f *feed, set []config.Endpoint, held int) {
	if held == 0 {
		f.agreed = 0
	}
	f.held = held
	p := w.pools[f.key.pool]
	before := len(f.set)
	same := slices.Equal(f.set, set)
	f.set = set
	w.metrics.show(f.key.pool, p)
	if same {
		return
	}
	w.version++
	w.log.Info("endpoints discovered", "pool", f.key.pool, "source", f.name, "endpoints", len(set), "before", before, "held", held)
	if n := len(p.written) + len(set); n > maxEndpoints {
		w.log.Warn("a pool has more endpoints than it can use", "pool", f.key.pool, "endpoints", n, "used", maxEndpoints)
	}
	w.changed()
}

// Accept believes every source: what is held goes. It is for operators who know that a pool did shrink.
func (w *Watcher) Accept() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.feeds {
		if f.held > 0 {
			w.use(f, f.latest, 0)
		}
	}
}

// target is what an endpoint dials, whatever else is said about it.
func target(e config.Endpoint) config.Endpoint {
	return config.Endpoint{Address: e.Address, Host: e.Host, Port: e.Port}
}

// merge adds to written endpoints what the feeds have and is not there yet, up to as many as a pool can have.
func merge(written []config.Endpoint, feeds []*feed) []config.Endpoint {
	seen := map[config.Endpoint]bool{}
	all := slices.Clip(written)
	for i := range written {
		seen[target(written[i])] = true
	}
	for _, f := range feeds {
		for _, e := range f.set {
			if t := target(e); !seen[t] && len(all) < maxEndpoints {
				seen[t] = true
				e.Discovered = true
				all = append(all, e)
			}
		}
	}
	return all
}

// missing lists what is in old and not in now.
func missing(old, now []config.Endpoint) []config.Endpoint {
	seen := map[config.Endpoint]bool{}
	for _, e := range now {
		seen[target(e)] = true
	}
	var gone []config.Endpoint
	for _, e := range old {
		if !seen[target(e)] {
			gone = append(gone, e)
		}
	}
	return gone
}

func without(feeds []*feed, f *feed) []*feed {
	return slices.DeleteFunc(slices.Clone(feeds), func(g *feed) bool { return g == f })
}

// Status is one source as the admin API shows it.
type Status struct {
	Pool      string    `json:"pool"`
	Source    string    `json:"source"`
	Endpoints int       `json:"endpoints"`          // in use, those that are held included
	Held      int       `json:"held,omitempty"`     // the source no longer names them
	LastGood  time.Time `json:"last_good,omitzero"` // when it last named endpoints
	Restored  bool      `json:"restored,omitempty"` // found before the last start, and not confirmed since
	Old       bool      `json:"old,omitempty"`      // last good more than a day ago
	Failure   string    `json:"failure,omitempty"`  // of the last look
}

// Status lists every source, sorted by pool, in the order of the configuration.
func (w *Watcher) Status() []Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []Status
	names := make([]string, 0, len(w.pools))
	for name := range w.pools {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, f := range w.pools[name].feeds {
			list = append(list, Status{Pool: name, Source: f.name, Endpoints: len(f.set), Held: f.held, LastGood: f.good,
				Restored: f.restored, Old: f.old, Failure: f.failure})
		}
	}
	return list
}
