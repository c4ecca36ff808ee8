package key_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/cache/key"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// request makes one from "GET https://host/path"; its policy keys the whole query and nothing else.
func request(line string, lines ...string) *key.Request {
	method, url, _ := strings.Cut(line, " ")
	scheme, rest, _ := strings.Cut(url, "://")
	host, path, _ := strings.Cut(rest, "/")
	head := &httpwire.Head{Method: method, Target: "/" + path, Scheme: scheme, Authority: host}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		head.Fields.AddName(name, value)
	}
	canon, err := httpwire.Canonicalize(head)
	if err != nil {
		panic(err)
	}
	return &key.Request{Site: "web", Head: head, Canon: &canon, Policy: &config.CachePolicy{Profile: "rfc9111", KeyQuery: config.KeyPart{All: true}}}
}

func keyOf(r *key.Request) string {
	b, _ := r.Append(nil)
	return string(b)
}

// again is the request that an origin which is this program too would see.
func again(t *rapid.T, r *key.Request, h *httpwire.Head) *key.Request {
	canon, err := httpwire.Canonicalize(h)
	if err != nil {
		t.Fatalf("%q is forwarded, which is no target: %v", h.Target, err)
	}
	return &key.Request{Site: r.Site, Head: h, Canon: &canon, Policy: r.Policy}
}

// Values that look like keys, like several values, and like each other.
var values = []string{"", "1", "1,2", "1:=2,", "0:,", "3:a=1,", "a=1&b=2", "a=1;b=2", "=", "?", "%26", "$", "__", "\x1f"}

func drawPart(t *rapid.T, label string) config.KeyPart {
	return config.KeyPart{All: rapid.Bool().Draw(t, label+" all"),
		Names: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "utm", "", "a%61"}), 0, 3, rapid.ID).Draw(t, label)}
}

func drawPolicy(t *rapid.T) *config.CachePolicy {
	p := &config.CachePolicy{Profile: rapid.SampledFrom([]string{"rfc9111", "cloudfront"}).Draw(t, "profile"), KeyQuery: drawPart(t, "query")}
	if rapid.Bool().Draw(t, "with cookies") {
		cookies := drawPart(t, "cookies")
		p.KeyCookies = &cookies
	}
	p.KeyHeaders = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x-a", "x-b", "origin", "accept-encoding", "accept-language"}), 0, 3, rapid.ID).Draw(t, "headers")
	return p
}

// drawPairs are parameters of a query, or cookies.
func drawPairs(t *rapid.T, label, separator string) string {
	pairs := rapid.SliceOfN(rapid.SampledFrom([]string{"a=1", "a=2", "b=2", "b", "utm=x", "a=1;c=3", "", "=", "a%61=1", "A=1", "a=1%26b=2"}), 0, 5).Draw(t, label)
	return strings.Join(pairs, separator)
}

func drawRequest(t *rapid.T, p *config.CachePolicy) *key.Request {
	line := "GET " + rapid.SampledFrom([]string{"http", "https"}).Draw(t, "scheme") + "://" +
		rapid.SampledFrom([]string{"a.example", "A.example.", "b.example", "a.example:80", "a.example:443", "a.example:8443"}).Draw(t, "host") + "/" +
		rapid.SampledFrom([]string{"", "a", "a/", "A", "%61", "a,0:,", "a%3Fb"}).Draw(t, "path")
	if rapid.Bool().Draw(t, "has a query") {
		line += "?" + drawPairs(t, "query", "&")
	}
	var lines []string
	for range rapid.IntRange(0, 2).Draw(t, "cookie lines") {
		lines = append(lines, "Cookie: "+drawPairs(t, "cookies", "; "))
	}
	for _, name := range []string{"X-A", "x-b", "Origin", "Accept-Language"} {
		for range rapid.IntRange(0, 2).Draw(t, name) {
			lines = append(lines, name+": "+rapid.SampledFrom(values).Draw(t, "value"))
		}
	}
	if rapid.Bool().Draw(t, "accepts codings") {
		lines = append(lines, "Accept-Encoding: "+rapid.SampledFrom([]string{"", "gzip", "br, gzip", "gzip, br", "zstd", "*", "gzip;q=0"}).Draw(t, "codings"))
	}
	r := request(line, lines...)
	r.Site, r.Policy = rapid.SampledFrom([]string{"web", "web2", "3:web", ""}).Draw(t, "site"), p
	return r
}

