package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

const (
	perCountry      = 2                      // clients in each country
	requestRate     = 8                      // requests a second of one client, at most
	requestDeadline = 10 * time.Second       // from the first attempt to a good answer; then the request has failed
	firstBackoff    = 20 * time.Millisecond  // before the second retry; the first is immediate
	lastBackoff     = 400 * time.Millisecond // backoff doubles up to this
	apiEvery        = 5                      // of so many requests one is for apiPath
)

// sample is one finished request as its client saw it.
type sample struct {
	client   *client
	proto    string
	edge     netip.Addr // that gave the answer
	hit      bool       // from the edge's cache
	origin   string     // that the edge went to for it; empty when it was a hit
	began    time.Time
	ended    time.Time
	attempts int
	err      error // nil: the right answer
}

func (s *sample) took() time.Duration { return s.ended.Sub(s.began) }

// client is somebody in a country who reads the site.
type client struct {
	id       int
	country  country
	resolver *resolver
	lanes    []*lane
	paths    []string
	random   *rand.Rand
	deadline time.Duration // requestDeadline
	record   func(*sample)
}

// run sends requests at the client's pace until ctx is done. The request under way then is finished: what a client waits for
// is never left out of the count.
func (c *client) run(ctx context.Context) {
	defer func() {
		for _, l := range c.lanes {
			l.drop()
		}
	}()
	interval := time.Second / requestRate
	timer := time.NewTimer(time.Duration(c.random.Int64N(int64(interval))))
	defer timer.Stop()
	for i := c.random.IntN(len(c.lanes) * apiEvery); ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		due := time.Now().Add(interval*3/4 + time.Duration(c.random.Int64N(int64(interval/2))))
		c.record(c.request(context.WithoutCancel(ctx), c.lanes[i%len(c.lanes)], c.path(i)))
		timer.Reset(time.Until(due))
	}
}

// path is an asset, the first ones more often than the last, or in its turn the one nobody may cache.
func (c *client) path(i int) string {
	if i%apiEvery == 0 {
		return apiPath
	}
	n := len(c.paths)
	return c.paths[min(c.random.IntN(n), c.random.IntN(n))]
}

// request fetches one path as a browser does: when the connection fails, it asks DNS again and retries, until there is an
// answer or nobody would wait any longer.
func (c *client) request(ctx context.Context, l *lane, path string) *sample {
	s := &sample{client: c, proto: l.proto, began: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, c.deadline)
	defer cancel()
	var last error
	for backoff := time.Duration(0); ; backoff = min(max(backoff*2, firstBackoff), lastBackoff) {
		answer, err := c.attempt(ctx, l, path, s)
		s.ended = time.Now()
		switch {
		case err == nil:
			s.hit, s.origin = wasHit(answer.cacheStatus), answer.origin
			if s.hit {
				s.origin = ""
			}
			return s
		case errors.Is(err, errWrong):
			s.err = err
			return s
		case ctx.Err() != nil:
			if last == nil {
				last = err
			}
			s.err = fmt.Errorf("%s over %s: no answer in %s, %d attempts: %w", path, l.proto, c.deadline, s.attempts, last)
			return s
		}
		last = err
		if s.attempts > 1 {
			pause(ctx, backoff)
		}
	}
}

// attempt resolves the host and asks the edge it gets once. A retry wants another opinion than the cached address.
func (c *client) attempt(ctx context.Context, l *lane, path string, s *sample) (reply, error) {
	s.attempts++
	addr, err := c.resolver.lookup(ctx, host, s.attempts > 1)
	if err != nil {
		return reply{}, err
	}
	s.edge = addr
	answer, err := l.get(ctx, addr, path)
	if err != nil {
		l.drop()
	}
	return answer, err
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// newClients makes the clients of all countries. Each has its own address on loopback, so that edges see different peers.
func newClients(w *world, record func(*sample), report func(query)) []*client {
	var paths []string
	for _, a := range theAssets() {
		paths = append(paths, a.Path)
	}
	var list []*client
	for _, country := range w.Countries {
		for range perCountry {
			id := len(list)
			source := netip.AddrFrom4([4]byte{127, 0, 3, byte(id + 1)})
			c := &client{
				id: id, country: country, paths: paths, record: record, deadline: requestDeadline,
				random:   rand.New(rand.NewPCG(uint64(id), 0)),
				resolver: &resolver{servers: w.nameServers(), subnet: country.Subnet, source: source, report: report, next: id},
			}
			for _, proto := range protocols() {
				c.lanes = append(c.lanes, &lane{proto: proto, source: source, http: w.Ports.HTTP, https: w.Ports.HTTPS})
			}
			list = append(list, c)
		}
	}
	return list
}
