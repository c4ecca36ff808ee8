package encode_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var codings = []encode.Coding{encode.Gzip, encode.Zstd, encode.Brotli}

// decode reads a whole encoded body; one that is cut short is an error.
func decode(c encode.Coding, r io.Reader) ([]byte, error) {
	switch c {
	case encode.Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	case encode.Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		return io.ReadAll(z)
	case encode.Brotli:
		return io.ReadAll(brotli.NewReader(r))
	}
	return io.ReadAll(r)
}

func response(body httpwire.Body, length int64) *httpwire.Response {
	return &httpwire.Response{Status: 200, Length: length, Body: body, Fields: fields("Content-Type: text/html", `ETag: "a"`)}
}

func head(method string, lines ...string) *httpwire.Head {
	return &httpwire.Head{Method: method, Fields: fields(lines...)}
}

// plain hides every method but Read and Close.
type plain struct{ io.Reader }

func (plain) Close() error { return nil }

// text is about as redundant as a page is.
func text(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "<li class=%q><a href=\"/item/%d\">Item number %d</a> costs %d</li>\n", "item", i*7919%10007, i, i*i%997)
	}
	return b.Bytes()[:n]
}

// Whatever the body, the pieces it comes in and the way it is read: decoding gives it back.
func TestDecodedIsWhatTheOriginSent(t *testing.T) {
	e := encode.New(nil)
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(codings).Draw(t, "coding")
		want := rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "bytes")
		want = bytes.Repeat(want, rapid.IntRange(1, 40).Draw(t, "times"))
		var source io.Reader = bytes.NewReader(want)
		pieces := rapid.SampledFrom([]string{"whole", "half", "bytes", "data and EOF"}).Draw(t, "pieces")
		switch pieces {
		case "half":
			source = iotest.HalfReader(source)
		case "bytes":
			source = iotest.OneByteReader(io.LimitReader(source, 2000))
			want = want[:min(len(want), 2000)]
		case "data and EOF":
			source = iotest.DataErrReader(source)
		}
		r := response(plain{source}, -1)
		e.Wrap(r, encode.Ask{On: true, Coding: c}, head("GET"))
		var out bytes.Buffer
		var err error
		if rapid.Bool().Draw(t, "read") {
			_, err = out.ReadFrom(struct{ io.Reader }{r.Body})
		} else {
			var n int64
			if n, err = r.Body.(io.WriterTo).WriteTo(&out); n != int64(out.Len()) {
				t.Fatalf("says %d, wrote %d", n, out.Len())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := decode(c, &out); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v: %d bytes for %d, %v", c, len(got), len(want), err)
		}
	})
}

// A body that breaks off never decodes as a whole one, and its error comes through.
func TestABrokenBodyHasNoEnd(t *testing.T) {
	broken := errors.New("broken")
	e := encode.New(nil)
	for _, c := range codings {
		for _, direct := range []bool{false, true} {
			r := response(plain{io.MultiReader(bytes.NewReader(text(50_000)), iotest.ErrReader(broken))}, -1)
			e.Wrap(r, encode.Ask{On: true, Coding: c}, head("GET"))
			var out bytes.Buffer
			var err error
			if direct {
				_, err = r.Body.(io.WriterTo).WriteTo(&out)
			} else {
				_, err = out.ReadFrom(struct{ io.Reader }{r.Body})
			}
			if !errors.Is(err, broken) {
				t.Errorf("%v: error %v", c, err)
			}
			r.Body.Close()
			// To Zstd, no bytes at all are no frames, which is valid.
			if got, err := decode(c, &out); err == nil && len(got) > 0 {
				t.Errorf("%v: a part decodes as a whole", c)
			}
		}
	}
}

// What has come is seen although more is to follow.
func TestAPauseIsFlushed(t *testing.T) {
	e := encode.New(nil)
	for _, c := range codings {
		from, to := io.Pipe()
		r := response(from, -1)
		e.Wrap(r, encode.Ask{On: true, Coding: c}, head("GET"))
		wire, out := io.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := r.Body.(io.WriterTo).WriteTo(out)
			out.CloseWithError(err)
			done <- err
		}()
		decoded := decoder(t, c, wire)
		for _, part := range []string{"the first line\n", "and another\n"} {
			if _, err := io.WriteString(to, part); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(part))
			if _, err := io.ReadFull(decoded, got); err != nil || string(got) != part {
				t.Fatalf("%v: %q, %v", c, got, err)
			}
		}
		to.Close()
		if rest, err := io.ReadAll(decoded); err != nil || len(rest) > 0 {
			t.Errorf("%v: %q, %v", c, rest, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		r.Body.Close()
	}
}

func decoder(t *testing.T, c encode.Coding, r io.Reader) io.Reader {
	switch c {
	case encode.Gzip:
		return &lazyGzip{r: r}
	case encode.Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(z.Close)
		return z
	}
	return brotli.NewReader(r)
}

// lazyGzip reads the gzip header when it is asked for bytes, not before.
type lazyGzip struct {
	r io.Reader
	z *gzip.Reader
}

func (l *lazyGzip) Read(p []byte) (int, error) {
	if l.z == nil {
		z, err := gzip.NewReader(l.r)
		if err != nil {
			return 0, err
		}
		l.z = z
	}
	return l.z.Read(p)
}

