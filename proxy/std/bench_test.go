package std_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy/std"
)

// hit answers like a cache that has the object: 1 KiB from memory with ten fields.
func hit(fields httpwire.Fields, body string) handler {
	return func(context.Context, *httpwire.Exchange) *httpwire.Response {
		return &httpwire.Response{
			Status: 200, Fields: fields, Body: httpwire.TextBody(body), Length: int64(len(body)), Done: func(int64, error) {},
		}
	}
}

func hitFields() httpwire.Fields {
	var f httpwire.Fields
	f.Add(httpwire.ContentType, "text/plain")
	f.Add(httpwire.CacheControl, "max-age=60")
	f.Add(httpwire.ETag, `"abc"`)
	f.Add(httpwire.Date, "Mon, 01 Jan 2024 00:00:00 GMT")
	f.Add(httpwire.LastModified, "Mon, 01 Jan 2024 00:00:00 GMT")
	f.Add(httpwire.Age, "5")
	f.Add(httpwire.CacheStatus, "edge; hit; ttl=55")
	f.Add(httpwire.Via, "1.1 edge")
	f.Add(httpwire.XRequestID, "01HZZZZZZZZZZZZZZZZZZZZZZZ")
	f.AddName("X-Other", "value")
	return f
}

// BenchmarkHit is one keep-alive connection over loopback; the client is a few lines on the same machine.
func BenchmarkHit(b *testing.B) {
	f := start(b, hit(hitFields(), strings.Repeat("a", 1024)), func(o *std.Options) { o.NewID = nil })
	c, err := net.Dial("tcp", f.plain.String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	const request = "GET /a/b?c=d HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
	br := bufio.NewReader(c)
	io.WriteString(c, request)
	response, err := http.ReadResponse(br, nil)
	if err != nil {
		b.Fatal(err)
	}
	head := 0
	{ // the size of a whole response, to be read without parsing
		n, _ := io.Copy(io.Discard, response.Body)
		io.WriteString(c, request)
		buf := make([]byte, 0, 4096)
		for !strings.Contains(string(buf), "\r\n\r\n") {
			one, err := br.ReadByte()
			if err != nil {
				b.Fatal(err)
			}
			buf = append(buf, one)
		}
		head = len(buf) + int(n)
		br.Discard(int(n))
	}
	b.ReportAllocs()
	for b.Loop() {
		io.WriteString(c, request)
		if _, err := br.Discard(head); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAdapt is this front's own share of a hit: everything but net/http and the sockets.
func BenchmarkAdapt(b *testing.B) {
	s := std.New(std.Options{Handler: hit(hitFields(), strings.Repeat("a", 1024)), Limits: limits()})
	r, err := http.NewRequest("GET", "http://www.example.org/a/b?c=d", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.RequestURI, r.RemoteAddr = "/a/b?c=d", "192.0.2.1:1234"
	r.Header.Set("Accept", "*/*")
	r.Header.Set("User-Agent", "bench")
	w := &sink{header: http.Header{}}
	serve := std.Serve(s)
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		serve(w, r)
	}
}

// sink is a ResponseWriter that keeps nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header            { return s.header }
func (*sink) WriteHeader(int)                  {}
func (*sink) Write(p []byte) (int, error)      { return len(p), nil }
func (*sink) Flush()                           {}
func (*sink) SetWriteDeadline(time.Time) error { return nil }
func (*sink) SetReadDeadline(time.Time) error  { return nil }
