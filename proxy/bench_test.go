package proxy_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/meridian-edge/meridian/internal/httpwire"
)

// play handles an exchange as a front would, without a socket.
func (e *edge) play(b *testing.B, x *httpwire.Exchange) {
	response := e.Handle(b.Context(), x)
	n, err := io.Copy(io.Discard, response.Body)
	status := response.Status // Done gives the response's memory back
	response.Body.Close()
	response.Done(n, err)
	if status != 200 || err != nil {
		b.Fatal(status, err)
	}
}

// benchFields is what a browser sends.
var benchFields = []string{
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Accept: text/html,*/*;q=0.8",
	"Accept-Language: en", "Accept-Encoding: gzip, br", "Cookie: a=b", "Referer: http://www.example.org/",
}

func kilobyte(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "max-age=3600")
	w.Header().Set("ETag", `"1"`)
	_, _ = w.Write(make([]byte, 1024))
}

// BenchmarkHit is a fresh 1 KiB object through all phases: receive, route, admit, cache, deliver, log.
func BenchmarkHit(b *testing.B) {
	e := newEdge(b, oneSite, newRecorder(b, kilobyte))
	e.play(b, request("GET http://www.example.org/a", benchFields...))
	heads := request("GET http://www.example.org/a", benchFields...)
	fields := heads.Head.Fields.Clone()
	b.ReportAllocs()
	for b.Loop() {
		x := *heads // a front makes one Exchange for each request
		x.Head.Fields = append(make(httpwire.Fields, 0, len(fields)+8), fields...)
		e.play(b, &x)
	}
}

// BenchmarkPass is a request that goes to an origin on loopback, unstored: the miss path without the store.
func BenchmarkPass(b *testing.B) {
	e := newEdge(b, passSite, newRecorder(b, kilobyte))
	b.ReportAllocs()
	for b.Loop() {
		e.play(b, request("GET http://www.example.org/", benchFields...))
	}
}

// BenchmarkMissFill is a request for another object each time: fetch, store and deliver.
func BenchmarkMissFill(b *testing.B) {
	e := newEdge(b, oneSite, newRecorder(b, kilobyte))
	b.ReportAllocs()
	path := []byte("GET http://www.example.org/a0000000000")
	for n := 0; b.Loop(); n++ {
		for i, v := len(path)-1, n; v > 0; i, v = i-1, v/10 {
			path[i] = byte('0' + v%10)
		}
		e.play(b, request(string(path), benchFields...))
	}
}
