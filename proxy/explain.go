package proxy

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy/origin"
	"github.com/meridian-edge/meridian/steer"
)

// Explanation is what would happen to a request now, decided by the code that serves requests.
type Explanation struct {
	Method       string             `json:"method"`
	URL          string             `json:"url"`
	Client       string             `json:"client,omitempty"` // nobody in particular: empty
	Host         string             `json:"host,omitempty"`   // canonical
	Path         string             `json:"path,omitempty"`   // canonical
	Distribution string             `json:"distribution,omitempty"`
	Passed       []string           `json:"passed,omitempty"` // behaviors looked at before the one that matched
	Behavior     string             `json:"behavior,omitempty"`
	Line         int                `json:"line,omitempty"` // of the behavior in the configuration file
	Redirect     string             `json:"redirect,omitempty"`
	Refused      string             `json:"refused,omitempty"`  // error code
	Why          string             `json:"why,omitempty"`      // of a refusal
	Compress     string             `json:"compress,omitempty"` // whether and what for the edge encodes; empty: the behavior does not ask for it
	Cache        *cache.Explanation `json:"cache,omitempty"`
	Pool         string             `json:"pool,omitempty"`
	Candidates   []Candidate        `json:"candidates,omitempty"` // in the order they would be tried
	Trace        steer.Trace        `json:"trace,omitempty"`
}

// Candidate is an endpoint a request could go to.
type Candidate struct {
	Endpoint   string `json:"endpoint"`
	LastResort bool   `json:"last_resort,omitempty"`
}

// Explain runs a request through receive, route and admit, and asks cache and steering what they would do. It fetches
// nothing. The URL is absolute; client may be invalid.
func (r *Router) Explain(method, url string, client netip.Addr) Explanation {
	e := Explanation{Method: method, URL: url}
	if client.IsValid() {
		e.Client = client.String()
	}
	x := &httpwire.Exchange{ID: "explain", Peer: netip.AddrPortFrom(client, 0)}
	t := &transaction{router: r, x: x, client: client}
	var err error
	if x.Head, err = headOf(method, url); err == nil {
		err = t.receive()
	}
	e.Host, e.Path = x.Canon.Host, x.Canon.Path
	if err == nil {
		err = t.route()
	}
	t.describeRoute(&e)
	var response *httpwire.Response
	if err == nil {
		response, err = t.admit()
	}
	switch {
	case err != nil:
		f := fault.As(err)
		e.Refused, e.Why = string(f.Code), f.Code.Entry().Title
	case response != nil:
		location, _ := response.Fields.Get(httpwire.Location)
		e.Redirect = fmt.Sprintf("%d to %s", response.Status, location)
	default:
		t.describeFetch(&e)
	}
	return e
}

func (t *transaction) describeRoute(e *Explanation) {
	if t.site == nil {
		return
	}
	e.Distribution = t.site.name
	for i := range t.site.behaviors {
		b := &t.site.behaviors[i]
		if b == t.behavior {
			e.Behavior, e.Line = b.Path, b.Line
			return
		}
		e.Passed = append(e.Passed, b.Path)
	}
}

func (t *transaction) describeFetch(e *Explanation) {
	t.prepareFetch()
	e.Compress = t.behavior.describeCompress()
	if !t.behavior.Cache.Off {
		c := t.router.deps.Cache.Explain(t.cacheRequest())
		e.Cache = &c
	}
	target := t.behavior.target
	e.Pool = target.Name
	client := t.router.deps.Origin.Client(target, &origin.Request{Hash: t.fetch.hash, Prefer: t.fetch.prefer})
	client.Addr = t.client
	picks, trace := target.Tree.Explain(&client, target.Health)
	e.Trace = trace
	for _, p := range picks {
		e.Candidates = append(e.Candidates, Candidate{Endpoint: p.ID, LastResort: p.LastResort})
	}
}

// headOf makes the head of a request for an absolute URL, as a client would: without the fragment. A URL without a scheme is
// taken as http.
func headOf(method, url string) (httpwire.Head, error) {
	url, _, _ = strings.Cut(url, "#")
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		scheme, rest = "http", url
	}
	if scheme = strings.ToLower(scheme); scheme != "http" && scheme != "https" {
		return httpwire.Head{}, fault.New(fault.BadTarget, fmt.Errorf("scheme %q", scheme))
	}
	authority, target := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, target = rest[:i], rest[i:]
		if target[0] == '?' {
			target = "/" + target
		}
	}
	return httpwire.Head{Method: method, Target: target, Scheme: scheme, Authority: authority, Proto: httpwire.HTTP11}, nil
}
