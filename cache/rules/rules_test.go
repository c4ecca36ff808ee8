package rules_test

import (
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// TestStorable is RFC 9111 §3 and what it refers to, a row for each rule.
func TestStorable(t *testing.T) {
	now := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	type row struct {
		section string
		status  int
		fields  []string
		request []string
		reason  string // "" means stored
	}
	fresh := "Cache-Control: max-age=60"
	rows := []row{
		{"3 explicit freshness", 200, []string{fresh}, nil, ""},
		{"3 no freshness", 200, nil, nil, "no freshness"},
		{"3 public alone is no lifetime", 200, []string{"Cache-Control: public"}, nil, "no freshness"},
		{"3 validator alone", 200, []string{`ETag: "a"`}, nil, "no freshness"},
		{"3 Expires", 200, []string{"Date: " + date(now), "Expires: " + date(now.Add(time.Minute))}, nil, ""},
		{"3 final status only", 103, []string{fresh}, nil, "status"},
		{"3.3 part", 206, []string{fresh, "Content-Range: bytes 0-1/2"}, nil, "status"},
		{"4.3.4 unasked 304", 304, []string{fresh}, nil, "status"},
		{"C15 416", 416, []string{fresh}, nil, "status"},
		{"3 redirect with lifetime", 302, []string{fresh}, nil, ""},
		{"3 error with lifetime", 503, []string{fresh}, nil, ""},
		{"3 unknown final status", 299, []string{fresh}, nil, ""},
		{"5.2.2.3 must-understand, known", 200, []string{"Cache-Control: max-age=60, must-understand, no-store"}, nil, ""},
		{"5.2.2.3 must-understand, unknown", 299, []string{"Cache-Control: max-age=60, must-understand"}, nil, "status"},
		{"5.2.2.5 no-store", 200, []string{fresh, "Cache-Control: No-Store"}, nil, "no-store"},
		{"5.2.2.5 no-store after a quoted comma", 200, []string{`Cache-Control: max-age=60, x="a,b", no-store`}, nil, "no-store"},
		{"5.2 no-store only inside quotes", 200, []string{`Cache-Control: max-age=60, x="no-store"`}, nil, ""},
		{"5.2 quote that does not end", 200, []string{`Cache-Control: max-age=60, x="`}, nil, "no-store"},
		{"5.2.2.7 private", 200, []string{"Cache-Control: private, max-age=60"}, nil, "private"},
		{"5.2.2.7 qualified private", 200, []string{`Cache-Control: private="x-a", max-age=60`}, nil, ""},
		{"5.2.2.7 private and qualified private", 200, []string{`Cache-Control: private="x-a", private, max-age=60`}, nil, "private"},
		{"5.2.2.7 qualified with nothing", 200, []string{`Cache-Control: private="", max-age=60`}, nil, "private"},
		{"5.2.2.7 qualified with no name", 200, []string{`Cache-Control: private="a b", max-age=60`}, nil, "private"},
		{"5.2.2.7 qualified with what the body is", 200, []string{`Cache-Control: private="content-encoding", max-age=60`}, nil, "private"},
		{"5.2.2.7 the token form", 200, []string{`Cache-Control: private=x-a, max-age=60`}, nil, ""},
		{"5.2.2.4 qualified no-cache", 200, []string{`Cache-Control: no-cache="x-a, x-b", max-age=60`}, nil, ""},
		{"5.2.2.4 Set-Cookie withheld", 200, []string{`Cache-Control: no-cache="Set-Cookie", max-age=60`, "Set-Cookie: a=b"}, nil, ""},
		{"5.2.2.7 Set-Cookie withheld", 200, []string{`Cache-Control: private="set-cookie", max-age=60`, "Set-Cookie: a=b"}, nil, ""},
		{"5.2.2.7 another field withheld", 200, []string{`Cache-Control: private="x-a", max-age=60`, "Set-Cookie: a=b"}, nil, "set-cookie"},
		{"5.2.2.4 no-cache without validator", 200, []string{"Cache-Control: no-cache, max-age=60"}, nil, "no-cache"},
		{"5.2.2.4 no-cache with validator", 200, []string{"Cache-Control: no-cache", `ETag: "a"`}, nil, ""},
		{"5.2.1.5 client's no-store", 200, []string{fresh}, []string{"Cache-Control: no-store"}, "request no-store"},
		{"5.2.1.4 client's no-cache", 200, []string{fresh}, []string{"Cache-Control: no-cache"}, ""},
		{"4.2.1 malformed max-age is zero", 200, []string{"Cache-Control: max-age=6o"}, nil, "no freshness"},
		{"4.2.1 negative max-age is zero", 200, []string{"Cache-Control: max-age=-1"}, nil, "no freshness"},
		{"4.2.1 fraction is zero", 200, []string{"Cache-Control: max-age=60.5"}, nil, "no freshness"},
		{"4.2.1 space before the value", 200, []string{"Cache-Control: max-age= 60"}, nil, "no freshness"},
		{"4.2.1 duplicate, one of them zero", 200, []string{"Cache-Control: max-age=60, max-age=0"}, nil, "no freshness"},
		{"5.2 quoted argument", 200, []string{`Cache-Control: max-age="60"`}, nil, ""},
		{"5.2.2.10 s-maxage wins", 200, []string{"Cache-Control: max-age=60, s-maxage=0"}, nil, "no freshness"},
		{"5.3 Expires: 0", 200, []string{"Expires: 0"}, nil, "no freshness"},
		{"5.3 max-age beats Expires", 200, []string{fresh, "Expires: 0"}, nil, ""},
		{"5.3 two Expires, the earlier", 200, []string{"Date: " + date(now), "Expires: " + date(now.Add(time.Hour)), "Expires: " + date(now)}, nil, "no freshness"},
		{"4.2.3 older than its lifetime", 200, []string{fresh, "Age: 60"}, nil, "no freshness"},
		{"4.2.3 stale, to be validated", 200, []string{fresh, "Age: 60", `ETag: "a"`}, nil, ""},
		{"4.1 Vary: *", 200, []string{fresh, "Vary: *"}, nil, "vary"},
		{"4.1 Vary: a, *", 200, []string{fresh, "Vary: accept, *"}, nil, "vary"},
		{"4.1 Vary that is no name", 200, []string{fresh, "Vary: a b"}, nil, "vary"},
		{"C18 Set-Cookie", 200, []string{fresh, "Set-Cookie: a=b"}, nil, "set-cookie"},
		{"C18 Set-Cookie and public", 200, []string{"Cache-Control: public, max-age=60", "Set-Cookie: a=b"}, nil, "set-cookie"},
		{"3.5 Authorization", 200, []string{fresh}, []string{"Authorization: Basic x"}, "authorization"},
		{"3.5 public", 200, []string{"Cache-Control: public, max-age=60"}, []string{"Authorization: Basic x"}, ""},
		{"3.5 s-maxage", 200, []string{"Cache-Control: s-maxage=60"}, []string{"Authorization: Basic x"}, ""},
		{"3.5 must-revalidate", 200, []string{"Cache-Control: must-revalidate, max-age=60"}, []string{"Authorization: Basic x"}, ""},
		{"3.5 proxy-revalidate is no permission", 200, []string{"Cache-Control: proxy-revalidate, max-age=60"}, []string{"Authorization: Basic x"}, "authorization"},
		{"3.5 public with an argument is no permission", 200, []string{`Cache-Control: public="a", max-age=60`}, []string{"Authorization: Basic x"}, "authorization"},
		{"3.5 malformed s-maxage is no permission", 200, []string{"Cache-Control: s-maxage=x, max-age=60", `ETag: "a"`}, []string{"Authorization: Basic x"}, "authorization"},
		{"RFC 5861 stale on arrival, of use while refreshed", 200, []string{"Cache-Control: max-age=0, stale-while-revalidate=60"}, nil, ""},
		{"5.4 Pragma is not for responses", 200, []string{fresh, "Pragma: no-cache"}, nil, ""},
	}
	for _, r := range rows {
		t.Run(r.section, func(t *testing.T) {
			v := rules.Storable(&rules.Candidate{
				Request: &httpwire.Head{Method: "GET", Fields: fields(r.request...)}, Status: r.status, Fields: fields(r.fields...),
				Policy: policy(), Requested: now, Received: now,
			})
			if v.Reason != r.reason || v.Store != (r.reason == "") {
				t.Errorf("got %+v, want reason %q", v, r.reason)
			}
		})
	}
}

// TestDefaultTTL: it is for heuristically cacheable statuses without a word of their own.
func TestDefaultTTL(t *testing.T) {
	now := time.Now()
	f := func(status int, cc string, wantTTL time.Duration) {
		t.Helper()
		p := policy()
		p.DefaultTTL = time.Minute
		h := httpwire.Fields{}
		if cc != "" {
			h = fields("Cache-Control: " + cc)
		}
		v := rules.Storable(&rules.Candidate{Request: &httpwire.Head{Method: "GET"}, Status: status, Fields: h, Policy: p, Requested: now, Received: now})
		if got := v.Fresh.Lifetime; v.Store != (wantTTL > 0) || v.Store && got != wantTTL {
			t.Errorf("%d %q: %+v, want %v", status, cc, v, wantTTL)
		}
	}
	for _, status := range []int{200, 203, 204, 300, 301, 308} {
		f(status, "", time.Minute)
	}
	for _, status := range []int{404, 405, 410, 414, 501} { // C11: an error does not last as long
		f(status, "", 10*time.Second)
	}
	for _, status := range []int{201, 302, 303, 307, 400, 403, 500, 502, 503} {
		f(status, "", 0)
	}
	f(200, "public", time.Minute)
	f(200, "no-store", 0)
	f(200, "private", 0)
	f(200, "no-cache", 0)
	f(200, "max-age=5", 5*time.Second)
}

// TestBounds: min_ttl and max_ttl bound explicit freshness, and do not override a refusal under rfc9111.
func TestBounds(t *testing.T) {
	now := time.Now()
	f := func(profile, cc string, min, max, want time.Duration, reason string) {
		t.Helper()
		p := policy()
		p.Profile, p.MinTTL, p.MaxTTL = profile, min, max
		v := rules.Storable(&rules.Candidate{Request: &httpwire.Head{Method: "GET"}, Status: 200,
			Fields: fields("Cache-Control: " + cc), Policy: p, Requested: now, Received: now})
		if v.Reason != reason || v.Store && v.Fresh.Lifetime != want {
			t.Errorf("%s %q: %+v, want %v %q", profile, cc, v, want, reason)
		}
	}
	f("rfc9111", "max-age=60", 0, 10*time.Second, 10*time.Second, "")
	f("rfc9111", "max-age=1", 10*time.Second, 0, 10*time.Second, "")
	f("rfc9111", "max-age=0", 10*time.Second, 0, 10*time.Second, "")
	f("rfc9111", "no-store, max-age=60", 10*time.Second, 0, 0, "no-store")
	f("rfc9111", "private, max-age=60", 10*time.Second, 0, 0, "private")
	f("cloudfront", "private, max-age=60", 0, 0, 0, "private")
	f("cloudfront", "no-cache", 0, 0, 0, "no-cache")
	f("cloudfront", "private, max-age=60", time.Second, 0, time.Second, "")
	f("cloudfront", "no-store", time.Second, 0, time.Second, "")
	f("cloudfront", "max-age=60", 0, 10*time.Second, 10*time.Second, "")
	f("cloudfront", "public", time.Second, 0, time.Second, "")
}

// TestAge is RFC 9111 §4.2.3 and §5.1.
func TestAge(t *testing.T) {
	asked := time.Date(2026, 5, 6, 7, 8, 0, 0, time.UTC)
	f := func(delay time.Duration, want time.Duration, lines ...string) {
		t.Helper()
		if got := rules.Age(fields(lines...), asked, asked.Add(delay)); got != want {
			t.Errorf("%v after %v: age %v, want %v", lines, delay, got, want)
		}
	}
	f(0, 0)
	f(2*time.Second, 2*time.Second, "Age: 0")
	f(2*time.Second, 12*time.Second, "Age: 10")
	f(0, 30*time.Second, "Date: "+date(asked.Add(-30*time.Second)))
	f(0, 40*time.Second, "Date: "+date(asked.Add(-30*time.Second)), "Age: 40")
	f(0, 0, "Date: "+date(asked.Add(time.Hour)))
	f(0, 0, "Date: yesterday")
	f(0, 0, "Age: -1")
	f(0, 0, "Age: 1.5")
	f(0, 7*time.Second, "Age: 7, 9")
	f(0, 7*time.Second, "Age: 7", "Age: 9")
	f(0, 2147483647*time.Second, "Age: 99999999999999999999")
}

// TestParseDate is RFC 9110 §5.6.7.
func TestParseDate(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	want := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"} {
		if got, ok := rules.ParseDate(s, now); !ok || !got.Equal(want) {
			t.Errorf("%q: %v %v", s, got, ok)
		}
	}
	for _, s := range []string{"sun, 06 nov 1994 08:49:37 gmt", "SUNDAY, 06-NOV-94 08:49:37 gMT", "SUN NOV  6 08:49:37 1994"} { // RFC 9111 §4.2
		if got, ok := rules.ParseDate(s, now); !ok || !got.Equal(want) {
			t.Errorf("%q: %v %v", s, got, ok)
		}
	}
	if got, ok := rules.ParseDate("Sunday, 06-Nov-70 08:49:37 GMT", now); !ok || got.Year() != 2070 {
		t.Errorf("two-digit year within 50 years: %v %v", got, ok)
	}
	for _, s := range []string{"", "0", "-1", "now", ",", " GMT", ", GMT", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 94 08:49:37 GMT",
		"Sun, 06-Nov-1994 08:49:37 GMT", "Sun, 06  Nov  1994 08:49:37 GMT", "Sun, 06 Nov 1994 08.49.37 GMT", "Sun 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 8:49:37 GMT", "Sun Nov  6 08:49:37 1994 GMT", "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 EST", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08:49:37 +0000",
		"Sun, 06 Nov 1994 08:49:37.5 GMT", "06 Nov 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 8:49:37 GMT "} {
		if got, ok := rules.ParseDate(s, now); ok {
			t.Errorf("%q is no date, got %v", s, got)
		}
	}
}

