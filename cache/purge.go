package cache

import (
	"net/url"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Receipt says what a purge has removed.
type Receipt struct {
	Objects int   `json:"objects"` // every variant counts
	Bytes   int64 `json:"bytes"`   // bodies, heads and keys
	Fills   int   `json:"fills"`   // fetches in flight that will not be stored
}

// Purge removes one URL for good: every variant, every value of the policy's extra fields, both schemes. Fills in flight for
// it are not stored, nor joined by later requests; those who read from them already go on. Once Purge has returned, nothing
// stored or fetched before is served to a later request, stale-if-error included (attack row C22). The query is keyed as
// policy says; nil means the whole query.
func (s *Store) Purge(site string, canon *httpwire.Canonical, policy *config.CachePolicy) Receipt {
	if policy == nil {
		policy = &config.CachePolicy{KeyQuery: config.KeyPart{All: true}}
	}
	var total Receipt
	for _, key := range purgeKeys(site, canon, policy) {
		r := s.drop(key)
		total.Objects += r.Objects
		total.Bytes += r.Bytes
		total.Fills += r.Fills
	}
	return total
}

// drop removes everything under the URL part of a key.
func (s *Store) drop(key string) Receipt {
	var r Receipt
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
	s.metrics.purged.Add(float64(r.Objects))
	return r
}

// clear removes everything of a group.
func (sh *shard) clear(g *group, r *Receipt) {
	for len(g.entries) > 0 {
		e := g.entries[0]
		r.Objects++
		r.Bytes += e.object.charged()
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

func (o *object) charged() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.charge
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
	s.drop(string(appendURL(nil, req.Site, req.Head.Scheme, req.Canon, req.Policy)))
	for _, id := range [...]httpwire.ID{httpwire.Location, httpwire.ContentLocation} {
		if v, ok := resp.Fields.Get(id); ok {
			if c, ok := sameOrigin(req, v); ok {
				s.drop(string(appendURL(nil, req.Site, req.Head.Scheme, &c, req.Policy)))
			}
		}
	}
}

// sameOrigin resolves a reference against the request's URL, and reports whether it has the same scheme, host and port.
func sameOrigin(req *Request, reference string) (httpwire.Canonical, bool) {
	ref, err := url.Parse(reference)
	if err != nil {
		return httpwire.Canonical{}, false
	}
	base, err := url.Parse(req.Head.Scheme + "://" + req.Canon.HostPort(req.Head.Scheme) + req.Canon.Target())
	if err != nil {
		return httpwire.Canonical{}, false
	}
	target := base.ResolveReference(ref)
	c, err := httpwire.Canonicalize(&httpwire.Head{
		Method: "GET", Target: target.RequestURI(), Scheme: req.Head.Scheme, Authority: target.Host,
	})
	return c, err == nil && target.Scheme == req.Head.Scheme && c.Host == req.Canon.Host && c.Port == req.Canon.Port
}
