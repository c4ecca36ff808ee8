package key

import (
	"slices"
	"strings"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Forward is what is sent for a GET or HEAD whose response is not stored: with the query and the cookies that would be keyed, as a
// fill has them, so that an origin never sees in one way what it does not see in the other (attack row C03).
func (req *Request) Forward() *httpwire.Head {
	h := *req.Head
	h.Target = forwardTarget(req)
	h.Fields = forwardFields(req, make(httpwire.Fields, 0, len(req.Head.Fields)+1))
	return &h
}

// Fetch copies what a fill sends, so that it may outlive the request: without preconditions and ranges of the client,
// because what is stored answers others too (RFC 9111 §4.3.1).
func (req *Request) Fetch() httpwire.Head {
	h := httpwire.Head{
		Method:    "GET",
		Target:    forwardTarget(req),
		Proto:     req.Head.Proto,
		Scheme:    strings.Clone(req.Head.Scheme),
		Authority: strings.Clone(req.Head.Authority),
	}
	fields := forwardFields(req, make(httpwire.Fields, 0, len(req.Head.Fields)+2))
	fields.Filter(func(f *httpwire.Field) bool {
		switch f.ID {
		case httpwire.IfNoneMatch, httpwire.IfModifiedSince, httpwire.IfRange, httpwire.Range:
			return false
		}
		return true
	})
	h.Fields = fields.Clone()
	return h
}

// forwardFields appends the fields that are forwarded: Accept-Encoding as it is compared, and of what the policy keys by name the parts
// that are keyed. In the profile cloudfront, what lets an origin choose between representations is sent only if it is keyed.
func forwardFields(req *Request, dst httpwire.Fields) httpwire.Fields {
	p := req.Policy
	for i := range req.Head.Fields {
		f := req.Head.Fields[i]
		switch {
		case f.ID == httpwire.AcceptEncoding:
			continue
		case f.ID == httpwire.Cookie && p.KeyCookies != nil && !p.ForwardAll:
			continue
		case rules.CloudFront(p) && !p.ForwardAll && chooses(&f) && !slices.ContainsFunc(p.KeyHeaders, func(n string) bool { return strings.EqualFold(n, f.Name) }):
			continue
		}
		dst = append(dst, f)
	}
	if value, ok := rules.AppendCodings(nil, req.Head.Fields, codings(p)); ok {
		dst.Add(httpwire.AcceptEncoding, string(value))
	}
	if p.KeyCookies != nil && !p.ForwardAll {
		if value := selectCookies(req.Head.Fields, p.KeyCookies); value != "" {
			dst.Add(httpwire.Cookie, value)
		}
	}
	return dst
}

// codings are those a policy tells apart.
func codings(p *config.CachePolicy) rules.Codings {
	if rules.CloudFront(p) {
		return rules.Brotli | rules.Gzip
	}
	return rules.AllCodings
}

// chooses lists the fields that CloudFront removes unless they are in the cache policy
// (https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/RequestAndResponseBehaviorCustomOrigin.html).
func chooses(f *httpwire.Field) bool {
	switch f.ID {
	case httpwire.Accept, httpwire.AcceptLanguage, httpwire.Referer, httpwire.Authorization:
		return true
	case httpwire.Other:
		return strings.EqualFold(f.Name, "Accept-Charset")
	}
	return false
}

// Cookies reports whether any cookie is in the key.
func Cookies(p *config.CachePolicy) bool {
	return p.KeyCookies != nil && (p.KeyCookies.All || len(p.KeyCookies.Names) > 0)
}

// selectCookies are the cookies that are keyed, in the order of their names: which of them a browser sends first means nothing. Names
// and values are compared as sent.
func selectCookies(fields httpwire.Fields, part *config.KeyPart) string {
	var kept []string
	for line := range fields.Values(httpwire.Cookie) {
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.Trim(pair, " \t")
			name, _, _ := strings.Cut(pair, "=")
			if pair != "" && selects(part, name) {
				kept = append(kept, pair)
			}
		}
	}
	slices.SortStableFunc(kept, func(a, b string) int {
		x, _, _ := strings.Cut(a, "=")
		y, _, _ := strings.Cut(b, "=")
		return strings.Compare(x, y)
	})
	return strings.Join(kept, "; ")
}

// selects reports whether a name is among those a part of the key is made of.
func selects(part *config.KeyPart, name string) bool { return named(part.Names, name) != part.All }

// forwardTarget is the request target that is sent: what is keyed is what is forwarded, unless the policy says otherwise.
func forwardTarget(req *Request) string {
	c := httpwire.Canonical{Path: strings.Clone(req.Canon.Path)}
	if c.Query, c.HasQuery = req.Canon.Query, req.Canon.HasQuery; !req.Policy.ForwardAll {
		c.Query, c.HasQuery = selectQuery(req.Canon, &req.Policy.KeyQuery)
	}
	c.Query = strings.Clone(c.Query)
	return c.Target()
}
