package demo

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	cycleTime   = time.Minute           // of a run without an end of its own
	lookEvery   = 20 * time.Millisecond // how often a condition is looked at
	prepareTime = 15 * time.Second      // for checks to come up and caches to warm
	settleTime  = 12 * time.Second      // for clients and health to follow a loss: longer than a client waits for a request
	returnTime  = 15 * time.Second      // for health to see what came back
	maxEvents   = 400                   // kept for the report
	maxLosses   = 100                   // kept for the report
	warmRatio   = 0.6                   // share of hits at which caches count as warm
	warmSamples = 100                   // requests before that is asked
)

// script makes things happen, each when its time has come and the world is ready for it.
type script struct {
	world   *world
	origins []*origin
	nodes   []*node
	stats   *stats
	watch   *watcher
	screen  *screen

	mu       sync.Mutex // guards the fields below
	events   []Event
	losses   []Loss
	prepared bool
	began    bool
}

// note records something that happened now, and shows it.
func (s *script) note(kind, text string) {
	e := Event{AtS: round(time.Since(s.stats.start).Seconds()), Kind: kind, Text: text}
	s.mu.Lock()
	if s.events = append(s.events, e); len(s.events) > maxEvents {
		s.events = slices.Delete(s.events, 0, len(s.events)-maxEvents)
	}
	s.mu.Unlock()
	s.screen.event(e)
}

// run plays the script once in length, or over and over until ctx is done when length is 0.
func (s *script) run(ctx context.Context, length time.Duration) {
	if length > 0 {
		s.cycle(ctx, length)
		return
	}
	for ctx.Err() == nil {
		s.cycle(ctx, cycleTime)
	}
}

// cycle loses an origin and an edge and gets both back. The shares of length say when each step is due; a step also waits
// for what it needs.
func (s *script) cycle(ctx context.Context, length time.Duration) {
	start := time.Now()
	due := func(share float64) time.Time { return start.Add(time.Duration(share * float64(length))) }
	s.prepare(ctx)
	s.until(ctx, due(0.2))
	s.loseOrigin(ctx, s.origins[0], due(0.4))
	s.until(ctx, due(0.55))
	s.loseEdge(ctx, s.nodes[0], due(0.8))
	s.until(ctx, due(1))
}

// prepare waits until every edge sees everything up and most answers come from caches.
func (s *script) prepare(ctx context.Context) {
	ready := s.await(ctx, prepareTime, func() bool {
		seen := s.stats.snapshot()
		return s.watch.agree(true, s.watch.everything()...) && seen.Requests >= warmSamples && seen.hitRatio() >= warmRatio
	})
	if !ready && ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	s.prepared = ready && (s.prepared || !s.began)
	s.began = true
	s.mu.Unlock()
	if !ready {
		s.note(eventProblem, "checks are not all up, or caches not warm, after "+prepareTime.String())
		return
	}
	s.note(eventStep, fmt.Sprintf("every edge sees %d origins and %d edges up; %.0f %% of answers come from caches",
		len(s.origins), len(s.nodes), 100*s.stats.snapshot().hitRatio()))
}

// victim is what is about to be killed.
type victim struct {
	kind, name string
	kill       func()
}

func (s *script) loseOrigin(ctx context.Context, o *origin, back time.Time) {
	if ctx.Err() != nil {
		return
	}
	s.note(eventStep, "killing origin "+o.name)
	s.lose(ctx, victim{lossOrigin, o.name, o.kill}, back)
	if ctx.Err() != nil {
		return
	}
	if err := o.start(); err != nil {
		s.note(eventProblem, err.Error())
		return
	}
	s.watch.revive(o.name)
	s.note(eventStep, "origin "+o.name+" is started again")
	s.returned(ctx, o.name)
}