// Attack row C03: an origin sees what is keyed and nothing that is not. So the request that is forwarded has the key of the one that came,
// and two requests with one key are forwarded alike but for what no key has.
func TestC03WhatIsForwardedIsWhatIsKeyed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		r, other := drawRequest(t, p), drawRequest(t, p)
		if rapid.Bool().Draw(t, "of one URL") { // else chance hardly finds two with one key
			other.Site, other.Head.Scheme, other.Head.Target, other.Canon = r.Site, r.Head.Scheme, r.Head.Target, r.Canon
		}
		for i, h := range []*httpwire.Head{r.Forward(), fetched(r)} {
			if got := keyOf(again(t, r, h)); got != keyOf(r) {
				t.Fatalf("%d: %s is forwarded as %s %q, which has the key %s instead of %s", i, r.Head.Target, h.Target, h.Fields, got, keyOf(r))
			}
		}
		if keyOf(r) != keyOf(other) {
			return
		}
		a, b := fetched(r), fetched(other)
		if a.Target != b.Target {
			t.Errorf("one key, and %q and %q are forwarded", a.Target, b.Target)
		}
		for _, name := range append([]string{"cookie"}, p.KeyHeaders...) {
			if name == "cookie" && p.KeyCookies == nil {
				continue
			}
			if x, y := joined(a, name), joined(b, name); x != y {
				t.Errorf("one key, and of %s %q and %q are forwarded", name, x, y)
			}
		}
	})
}

func fetched(r *key.Request) *httpwire.Head {
	h := r.Fetch()
	return &h
}

// joined are the lines of a field as one; those of one value and of it in two lines are the same (RFC 9110 §5.3).
func joined(h *httpwire.Head, name string) string {
	var lines []string
	for _, f := range h.Fields {
		if strings.EqualFold(f.Name, name) {
			lines = append(lines, httpwire.TrimOWS(f.Value))
		}
	}
	return fmt.Sprintf("%v %s", len(lines) > 0, strings.Join(lines, ", "))
}

// Attack row C04: keys are equal if and only if all that they are made of is.
func TestC04KeysAreEqualIfTheirPartsAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.SampledFrom(values)
		draw := func(label string) (r *key.Request, tuple []string) {
			query, has := part.Draw(t, label+" query"), rapid.Bool().Draw(t, label+" has a query")
			if !has {
				query = ""
			}
			c := &httpwire.Canonical{Host: part.Draw(t, label+" host"), Port: rapid.SampledFrom([]uint16{80, 443, 8, 8080, 65535}).Draw(t, label+" port"),
				Path: part.Draw(t, label+" path"), Query: query, HasQuery: has}
			h := &httpwire.Head{Method: "GET", Scheme: rapid.SampledFrom([]string{"http", "https"}).Draw(t, label+" scheme")}
			p := &config.CachePolicy{Profile: "rfc9111", KeyQuery: config.KeyPart{All: true}}
			port := fmt.Sprint(c.Port)
			if h.Scheme == "http" && c.Port == 80 || h.Scheme == "https" && c.Port == 443 {
				port = "default"
			}
			tuple = []string{part.Draw(t, label+" site"), h.Scheme, c.Host, port, c.Path, fmt.Sprint(has, query)}
			for _, name := range []string{"x-a", "x-b"} {
				if rapid.Bool().Draw(t, label+" keys "+name) {
					p.KeyHeaders = append(p.KeyHeaders, name)
					tuple = append(tuple, name)
					if rapid.Bool().Draw(t, label+" has "+name) {
						h.Fields.AddName(name, part.Draw(t, label+" "+name))
						tuple = append(tuple, "="+h.Fields[len(h.Fields)-1].Value)
					} else {
						tuple = append(tuple, "absent")
					}
				}
			}
			return &key.Request{Site: tuple[0], Head: h, Canon: c, Policy: p}, tuple
		}
		a, x := draw("one")
		b, y := draw("other")
		if rapid.IntRange(0, 3).Draw(t, "nearly the same") > 0 { // else chance never finds two that are equal
			i := rapid.IntRange(0, 3).Draw(t, "but for")
			same := *a
			b, y = &same, slices.Clone(x)
			if i == 0 {
				b.Site = part.Draw(t, "another site")
				y[0] = b.Site
			}
		}
		if (keyOf(a) == keyOf(b)) != slices.Equal(x, y) {
			t.Fatalf("%q and %q have the keys %s and %s", x, y, keyOf(a), keyOf(b))
		}
	})
}

