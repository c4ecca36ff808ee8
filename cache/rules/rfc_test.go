package rules_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

var noon = time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)

func judge(p *config.CachePolicy, status int, request, response []string) rules.Verdict {
	return rules.Storable(&rules.Candidate{Request: &httpwire.Head{Method: "GET", Fields: fields(request...)}, Status: status,
		Fields: fields(response...), Policy: p, Requested: noon, Received: noon})
}

// TestTargeted is RFC 9213: a field of the target list comes before Cache-Control and Expires, and one that is no dictionary does not count.
func TestTargeted(t *testing.T) {
	f := func(want time.Duration, reason string, response ...string) {
		t.Helper()
		p := policy()
		p.Targeted = []string{"example-cache-control", "cdn-cache-control"}
		v := judge(p, 200, nil, response)
		if v.Reason != reason || v.Store && v.Fresh.Lifetime != want {
			t.Errorf("%q: %+v, want %v %q", response, v, want, reason)
		}
	}
	const cdn, cc, other = "CDN-Cache-Control: ", "Cache-Control: ", "Example-Cache-Control: "
	s := time.Second
	f(600*s, "", cdn+"max-age=600", cc+"no-store")                                      // §3.1
	f(600*s, "", cdn+"max-age=600", cc+"max-age=60, s-maxage=120")                      // §3.1
	f(0, "no-store", cc+"no-store")                                                     // §3.1
	f(0, "no freshness", cdn+"none", cc+"max-age=60", "Expires: "+date(noon.Add(60*s))) // §3.1, §2.2: both are ignored
	f(0, "no-store", cdn+"no-store", cc+"max-age=60")                                   // §2.2
	f(0, "private", cdn+"private, max-age=60", cc+"max-age=60")                         // §2.2
	f(0, "no-cache", cdn+"max-age=60, no-cache", cc+"max-age=60")                       // §2.2: no-cache makes max-age inoperative
	f(5*s, "", other+"max-age=5", cdn+"max-age=600", cc+"no-store")                     // §2.2: the first of the list
	f(600*s, "", other+"max-age=", cdn+"max-age=600", cc+"no-store")                    // §2.1: not a dictionary
	f(600*s, "", other+"", cdn+"max-age=600", cc+"no-store")                            // §2.1: empty
	f(60*s, "", cdn+"max-age=600,", cc+"max-age=60")                                    // a comma at the end
	f(60*s, "", cdn+"Max-Age=600", cc+"max-age=60")                                     // keys are in lower case
	f(60*s, "", cdn+"max-age=600 private", cc+"max-age=60")                             // no comma
	f(60*s, "", cdn+"max-age=600, &&&", cc+"max-age=60")                                // no key
	f(60*s, "", cdn+"max-age=1234567890123456", cc+"max-age=60")                        // 16 digits
	f(2147483647*s, "", cdn+"max-age=123456789012345", cc+"max-age=60")                 // RFC 9111 §1.2.2
	f(0, "no freshness", cdn+`max-age="600"`, cc+"max-age=60")                          // §2.1: a string is no integer
	f(0, "no freshness", cdn+"max-age=600.0", cc+"max-age=60")                          // §2.1: neither is a decimal
	f(0, "no freshness", cdn+"max-age=-1", cc+"max-age=60")
	f(0, "no freshness", cdn+"max-age", cc+"max-age=60")
	f(0, "no-store", cdn+"max-age=60, no-store=1", cc+"max-age=60") // a restriction stays one
	f(60*s, "", cdn+"max-age=60, no-store=?0")
	f(60*s, "", cdn+"max-age=60;a=1;b=\"x\", *x=(a b;q=1 \"c\"), d=@1, e=:YWJj:, f=%\"a%c3%bc\"", cc+"no-store") // parameters and unknown directives
	f(60*s, "", cdn+"max-age=30", cdn+"s-maxage=60", cc+"no-store")                                              // lines are one dictionary
	f(60*s, "", cdn+"max-age=30, max-age=60")                                                                    // RFC 9651 §4.2.2: the last counts
	f(60*s, "", cdn+`max-age=60, private="set-cookie"`, "Set-Cookie: a=b")
	f(0, "private", cdn+`max-age=60, private=set-cookie`, "Set-Cookie: a=b") // a token is no string
	f(60*s, "", "Surrogate-Control: no-store", cc+"max-age=60")              // §2.2: not on the list
}

