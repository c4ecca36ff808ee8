package demo

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxFailures is how many failures are kept word for word.
const maxFailures = 10

// stats is what the clients have measured so far. It is safe for concurrent use, and its size does not grow with time.
type stats struct {
	world *world
	start time.Time

	mu        sync.Mutex // guards the fields below
	requests  int        // finished, well or not
	failed    int
	retried   int // requests that took more than one attempt and ended well
	hits      int
	latency   histogram // of good answers, retries included
	failures  []string
	byProto   map[string]int
	byEdge    map[string]int
	byOrigin  map[string]int // requests an edge went to an origin for
	byCountry map[string]*countryStats
	clients   map[int]*path
	losses    []*loss

	queries    int
	unanswered int // queries without a usable answer: the client asked the next name server
	// avoided says since when a name server should not name an edge, because it knows it to be down.
	avoided map[netip.Addr]map[netip.Addr]time.Time
	suspect map[netip.Addr]int // answers of a name server that named one all the same, not judged yet
	named   int                // those that confirm has judged
}

// countryStats is what one country's clients got.
type countryStats struct {
	Requests int
	Edge     string // that answered last
	Origin   string // that the edge last went to
}

// path is how a client was served last.
type path struct{ edge, origin string }

func newStats(w *world) *stats {
	return &stats{
		world: w, start: time.Now(), byProto: map[string]int{}, byEdge: map[string]int{}, byOrigin: map[string]int{},
		byCountry: map[string]*countryStats{}, clients: map[int]*path{}, avoided: map[netip.Addr]map[netip.Addr]time.Time{},
		suspect: map[netip.Addr]int{},
	}
}

// record takes in a finished request.
func (s *stats) record(r *sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	for _, l := range s.losses {
		l.observe(r, s.world.edgeAt(r.edge))
	}
	if r.err != nil {
		s.failed++
		if len(s.failures) < maxFailures {
			s.failures = append(s.failures, r.client.country.Code+": "+r.err.Error())
		}
		return
	}
	if r.attempts > 1 {
		s.retried++
	}
	if r.hit {
		s.hits++
	}
	s.latency.add(r.took())
	s.byProto[r.proto]++
	s.place(r)
}

// place remembers which way the answer came.
func (s *stats) place(r *sample) {
	edge := s.world.edgeAt(r.edge)
	c := s.byCountry[r.client.country.Code]
	if c == nil {
		c = &countryStats{}
		s.byCountry[r.client.country.Code] = c
	}
	p := s.clients[r.client.id]
	if p == nil {
		p = &path{}
		s.clients[r.client.id] = p
	}
	s.byEdge[edge]++
	c.Requests++
	c.Edge, p.edge = edge, edge
	if r.origin != "" {
		s.byOrigin[r.origin]++
		c.Origin, p.origin = r.origin, r.origin
	}
}

// asked takes in a DNS query.
func (s *stats) asked(q query) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries++
	if q.err != nil {
		s.unanswered++
	}
	for _, a := range q.answers {
		if since, known := s.avoided[q.server.Addr()][a]; known && q.sent.After(since) {
			s.suspect[q.server.Addr()]++
		}
	}
	for _, l := range s.losses {
		l.observeQuery(q, s.world.edgeAt)
	}
}

// avoid notes that the name server of an edge knows another edge to be down: none of its answers to later queries may name it.
func (s *stats) avoid(server, dead netip.Addr, since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.avoided[server]
	if m == nil {
		m = map[netip.Addr]time.Time{}
		s.avoided[server] = m
	}
	if _, known := m[dead]; !known {
		m[dead] = since
	}
}

// confirm judges what a name server has answered since it was last looked at. When every edge seems down to it, it must treat
// all as up, so answers are held against it only if it saw another edge up all the time.
func (s *stats) confirm(server netip.Addr, sawAnother bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sawAnother {
		s.named += s.suspect[server]
	}
	delete(s.suspect, server)
}

// allow ends avoid for an edge that is about to come back.
func (s *stats) allow(edge netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.avoided {
		delete(m, edge)
	}
}

// lose starts to follow what the loss of an edge or an origin does to the clients served by it. Call it just before the kill.
func (s *stats) lose(kind, name string) *loss {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &loss{kind: kind, name: name, at: time.Now(), waiting: map[int]bool{}, done: make(chan struct{})}
	for id, p := range s.clients {
		if kind == lossEdge && p.edge == name || kind == lossOrigin && p.origin == name {
			l.waiting[id] = true
		}
	}
	l.affected = len(l.waiting)
	if l.affected == 0 {
		close(l.done)
	}
	s.losses = append(s.losses, l)
	return l
}

// progress says what a loss has done so far.
func (s *stats) progress(l *loss) lossResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	return l.result()
}

// settle ends the following of a loss and returns what it did.
func (s *stats) settle(l *loss) lossResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.losses = slices.DeleteFunc(s.losses, func(other *loss) bool { return other == l })
	return l.result()
}

// seen is a copy of the counters at one moment.
type seen struct {
	Elapsed                      time.Duration
	Requests, Failed, Retried    int
	Hits, Queries, Unanswered    int
	Named                        int
	P50, P99                     time.Duration
	Failures                     []string
	ByProtocol, ByEdge, ByOrigin map[string]int
	ByCountry                    map[string]countryStats
}

// hitRatio is the share of good answers that came from a cache.
func (s seen) hitRatio() float64 {
	if good := s.Requests - s.Failed; good > 0 {
		return float64(s.Hits) / float64(good)
	}
	return 0
}

func (s *stats) snapshot() seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := seen{
		Elapsed: time.Since(s.start), Requests: s.requests, Failed: s.failed, Retried: s.retried, Hits: s.hits,
		Queries: s.queries, Unanswered: s.unanswered, Named: s.named,
		P50: s.latency.quantile(0.5), P99: s.latency.quantile(0.99), Failures: slices.Clone(s.failures),
		ByProtocol: copyMap(s.byProto), ByEdge: copyMap(s.byEdge), ByOrigin: copyMap(s.byOrigin),
		ByCountry: map[string]countryStats{},
	}
	for code, c := range s.byCountry {
		out.ByCountry[code] = *c
	}
	return out
}

// copyMap copies counters, so that none is nil in a report.
func copyMap(m map[string]int) map[string]int {
	out := make(map[string]int, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// wasHit reads a Cache-Status field (RFC 9211 section 2): the last member is the cache nearest to us, and it was a hit when it
// has that parameter.
func wasHit(status string) bool {
	hit, quoted, start := false, false, 0
	for i := 0; i <= len(status); i++ {
		end := i == len(status)
		switch {
		case !end && quoted && status[i] == '\\':
			i++ // what follows is part of the string
		case !end && status[i] == '"':
			quoted = !quoted
		case end || !quoted && (status[i] == ';' || status[i] == ','):
			hit = hit || strings.TrimSpace(status[start:i]) == "hit"
			start = i + 1
			if !end && status[i] == ',' {
				hit = false // a cache behind this one
			}
		}
	}
	return hit
}
