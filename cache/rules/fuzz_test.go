package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

func FuzzCacheControl(f *testing.F) {
	for _, s := range []string{"max-age=60", `no-cache="a,b", private`, `max-age="1`, "MAX-AGE=1,max-age=0", "s-maxage=99999999999999999999", `a="\"`, ",,=,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		d := rules.ParseDirectives(httpwire.Fields{{ID: httpwire.CacheControl, Value: line}})
		for _, v := range []rules.Delta{d.MaxAge, d.SMaxAge, d.StaleIfError, d.StaleWhileRevalidate} {
			if v.Value < 0 || v.Value > (1<<31-1)*time.Second || !v.Valid && v.Value != 0 || v.Valid && !v.Present {
				t.Errorf("%q: %+v", line, v)
			}
		}
		// More lines never make it less restrictive.
		both := rules.ParseDirectives(httpwire.Fields{{ID: httpwire.CacheControl, Value: line}, {ID: httpwire.CacheControl, Value: "no-store, max-age=0"}})
		if !both.NoStore || both.MaxAge.Value != 0 || d.Private && !both.Private || d.NoCache && !both.NoCache {
			t.Errorf("%q: %+v", line, both)
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		got, ok := rules.ParseDate(s, now)
		if !ok {
			return
		}
		if again, ok := rules.ParseDate(date(got), now); got.Year() <= 9999 && (!ok || !again.Equal(got)) {
			t.Errorf("%q is %v, which reads as %v", s, got, again)
		}
		if got.Nanosecond() != 0 || got.Location() != time.UTC {
			t.Errorf("%q: %v", s, got)
		}
	})
}

func FuzzAge(f *testing.F) {
	f.Add("1", "Sun, 06 Nov 1994 08:49:37 GMT")
	f.Fuzz(func(t *testing.T, age, date string) {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if got := rules.Age(httpwire.Fields{{ID: httpwire.Age, Value: age}, {ID: httpwire.Date, Value: date}}, now, now); got < 0 {
			t.Errorf("%q %q: %v", age, date, got)
		}
	})
}

func FuzzVary(f *testing.F) {
	f.Add("Accept-Encoding, x-a", "gzip, br", "1")
	f.Fuzz(func(t *testing.T, vary, encoding, other string) {
		request := httpwire.Fields{{ID: httpwire.AcceptEncoding, Name: "Accept-Encoding", Value: encoding}, {Name: "X-A", Value: other}}
		v := rules.NewVariant(request, httpwire.Fields{{ID: httpwire.Vary, Value: vary}})
		if !v.Match(request) {
			t.Errorf("Vary %q: a request does not match itself", vary)
		}
	})
}