func TestWrapLeavesAlone(t *testing.T) {
	e := encode.New(nil)
	body := func() httpwire.Body { return httpwire.TextBody(strings.Repeat("a", 5000)) }
	for name, c := range map[string]struct {
		ask  encode.Ask
		resp *httpwire.Response
	}{
		"off":     {encode.Ask{Coding: encode.Gzip}, response(body(), 5000)},
		"small":   {encode.Ask{On: true, Coding: encode.Gzip}, response(httpwire.TextBody("a"), 1)},
		"no body": {encode.Ask{On: true, Coding: encode.Gzip}, response(nil, -1)},
		"encoded": {encode.Ask{On: true, Coding: encode.Gzip}, &httpwire.Response{Status: 200, Length: 5000, Body: body(),
			Fields: fields("Content-Type: text/html", `ETag: "a"`, "Content-Encoding: br")}},
	} {
		before, length := c.resp.Fields.Clone(), c.resp.Length
		e.Wrap(c.resp, c.ask, head("GET"))
		if fmt.Sprint(before) != fmt.Sprint(c.resp.Fields) || c.resp.Length != length {
			t.Errorf("%s: %v", name, c.resp.Fields)
		}
	}
	r := response(body(), 5000)
	e.Wrap(r, encode.Ask{On: true}, head("GET"))
	if v, _ := r.Fields.Get(httpwire.Vary); v != "Accept-Encoding" || r.Length != 5000 || r.Fields.Has(httpwire.ContentEncoding) {
		t.Errorf("identity of what could be encoded: %v", r.Fields)
	}
}

// HEAD gets the head that GET gets, and 304 the entity-tag of what the client holds.
func TestHeadsWithoutBody(t *testing.T) {
	e := encode.New(nil)
	r := response(nil, 5000)
	e.Wrap(r, encode.Ask{On: true, Coding: encode.Brotli}, head("HEAD"))
	got, _ := r.Fields.Get(httpwire.ContentEncoding)
	if tag, _ := r.Fields.Get(httpwire.ETag); got != "br" || tag != `W/"a"` || r.Length != -1 || r.Body != nil {
		t.Errorf("HEAD: %v, length %d", r.Fields, r.Length)
	}
	for holds, want := range map[string]string{`"a"`: `"a"`, `W/"a"`: `W/"a"`, `"b", W/"a"`: `W/"a"`, "": `"a"`, `W/"b"`: `"a"`} {
		r := &httpwire.Response{Status: 304, Fields: fields(`ETag: "a"`), Length: -1}
		e.Wrap(r, encode.Ask{On: true, Coding: encode.Brotli}, head("GET", "If-None-Match: "+holds))
		if tag, _ := r.Fields.Get(httpwire.ETag); tag != want {
			t.Errorf("304 for %s: %s", holds, tag)
		}
	}
}

// The Vary of a part is that of the whole.
func TestAPartVaries(t *testing.T) {
	for contentType, want := range map[string]string{"text/html": "Accept-Encoding", "image/png": ""} {
		r := &httpwire.Response{Status: 206, Length: 10, Body: httpwire.TextBody("0123456789"),
			Fields: fields("Content-Type: "+contentType, "Content-Range: bytes 0-9/20", `ETag: "a"`)}
		encode.New(nil).Wrap(r, encode.Ask{On: true, Coding: encode.Gzip}, head("GET"))
		vary, _ := r.Fields.Get(httpwire.Vary)
		if tag, _ := r.Fields.Get(httpwire.ETag); vary != want || tag != `"a"` || r.Length != 10 {
			t.Errorf("%s: %v", contentType, r.Fields)
		}
	}
}

func TestDigestsInTrailersGo(t *testing.T) {
	r := response(httpwire.TextBody(strings.Repeat("a", 5000)), 5000)
	r.Trailers = func() httpwire.Fields { return fields("Repr-Digest: x", "X-Time: 1") }
	encode.New(nil).Wrap(r, encode.Ask{On: true, Coding: encode.Gzip}, head("GET"))
	if f := r.Trailers(); len(f) != 1 || f[0].Name != "X-Time" {
		t.Error(f)
	}
	r.Body.Close()
}

// Above the limit bodies go out as they are, and every encoder comes back.
func TestActiveIsBounded(t *testing.T) {
	reg := prometheus.NewRegistry()
	e := encode.New(reg)
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	for range 2 {
		var streams []*encode.Stream
		for range encode.MaxActive {
			s := e.Start(encode.Gzip)
			if s == nil {
				t.Fatal("refused below the limit")
			}
			streams = append(streams, s)
		}
		r := response(httpwire.TextBody(strings.Repeat("a", 5000)), 5000)
		e.Wrap(r, encode.Ask{On: true, Coding: encode.Gzip}, head("GET"))
		if r.Fields.Has(httpwire.ContentEncoding) || !r.Fields.Has(httpwire.Vary) {
			t.Errorf("above the limit: %v", r.Fields)
		}
		for _, s := range streams {
			s.Abort()
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, c := range codings {
		for _, n := range []int{1 << 10, 32 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%v/%dKiB", c, n>>10), func(b *testing.B) {
				e, page := encode.New(nil), text(n)
				b.ReportAllocs()
				b.SetBytes(int64(n))
				var out bytes.Buffer
				for b.Loop() {
					out.Reset()
					s := e.Start(c)
					s.To(&out)
					if _, err := s.Write(page); err != nil {
						b.Fatal(err)
					}
					if err := s.End(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(n)/float64(out.Len()), "ratio")
			})
		}
	}
}