// A key can be taken apart again, and starts with the key of its URL, whatever the fields are.
func TestKeysComeApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRequest(t, drawPolicy(t))
		b, n := r.Append([]byte("before"))
		k := string(b[len("before"):])
		if k != keyOf(r) || k[:n] != string(key.AppendURL(nil, r.Site, r.Head.Scheme, r.Canon, r.Policy)) {
			t.Fatalf("%s, of which %d bytes are the URL's", k, n)
		}
		var parts []string
		for rest := k; rest != ""; {
			var part string
			part, rest = key.Cut(rest)
			parts = append(parts, part)
		}
		if len(parts)%2 != 0 || len(parts) < key.URLParts || parts[0] != r.Site || parts[1] != r.Head.Scheme || parts[2] != r.Canon.Host || parts[4] != r.Canon.Path {
			t.Fatalf("%s is %q", k, parts)
		}
		var built []byte
		for _, part := range parts {
			built = key.AppendPart(built, part)
		}
		if string(built) != k {
			t.Fatalf("%q make the key %s, not %s", parts, built, k)
		}
		var values []string
		for _, p := range key.Parts(k) {
			if p.Name == "" || p.Name == "extra" {
				t.Errorf("a part without a name: %+v", p)
			}
			values = append(values, p.Value)
		}
		if len(values) != key.URLParts+(len(parts)-key.URLParts)/2 || !slices.Equal(values[:key.URLParts], parts[:key.URLParts]) {
			t.Errorf("%s for people: %q", k, values)
		}
	})
}

// A purge of a URL covers what any request for it is stored under, in either scheme.
func TestAPurgeCoversTheURL(t *testing.T) {
	f := func(purged string, covered ...string) {
		t.Helper()
		r := request("GET " + purged)
		keys := key.OfURL(r.Site, r.Canon, r.Policy)
		for _, url := range covered {
			other := request("GET "+url, "X-A: 1")
			if _, n := other.Append(nil); !slices.Contains(keys, keyOf(other)[:n]) {
				t.Errorf("a purge of %s is none of %s", purged, url)
			}
		}
		if slices.Sort(keys); len(slices.Compact(keys)) != len(key.OfURL(r.Site, r.Canon, r.Policy)) {
			t.Errorf("%s: keys twice: %q", purged, keys)
		}
	}
	f("https://example.org/a?b", "https://example.org/a?b", "http://example.org/a?b", "https://EXAMPLE.org:443/a?b", "http://example.org:80/a?b")
	f("http://example.org/", "https://example.org/", "http://example.org/")
	f("https://example.org:8443/", "https://example.org:8443/", "http://example.org:8443/")
}

// What is merely like a URL is not purged with it.
func TestAPurgeCoversNothingElse(t *testing.T) {
	r := request("GET https://example.org/a?b")
	keys := key.OfURL(r.Site, r.Canon, r.Policy)
	for _, url := range []string{"https://example.org/a", "https://example.org/a?", "https://example.org/a?b=", "https://example.org/a/?b", "https://example.org:8443/a?b",
		"https://www.example.org/a?b", "https://example.org/A?b"} {
		if other := request("GET " + url); slices.Contains(keys, keyOf(other)) {
			t.Errorf("it covers %s", url)
		}
	}
}

