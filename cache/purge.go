package cache

import (
	"github.com/meridian-edge/meridian/cache/key"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Receipt says what a purge has hit.
type Receipt struct {
	ID      uint64 `json:"id,omitempty"` // of the order, to undo it by; 0: a dry run
	Objects int    `json:"objects"`      // every variant counts
	Bytes   int64  `json:"bytes"`        // bodies, heads and keys
	Fills   int    `json:"fills"`        // fetches in flight that will not be stored, or are stale when they are
}

func (r *Receipt) add(more Receipt) {
	r.ID = max(r.ID, more.ID)
	r.Objects += more.Objects
	r.Bytes += more.Bytes
	r.Fills += more.Fills
}

// atLeast takes in what the disk has: all that is in memory too, but for what it had no time for.
func (r *Receipt) atLeast(n int, bytes int64) {
	if n > r.Objects {
		r.Objects, r.Bytes = n, max(r.Bytes, bytes)
	}
}

// Purge removes one URL for good: every variant, every value of the policy's extra fields, both schemes. Fills in flight for
// it are not stored, nor joined by later requests; those who read from them already go on. Once Purge has returned, nothing
// stored or fetched before is served to a later request, stale-if-error included (attack row C22). A soft purge makes the same
// responses stale instead. The query is keyed as policy says; nil means the whole query. It fails when the order cannot be kept.
func (s *Store) Purge(site string, canon *httpwire.Canonical, policy *config.CachePolicy, soft bool) (Receipt, error) {
	if policy == nil {
		policy = &config.CachePolicy{KeyQuery: config.KeyPart{All: true}}
	}
	var total Receipt
	keys := key.OfURL(site, canon, policy)
	hosts := map[string]bool{}
	for _, k := range keys {
		g := group{key: k}
		subject := g.subject(0, nil)
		if !hosts[subject.Host] {
			hosts[subject.Host] = true
			o, err := s.book.Add(purge.Order{Kind: purge.URL, Site: site, Host: subject.Host, Value: subject.URL, Soft: soft, With: total.ID})
			if err != nil {
				return total, err
			}
			total.ID = o.ID
		}
	}
	for _, k := range keys {
		if soft {
			total.add(s.tell(k))
		} else {
			total.add(s.drop(k))
		}
	}
	return total, nil
}

// PreviewURL counts what Purge would hit, and changes nothing.
func (s *Store) PreviewURL(site string, canon *httpwire.Canonical, policy *config.CachePolicy) Receipt {
	var total Receipt
	for _, k := range key.OfURL(site, canon, policy) {
		total.add(s.tell(k))
	}
	return total
}

// tell counts what there is under the URL part of a key.
func (s *Store) tell(key string) Receipt {
	var r Receipt
	n, bytes := s.countKept(key)
	sh := s.shard([]byte(key))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	all := func(*purge.Subject) bool { return true }
	if g := sh.groups[key]; g != nil {
		g.count(&r, all)
	}
	for g := range sh.extra[key] {
		g.count(&r, all)
	}
	for _, id := range sh.restingOf(key) {
		sh.countPacked(&r, id, all)
	}
	r.atLeast(n, bytes)
	return r
}

// count adds what of a group is hit, with the shard's lock held.
func (g *group) count(r *Receipt, hits func(*purge.Subject) bool) {
	for _, e := range g.entries {
		if subject := g.subject(e.head.born, e.head.tags); !e.dead.Load() && hits(&subject) {
			r.Objects++
			r.Bytes += e.bytes()
		}
	}
	for range g.fills {
		if subject := g.subject(0, nil); hits(&subject) {
			r.Fills++
		}
	}
}

// drop removes everything under the URL part of a key.
func (s *Store) drop(key string) Receipt {
	var r Receipt
	n, bytes := s.dropKept(key) // first: what is looked for meanwhile is then found in memory or nowhere
	for _, auth := range [...]bool{false, true} {
		s.passes.Remove(passKey([]byte(key), auth))
	}
	sh := s.shard([]byte(key))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if g := sh.groups[key]; g != nil {
		sh.clear(g, &r)
	}
	for g := range sh.extra[key] {
		sh.clear(g, &r)
	}
	for _, id := range sh.restingOf(key) {
		r.Objects++
		r.Bytes += sh.packed.At(id).weight()
		sh.removePacked(id)
	}
	r.atLeast(n, bytes)
	s.metrics.purged.Add(float64(r.Objects))
	return r
}

// clear removes everything of a group.
func (sh *shard) clear(g *group, r *Receipt) {
	for len(g.entries) > 0 {
		e := g.entries[0]
		r.Objects++
		r.Bytes += e.bytes()
		e.dead.Store(true)
		sh.remove(e)
	}
	for _, f := range g.fills {
		r.Fills++
		if f.old != nil {
			f.old.dead.Store(true)
		}
		f.purged.Store(true)
		if f.refs.Load() == 1 && !f.published() {
			f.cancel() // a background refresh, or one that everybody has left
		}
	}
	g.fills = nil
	sh.tidy(g)
}

// published reports whether the fill has answered.
func (f *fill) published() bool {
	select {
	case <-f.ready:
		return true
	default:
		return false
	}
}

// invalidate removes what a successful unsafe request may have changed: its own URL, and those its response names in Location and
// Content-Location when they are of the same origin (RFC 9111 §4.4).
func (s *Store) invalidate(req *Request, resp *httpwire.Response) {
	switch req.Head.Method {
	case "OPTIONS", "TRACE", "CONNECT":
		return
	}
	if resp.Status < 200 || resp.Status > 399 || rules.CloudFront(req.Policy) {
		return
	}
	keyed := req.keyed()
	s.dropURL(req, req.Canon)
	for _, id := range [...]httpwire.ID{httpwire.Location, httpwire.ContentLocation} {
		if v, ok := resp.Fields.Get(id); ok {
			if c, ok := keyed.SameOrigin(v); ok {
				s.dropURL(req, &c)
			}
		}
	}
}

// dropURL removes what is stored for a URL of the request's distribution. Another behavior may key its query in another way: with all of
// it, or with nothing.
func (s *Store) dropURL(req *Request, c *httpwire.Canonical) {
	all, none := config.CachePolicy{KeyQuery: config.KeyPart{All: true}}, config.CachePolicy{}
	for _, p := range [...]*config.CachePolicy{req.Policy, &all, &none} {
		s.drop(string(key.AppendURL(nil, req.Site, req.Head.Scheme, c, p)))
	}
}