// TestUpdate is RFC 9111 §3.2.
func TestUpdate(t *testing.T) {
	stored := fields("Date: a", `ETag: "1"`, "Content-Type: text/plain", "X-A: 1", "X-A: 2", "X-Keep: k", "Cache-Control: max-age=1")
	got := rules.Update(stored, fields("Date: b", "Content-Type: x/y", "Content-Length: 9", "Content-Encoding: gzip", "x-a: 3", "Content-Range: c",
		"Connection: close, X-Hop", "X-Hop: 1", "Cache-Control: max-age=2", "Age: 4", "X-New: n"), time.Now())
	f := func(name, want string) {
		t.Helper()
		if v, _ := got.Lookup(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	f("Date", "b")
	f("Content-Type", "x/y")
	f("Content-Range", "c")
	f("Content-Length", "")
	f("Content-Encoding", "")
	f("X-A", "3")
	f("X-Hop", "")
	f("X-Keep", "k")
	f("X-New", "n")
	f("Cache-Control", "max-age=2")
	f("Age", "")
	n := 0
	for i := range got {
		if got[i].Name == "X-A" || got[i].Name == "x-a" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d lines of X-A, want the one that replaced both", n)
	}
	if v, _ := stored.Lookup("Date"); v != "a" {
		t.Error("the stored fields were changed")
	}
	got = rules.Update(append(stored, fields("Content-Encoding: x")...), fields("Content-Encoding: y"), time.Now())
	f("Content-Encoding", "y") // corrected, not brought in
}

// TestC13Vary is RFC 9111 §4.1: what selects a variant, over lines, spellings, and absence.
func TestC13Vary(t *testing.T) {
	f := func(vary string, stored, asked []string, match bool) {
		t.Helper()
		v := rules.NewVariant(fields(stored...), fields("Vary: "+vary))
		if got := v.Match(fields(asked...)); got != match {
			t.Errorf("Vary: %s, stored for %v, asked with %v: match %v", vary, stored, asked, got)
		}
	}
	f("Accept-Encoding", []string{"Accept-Encoding: gzip, br"}, []string{"accept-encoding: gzip ,br"}, true)
	f("Accept-Encoding", []string{"Accept-Encoding: gzip, br"}, []string{"Accept-Encoding: gzip", "Accept-Encoding: br"}, true)
	f("Accept-Encoding", []string{"Accept-Encoding: gzip"}, []string{"Accept-Encoding: br"}, false)
	f("Accept-Encoding", nil, nil, true)
	f("Accept-Encoding", nil, []string{"Accept-Encoding: "}, false) // missing is not empty
	f("X-A", []string{"X-A: 1"}, []string{"x-a: 1"}, true)
	f("X-A", []string{"X-A: a, b"}, []string{"X-A: a", "X-A: b"}, true)
	f("X-A", []string{"X-A: a,b"}, []string{"X-A: a\t, b "}, true) // whitespace around commas
	f("X-A", []string{"X-A: a b"}, []string{"X-A: a  b"}, false)
	f("X-A", []string{"X-A: a,,b"}, []string{"X-A: a,b"}, false)              // not known to be a list
	f("X-A", []string{`X-A: "a,b"`}, []string{`X-A: "a, b"`}, false)          // within quotes
	f("X-A", []string{`X-A: "a\", b", c`}, []string{`X-A: "a\", b",c`}, true) // and after them
	f("X-A", []string{`X-A: "a\", b", c`}, []string{`X-A: "a\",b",c`}, false) // an escaped quote ends nothing
	f("X-A", []string{`X-A: "a, b`}, []string{`X-A: "a,b`}, false)            // a quote that does not end
	f("X-A", []string{"X-A: a", "X-A: "}, []string{"X-A: a"}, false)          // an empty line is a member
	f("X-A", []string{"X-A: A"}, []string{"X-A: a"}, false)                   // case is the field's own
	f("Cookie", []string{"Cookie: a=b,c"}, []string{"Cookie: a=b, c"}, false) // C18: no list
	f("User-Agent", []string{"User-Agent: a,b"}, []string{"User-Agent: a, b"}, false)
	f("Authorization", []string{"Authorization: a,b"}, []string{"Authorization: a, b"}, false)
	f("Accept", []string{"Accept: text/html, */*"}, []string{"Accept: text/html,*/*"}, true)
	f("x-a", []string{"X-A: 1"}, []string{"x-A: 1"}, true)
	f("X-A, Accept", []string{"X-A: 1", "Accept: x"}, []string{"X-A: 1", "Accept: y"}, false)
	f("", []string{"X-A: 1"}, nil, true)
	f(", X-A ,", []string{"X-A: 1"}, nil, false)
}

// TestMatchAllocatesNothing: comparing what Vary names is on the way of every hit.
func TestMatchAllocatesNothing(t *testing.T) {
	request := fields("Accept-Language: de;q=0.5, en-GB, fr;q=0.7", "X-A: a ,  b", "Accept-Encoding: br, gzip", "Accept: text/html , */*", "Cookie: a=b")
	v := rules.NewVariant(request, fields("Vary: Accept-Language, X-A, Accept-Encoding, Accept, Cookie"))
	if n := testing.AllocsPerRun(100, func() {
		if !v.Match(request) {
			t.Error("a request does not match itself")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestKeysAreExact: what is in the key by the operator's word is compared as sent, whatever Vary would make of it (attack row C04).
func TestKeysAreExact(t *testing.T) {
	f := func(name string, lines ...string) (value string) {
		t.Helper()
		got, _ := rules.AppendValue(nil, fields(lines...), httpwire.Identify(name), name)
		return string(got)
	}
	if a, b := f("X-A", "X-A: a,b"), f("X-A", "X-A: a, b"); a == b {
		t.Errorf("%q is %q", a, b)
	}
	if a, b := f("X-A", "X-A: a, b"), f("X-A", "X-A: a", "X-A: b"); a != b {
		t.Errorf("%q is not %q", a, b) // RFC 9110 §5.3
	}
	if a, b := f("Accept-Language", "Accept-Language: en, de"), f("Accept-Language", "Accept-Language: de, en"); a == b {
		t.Errorf("%q is %q", a, b)
	}
	if a, b := f("Accept-Encoding", "Accept-Encoding: br, gzip"), f("Accept-Encoding", "Accept-Encoding: gzip;q=0.5,BR"); a != b {
		t.Errorf("%q is not %q", a, b)
	}
}
