package proxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// PurgeQuery says what to purge: exactly one of URL, Tag, Host and All.
type PurgeQuery struct {
	URL    string // every variant, over both schemes; one that ends with * is a prefix
	Tag    string // every response that carries it
	Host   string // every URL of a host, with the port when it is not the scheme's own
	All    bool   // everything
	Site   string // with Tag, Host and All: of this distribution only; empty: of all
	Soft   bool   // stale instead of gone
	DryRun bool   // count only
}

// Purge carries a purge out, and says what it hit. A URL fails with the fault a request for it would meet before it reached the cache.
func (r *Router) Purge(ctx context.Context, q PurgeQuery) (cache.Receipt, error) {
	o, t, err := r.order(q)
	switch {
	case err != nil:
		return cache.Receipt{}, err
	case q.DryRun && t != nil:
		return r.deps.Cache.PreviewURL(t.site.name, &t.x.Canon, &t.behavior.Cache), nil
	case q.DryRun:
		return r.deps.Cache.Preview(ctx, o)
	case t != nil:
		return r.deps.Cache.Purge(t.site.name, &t.x.Canon, &t.behavior.Cache, q.Soft)
	}
	return r.deps.Cache.Order(ctx, o)
}

// order makes an order of a query, or finds where the one URL it is about is served.
func (r *Router) order(q PurgeQuery) (purge.Order, *transaction, error) {
	o := purge.Order{Site: q.Site, Soft: q.Soft}
	given := 0
	for _, on := range [...]bool{q.URL != "", q.Tag != "", q.Host != "", q.All} {
		if on {
			given++
		}
	}
	switch {
	case given != 1:
		return o, nil, errors.New("say what to purge: one of a URL, a tag, a host and everything")
	case q.Site != "" && q.URL != "":
		return o, nil, errors.New("a URL belongs to the distribution that serves it; leave the distribution out")
	case q.Site != "" && !slices.ContainsFunc(r.sites, func(s *site) bool { return s.name == q.Site }):
		return o, nil, fmt.Errorf("there is no distribution %q", q.Site)
	case q.Tag != "":
		o.Kind, o.Value = purge.Tag, q.Tag
		return o, nil, nil
	case q.Host != "":
		o.Kind, o.Host = purge.Host, q.Host
		return o, nil, nil
	case q.All:
		o.Kind = purge.All
		return o, nil, nil
	}
	url, prefix := strings.CutSuffix(q.URL, "*")
	t, err := r.locate(url)
	if err != nil || !prefix {
		return o, t, err
	}
	if strings.Contains(url, "?") || strings.Contains(url, "*") {
		return o, nil, errors.New("a prefix ends with its only *, and has no query")
	}
	o.Kind, o.Site, o.Host, o.Value = purge.Prefix, t.site.name, t.x.Canon.HostPort(t.x.Head.Scheme), t.x.Canon.Path
	return o, nil, nil
}

// locate finds where a URL is served.
func (r *Router) locate(url string) (*transaction, error) {
	head, err := headOf("GET", url)
	if err != nil {
		return nil, err
	}
	t := &transaction{router: r, x: &httpwire.Exchange{ID: "purge", Head: head}}
	if err := t.receive(); err != nil {
		return nil, err
	}
	if err := t.route(); err != nil {
		return nil, err
	}
	return t, nil
}
