package proxy

import (
	"slices"
	"strings"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// hosts finds the site of a canonical host: exact names first, then the longest wildcard, then "*".
type hosts struct {
	exact    map[string]*site
	wildcard map[string]*site // by what follows the star, with its dot
	any      *site
}

func (h *hosts) init() {
	h.exact, h.wildcard = map[string]*site{}, map[string]*site{}
}

func (h *hosts) add(domain string, s *site) {
	switch {
	case domain == "*":
		h.any = s
	case strings.HasPrefix(domain, "*."):
		h.wildcard[domain[1:]] = s
	default:
		h.exact[domain] = s
	}
}

// find returns nil when nobody serves the host.
func (h *hosts) find(host string) *site {
	if s := h.exact[host]; s != nil {
		return s
	}
	if len(h.wildcard) > 0 {
		for i := strings.IndexByte(host, '.'); i >= 0; {
			if s := h.wildcard[host[i:]]; s != nil && i > 0 {
				return s
			}
			next := strings.IndexByte(host[i+1:], '.')
			if next < 0 {
				break
			}
			i += 1 + next
		}
	}
	return h.any
}

// match returns the first behavior whose pattern fits the path, or nil.
func (s *site) match(path string) *behavior {
	for i := range s.behaviors {
		if s.behaviors[i].pattern.match(path) {
			return &s.behaviors[i]
		}
	}
	return nil
}

// pattern is a path pattern: * stands for any bytes, ? for one, everything else for itself, case kept
// (https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistValuesCacheBehavior.html).
type pattern struct {
	prefix string // up to the first * or ?
	rest   string // from there on
}

func compilePattern(p string) pattern {
	if p == "*" {
		return pattern{rest: "*"}
	}
	if !strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "*") {
		p = "/" + p // the leading slash is optional
	}
	if i := strings.IndexAny(p, "*?"); i >= 0 {
		return pattern{prefix: p[:i], rest: p[i:]}
	}
	return pattern{prefix: p}
}

func (p pattern) match(path string) bool {
	if !strings.HasPrefix(path, p.prefix) {
		return false
	}
	path = path[len(p.prefix):]
	if p.rest == "*" {
		return true
	}
	return glob(p.rest, path)
}

// glob matches greedily and backs up to the last star only, so that it takes at most len(pattern) * len(s) steps.
func glob(pattern, s string) bool {
	i, j, star, mark := 0, 0, -1, 0
	for j < len(s) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case i < len(pattern) && (pattern[i] == '?' || pattern[i] == s[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(pattern) && pattern[i] == '*' {
		i++
	}
	return i == len(pattern)
}

// route is the phase that finds the distribution and the behavior.
func (t *transaction) route() error {
	t.site = t.router.hosts.find(t.x.Canon.Host)
	if t.site == nil {
		return fault.New(fault.NoHost, nil)
	}
	// A connection made for one distribution must not reach another: its certificate was another tenant's
	// (RFC 9110 section 15.5.20, attack row P04).
	if tls := t.x.TLS; tls != nil && !t.router.covers(t.site, tls.ServerName) {
		t.site = nil
		return fault.New(fault.Misdirected, nil)
	}
	if t.behavior = t.site.match(t.x.Canon.Path); t.behavior == nil {
		return fault.New(fault.NoBehavior, nil)
	}
	return nil
}

// covers reports whether a TLS server name belongs to the site. The empty name belongs to the catch-all: its certificate was sent.
func (r *Router) covers(s *site, serverName string) bool {
	return r.hosts.find(strings.ToLower(strings.TrimSuffix(serverName, "."))) == s
}

// admit is the phase that refuses or redirects before anything is fetched. It returns a response when that is the answer.
func (t *transaction) admit() (*httpwire.Response, error) {
	b, h := t.behavior, &t.x.Head
	switch h.Method {
	case "CONNECT", "TRACE", "TRACK": // attack rows S32, P08
		return nil, fault.New(fault.Method, nil)
	}
	if b.RedirectToHTTPS && h.Scheme == "http" {
		return t.redirectToHTTPS(), nil
	}
	if b.Methods != nil && !slices.Contains(b.Methods, h.Method) {
		return nil, fault.New(fault.Method, nil)
	}
	if t.maxForwards() == 0 {
		return t.ownOptions(), nil
	}
	return nil, nil
}

// ownOptions answers an OPTIONS request that must not be forwarded any more (RFC 9110 sections 7.6.2 and 9.3.7).
func (t *transaction) ownOptions() *httpwire.Response {
	response := &httpwire.Response{Status: 200}
	response.Fields.Add(httpwire.Allow, t.behavior.allow())
	response.Fields.Add(httpwire.XRequestID, t.x.ID)
	return response
}

// redirectToHTTPS answers 301 to GET and HEAD and 307 to everything else, so that no method is changed
// (https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-https-viewers-to-cloudfront.html).
func (t *transaction) redirectToHTTPS() *httpwire.Response {
	status := 307
	if m := t.x.Head.Method; m == "GET" || m == "HEAD" {
		status = 301
	}
	response := &httpwire.Response{Status: status}
	target := t.x.Canon.Target()
	if target == "*" {
		target = "" // a URL without a path is how OPTIONS * is written (RFC 9112 section 3.2.4)
	}
	response.Fields.Add(httpwire.Location, "https://"+t.x.Canon.Host+target)
	response.Fields.Add(httpwire.XRequestID, t.x.ID)
	return response
}