func (s *script) loseEdge(ctx context.Context, n *node, back time.Time) {
	if ctx.Err() != nil {
		return
	}
	s.note(eventStep, "killing edge "+n.at.Name+": HTTP, DNS and all")
	s.lose(ctx, victim{lossEdge, n.at.Name, n.kill}, back)
	if ctx.Err() != nil {
		return
	}
	s.watch.revive(n.at.Name)
	s.stats.allow(n.at.Addr)
	if err := n.start(ctx); err != nil {
		s.note(eventProblem, err.Error())
		return
	}
	s.note(eventStep, "edge "+n.at.Name+" is started again, with an empty cache")
	s.returned(ctx, n.at.Name)
}

// lose kills something, follows what happens until everybody has been served another way and every edge knows, and at least
// until back.
func (s *script) lose(ctx context.Context, v victim, back time.Time) {
	following := s.stats.lose(v.kind, v.name)
	s.watch.kill(v.name)
	v.kill()
	limit := time.Now().Add(settleTime)
	health := time.Duration(-1)
	moved := s.await(ctx, time.Until(limit), func() bool {
		if health < 0 && s.watch.agree(false, v.name) {
			health = time.Since(following.at)
		}
		select {
		case <-following.done:
			return health >= 0
		default:
			return false
		}
	})
	if moved {
		s.tell(v, s.stats.progress(following))
	}
	s.until(ctx, back)
	result := s.stats.settle(following)
	if ctx.Err() != nil && !moved {
		return // ended by the user midway: nothing can be said about it
	}
	if !moved {
		s.note(eventProblem, fmt.Sprintf("%d of %d clients of %s were not served another way within %s", result.Waiting, result.Clients, v.name, settleTime))
	}
	s.keep(v, following.at, health, result)
}

// tell says what a loss has come to so far.
func (s *script) tell(v victim, r lossResult) {
	s.note(eventTraffic, fmt.Sprintf("all %d clients of %s are served another way, the last after %s; failed %d of %s, retried %d",
		r.Clients, v.name, millis(r.Failover), r.Failed, thousands(r.Good+r.Failed), r.Retried))
	if v.kind == lossEdge {
		s.note(eventDNS, fmt.Sprintf("%d answers still led to %s, the last %s after the kill", r.Named, v.name, millis(r.LastNamed)))
	}
}

// keep adds a loss to the report.
func (s *script) keep(v victim, at time.Time, health time.Duration, r lossResult) {
	l := Loss{
		Kind: v.kind, Name: v.name, Clients: r.Clients, Waiting: r.Waiting, FailoverMS: toMillis(r.Failover), HealthMS: -1,
		Good: r.Good, Retried: r.Retried, Failed: r.Failed, DNSNamed: r.Named, DNSNamedFor: toMillis(r.LastNamed),
		AfterS: round(at.Sub(s.stats.start).Seconds()),
	}
	if health >= 0 {
		l.HealthMS = toMillis(health)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.losses = append(s.losses, l); len(s.losses) > maxLosses {
		s.losses = slices.Delete(s.losses, 0, len(s.losses)-maxLosses)
	}
}

// returned waits until every edge sees something up again.
func (s *script) returned(ctx context.Context, name string) {
	if !s.await(ctx, returnTime, func() bool { return s.watch.agree(true, name) }) && ctx.Err() == nil {
		s.note(eventProblem, name+" is back, and not every edge sees it")
	}
}

// await looks at a condition until it holds. It returns false when the time is up or ctx is done first.
func (s *script) await(ctx context.Context, limit time.Duration, holds func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
		}
	}
	return true
}

func (s *script) until(ctx context.Context, at time.Time) { pause(ctx, time.Until(at)) }

// outcome is what has happened so far.
func (s *script) outcome(complete bool, folder string) *outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &outcome{
		seen: s.stats.snapshot(), Losses: slices.Clone(s.losses), Events: slices.Clone(s.events),
		Prepared: s.prepared, Complete: complete, Folder: folder,
	}
}
