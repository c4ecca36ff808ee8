package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/key"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/proxy"
	"github.com/meridian-edge/meridian/steer"
)

// printURL prints the decision for a request, a phase a line.
func printURL(w io.Writer, e *proxy.Explanation) {
	line := func(phase, format string, args ...any) {
		fmt.Fprintf(w, "%-9s "+format+"\n", append([]any{phase}, args...)...)
	}
	line("request", "%s %s from %s", e.Method, e.URL, who(e.Client))
	if e.Host != "" {
		line("receive", "host %s, path %s", e.Host, e.Path)
	}
	if e.Distribution != "" {
		line("route", "distribution %s", e.Distribution)
		for _, p := range e.Passed {
			line("", "behavior %s does not match", p)
		}
	}
	if e.Behavior != "" {
		line("", "behavior %s matches (line %d)", e.Behavior, e.Line)
	}
	if e.Refused != "" {
		line("refused", "%s: %s; `meridian explain %s` says what to do", e.Refused, e.Why, e.Refused)
		return
	}
	if e.Redirect != "" {
		line("admit", "redirected: %s", e.Redirect)
		return
	}
	line("admit", "%s is allowed", e.Method)
	if e.Cache == nil {
		line("cache", "off for this behavior")
	} else {
		for i, text := range cacheLines(e.Cache) {
			line(first(i, "cache"), "%s", text)
		}
	}
	if e.Compress != "" {
		line("compress", "%s", e.Compress)
	}
	unasked := ""
	if e.Cache != nil && e.Cache.Outcome == cache.Hit {
		unasked = ", which is not asked now"
	}
	line("steer", "pool %s%s", e.Pool, unasked)
	printTrace(w, e.Trace)
	for i, c := range e.Candidates {
		note := ""
		if c.LastResort {
			note = " (last resort)"
		}
		line(first(i, "try"), "%d. %s%s", i+1, c.Endpoint, note)
	}
}

// who names the client of an explanation.
func who(client string) string {
	if client == "" || client == (netip.Addr{}).String() {
		return "nobody in particular"
	}
	return client
}

// cacheLines puts the cache's decision into words.
func cacheLines(c *cache.Explanation) []string {
	lines := []string{c.Decision}
	if c.Reason != "" {
		lines[0] += " (" + c.Reason + ")"
	}
	add := func(name, text string) {
		if text != "" {
			lines = append(lines, name+": "+text)
		}
	}
	lines = append(lines, keyLines(c.Parts)...)
	if c.Stored {
		add("stored", fmt.Sprintf("status %d, %d bytes", c.Status, c.Bytes))
		if c.Variants > 1 {
			lines[len(lines)-1] += fmt.Sprintf(", one of %d variants", c.Variants)
		}
	}
	add("variant", c.Variant)
	lines = append(lines, c.Words...) // how fresh it is
	if c.Stored {
		add("made stale", c.Purge)
	} else {
		add("purged", c.Purge)
	}
	add("remembered", c.Unshared)
	if len(c.Codings) > 0 {
		add("coding", c.Encode+"; stored as "+strings.Join(c.Codings, ", "))
	} else {
		add("coding", c.Encode)
	}
	return lines
}

// keyLines are the parts of a key: the URL as one, for it reads best so, then what is in the key besides.
func keyLines(parts []key.Part) []string {
	if len(parts) < key.URLParts {
		return nil
	}
	site, scheme, host, port, path, query := parts[0].Value, parts[1].Value, parts[2].Value, parts[3].Value, parts[4].Value, parts[5].Value
	if port != "" {
		port = ":" + port
	}
	lines := []string{"key: " + scheme + "://" + host + port + path + query + " of " + site}
	for _, p := range parts[key.URLParts:] {
		lines = append(lines, fmt.Sprintf("key: %s = %s", p.Name, p.Value))
	}
	return lines
}

func first(i int, word string) string {
	if i == 0 {
		return word
	}
	return ""
}

// printName prints the decision for a DNS question.
func printName(w io.Writer, e *dns.Explanation) {
	fmt.Fprintf(w, "question  %s %s from %s\n", e.Name, e.Type, who(e.Client))
	if e.Place.Country != "" || e.Place.Point.Known() {
		lat, lon := e.Place.Point.LatLon()
		by := ""
		if e.Place.Overridden {
			by = " of geo.overrides"
		}
		fmt.Fprintf(w, "place     %s %s, %.1f %.1f, decided by /%d%s\n", e.Place.Country, e.Place.Continent, lat, lon, e.Place.Bits, by)
	}
	for _, h := range e.Hops {
		zone := h.Zone
		if zone == "" {
			zone = "none of ours"
		}
		fmt.Fprintf(w, "lookup    %s: zone %s, %s", h.Name, zone, h.Match)
		if h.Node != "" && h.Node != h.Name {
			fmt.Fprintf(w, " %s", h.Node)
		}
		fmt.Fprintln(w)
		if h.Record != "" {
			fmt.Fprintf(w, "record    %s", h.Record)
			if h.Line > 0 {
				fmt.Fprintf(w, " (line %d)", h.Line)
			}
			fmt.Fprintln(w)
		}
		printTrace(w, h.Steps)
	}
	fmt.Fprintf(w, "answer    %s, scope /%d\n", e.RCode, e.Scope)
	for _, section := range []struct {
		name    string
		records []string
	}{{"", e.Answer}, {"authority ", e.Authority}, {"additional ", e.Additional}} {
		for _, r := range section.records {
			fmt.Fprintf(w, "          %s%s\n", section.name, r)
		}
	}
}

// printTrace prints the steps of a policy tree, indented by depth.
func printTrace(w io.Writer, trace steer.Trace) {
	for _, s := range trace {
		fmt.Fprintf(w, "          %s%s, %s", strings.Repeat("  ", s.Depth), s.Group, s.Policy)
		if s.Member != "" {
			fmt.Fprintf(w, ": %s %s", s.Member, s.Result)
		}
		if s.Detail != "" {
			fmt.Fprintf(w, " (%s)", s.Detail)
		}
		fmt.Fprintln(w)
	}
}
