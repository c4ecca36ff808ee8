package probe_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck/probe"
)

func serve(t *testing.T, h http.HandlerFunc) (address string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// body serves one body in a content coding.
func body(coding string, b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if coding != "" {
			w.Header().Set("Content-Encoding", coding)
		}
		_, _ = w.Write(b)
	}
}

func packed(coding string, text []byte) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	default:
		w, _ = flate.NewWriter(&b, flate.BestCompression)
	}
	_, _ = w.Write(text)
	_ = w.Close()
	return b.Bytes()
}

// pad is n bytes in front of a text.
func pad(n int, text string) []byte { return []byte(strings.Repeat("-", n) + text) }

func TestSearchFindsTextInTheFirst5120Bytes(t *testing.T) {
	f := func(b []byte, search string, kind probe.Kind, reason string) {
		t.Helper()
		want(t, try(t, config.Check{Type: "http", Search: search}, serve(t, body("", b))), kind, reason)
	}
	f([]byte("all systems OK"), "OK", probe.KindSuccess, `200 with the text`+took)
	f([]byte("all systems ok"), "OK", probe.KindContent, `200, but "OK" is not in the first 14 bytes`) // case-sensitive
	f(pad(5118, "OK"), "OK", probe.KindSuccess, `200 with the text`+took)
	f(pad(5119, "OK"), "OK", probe.KindContent, `200, but "OK" is not in the first 5120 bytes`) // not wholly inside
	f(pad(0, strings.Repeat("x", 255)), strings.Repeat("x", 255), probe.KindSuccess, `200 with the text`+took)
	f(nil, "OK", probe.KindContent, `200, but "OK" is not in the first 0 bytes`)
}

func TestSearchDecodesTheBodyFirst(t *testing.T) {
	f := func(coding string, b []byte, kind probe.Kind, reason string) {
		t.Helper()
		want(t, try(t, config.Check{Type: "http", Search: "needle"}, serve(t, body(coding, b))), kind, reason)
	}
	text := pad(3000, "needle")
	f("gzip", packed("gzip", text), probe.KindSuccess, `200 with the text`+took)
	f("x-gzip", packed("gzip", text), probe.KindSuccess, `200 with the text`+took)
	f("deflate", packed("zlib", text), probe.KindSuccess, `200 with the text`+took)
	f("deflate", packed("flate", text), probe.KindSuccess, `200 with the text`+took) // as some servers send it
	f("identity", text, probe.KindSuccess, `200 with the text`+took)
	f("br", text, probe.KindResponse, `body: the content coding is neither gzip nor deflate`)
	f("gzip", []byte("needle"), probe.KindResponse, `body: connection closed`)
	f("gzip", []byte("needle, but no gzip"), probe.KindResponse, `body: gzip: invalid header`)
	f("gzip", packed("gzip", text)[:20], probe.KindResponse, `body: connection closed`)
	f("gzip", packed("gzip", append(bytes.Repeat([]byte{0}, 4<<20), "needle"...)), probe.KindContent, // a bomb
		`200, but "needle" is not in the first 5120 bytes`)
}

func TestSearchStopsAtTheTextOfAnEndlessBody(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	f := func(text string, kind probe.Kind, reason string) {
		t.Helper()
		address := speak(t, func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = fmt.Fprintf(c, "%s%x\r\n%s\r\n", head, len(text), text)
			hush(c)
		})
		want(t, try(t, config.Check{Type: "http", Search: "OK", Timeout: 300 * time.Millisecond}, address), kind, reason)
	}
	f("it is OK", probe.KindSuccess, `200 with the text`+took)
	f("it is not", probe.KindTimeout, `timeout after 300ms \(body\)`)
}

func TestSearchLooksOnlyIntoWantedStatuses(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		_, _ = io.WriteString(w, "OK")
	})
	want(t, try(t, config.Check{Type: "http", Search: "OK"}, address), probe.KindStatus, `status 500, want 200-399`)
}

func TestBodyOfManySmallChunksIsBounded(t *testing.T) {
	address := speak(t, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
		_, _ = io.WriteString(c, "a\r\n\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x00\r\n") // a file name that never ends
		for {
			if _, err := io.WriteString(c, "1;"+strings.Repeat("x", 1000)+"\r\ny\r\n"); err != nil {
				return
			}
		}
	})
	r := try(t, config.Check{Type: "http", Search: "OK"}, address)
	if r.Kind != probe.KindResponse {
		t.Errorf("%+v", r)
	}
}

func TestMethodAndHeadersOfTheRequest(t *testing.T) {
	var got *http.Request
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r })
	c := config.Check{Type: "http", Method: "HEAD", Headers: []config.CheckHeader{
		{Name: "Authorization", Value: "Bearer x"}, {Name: "user-agent", Value: "mine"}, {Name: "X-Bad", Value: "a\r\nb: c"},
	}}
	want(t, try(t, c, address), probe.KindSuccess, `200`+took)
	if got.Method != "HEAD" || got.Header.Get("Authorization") != "Bearer x" || got.Header.Get("X-Bad") != "ab: c" {
		t.Errorf("%s with %v", got.Method, got.Header)
	}
	if ua := got.Header["User-Agent"]; len(ua) != 1 || ua[0] != "mine" {
		t.Errorf("User-Agent %q, want the check's own and no other", ua)
	}
}

func TestResponseToHEADHasNoBody(t *testing.T) {
	address := speak(t, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
		hush(c)
	})
	r := try(t, config.Check{Type: "http", Method: "HEAD"}, address)
	want(t, r, probe.KindSuccess, `200`+took)
}
