package config

import (
	"slices"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// errorStatuses are those CloudFront has custom responses for
// (https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/creating-custom-error-pages.html).
var errorStatuses = []int{400, 403, 404, 405, 410, 414, 416, 500, 501, 502, 503, 504}

// readErrorObjects reads what a distribution has instead of errors. How long an error is fresh is the business of the cache: it goes into
// the policy of every behavior.
func readErrorObjects(o object, dist *Distribution) {
	c, found := o.Get("errors")
	if !found {
		return
	}
	items, _ := c.Items()
	seen := map[int]bool{}
	for _, item := range items {
		e, ttl, hasTTL := readErrorObject(item)
		if e.Status == 0 {
			continue
		}
		if seen[e.Status] {
			item.Errorf("status %d is listed twice", e.Status)
			continue
		}
		seen[e.Status] = true
		if e.Path != "" {
			dist.Errors = append(dist.Errors, e)
		}
		for i := range dist.Behaviors {
			if p := &dist.Behaviors[i].Cache; hasTTL {
				p.ErrorTTLs = append(p.ErrorTTLs, ErrorTTL{Status: e.Status, TTL: ttl})
			}
		}
	}
}

func readErrorObject(c cursor) (e ErrorObject, ttl time.Duration, hasTTL bool) {
	o := c.Object("status", "path", "as", "ttl")
	o.Need("status")
	if s, found := o.Get("status"); found {
		n, ok := s.Integer(400, 599)
		if ok && !slices.Contains(errorStatuses, n) {
			s.Errorf("%s is not an error that can be replaced", s.Shown()).Hint("one of 400, 403, 404, 405, 410, 414, 416, 500 to 504")
		} else if ok {
			e.Status = n
		}
	}
	yamldoc.Set(o, "path", &e.Path, readErrorPath)
	e.As = e.Status
	o.Integer("as", &e.As, 200, 599)
	if o.Absent("path") && o.Absent("ttl") {
		o.Missing("path").Hint("or ttl, to say only how long the error is kept")
	}
	if o.Absent("path") {
		o.Refuse("there is nothing to answer with: path is missing", "as")
	}
	hasTTL = o.Duration("ttl", &ttl, 0, longestTTL)
	return e, ttl, hasTTL
}

// readErrorPath reads an absolute path without a query.
func readErrorPath(c cursor) (string, bool) {
	s, ok := c.Text()
	if ok && (!strings.HasPrefix(s, "/") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' || r == '?' })) {
		c.Errorf("%s is not an absolute path", c.Shown()).Hint("for example /errors/404.html")
		return "", false
	}
	return s, ok
}