// TestQualified: what private and no-cache name is not stored, and the rest is (RFC 9111 §5.2.2.4 and §5.2.2.7).
func TestQualified(t *testing.T) {
	v := judge(policy(), 200, nil, []string{`Cache-Control: max-age=60, private="X-User, set-cookie", no-cache="x-b"`})
	if !v.Store || v.Fresh.NoCache || !slices.Equal(v.Hidden, []string{"x-user", "set-cookie", "x-b"}) {
		t.Errorf("%+v", v)
	}
	kept := rules.KeepFields(fields("Date: x", "X-User: u", "Set-Cookie: a", "x-B: 1", "X-C: 2"), noon, v.Hidden...)
	if len(kept) != 2 || !kept.Has(httpwire.Date) {
		t.Errorf("kept %v", kept)
	}
}

// TestHeuristic is RFC 9111 §4.2.2.
func TestHeuristic(t *testing.T) {
	modified := "Last-Modified: " + date(noon.Add(-1000*time.Second))
	f := func(status int, want time.Duration, request []string, response ...string) {
		t.Helper()
		p := policy()
		p.HeuristicPercent, p.HeuristicMax = 10, time.Hour
		v := judge(p, status, request, append(response, "Date: "+date(noon)))
		if v.Shared != (want > 0) || v.Shared && (v.Fresh.Lifetime != want || v.Fresh.Source != "Last-Modified") {
			t.Errorf("%d %q: %+v, want %v", status, response, v, want)
		}
	}
	for _, status := range []int{200, 203, 204, 300, 301, 308} {
		f(status, 100*time.Second, nil, modified)
	}
	for _, status := range []int{404, 405, 410, 414, 501} {
		f(status, 10*time.Second, nil, modified) // C11
	}
	for _, status := range []int{201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599} {
		f(status, 0, nil, modified) // not cacheable by default
	}
	f(201, 100*time.Second, nil, modified, "Cache-Control: public") // marked as cacheable
	f(200, 0, nil, modified, "Cache-Control: no-store")
	f(200, 0, nil, modified, "Cache-Control: private")
	f(200, 0, nil, modified, "Expires: 0") // explicit, if in the past
	f(200, 0, nil, modified, "Cache-Control: max-age=0")
	f(200, 0, nil, "Last-Modified: "+date(noon.Add(time.Hour))) // in the future
	f(200, 0, nil, "Last-Modified: yesterday")
	f(200, 0, nil, `ETag: "a"`)
	f(200, time.Hour, nil, "Last-Modified: Fri, 31 Dec 1999 00:00:00 GMT") // the ceiling
	f(200, 0, []string{"Cookie: a=b"}, modified)                           // C05, C18: no guess for somebody
	f(200, 0, []string{"Authorization: x"}, modified, "Cache-Control: public")

	p := policy()
	p.DefaultTTL, p.HeuristicPercent, p.HeuristicMax = time.Minute, 10, time.Hour
	if v := judge(p, 200, nil, []string{modified}); v.Fresh.Lifetime != time.Minute || v.Fresh.Source != "default_ttl" {
		t.Errorf("default_ttl comes first: %+v", v)
	}
}

// TestErrors: negative caching in both profiles (attack row C11).
func TestErrors(t *testing.T) {
	f := func(profile string, status int, cc string, want time.Duration) {
		t.Helper()
		p := policy()
		p.Profile, p.ErrorTTL = profile, 10*time.Second
		p.ErrorTTLs = []config.ErrorTTL{{Status: 410, TTL: time.Hour}, {Status: 414, TTL: 0}}
		var response []string
		if cc != "" {
			response = []string{"Cache-Control: " + cc}
		}
		v := judge(p, status, nil, response)
		if v.Store != (want > 0) || v.Store && v.Fresh.Lifetime != want {
			t.Errorf("%s %d %q: %+v, want %v", profile, status, cc, v, want)
		}
	}
	s := time.Second
	for _, status := range []int{404, 405, 501} {
		f("rfc9111", status, "", 10*s)
		f("rfc9111", status, "max-age=5", 5*s)
		f("rfc9111", status, "no-store", 0)
	}
	f("rfc9111", 410, "", time.Hour)
	f("rfc9111", 414, "", 0)
	f("rfc9111", 503, "", 0)
	f("rfc9111", 503, "max-age=5", 5*s)
	for _, status := range []int{404, 500, 501, 502, 503, 504} { // always
		f("cloudfront", status, "", 10*s)
		f("cloudfront", status, "max-age=5", 10*s)
		f("cloudfront", status, "max-age=60", 60*s)
		f("cloudfront", status, "max-age=60, s-maxage=20", 20*s)
		f("cloudfront", status, "no-store", 0)
	}
	for _, status := range []int{400, 403, 405, 412, 415} { // only if the origin says so
		f("cloudfront", status, "", 0)
		f("cloudfront", status, "public", 0)
		f("cloudfront", status, "max-age=5", 10*s)
	}
	for _, status := range []int{401, 402, 410, 416, 429, 505} { // never
		f("cloudfront", status, "max-age=60", 0)
	}
}

