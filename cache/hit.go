package cache

import (
	"context"
	"time"

	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/cache/record"
	"github.com/meridian-edge/meridian/cache/reply"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// hit answers a fresh hit: most of what a busy cache does. nil: it is none. result is zero before, and is written to only by a hit.
func (s *Store) hit(req *Request, w *wish, key []byte, url int, result *Result) *httpwire.Response {
	hash := s.hash(key[:url])
	sh := &s.shards[hash&(shardCount-1)]
	if url < len(key) {
		hash = s.hash(key)
	}
	now := time.Now()
	sh.mu.Lock()
	if id, v, age, ttl := sh.fresh(req, w, key, hash, now); id != 0 {
		p := sh.packed.At(id)
		t := s.memory.Numbered(p.tenant)
		sh.touchPacked(t, id, p, hash, req.Policy.Pin)
		page := t.arenas[sh.number].Hold(p.ref)
		sh.mu.Unlock()
		result.Outcome, result.Key, result.ShowKey, result.TTL, result.Age = Hit, v.Key(), req.Policy.ShowKey, ttl, age
		src := reply.Source{View: v, Page: page, Age: age, Stored: true}
		return s.reply(context.Background(), result, req, w, &src)
	}
	g := sh.groups[string(key)]
	if g == nil {
		sh.mu.Unlock()
		return nil
	}
	e := g.find(req.Head.Fields)
	if e == nil || e.head.total > 0 || !w.Fits(e.freshness(), now) {
		sh.mu.Unlock()
		return nil
	}
	e.touch(req.Policy.Pin)
	h, o := e.current(), e.object
	o.Hold()
	sh.mu.Unlock()
	result.Outcome, result.Key, result.ShowKey, result.TTL, result.Age = Hit, g.key, req.Policy.ShowKey, h.fresh.TTL(now), h.fresh.Age(now)
	return s.respond(context.Background(), result, req, w, source{head: h, object: o, age: result.Age, stored: true})
}

// fresh finds a response at rest that answers a request as it is, with the shard's lock held; 0: there is none. Of several it is the one that
// group.find would select.
func (sh *shard) fresh(req *Request, w *wish, key []byte, hash uint64, now time.Time) (id uint32, view record.View, age, ttl time.Duration) {
	var best uint32
	for id := sh.packed.First(hash); id != 0; id = sh.packed.Next(id) {
		p := sh.packed.At(id)
		if p.entry != 0 {
			continue
		}
		if v := sh.view(p); v.Key() == string(key) && v.Match(req.Head.Fields) && (best == 0 || before(v, view)) {
			best, view = id, v
		}
	}
	if best == 0 || !sh.stands(sh.packed.At(best), view) {
		return 0, view, 0, 0
	}
	age, ttl, ok := view.Age(now.Sub(sh.store.epoch))
	if !ok || w.Ask != nil && !sh.satisfies(view, w, now) {
		return 0, view, 0, 0
	}
	if req.Encode.On && req.Encode.Coding != encode.Identity && view.Mark() && view.Body(int(req.Encode.Coding)) == nil {
		return 0, view, 0, 0 // it is to be encoded first
	}
	return best, view, age, ttl
}

// satisfies reports whether a response at rest is what a request wants that has wishes about freshness.
func (sh *shard) satisfies(v record.View, w *wish, now time.Time) bool {
	f := v.Fresh(sh.store.epoch)
	return w.Fits(&f, now)
}

// before reports whether a rather than b is selected when a request matches both.
func before(a, b record.View) bool {
	if a.Varies() != b.Varies() {
		return a.Varies()
	}
	return a.Received() > b.Received()
}

// stands reports whether no purge has hit a response at rest, as entry.alive does.
func (sh *shard) stands(p *packed, v record.View) bool {
	book := sh.store.book
	version := book.Version() + 1
	if p.judged == version {
		return true
	}
	subject := subjectOf(v.Key(), v.Born(), v.Tags())
	if verdict := book.Judge(&subject); verdict.Dead || verdict.Soft {
		return false
	}
	p.judged = version
	return true
}
