package rules_test

import (
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// TestStrong is RFC 9110 §8.8.1 and §8.8.2.2: which validators parts may be combined under.
func TestStrong(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	day, before := "Sun, 01 Mar 2026 12:00:00 GMT", "Sun, 01 Mar 2026 11:59:59 GMT"
	f := func(want, tag, modified, date string) {
		t.Helper()
		var fields httpwire.Fields
		for id, v := range map[httpwire.ID]string{httpwire.ETag: tag, httpwire.LastModified: modified, httpwire.Date: date} {
			if v != "" {
				fields.Add(id, v)
			}
		}
		got := rules.Strong(fields, now)
		if got != want {
			t.Errorf("%s %s %s: %q, want %q", tag, modified, date, got, want)
		}
		if got == "" {
			return
		}
		var head httpwire.Fields
		rules.Require(&head, got)
		match, _ := head.Get(httpwire.IfMatch)
		since, _ := head.Get(httpwire.IfUnmodifiedSince)
		if len(head) != 1 || match+since != tag && match+since != modified {
			t.Errorf("%q: %v", got, head)
		}
	}
	f(`"a"`, `"a"`, "", "")
	f(`"a"`, `"a"`, before, day)
	f("", `W/"a"`, before, day)
	f("", "a", before, day)
	f("m:"+before, "", before, day)
	f("m:"+before, "", before, "")
	f("", "", day, day)
	f("", "", day, before)
	f("", "", before, "yesterday")
	f("", "", "yesterday", day)
	f("", "", "", day)
}

// TestContentRange is RFC 9110 §14.4.
func TestContentRange(t *testing.T) {
	f := func(value string, start, end, size int64, ok bool) {
		t.Helper()
		span, total, good := rules.ParseContentRange(value)
		if span != (rules.Span{Start: start, End: end}) || total != size || good != ok {
			t.Errorf("%q: %v of %d, %v", value, span, total, good)
		}
	}
	f("bytes 0-0/1", 0, 1, 1, true)
	f("Bytes 5-9/10", 5, 10, 10, true)
	f("bytes */10", 0, 0, 10, true)
	for _, bad := range []string{"", "bytes", "bytes ", "bytes 0-0", "bytes 0-0/", "bytes 0-0/*", "bytes */*", "bytes 0-1/1", "bytes 1-0/9", "bytes -1/9", "bytes 1-/9",
		"bytes=0-0/1", "bits 0-0/1", "bytes 0-0/0", "bytes  0-0/1", "bytes 0-0/1 ", "bytes 0-0,2-2/9", "bytes 0-0/99999999999999999999", "bytes 0-99999999999999999999/99999999999999999999"} {
		f(bad, 0, 0, 0, false)
	}
}

// TestFirstWanted says which byte of a body is needed first.
func TestFirstWanted(t *testing.T) {
	f := func(value string, size, want int64) {
		t.Helper()
		if got := rules.FirstWanted(value, size); got != want {
			t.Errorf("%q of %d: %d, want %d", value, size, got, want)
		}
	}
	f("bytes=5-9", -1, 5)
	f("bytes=50-", -1, 50)
	f("bytes=-5", -1, 0)
	f("bytes=-5", 20, 15)
	f("bytes=-0", -1, 0)
	f("bytes=7-8,1-2", -1, 7)
	f("bytes=7-8,6-7", -1, 6)
	f("bytes=-5,1-2", -1, 0)
	f("bytes=50-", 20, 0)
	f("bytes=50-,3-4", 20, 3)
	f("bytes=99999999999999999999-", -1, 1<<58)
}
