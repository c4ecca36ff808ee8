package encode_test

import (
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/cache/encode"
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

// RFC 9110 §12.5.3, with the edge's own order among equals: br, zstd, gzip.
func TestNegotiation(t *testing.T) {
	for accept, want := range map[string]encode.Coding{
		"":                                encode.Identity,
		"gzip":                            encode.Gzip,
		"GZip":                            encode.Gzip,
		"x-gzip":                          encode.Gzip,
		"br":                              encode.Brotli,
		"zstd":                            encode.Zstd,
		"gzip, deflate, br, zstd":         encode.Brotli,
		"gzip, deflate, zstd":             encode.Zstd,
		"gzip;q=1, br;q=0.9":              encode.Gzip,
		"gzip; q=0.5 , zstd ;q=0.5":       encode.Zstd,
		"gzip ;q=0.001":                   encode.Gzip,
		"gzip;q=0":                        encode.Identity,
		"gzip;q=0.000":                    encode.Identity,
		"br;q=0, gzip":                    encode.Gzip,
		"*":                               encode.Brotli,
		"*;q=0":                           encode.Identity,
		"br;q=0, *":                       encode.Zstd,
		"gzip, *;q=0":                     encode.Gzip,
		"identity":                        encode.Identity,
		"identity;q=1, *;q=0":             encode.Identity,
		"identity, gzip;q=0.5":            encode.Identity,
		"identity;q=0.5, gzip":            encode.Gzip,
		"identity, gzip":                  encode.Gzip, // equals: the client lets the edge choose
		"identity;q=0":                    encode.Identity,
		"identity;q=0, gzip":              encode.Gzip,
		"deflate, compress":               encode.Identity,
		"gzip;q=2":                        encode.Identity,
		"gzip;q=1.001":                    encode.Identity,
		"gzip;q=0.1234":                   encode.Identity,
		"gzip;q=":                         encode.Identity,
		"gzip;level=9":                    encode.Identity,
		"gzip;q=x, br;q=0.1":              encode.Brotli,
		",, gzip ,":                       encode.Gzip,
		"gzip;Q=0.8":                      encode.Gzip,
		strings.Repeat("a,", 5000) + "br": encode.Brotli,
	} {
		if got := encode.Negotiate(fields("Accept-Encoding: "+accept), false); got != want {
			t.Errorf("%.60q: %v, want %v", accept, got, want)
		}
	}
	if got := encode.Negotiate(nil, false); got != encode.Identity {
		t.Errorf("no field: %v", got) // any coding would do, so the plainest
	}
	if got := encode.Negotiate(fields("Accept-Encoding: gzip", "Accept-Encoding: br"), false); got != encode.Brotli {
		t.Errorf("two lines: %v", got)
	}
	if got := encode.Negotiate(fields("Accept-Encoding: gzip, deflate, br, zstd"), true); got != encode.Zstd {
		t.Errorf("fast: %v", got)
	}
	if got := encode.Negotiate(fields("Accept-Encoding: gzip, br, zstd;q=0.9"), true); got != encode.Brotli {
		t.Errorf("fast, by weight: %v", got)
	}
}

func TestJudge(t *testing.T) {
	text := "Content-Type: text/html; charset=utf-8"
	for _, c := range []struct {
		want   string
		status int
		length int64
		lines  []string
	}{
		{"", 200, 5000, []string{text}},
		{"", 200, -1, []string{text}},
		{"", 203, encode.MinLength, []string{text}},
		{"", 404, encode.MaxLength, []string{text}},
		{"", 500, 5000, []string{text}},
		{encode.ReasonStatus, 204, 5000, []string{text}},
		{encode.ReasonStatus, 206, 5000, []string{text}},
		{encode.ReasonStatus, 301, 5000, []string{text}},
		{encode.ReasonStatus, 304, 5000, []string{text}},
		{encode.ReasonStatus, 416, 5000, []string{text}},
		{encode.ReasonSmall, 200, encode.MinLength - 1, []string{text}},
		{encode.ReasonSmall, 200, 0, []string{text}},
		{encode.ReasonLarge, 200, encode.MaxLength + 1, []string{text}},
		{encode.ReasonType, 200, 5000, nil},
		{encode.ReasonType, 200, 5000, []string{"Content-Type: image/png"}},
		{encode.ReasonType, 200, 5000, []string{"Content-Type: text/event-stream"}},
		{encode.ReasonType, 200, 5000, []string{"Content-Type: application/octet-stream"}},
		{encode.ReasonType, 200, 5000, []string{"Content-Type: font/woff2"}},
		{encode.ReasonType, 200, 5000, []string{"Content-Type: text"}},
		{"", 200, 5000, []string{"Content-Type: IMAGE/SVG+XML"}},
		{"", 200, 5000, []string{"Content-Type: application/problem+json ; a=b"}},
		{"", 200, 5000, []string{"Content-Type: application/wasm"}},
		{encode.ReasonEncoded, 200, 5000, []string{text, "Content-Encoding: gzip"}},
		{encode.ReasonEncoded, 200, 5000, []string{text, "Content-Encoding: identity"}},
		{encode.ReasonNoTransform, 200, 5000, []string{text, "Cache-Control: max-age=60, No-Transform"}},
		{encode.ReasonNoTransform, 200, 5000, []string{text, `Cache-Control: a="b, no-transform`}},
		{encode.ReasonNoTransform, 200, 5000, []string{text, "Cache-Control: max-age=60", "Cache-Control: no-transform=1"}},
		{"", 200, 5000, []string{text, "Cache-Control: x-no-transform"}},
		{encode.ReasonRange, 200, 5000, []string{text, "Content-Range: bytes 0-1/2"}},
	} {
		if got := encode.Judge(c.status, fields(c.lines...), c.length); got != c.want {
			t.Errorf("%d %d %q: %q, want %q", c.status, c.length, c.lines, got, c.want)
		}
	}
}

func TestRewrite(t *testing.T) {
	f := fields("Content-Type: text/css", `ETag: "v1"`, "Accept-Ranges: bytes", "Content-MD5: x", "content-digest: x", "Repr-Digest: x",
		"Digest: x", "Digestive: x", "Last-Modified: y")
	encode.Rewrite(&f, encode.Zstd)
	want := fields("Content-Type: text/css", `ETag: W/"v1"`, "Digestive: x", "Last-Modified: y", "Content-Encoding: zstd")
	if len(f) != len(want) {
		t.Fatalf("%v", f)
	}
	for i := range f {
		if f[i] != want[i] {
			t.Errorf("%v, want %v", f[i], want[i])
		}
	}
}

func TestWeaken(t *testing.T) {
	for tag, want := range map[string]string{
		`"a"`: `W/"a"`, `W/"a"`: `W/"a"`, `""`: `W/""`, `a`: "", `"a`: "", `w/"a"`: "", `"a"b"`: "", `"a"b`: "", `W/a`: "",
	} {
		f := fields("ETag: " + tag)
		encode.Weaken(&f)
		if got, _ := f.Get(httpwire.ETag); got != want {
			t.Errorf("%s: %s, want %s", tag, got, want)
		}
	}
}

func TestVary(t *testing.T) {
	for before, want := range map[string]string{
		"": "Accept-Encoding", "Origin": "Origin, Accept-Encoding", "*": "*", "accept-encoding": "accept-encoding",
		"Origin, Accept-Encoding": "Origin, Accept-Encoding", "Accept": "Accept, Accept-Encoding",
	} {
		var f httpwire.Fields
		if before != "" {
			f.Add(httpwire.Vary, before)
		}
		encode.Vary(&f)
		if got, _ := f.Joined(httpwire.Vary); got != want {
			t.Errorf("%q: %q, want %q", before, got, want)
		}
	}
}

func FuzzNegotiate(f *testing.F) {
	f.Add("gzip;q=0.5, br, *;q=0")
	f.Fuzz(func(t *testing.T, accept string) {
		c := encode.Negotiate(httpwire.Fields{{ID: httpwire.AcceptEncoding, Value: accept}}, len(accept)%2 == 0)
		if c != encode.Identity && !strings.Contains(accept, "*") && !strings.Contains(strings.ToLower(accept), c.String()) {
			t.Errorf("%q: %v was not asked for", accept, c)
		}
	})
}

func FuzzJudge(f *testing.F) {
	f.Add("text/html", "no-transform", `"a"`)
	f.Fuzz(func(t *testing.T, mediaType, control, tag string) {
		fields := httpwire.Fields{{ID: httpwire.ContentType, Value: mediaType}, {ID: httpwire.CacheControl, Value: control}, {ID: httpwire.ETag, Value: tag}}
		if encode.Judge(200, fields, -1) == "" && encode.Forbidden(fields) {
			t.Error("forbidden, and encoded")
		}
		encode.Rewrite(&fields, encode.Gzip)
		if encode.Judge(200, fields, -1) == "" {
			t.Error("encoded twice")
		}
	})
}

func BenchmarkNegotiate(b *testing.B) {
	f := fields("Accept: */*", "Accept-Encoding: gzip, deflate, br, zstd", "User-Agent: x")
	b.ReportAllocs()
	for b.Loop() {
		encode.Negotiate(f, false)
	}
}

func BenchmarkJudge(b *testing.B) {
	f := fields("Content-Type: text/css; charset=utf-8", "Cache-Control: public, max-age=31536000", `ETag: "a"`, "Server: x", "Date: x")
	b.ReportAllocs()
	for b.Loop() {
		encode.Judge(200, f, 5000)
	}
}
