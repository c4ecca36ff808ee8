package httpwire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

func canon(scheme, host, target string) (httpwire.Canonical, error) {
	return httpwire.Canonicalize(&httpwire.Head{Method: "GET", Scheme: scheme, Authority: host, Target: target})
}

// C06: one canonical path, or a refusal where somebody behind us could read another.
func TestCanonicalPath(t *testing.T) {
	f := func(target, want string) {
		t.Helper()
		c, err := canon("http", "example.org", target)
		if err != nil || c.Target() != want {
			t.Errorf("%q: got %q, %v, want %q", target, c.Target(), err, want)
		}
	}
	f("/", "/")
	f("/a/b?x=1&y=2", "/a/b?x=1&y=2")
	f("/a?", "/a?")
	f("/a//b", "/a//b") // double slashes are kept, for all uses
	f("/a/./b", "/a/b")
	f("/a/../b", "/b")
	f("/../../b", "/b")
	f("/a/b/..", "/a/")
	f("/a/b/.", "/a/b/")
	f("/a/...", "/a/...")
	f("/.hidden", "/.hidden")
	f("/%41%7e%2d", "/A~-")       // unreserved bytes are decoded
	f("/a%c3%a9", "/a%C3%A9")     // escapes in upper case
	f("/é", "/%C3%A9")            // raw bytes are encoded
	f("/a%20b%3Fc", "/a%20b%3Fc") // reserved bytes stay encoded
	f("/a;v=1", "/a;v=1")
	f("/a?b=%2e%2F;c", "/a?b=%2e%2F;c") // the query is opaque

	g := func(target string) {
		t.Helper()
		if c, err := canon("http", "example.org", target); !errors.Is(err, httpwire.ErrTarget) {
			t.Errorf("%q: got %q, %v, want a refusal", target, c.Target(), err)
		}
	}
	for _, target := range []string{
		"", "a", "http://example.org/", "*", "/a\\b", "/a%2fb", "/a%2Fb", "/a%5cb", "/%2e%2e/b", "/%2E/b", "/a%00", "/a%3bb",
		"/a%0d%0aX:1", "/a%", "/a%4", "/a%zz", "/a b", "/a\x00", "/a\x7f", "/a#b", "/a?b c", "/a?b#c", "/a?b\r",
	} {
		g(target)
	}
}

// C07, S26: one canonical host, or a refusal.
func TestCanonicalHost(t *testing.T) {
	f := func(scheme, host, want string, port uint16) {
		t.Helper()
		c, err := canon(scheme, host, "/")
		if err != nil || c.Host != want || c.Port != port {
			t.Errorf("%q: got %q %d, %v, want %q %d", host, c.Host, c.Port, err, want, port)
		}
	}
	f("http", "example.org", "example.org", 80)
	f("https", "EXAMPLE.org.", "example.org", 443)
	f("http", "example.org:8080", "example.org", 8080)
	f("http", "a_b.example.org", "a_b.example.org", 80)
	f("http", "192.0.2.1:80", "192.0.2.1", 80)
	f("http", "[2001:DB8::1]:81", "[2001:db8::1]", 81)

	for _, host := range []string{
		"", ".", "..", "a..b", ".a", "a b", "a/b", "user@a", "a:0", "a:65536", "a:", "a:8o", "a:+80", "a:-1", "a,b", "é.example",
		"[::1", "[::1]x", "[fe80::1%eth0]", "[192.0.2.1]", "::1", "a\x00", "a%2e", "a?b", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "a",
	} {
		if c, err := canon("http", host, "/"); !errors.Is(err, httpwire.ErrHost) {
			t.Errorf("%q: got %q, %v, want a refusal", host, c.Host, err)
		}
	}
}

func TestHostPortLeavesOutTheDefault(t *testing.T) {
	for _, c := range []struct{ scheme, host, want string }{
		{"http", "a:80", "a"}, {"https", "a:443", "a"}, {"https", "a:80", "a:80"}, {"http", "a:8080", "a:8080"},
	} {
		got, err := canon(c.scheme, c.host, "/")
		if err != nil || got.HostPort(c.scheme) != c.want {
			t.Errorf("%s %s: got %q, %v, want %q", c.scheme, c.host, got.HostPort(c.scheme), err, c.want)
		}
	}
}

func TestCanonicalizeDoesNotAllocateForCanonicalHeads(t *testing.T) {
	h := &httpwire.Head{Method: "GET", Scheme: "https", Authority: "www.example.org", Target: "/static/app.css?v=2"}
	if n := testing.AllocsPerRun(100, func() { _, _ = httpwire.Canonicalize(h) }); n != 0 {
		t.Errorf("allocates %v times", n)
	}
}

// The canonical form is a fixed point: what is forwarded routes as what arrived did.
func FuzzCanonicalize(f *testing.F) {
	for _, seed := range []string{"/", "/a/../b?c", "/%41/./%c3%a9", "/a//..//b", "/..", "/%2e", "*"} {
		f.Add("Example.ORG:8080", seed)
	}
	f.Fuzz(func(t *testing.T, host, target string) {
		first, err := canon("http", host, target)
		if err != nil {
			return
		}
		second, err := canon("http", first.HostPort("http"), first.Target())
		if err != nil || first != second {
			t.Fatalf("%q %q -> %+v -> %+v, %v", host, target, first, second, err)
		}
		if strings.Contains(first.Path, "/../") || strings.Contains(first.Path, "/./") || first.Path[0] != '/' {
			t.Fatalf("%q is not resolved: %q", target, first.Path)
		}
	})
}

func BenchmarkCanonicalize(b *testing.B) {
	h := &httpwire.Head{Method: "GET", Scheme: "https", Authority: "www.example.org", Target: "/static/app.css?v=2"}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = httpwire.Canonicalize(h)
	}
}