// TestCloudFrontArithmetic is the table of TTLs
// (https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/Expiration.html).
func TestCloudFrontArithmetic(t *testing.T) {
	f := func(min, def, max int, want int, response ...string) {
		t.Helper()
		p := policy()
		p.Profile = "cloudfront"
		p.MinTTL, p.DefaultTTL, p.MaxTTL = time.Duration(min)*time.Second, time.Duration(def)*time.Second, time.Duration(max)*time.Second
		v := judge(p, 200, nil, append(response, "Date: "+date(noon)))
		if v.Store != (want > 0) || v.Store && v.Fresh.Lifetime != time.Duration(want)*time.Second {
			t.Errorf("%d %d %d %q: %+v, want %d", min, def, max, response, v, want)
		}
	}
	expires := "Expires: " + date(noon.Add(50*time.Second))
	f(0, 20, 100, 20)
	f(30, 20, 100, 30)
	f(0, 20, 100, 50, "Cache-Control: max-age=50")
	f(0, 20, 100, 100, "Cache-Control: max-age=500")
	f(10, 20, 100, 10, "Cache-Control: max-age=5")
	f(0, 20, 100, 70, "Cache-Control: max-age=50, s-maxage=70")
	f(0, 20, 100, 50, expires)
	f(0, 20, 40, 40, expires)
	f(60, 70, 100, 60, expires)
	f(0, 20, 100, 60, expires, "Cache-Control: max-age=60")
	f(0, 20, 100, 20, "Cache-Control: public")
	for _, refused := range []string{"no-cache", "no-store", "private"} {
		f(0, 20, 100, 0, "Cache-Control: "+refused+", max-age=50")
		f(1, 20, 100, 1, "Cache-Control: "+refused+", max-age=50")
	}
	f(0, 0, 0, 0)
	f(0, 20, 100, 20, "Vary: Cookie")
	f(1, 20, 100, 20, "Vary: *")
	f(0, 20, 100, 0, "Vary: *")
	f(0, 20, 100, 20, "CDN-Cache-Control: max-age=50") // that service does not know it
}

// TestSatisfies is RFC 9111 §5.2.1, and RFC 8246 §2.
func TestSatisfies(t *testing.T) {
	f := func(response, request string, age int, want bool) {
		t.Helper()
		v := judge(policy(), 200, nil, []string{"Cache-Control: " + response, `ETag: "a"`})
		d := rules.ParseDirectives(fields("Cache-Control: " + request))
		if got := v.Fresh.Satisfies(&d, noon.Add(time.Duration(age)*time.Second)); got != want {
			t.Errorf("%q for %q at %d s: %v", response, request, age, got)
		}
	}
	f("max-age=60", "max-age=30", 30, true)
	f("max-age=60", "max-age=30", 31, false)
	f("max-age=60", "max-age=0", 0, false)
	f("max-age=60", "max-age=x", 0, false) // the most restrictive reading
	f("max-age=60", "no-cache", 0, false)
	f("max-age=60", "min-fresh=30", 30, true)
	f("max-age=60", "min-fresh=30", 31, false)
	f("max-age=60", "min-fresh=90", 0, false)
	f("max-age=60", "max-stale=10", 70, true)
	f("max-age=60", "max-stale=10", 71, false)
	f("max-age=60", "max-stale", 1000, true)
	f("max-age=60, must-revalidate", "max-stale", 61, false) // §4.2.4
	f("s-maxage=60", "max-stale", 61, false)
	f("no-cache", "max-stale", 0, false)
	f("max-age=60", "max-stale, max-age=65", 66, false)
	f("max-age=60, immutable", "max-age=0", 10, true)
	f("max-age=60, immutable", "max-age=0", 60, false) // no longer fresh
	f("max-age=60, immutable", "no-cache", 10, false)  // the client means it
}

// TestConfirms is RFC 9111 §4.3.4.
func TestConfirms(t *testing.T) {
	const modified, later = "Last-Modified: Fri, 31 Dec 1999 00:00:00 GMT", "Last-Modified: Fri, 31 Dec 1999 00:00:01 GMT"
	f := func(want bool, answer, stored []string) {
		t.Helper()
		if got := rules.Confirms(fields(answer...), fields(stored...)); got != want {
			t.Errorf("304 %q for %q: %v", answer, stored, got)
		}
	}
	f(true, []string{`ETag: "a"`}, []string{`ETag: "a"`})
	f(false, []string{`ETag: "b"`}, []string{`ETag: "a"`})
	f(false, []string{`ETag: "a"`}, []string{`ETag: W/"a"`}) // a strong one identifies strong ones only
	f(true, []string{`ETag: W/"a"`}, []string{`ETag: W/"a"`})
	f(true, []string{`ETag: W/"a"`}, []string{`ETag: "a"`})
	f(false, []string{`ETag: "a"`}, []string{modified})
	f(true, []string{modified}, []string{modified})
	f(false, []string{later}, []string{modified})
	f(false, []string{modified}, []string{`ETag: "a"`})
	f(true, nil, []string{`ETag: "a"`})
}

