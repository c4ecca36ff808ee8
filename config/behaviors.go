package config

import (
	"slices"
	"strings"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// behaviors decodes those of a distribution, or makes the one that a distribution without any gets.
func (d *document) behaviors(dist object, origins []Origin) []Behavior {
	names := make([]string, len(origins))
	for i, o := range origins {
		names[i] = o.Name
	}
	c, found := dist.Get("behaviors")
	if !found {
		if !dist.Absent("behaviors") || len(names) == 0 {
			return nil
		}
		if len(names) > 1 {
			dist.Missing("behaviors").Hint("with several origins, behaviors say which path goes to which")
		}
		return []Behavior{{Path: "*", Origin: names[0], Cache: defaultCachePolicy(), Line: dist.Line()}}
	}
	items, ok := c.Items()
	if ok && len(items) == 0 {
		c.Errorf("must not be empty").Hint(`remove the key, or add {path: "*"}`)
	}
	list := make([]Behavior, 0, len(items))
	sure := !dist.Unsure("origins") && len(names) > 0
	for _, item := range items {
		list = append(list, d.behavior(item, names, sure))
	}
	return list
}

// behavior decodes one. sure says that origins are all the names there are.
func (d *document) behavior(c cursor, origins []string, sure bool) Behavior {
	b := Behavior{Methods: []string{"GET", "HEAD", "OPTIONS"}, Cache: defaultCachePolicy(), Line: c.Line()}
	o := c.Object("path", "origin", "methods", "cache", "compress", "redirect_to_https", "pin")
	o.Need("path")
	yamldoc.Set(o, "path", &b.Path, readPathPattern)
	switch origin, found := o.Get("origin"); {
	case found:
		name, ok := origin.Text()
		if ok && sure && !slices.Contains(origins, name) {
			origin.Dangling("origin", name, origins)
		}
		b.Origin = name
	case len(origins) == 1:
		b.Origin = origins[0]
	case sure && o.Absent("origin"):
		o.Missing("origin").Hint("the distribution has several: %s", strings.Join(origins, ", "))
	}
	yamldoc.Set(o, "methods", &b.Methods, readMethods)
	yamldoc.Set(o, "cache", &b.Cache, readCachePolicy)
	refuseStrayPin(o, b.Cache.Off)
	o.Boolean("compress", &b.Compress)
	o.Boolean("redirect_to_https", &b.RedirectToHTTPS)
	return b
}

// refuseStrayPin reports pin beside cache, where it would have to go with cache: off; within cache the two cannot meet.
func refuseStrayPin(o object, off bool) {
	why := "belongs under cache: {pin: on}"
	if off {
		why = "does not go with cache: off, which stores nothing to pin"
	}
	o.Refuse(why, "pin")
}

// readPathPattern reads a pattern with * and ?.
func readPathPattern(c cursor) (string, bool) {
	s, ok := c.Text()
	if ok && strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		c.Errorf("%s is not a path pattern", c.Shown()).Hint("percent-encode characters that no url path may contain")
		return "", false
	}
	return s, ok
}

// readMethods reads "all", which is nil, or a list.
func readMethods(c cursor) ([]string, bool) {
	if c.Single() {
		s, ok := c.Scalar()
		if ok && s != "all" {
			c.Errorf("%s is neither a list nor the word all", c.Shown()).Hint("write it as [GET, HEAD]")
		}
		return nil, ok
	}
	items, ok := c.Items()
	if ok && len(items) == 0 {
		c.Errorf("must not be empty").Hint("for every method write: all")
	}
	list := make([]string, 0, len(items))
	for _, item := range items {
		m, ok := readMethod(item)
		if ok && slices.Contains(list, m) {
			item.Errorf("%s is listed twice", item.Shown())
		}
		list = append(list, m)
	}
	return list, true
}

// readMethod reads one method. Methods are case-sensitive tokens (RFC 9110 §9.1).
func readMethod(c cursor) (string, bool) {
	s, ok := c.Text()
	if !ok {
		return "", false
	}
	upper := strings.ToUpper(s)
	switch {
	case !isToken(s):
		c.Errorf("%s is not a method", c.Shown())
	case upper == "CONNECT" || upper == "TRACE":
		c.Errorf("%s is never passed on", c.Shown()).Hint("CONNECT would open a tunnel, TRACE would show headers to scripts")
	case s != upper:
		m := c.Errorf("%s is not in upper case", c.Shown())
		if !c.Secret() {
			m.Hint("did you mean %q?", upper)
		}
	default:
		return s, true
	}
	return "", false
}

// isToken is RFC 9110 §5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r > '~' || !isAlnum(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}
