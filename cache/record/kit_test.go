package record_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache/record"
	"github.com/meridian-edge/meridian/cache/rules"
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

// ordinary is a response as many sites send it: ten fields, two of which the edge has no number for, and a variant.
func ordinary(epoch time.Time) *record.Response {
	head := fields("Date: Sun, 06 Nov 1994 08:49:37 GMT", "Content-Type: text/html; charset=utf-8", "Content-Length: 1234",
		"Cache-Control: public, max-age=300, stale-while-revalidate=30", `ETag: "33a64df551425fcc"`, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
		"Vary: Accept-Encoding, Accept-Language, X-Device", "Server: example", "X-Content-Type-Options: nosniff", "Strict-Transport-Security: max-age=31536000")
	r := &record.Response{
		Key: "3:web,5:https,11:example.org,0:,6:/index,0:,", Status: 200, Fields: head, Aged: true, Born: 7, Mark: true,
		Fresh: rules.Freshness{Lifetime: 5 * time.Minute, InitialAge: 2 * time.Second, Received: epoch.Add(time.Hour), Source: "max-age",
			StaleWhileRevalidate: 30 * time.Second},
		Tags: []string{"home", "en"}, Variant: rules.NewVariant(asks, head),
	}
	r.URL = len(r.Key)
	r.Body[0], r.Body[2] = bytes.Repeat([]byte("body "), 250), []byte("encoded")
	return r
}

// asks is a request that selects the ordinary response.
var asks = fields("Host: example.org", "User-Agent: curl/8.5.0", "Accept: */*", "Accept-Encoding: gzip, br, zstd", "Accept-Language: en-GB, en;q=0.8", "X-Device: desktop")

// read is all that a View says, as a Response that shares no memory with it.
func read(v record.View, epoch time.Time) *record.Response {
	r := &record.Response{
		Key: strings.Clone(v.Key()), URL: len(v.URL()), Status: v.Status(), Fields: v.AppendFields(nil).Clone(), Fresh: v.Fresh(epoch), Aged: v.Aged(),
		Born: v.Born(), Variant: v.Variant(), Total: v.Total(), Mark: v.Mark(),
	}
	r.Fresh.Source = strings.Clone(r.Fresh.Source)
	for _, tag := range v.Tags() {
		r.Tags = append(r.Tags, strings.Clone(tag))
	}
	for i := range r.Body {
		r.Body[i] = bytes.Clone(v.Body(i))
	}
	return r
}

// differ says in what two responses differ; empty: in nothing. Instants are compared as such, and no tags are as good as nil.
func differ(got, want *record.Response) string {
	a, b := got.Fresh, want.Fresh
	if !a.Received.Equal(b.Received) {
		return fmt.Sprintf("received %v, want %v", a.Received, b.Received)
	}
	a.Received, b.Received = time.Time{}, time.Time{}
	switch {
	case a != b:
		return fmt.Sprintf("freshness %+v, want %+v", a, b)
	case got.Key != want.Key || got.URL != want.URL || got.Status != want.Status || got.Born != want.Born || got.Total != want.Total:
		return fmt.Sprintf("key and numbers %q %d %d %d %d, want %q %d %d %d %d", got.Key, got.URL, got.Status, got.Born, got.Total,
			want.Key, want.URL, want.Status, want.Born, want.Total)
	case got.Aged != want.Aged || got.Mark != want.Mark:
		return fmt.Sprintf("aged %v and mark %v, want %v and %v", got.Aged, got.Mark, want.Aged, want.Mark)
	case !slices.Equal(got.Fields, want.Fields):
		return fmt.Sprintf("fields %q, want %q", got.Fields, want.Fields)
	case !slices.Equal(got.Tags, want.Tags):
		return fmt.Sprintf("tags %q, want %q", got.Tags, want.Tags)
	case !bytes.Equal(rules.AppendVariant(nil, got.Variant), rules.AppendVariant(nil, want.Variant)):
		return fmt.Sprintf("variant %s, want %s", got.Variant, want.Variant)
	}
	for i := range got.Body {
		if (got.Body[i] == nil) != (want.Body[i] == nil) || !bytes.Equal(got.Body[i], want.Body[i]) {
			return fmt.Sprintf("body %d is %q, want %q", i, got.Body[i], want.Body[i])
		}
	}
	return ""
}

// ages says how the ages that a View tells by itself differ from those of its freshness; empty: in nothing.
func ages(v record.View, epoch time.Time, after time.Duration) string {
	f, now := v.Fresh(epoch), epoch.Add(after)
	age, ttl, fresh := v.Age(after)
	if age != f.Age(now) || ttl != f.TTL(now) || fresh != f.Fresh(now) {
		return fmt.Sprintf("age %v, %v left, fresh %v; want %v, %v, %v", age, ttl, fresh, f.Age(now), f.TTL(now), f.Fresh(now))
	}
	return ""
}

// free fails a test if f allocates.
func free(t *testing.T, what string, f func()) {
	t.Helper()
	if n := testing.AllocsPerRun(100, f); n != 0 {
		t.Errorf("%s: %v allocations", what, n)
	}
}
