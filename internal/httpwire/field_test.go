package httpwire_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

func fields(lines ...string) httpwire.Fields {
	var f httpwire.Fields
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		f.AddName(name, value)
	}
	return f
}

func lines(f httpwire.Fields) []string {
	var out []string
	for _, field := range f {
		out = append(out, field.Name+": "+field.Value)
	}
	return out
}

func TestIdentifyIgnoresCaseAndNothingElse(t *testing.T) {
	for name, want := range map[string]httpwire.ID{
		"Cache-Control": httpwire.CacheControl, "cache-control": httpwire.CacheControl, "ETAG": httpwire.ETag, "te": httpwire.TE,
		"X-Forwarded-For": httpwire.XForwardedFor, "Proxy-Authorization": httpwire.ProxyAuthorization,
		"": httpwire.Other, "Cache_Control": httpwire.Other, "Cache\rControl": httpwire.Other, "X-Nobody": httpwire.Other,
		"Cache-Contro\x4c": httpwire.CacheControl, "t\x05": httpwire.Other, "Proxy-Authorizations": httpwire.Other,
	} {
		if got := httpwire.Identify(name); got != want {
			t.Errorf("%q is %v, want %v", name, got, want)
		}
	}
}

func TestEveryIDFindsItself(t *testing.T) {
	for id := httpwire.Accept; id <= httpwire.XRequestID; id++ {
		if got := httpwire.Identify(id.String()); got != id {
			t.Errorf("%d %q is found as %d", id, id, got)
		}
	}
}

func TestFieldsKeepOrderAndCase(t *testing.T) {
	f := fields("x-a: 1", "Via: one", "COOKIE: c", "via: two")
	if got, want := lines(f), []string{"x-a: 1", "Via: one", "COOKIE: c", "via: two"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if joined, ok := f.Joined(httpwire.Via); !ok || joined != "one, two" {
		t.Errorf("joined is %q", joined)
	}
	if v, ok := f.Lookup("X-A"); !ok || v != "1" {
		t.Errorf("X-A is %q, %v", v, ok)
	}
	f.Set(httpwire.Via, "three")
	f.Del(httpwire.Cookie)
	if got, want := lines(f), []string{"x-a: 1", "Via: three"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// RFC 9110 section 5.6.1: empty members are left out; a comma in a quoted string does not separate.
func TestList(t *testing.T) {
	f := fields(`Cache-Control: max-age=1, ,private="a, b\", c"`, "cache-control:  ", "Cache-Control: no-store")
	got := slices.Collect(f.List(httpwire.CacheControl))
	if want := []string{"max-age=1", `private="a, b\", c"`, "no-store"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for range f.List(httpwire.CacheControl) {
		break // must not yield again
	}
}

func TestCloneOutlivesItsSource(t *testing.T) {
	buf := []byte("X-Custom: value")
	f := fields(string(buf[:8])+": "+string(buf[10:]), "etag: \"1\"")
	c := f.Clone()
	f[0].Value, f[1].Value = "gone", "gone"
	if got, want := lines(c), []string{"X-Custom: value", "etag: \"1\""}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if httpwire.Fields(nil).Clone() != nil {
		t.Error("the clone of nil is not nil")
	}
}

func TestTokensAndValues(t *testing.T) {
	for s, want := range map[string]bool{"": false, "GET": true, "x-a": true, "a b": false, "a:": false, "é": false, "a\x00": false} {
		if got := httpwire.IsToken(s); got != want {
			t.Errorf("token %q: %v", s, got)
		}
	}
	for s, want := range map[string]bool{"": true, "a b\tc": true, " a": false, "a ": false, "a\r\nb": false, "a\x00": false, "é": true} {
		if got := httpwire.IsFieldValue(s); got != want {
			t.Errorf("value %q: %v", s, got)
		}
	}
}

func BenchmarkIdentify(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		httpwire.Identify("If-Modified-Since")
	}
}
