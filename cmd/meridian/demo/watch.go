package demo

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/edge"
	"github.com/meridian-edge/meridian/steer"
)

// watchEvery is how often the edges are asked what they think.
const watchEvery = 100 * time.Millisecond

// watcher asks the edges for their health verdicts and their reasons, and tells what changed. It is safe for concurrent use.
type watcher struct {
	world *world
	nodes []*node
	stats *stats
	note  func(kind, text string)

	// explain is how many countries are asked about each time: only somebody who looks wants reasons.
	explain int

	mu      sync.Mutex // guards the fields below
	views   map[string]map[string]bool
	changes map[string]changes   // by edge
	killed  map[string]time.Time // what the script has killed, by name
	reasons map[string]reason    // by country

	turn int // country to explain next; only run uses it
}

// changes is what an edge thought of the edges when it was last asked.
type changes struct {
	flips uint64 // of all those verdicts
	up    int    // edges that were up
}

// reason is why a country is sent to an edge.
type reason struct {
	Edge     string
	Text     string
	Distance string // in kilometres
}

func newWatcher(w *world, nodes []*node, s *stats, note func(kind, text string)) *watcher {
	return &watcher{
		world: w, nodes: nodes, stats: s, note: note,
		views: map[string]map[string]bool{}, changes: map[string]changes{}, killed: map[string]time.Time{}, reasons: map[string]reason{},
	}
}

// run watches until ctx is done.
func (w *watcher) run(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	for {
		for _, n := range w.nodes {
			if list, err := n.health(ctx); err == nil {
				w.see(n, list, time.Now())
			} else if !n.alive() {
				w.forget(n)
			}
		}
		for range w.explain {
			w.explainNext(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// see takes in the verdicts of one edge.
func (w *watcher) see(n *node, list []edge.Verdict, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	view := w.views[n.at.Name]
	if view == nil {
		view = map[string]bool{}
		w.views[n.at.Name] = view
	}
	var edges changes
	for _, v := range list {
		subject, addr := w.subject(v.Endpoint)
		if subject == "" || v.State == "unknown" {
			continue
		}
		up := v.State == "up"
		if addr.IsValid() {
			edges.flips += v.Flips
			if up {
				edges.up++
			}
		}
		before, known := view[subject]
		view[subject] = up
		since, dead := w.killed[subject]
		if dead && !up && addr.IsValid() {
			w.stats.avoid(n.at.Addr, addr, now)
		}
		switch {
		case known && before && !up && dead:
			w.note(eventHealth, fmt.Sprintf("%s: %s is down, %s after the kill (%s)", n.at.Name, subject, millis(now.Sub(since)), v.Reason))
		case known && before && !up:
			w.note(eventHealth, fmt.Sprintf("%s: %s is down (%s)", n.at.Name, subject, v.Reason))
		case known && !before && up:
			w.note(eventHealth, fmt.Sprintf("%s: %s is up again", n.at.Name, subject))
		}
	}
	last := w.changes[n.at.Name]
	w.changes[n.at.Name] = edges
	w.stats.confirm(n.at.Addr, last.up > 0 && last == edges)
}

// subject is the name of the origin or the edge behind a probed address, and the address of an edge.
func (w *watcher) subject(endpoint string) (string, netip.Addr) {
	at, err := netip.ParseAddrPort(endpoint)
	if err != nil {
		return "", netip.Addr{}
	}
	for _, e := range w.world.Edges {
		if e.Addr == at.Addr() {
			return e.Name, e.Addr
		}
	}
	for _, o := range w.world.Origins {
		if o.Addr == at.Addr() {
			return o.Name, netip.Addr{}
		}
	}
	return "", netip.Addr{}
}

func (w *watcher) forget(n *node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.views, n.at.Name)
	delete(w.changes, n.at.Name)
}

// kill notes that the script kills something now.
func (w *watcher) kill(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.killed[name] = time.Now()
}

// revive notes that the script brings it back.
func (w *watcher) revive(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.killed, name)
}

// agree reports whether every living edge has a verdict about every name, and all of them say so.
func (w *watcher) agree(up bool, names ...string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.nodes {
		if !n.alive() {
			continue
		}
		for _, name := range names {
			if verdict, known := w.views[n.at.Name][name]; !known || verdict != up {
				return false
			}
		}
	}
	return true
}

// everything is the names of all origins and edges.
func (w *watcher) everything() []string {
	var names []string
	for _, l := range append(w.world.Origins[:len(w.world.Origins):len(w.world.Origins)], w.world.Edges...) {
		names = append(names, l.Name)
	}
	return names
}

// explainNext asks a living edge about the next country in turn.
func (w *watcher) explainNext(ctx context.Context) {
	c := w.world.Countries[w.turn%len(w.world.Countries)]
	w.turn++
	for i := range w.nodes {
		e, err := w.nodes[(w.turn+i)%len(w.nodes)].explain(ctx, c.Subnet.Addr().Next())
		if err != nil {
			continue
		}
		w.mu.Lock()
		w.reasons[c.Code] = reasonOf(e)
		w.mu.Unlock()
		return
	}
}

// reasonsNow is a copy of the last reasons by country.
func (w *watcher) reasonsNow() map[string]reason {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make(map[string]reason, len(w.reasons))
	for code, r := range w.reasons {
		out[code] = r
	}
	return out
}

// reasonOf puts the decision path of an answer into a few words: how far the edge is, and which nearer ones are down.
func reasonOf(e *dns.Explanation) reason {
	if len(e.Hops) == 0 {
		return reason{}
	}
	steps := e.Hops[len(e.Hops)-1].Steps
	chosen := slices.IndexFunc(steps, func(s steer.Step) bool { return s.Result == "chosen" })
	if chosen < 0 {
		return reason{}
	}
	km := kilometres(steps[chosen].Detail)
	r := reason{Edge: steps[chosen].Member, Text: "nearest", Distance: thousands(int(km))}
	var down []string
	for _, s := range steps {
		if s.Result == "last resort" && kilometres(s.Detail) < km {
			down = append(down, s.Member)
		}
	}
	if len(down) > 0 {
		r.Text = "nearest is down: " + strings.Join(down, ", ")
	}
	return r
}

// kilometres reads the distance a trace begins with; 0 when there is none.
func kilometres(detail string) float64 {
	number, _, _ := strings.Cut(detail, " km")
	km, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0
	}
	return km
}

// thousands groups the digits of a number that is not negative.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// millis shows a duration in whole milliseconds.
func millis(d time.Duration) string { return thousands(int(d.Milliseconds())) + " ms" }