// TestDescribes is RFC 9111 §4.3.5.
func TestDescribes(t *testing.T) {
	f := func(want bool, length int64, answer ...string) {
		t.Helper()
		if got := rules.Describes(fields(answer...), length, fields(`ETag: "a"`, "Last-Modified: x"), 5); got != want {
			t.Errorf("%q, length %d: %v", answer, length, got)
		}
	}
	f(true, 5)
	f(true, -1)
	f(false, 6)
	f(true, 5, `ETag: "a"`)
	f(false, 5, `ETag: "b"`)
	f(true, 5, `ETag: "a"`, "Last-Modified: x")
	f(false, 5, `ETag: "a"`, "Last-Modified: y")
	f(false, -1, `ETag: "a"`, "Content-Encoding: gzip") // another coding is another body
}

// TestR15Codings: Accept-Encoding is the set of known codings that it allows (RFC 9110 §12.5.3).
func TestR15Codings(t *testing.T) {
	f := func(want string, lines ...string) {
		t.Helper()
		value, present := rules.AppendValue(nil, fields(lines...), httpwire.AcceptEncoding, "accept-encoding")
		if present != (len(lines) > 0) || string(value) != want {
			t.Errorf("%q: %q %v, want %q", lines, value, present, want)
		}
	}
	const ae = "Accept-Encoding: "
	f("")
	f("identity", ae)
	f("identity", ae+"identity")
	f("gzip", ae+"GZIP")
	f("gzip", ae+"x-gzip;q=0.5, deflate, compress")
	f("br, gzip", ae+"gzip, deflate, br")
	f("br, gzip", ae+"br;q=1.0 , gzip; Q=0.8, *;q=0")
	f("br, gzip, zstd", ae+"gzip, deflate, br, zstd")
	f("br, gzip, zstd", ae+"*")
	f("br, zstd", ae+"*, gzip;q=0")
	f("br, zstd", ae+"gzip;q=0.000, *;q=0.1")
	f("identity", ae+"gzip;q=0, br ; q = 0.0")
	f("br, gzip", ae+"gzip", ae+"br")
	seen := map[string]bool{}
	for _, q := range []string{"", ";q=0", ";q=0.1", ";q=1.000", "; q=0.0"} {
		for _, names := range []string{"gzip", "br", "zstd", "gzip,br", "deflate,zstd,gzip", "*", "identity", "gzip, *", "x, y"} {
			value, _ := rules.AppendValue(nil, fields(ae+strings.ReplaceAll(names, ",", q+",")+q), httpwire.AcceptEncoding, "")
			seen[string(value)] = true
		}
	}
	if len(seen) > 8 {
		t.Errorf("%d spellings: %v", len(seen), seen)
	}
}

// TestLanguages: case, whitespace and order of language ranges do not matter, weights do (RFC 9111 §4.1, RFC 9110 §12.5.4).
func TestLanguages(t *testing.T) {
	f := func(a, b string, match bool) {
		t.Helper()
		v := rules.NewVariant(fields("Accept-Language: "+a), fields("Vary: Accept-Language"))
		if got := v.Match(fields("Accept-Language: " + b)); got != match {
			t.Errorf("%q and %q: %v", a, b, got)
		}
	}
	f("en-GB, de;q=0.5", "EN-gb,de; q=0.5", true)
	f("en, de", "de, en", true)
	f("en;q=1.0, de;q=1", "de, en", true)
	f("fr;q=0.5, de, *;q=0.1", "de, *;q=0.1, fr;q=0.50", false) // a weight spelled in another way is another value
	f("fr;q=0.5, de, *;q=0.1", "de, *;q=0.1, fr;q=0.5", true)
	f("en;q=0.5, de", "en, de;q=0.5", false)
	f("en;q=0.5", "en;q=0.6", false)
	f("en", "en, de", false)
	f("en, en", "en", false)
	f("en;q=x, de", "de, en;q=x", true)
	f("en;q=x", "en", false)
	f(strings.Repeat("en,", 16)+"de", "de,"+strings.Repeat("en,", 16), false) // more than are put in order
	v := rules.NewVariant(fields("Accept-Language: de", "Accept-Language: , en"), fields("Vary: Accept-Language"))
	if got := v.String(); got != "accept-language: de,en" || !v.Match(fields("Accept-Language: en, de")) {
		t.Error(got)
	}
}
