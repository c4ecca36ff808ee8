package slice_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/cache/slice"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

const size = slice.Size

// fields makes fields of lines "Name: value".
func fields(lines ...string) (f httpwire.Fields) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		f.AddName(name, value)
	}
	return f
}

// body is a Body that notes that it was closed.
type body struct {
	io.Reader
	closed bool
}

func (b *body) Close() error { b.closed = true; return nil }

func response(status int, length int64, lines ...string) *httpwire.Response {
	return &httpwire.Response{Status: status, Length: length, Fields: fields(lines...), Body: &body{Reader: strings.NewReader("")}}
}

func TestWhereSlicesAre(t *testing.T) {
	for _, test := range []struct{ total, count, lastStart int64 }{{1, 1, 0}, {size, 1, 0}, {size + 1, 2, size}, {3 * size, 3, 2 * size}} {
		last := slice.Span(test.count-1, test.total)
		if slice.Count(test.total) != test.count || last != (rules.Span{Start: test.lastStart, End: test.total}) {
			t.Errorf("%d bytes: %d slices, the last one %v", test.total, slice.Count(test.total), last)
		}
	}
}

// TestPartOf: a 206 is the slice that was asked for, or nothing (attack row R13).
func TestPartOf(t *testing.T) {
	for _, test := range []struct {
		name, contentRange string
		status             int
		length, total      int64 // total 0: it is none
	}{
		{"the slice", "bytes 1048576-2097151/5000000", 206, size, 5000000},
		{"of unknown length", "bytes 1048576-2097151/5000000", 206, -1, 5000000},
		{"the last one", "bytes 1048576-1048579/1048580", 206, 4, 1048580},
		{"another", "bytes 0-1048575/5000000", 206, size, 0},
		{"a shorter part", "bytes 1048576-2097150/5000000", 206, size - 1, 0},
		{"a longer part", "bytes 1048576-2097152/5000000", 206, size + 1, 0},
		{"with another length than it says", "bytes 1048576-2097151/5000000", 206, size - 1, 0},
		{"of an unknown whole", "bytes 1048576-2097151/*", 206, size, 0},
		{"without Content-Range", "", 206, size, 0},
		{"a whole", "bytes 1048576-2097151/5000000", 200, size, 0},
	} {
		r := response(test.status, test.length, "Content-Range: "+test.contentRange)
		if total, ok := slice.PartOf(r, 1); ok != (test.total > 0) || ok && total != test.total {
			t.Errorf("%s: %d %v", test.name, total, ok)
		}
	}
}

func TestBeyond(t *testing.T) {
	for _, test := range []struct {
		contentRange, asked string
		want                bool
	}{
		{"bytes */1000", "bytes=1000-", true}, {"bytes */1000", "bytes=999-", false}, {"bytes */1000", "bytes=0-1,2000-", false},
		{"bytes 0-1/1000", "bytes=1000-", false}, {"", "bytes=1000-", false}, {"bytes */1000", "pages=1-", false},
	} {
		if got := slice.Beyond(response(416, -1, "Content-Range: "+test.contentRange), test.asked); got != test.want {
			t.Errorf("%q asked for, %q: %v", test.asked, test.contentRange, got)
		}
	}
}

// TestVersion: only parts with one validator, length and coding are of one version (RFC 9111 section 3.4, attack rows R13 and F37).
func TestVersion(t *testing.T) {
	now := time.Now()
	v := slice.NewVersion(fields(`ETag: "1"`, "Content-Encoding: br"), now, 5000000)
	part := "Content-Range: bytes 1048576-2097151/5000000"
	for _, test := range []struct {
		name string
		resp *httpwire.Response
		want error
	}{
		{"the same", response(206, size, part, `ETag: "1"`, "Content-Encoding: br"), nil},
		{"another tag", response(206, size, part, `ETag: "2"`, "Content-Encoding: br"), slice.ErrVersion},
		{"a weak tag", response(206, size, part, `ETag: W/"1"`, "Content-Encoding: br"), slice.ErrVersion},
		{"another coding", response(206, size, part, `ETag: "1"`), slice.ErrVersion},
		{"another length", response(206, size, "Content-Range: bytes 1048576-2097151/5000001", `ETag: "1"`, "Content-Encoding: br"), slice.ErrVersion},
		{"another part", response(206, size, "Content-Range: bytes 0-1048575/5000000", `ETag: "1"`, "Content-Encoding: br"), slice.ErrVersion},
		{"the whole", response(200, 5000000, `ETag: "1"`, "Content-Encoding: br"), slice.ErrVersion},
		{"gone", response(404, 0), slice.ErrVersion},
		{"changed", response(412, 0), slice.ErrVersion},
		{"beyond the end", response(416, 0), slice.ErrVersion},
		{"no permission", response(403, 0), slice.ErrRefused},
		{"down", response(503, 0), slice.ErrRefused},
	} {
		if err := v.Check(test.resp, now, 1); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	var head httpwire.Fields
	v.Ask(&head, 1)
	if r, _ := head.Get(httpwire.Range); r != "bytes=1048576-2097151" {
		t.Errorf("Range: %q", r)
	}
	if m, _ := head.Get(httpwire.IfMatch); m != `"1"` {
		t.Errorf("If-Match: %q", m)
	}
}

func TestTextIsOneVersionsOnly(t *testing.T) {
	now := time.Now()
	seen := map[string]string{}
	for name, of := range map[string]struct {
		v       slice.Version
		variant rules.Variant
		tags    []string
	}{
		"plain":           {v: slice.NewVersion(fields(`ETag: "1"`), now, 10)},
		"another tag":     {v: slice.NewVersion(fields(`ETag: "2"`), now, 10)},
		"another length":  {v: slice.NewVersion(fields(`ETag: "1"`), now, 11)},
		"another coding":  {v: slice.NewVersion(fields(`ETag: "1"`, "Content-Encoding: br"), now, 10)},
		"tagged":          {v: slice.NewVersion(fields(`ETag: "1"`), now, 10), tags: []string{"a"}},
		"another variant": {v: slice.NewVersion(fields(`ETag: "1"`), now, 10), variant: rules.NewVariant(fields("X: 1"), fields("Vary: X"))},
	} {
		text := of.v.Text(of.variant, of.tags)
		if other, twice := seen[text]; twice {
			t.Errorf("%s and %s: %q", name, other, text)
		}
		seen[text] = name
	}
}

// TestPartOfAResponse: whoever was to be told of the response hears how much was taken, and that it is over, once.
func TestPartOfAResponse(t *testing.T) {
	var done []int64
	open := func(text string) (*httpwire.Response, *body) {
		b := &body{Reader: strings.NewReader(text)}
		done = nil
		return &httpwire.Response{Body: b, Done: func(n int64, _ error) { done = append(done, n) }}, b
	}
	r, b := open("0123456789")
	d, err := slice.Part(r, rules.Span{Start: 3, End: 7})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, []byte("3456")) {
		t.Errorf("%q %v", got, err)
	}
	if err := d.Close(); err != nil || !b.closed || len(done) != 1 || done[0] != 4 {
		t.Errorf("%v, closed %v, told %v", err, b.closed, done)
	}
	r, b = open("01")
	if _, err := slice.Part(r, rules.Span{Start: 3, End: 7}); err == nil || !b.closed || len(done) != 1 || done[0] != 0 {
		t.Errorf("a body that ends before the part: %v, closed %v, told %v", err, b.closed, done)
	}
}