// References are resolved as RFC 3986 says, and only those to the same scheme, host and port count.
func TestSameOrigin(t *testing.T) {
	r := request("GET https://example.org/a/b?c")
	for reference, want := range map[string]string{
		"d": "/a/d", "/d?e": "/d?e", "../x": "/x", "?q": "/a/b?q", "https://example.org/z": "/z", "https://EXAMPLE.org:443/z": "/z", "//example.org/z": "/z",
		"http://example.org/z": "", "https://example.org:8443/z": "", "https://other.example/z": "", "//other.example/z": "", "https://u@other.example/": "", "%zz": "", ":": "",
	} {
		c, ok := r.SameOrigin(reference)
		if got := c.Target(); ok != (want != "") || ok && got != want {
			t.Errorf("%q is %q, %v", reference, got, ok)
		}
	}
}

// What a fetch sends: no conditions and ranges of a client's, which a request that is only passed on keeps.
func TestAFetchIsOfTheWhole(t *testing.T) {
	conditions := []string{`If-None-Match: "a"`, "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", "If-Range: \"a\"", "Range: bytes=0-1"}
	r := request("HEAD https://example.org/a", append(conditions, "X-A: 1")...)
	if h := r.Fetch(); h.Method != "GET" || len(h.Fields) != 1 || h.Fields[0].Name != "X-A" {
		t.Errorf("fetched with %s %q", h.Method, h.Fields)
	}
	if h := r.Forward(); h.Method != "HEAD" || len(h.Fields) != 5 || len(r.Head.Fields) != 5 {
		t.Errorf("passed on with %s %q", h.Method, h.Fields)
	}
}

// Which cookie comes first means nothing; of two with one name the order stays.
func TestCookiesAreKeyedByName(t *testing.T) {
	with := func(part config.KeyPart, lines ...string) string {
		r := request("GET https://example.org/", lines...)
		r.Policy.KeyCookies = &part
		return joined(fetched(r), "cookie")
	}
	only := config.KeyPart{Names: []string{"a", "b"}}
	if one, two := with(only, "Cookie: b=2; x=9; a=1"), with(only, "Cookie: a=1", "Cookie: b=2"); one != two || one != "true a=1; b=2" {
		t.Errorf("%s and %s", one, two)
	}
	if one, two := with(only, "Cookie: a=1; a=2"), with(only, "Cookie: a=2; a=1"); one == two {
		t.Error(one)
	}
	if none := with(only, "Cookie: x=1; A=1"); none != "false " {
		t.Error(none)
	}
	if rest := with(config.KeyPart{All: true, Names: []string{"x"}}, "Cookie: x=1; c=3"); rest != "true c=3" {
		t.Error(rest)
	}
}

// In the profile cloudfront, what an origin chooses by is sent only if it is keyed.
func TestCloudFrontSendsWhatItKeys(t *testing.T) {
	r := request("GET https://example.org/", "Accept: a", "Accept-Language: de", "Referer: b", "Authorization: c", "Accept-Charset: d", "X-A: e", "Accept-Encoding: zstd, gzip")
	r.Policy.Profile, r.Policy.KeyHeaders = "cloudfront", []string{"accept-language"}
	h := r.Fetch()
	var names []string
	for _, f := range h.Fields {
		names = append(names, f.Name+" "+f.Value)
	}
	if got := strings.Join(names, ", "); got != "Accept-Language de, X-A e, Accept-Encoding gzip" {
		t.Error(got)
	}
	one, two := request("GET https://example.org/", "Accept-Encoding: zstd"), request("GET https://example.org/", "Accept-Encoding: identity")
	for _, r := range []*key.Request{one, two} {
		r.Policy.Profile, r.Policy.KeyHeaders = "cloudfront", []string{"accept-encoding"}
	}
	if keyOf(one) != keyOf(two) || joined(fetched(one), "accept-encoding") != joined(fetched(two), "accept-encoding") {
		t.Errorf("a coding that is not forwarded is keyed: %s and %s", keyOf(one), keyOf(two))
	}
}

// A key of an ordinary request is made in room that is there without the allocator.
func TestKeysAllocateNothing(t *testing.T) {
	r := request("GET https://example.org/index.html?a=1", "Accept-Encoding: gzip, br", "Accept-Language: de")
	r.Policy.KeyHeaders = []string{"accept-encoding", "accept-language", "x-none"}
	room := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() { room, _ = r.Append(room[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	r := request("GET https://example.org/index.html?a=1&b=2", "Accept-Encoding: gzip, br")
	room := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		room, _ = r.Append(room[:0])
	}
}