// FuzzSpellings: a normalised value is normal, the order of lines of languages does not count, and outside quotes whitespace around commas
// does not.
func FuzzSpellings(f *testing.F) {
	f.Add("en-GB, de;q=0.5", "FR ; q=1.0", `a, "b, c"`)
	f.Add("a;q=", "b;q=0.9999", `"\", ,`)
	f.Fuzz(func(t *testing.T, one, two, other string) {
		languages := func(lines ...string) httpwire.Fields {
			var h httpwire.Fields
			for _, line := range lines {
				h.Add(httpwire.AcceptLanguage, line)
			}
			return h
		}
		vary := fields("Vary: Accept-Language, X-A")
		v := rules.NewVariant(languages(one, two), vary)
		if strings.Count(one+two, ",") < 14 && !v.Match(languages(two, one)) {
			t.Errorf("%q and %q: %s", one, two, v)
		}
		only := fields("Vary: Accept-Language")
		if normal, is := strings.CutPrefix(rules.NewVariant(languages(one, two), only).String(), "accept-language: "); is {
			if again := rules.NewVariant(languages(normal), only).String(); again != "accept-language: "+normal {
				t.Errorf("%q becomes %q and then %q", one, normal, again)
			}
		}
		spelled := httpwire.Fields{{Name: "x-a", Value: other}}
		v = rules.NewVariant(spelled, vary)
		wide := httpwire.Fields{{Name: "X-A", Value: " " + strings.ReplaceAll(other, ",", "\t, ")}}
		if quotes := strings.IndexByte(other, '"') >= 0; !quotes && !v.Match(wide) {
			t.Errorf("%q does not match itself with whitespace: %s", other, v)
		}
		// What is at rest is compared as what is in use.
		all := append(append(languages(one, two), spelled...), httpwire.Field{ID: httpwire.Cookie, Name: "Cookie", Value: two})
		v = rules.NewVariant(all, fields("Vary: Accept-Language, X-A, Cookie, X-None"))
		code := rules.AppendVariant(nil, v)
		for _, request := range []httpwire.Fields{all, append(languages(two, one), wide...), append(languages(one), all[2:]...), spelled, nil} {
			if got, want := rules.MatchVariant(code, request), v.Match(request); got != want {
				t.Errorf("%s for %v: %v at rest, %v in use", v, request, got, want)
			}
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5", "bytes=9-", "bytes=1-2,3-4", "BYTES=0-0", "bytes=18446744073709551615-"} {
		f.Add(s, int64(100))
	}
	f.Fuzz(func(t *testing.T, value string, size int64) {
		if size < 0 {
			return
		}
		spans, tidy, ok := rules.ParseRanges(nil, value, size)
		total, last := int64(0), rules.Span{Start: -2, End: -1}
		for _, span := range spans {
			if span.Start < 0 || span.End > size || span.Start >= span.End || tidy && span.Start <= last.End {
				t.Errorf("%q of %d: %+v", value, size, spans)
			}
			total, last = total+span.End-span.Start, span
		}
		if total > size || len(spans) > rules.MaxRanges || !ok && spans != nil || ok && !rules.UsesRange(value) {
			t.Errorf("%q of %d: %+v, %v", value, size, spans, ok)
		}
	})
}

func FuzzConditional(f *testing.F) {
	f.Add(`"a", W/"b"`, `"a"`, "Sun, 06 Nov 1994 08:49:37 GMT")
	f.Fuzz(func(t *testing.T, match, tag, since string) {
		stored := httpwire.Fields{{ID: httpwire.ETag, Value: tag}}
		now := time.Now()
		got := rules.NotModified(httpwire.Fields{{ID: httpwire.IfNoneMatch, Value: match}, {ID: httpwire.IfModifiedSince, Value: since}}, stored, now)
		if got && strings.Trim(match, " \t") != "*" && !strings.Contains(match, strings.TrimPrefix(tag, "W/")) {
			t.Errorf("%q matches %q", match, tag)
		}
		rules.RangeApplies(httpwire.Fields{{ID: httpwire.IfRange, Value: match}}, stored, now)
	})
}

func FuzzTargeted(f *testing.F) {
	for _, s := range []string{"max-age=60", `max-age=60;a=1, private="a"`, "a=(b c;d);e, f=@1, g=:YQ==:", `h=%"%c3%bc"`, "no-store=?0,*=1.5", "a,", `a="\"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		p := policy()
		p.Targeted = []string{"cdn-cache-control"}
		ours := httpwire.Field{ID: httpwire.CDNCacheControl, Name: "CDN-Cache-Control", Value: line}
		d := rules.ResponseDirectives(httpwire.Fields{ours, {ID: httpwire.CacheControl, Name: "Cache-Control", Value: "no-store"}}, p)
		if !d.Targeted && !d.NoStore {
			t.Errorf("%q: neither field counts: %+v", line, d)
		}
		// What is one dictionary over one line is one over two, but not the other way round; parameters never change anything.
		if d.Targeted && strings.Trim(line, " \t") == "" {
			t.Errorf("an empty field counts")
		}
		for _, v := range []rules.Delta{d.MaxAge, d.SMaxAge} {
			if v.Value < 0 || v.Value > (1<<31-1)*time.Second || !v.Valid && v.Value != 0 {
				t.Errorf("%q: %+v", line, v)
			}
		}
		more := rules.ResponseDirectives(httpwire.Fields{ours, {ID: httpwire.CDNCacheControl, Name: "cdn-cache-control", Value: "no-store;x"}}, p)
		if d.Targeted && !more.NoStore {
			t.Errorf("%q and no-store: %+v", line, more)
		}
	})
}

func FuzzExpires(f *testing.F) {
	f.Add("Sun, 06 Nov 2094 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", "10")
	f.Add("0", "-1", "x")
	f.Fuzz(func(t *testing.T, expires, date, age string) {
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		v := rules.Storable(&rules.Candidate{Request: &httpwire.Head{Method: "GET"}, Status: 200, Policy: policy(), Requested: now, Received: now,
			Fields: httpwire.Fields{{ID: httpwire.Expires, Value: expires}, {ID: httpwire.Date, Value: date}, {ID: httpwire.Age, Value: age}}})
		if v.Fresh.Lifetime < 0 || v.Fresh.InitialAge < 0 {
			t.Errorf("%q %q %q: %+v", expires, date, age, v)
		}
		if _, ok := rules.ParseDate(expires, now); !ok && v.Shared {
			t.Errorf("%q is no date, and the response is fresh: %+v", expires, v)
		}
	})
}
