package proxy

import (
	"context"
	"strings"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// errorObject replaces an error of an origin by the object the distribution has for its status; nil: it stays as it is. Errors of the
// client's own doing are never replaced. The object is fetched through the behavior that matches its path, as anybody would get it:
// without conditions and ranges (https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/creating-custom-error-pages.html).
func (t *transaction) errorObject(ctx context.Context, response *httpwire.Response, err error) *httpwire.Response {
	e := t.site.errorFor(response, err)
	if e == nil || t.isGRPC() {
		return nil
	}
	object, ok := t.fetchObject(ctx, e.Path)
	if !ok {
		return nil
	}
	if response != nil {
		end(response)
	}
	object.Status = e.As
	if t.x.Head.Method == "HEAD" {
		body := object.Body
		object.Body = nil
		if body != nil {
			_ = body.Close()
		}
	}
	return object
}

// errorFor finds what a distribution has for a response or an error, or nil.
func (s *site) errorFor(response *httpwire.Response, err error) *config.ErrorObject {
	if s == nil || len(s.errors) == 0 {
		return nil
	}
	status := 0
	switch {
	case err != nil:
		if entry := fault.As(err).Code.Entry(); entry.Side == fault.Upstream {
			status = entry.Status
		}
	default:
		status = response.Status
	}
	for i := range s.errors {
		if s.errors[i].Status == status {
			return &s.errors[i]
		}
	}
	return nil
}

func (t *transaction) isGRPC() bool {
	v, _ := t.x.Head.Fields.Get(httpwire.ContentType)
	return strings.HasPrefix(v, "application/grpc")
}

// fetchObject gets an object of the distribution. It fails when that is not 200.
func (t *transaction) fetchObject(ctx context.Context, path string) (*httpwire.Response, bool) {
	x := *t.x
	x.Body, x.Length, x.Inform = nil, 0, nil
	x.Head.Method, x.Head.Target = "GET", path
	x.Head.Fields = t.x.Head.Fields.Clone()
	x.Head.Fields.Filter(func(f *httpwire.Field) bool {
		switch f.ID {
		case httpwire.Range, httpwire.IfRange, httpwire.IfMatch, httpwire.IfNoneMatch, httpwire.IfModifiedSince, httpwire.IfUnmodifiedSince,
			httpwire.ContentType, httpwire.ContentEncoding, httpwire.CacheControl, httpwire.Pragma:
			return false
		}
		return true
	})
	canon, err := httpwire.Canonicalize(&x.Head)
	if err != nil {
		return nil, false
	}
	x.Canon = canon
	x.Head.Target = canon.Target()
	sub := &transaction{router: t.router, x: &x, client: t.client, site: t.site}
	if sub.behavior = t.site.match(canon.Path); sub.behavior == nil {
		return nil, false
	}
	sub.fetch = fetch{router: t.router, target: sub.behavior.target, canon: canon, scheme: x.Head.Scheme, hash: t.fetch.hash}
	var object *httpwire.Response
	if sub.behavior.Cache.Off {
		object, err = sub.fetch.Fetch(ctx, &x.Head)
	} else {
		object, _, err = t.router.deps.Cache.Serve(ctx, &cache.Request{Site: t.site.name, Head: &x.Head, Canon: &x.Canon, Policy: &sub.behavior.Cache}, &sub.fetch)
	}
	if err != nil {
		return nil, false
	}
	if object.Status != 200 {
		end(object)
		return nil, false
	}
	return object, true
}

// end gives a response up that nobody gets.
func end(response *httpwire.Response) {
	if response.Body != nil {
		_ = response.Body.Close()
	}
	if response.Done != nil {
		response.Done(0, nil)
	}
}
