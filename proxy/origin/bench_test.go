package origin_test

import (
	"io"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy/origin"
)

// BenchmarkDo is the miss path: one request to a loopback origin, 1 KiB back. The origin's own cost is in it.
func BenchmarkDo(b *testing.B) {
	o := raw(b, says("HTTP/1.1 200 OK\r\nContent-Length: 1024\r\nCache-Control: max-age=60\r\nContent-Type: text/plain\r\n\r\n"+
		strings.Repeat("a", 1024)))
	transport := newTransport(b, origin.Options{})
	goal := target(b, o.addr)
	r := get("/a/b/c?d=e")
	r.Head.Fields.Add(httpwire.Accept, "*/*")
	r.Head.Fields.Add(httpwire.XForwardedFor, "192.0.2.1")
	r.Head.Fields.Add(httpwire.Via, "1.1 edge")
	buffer := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		response, _, err := transport.Do(b.Context(), goal, r)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = response.Body.Read(buffer)
		}
		if err != io.EOF {
			b.Fatal(err)
		}
		response.Body.Close()
	}
}
