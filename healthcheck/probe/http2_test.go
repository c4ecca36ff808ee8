package probe_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck/probe"
)

// serveH2 is a server that speaks HTTP/2 alone, over TLS or not.
func serveH2(t *testing.T, overTLS bool, h http.HandlerFunc) (address string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.ErrorLog = quiet()
	if overTLS {
		s.Config.Protocols.SetHTTP2(true)
		s.EnableHTTP2 = true
		s.TLS = &tls.Config{NextProtos: []string{"h2"}}
		s.StartTLS()
	} else {
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestHTTP2OverTLSAndWithPriorKnowledge(t *testing.T) {
	for _, overTLS := range []bool{true, false} {
		var got *http.Request
		address := serveH2(t, overTLS, func(w http.ResponseWriter, r *http.Request) {
			got = r
			w.WriteHeader(http.StatusEarlyHints)
			if r.URL.Path == "/bad" {
				w.WriteHeader(503)
			}
			_, _ = w.Write(pad(5000, "needle"))
		})
		c := config.Check{
			Type: "h2", TLS: overTLS, Path: "/x?y=1", Host: "www.example.org", Search: "needle",
			Headers: []config.CheckHeader{{Name: "X-Token", Value: strings.Repeat("long ", 9000)}}, // more than a frame holds
		}
		want(t, try(t, c, address), probe.KindSuccess, `200 with the text`+took)
		if got == nil {
			t.Fatal("no request")
		}
		if got.ProtoMajor != 2 || got.Host != "www.example.org" || got.RequestURI != "/x?y=1" || len(got.Header.Get("X-Token")) != 45000 {
			t.Errorf("%s %s of %s", got.Proto, got.RequestURI, got.Host)
		}
		want(t, try(t, config.Check{Type: "h2", TLS: overTLS, Path: "/bad"}, address), probe.KindStatus, `status 503, want 200-399`)
		want(t, try(t, config.Check{Type: "h2", TLS: overTLS, Search: "hay"}, address), probe.KindContent, `200, but "hay" is not .*`)
		want(t, try(t, config.Check{Type: "h2", TLS: overTLS, Method: "HEAD"}, address), probe.KindSuccess, `200`+took)
	}
}

func TestHTTP2ToWhatSpeaksSomethingElse(t *testing.T) {
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	want(t, try(t, config.Check{Type: "h2"}, plain), probe.KindResponse, `response: the server does not speak HTTP/2`)
	want(t, try(t, config.Check{Type: "grpc"}, plain), probe.KindResponse, `response: the server does not speak HTTP/2`)
	old := secure(t, &tls.Config{Certificates: []tls.Certificate{certificate(t, -aDay, aDay)}}, hush)
	want(t, try(t, config.Check{Type: "h2", TLS: true}, old), probe.KindTLS, `tls: the server does not offer h2`)
	want(t, try(t, config.Check{Type: "h2"}, speak(t, utter(""))), probe.KindResponse, `response: connection (closed|reset by peer)`)
	want(t, try(t, config.Check{Type: "h2", Timeout: 200 * time.Millisecond}, speak(t, hush)), probe.KindTimeout,
		`timeout after 200ms \(response\)`)
}

// frames serves a connection with hand-made frames; hpack writes a block of fields.
func frames(t *testing.T, write func(fr *http2.Framer, block func(...string) []byte)) (address string) {
	return speak(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096)) // the preface and more
		done := make(chan struct{})
		go func() { hush(c); close(done) }()
		defer func() { <-done }() // the probe hangs up
		fr := http2.NewFramer(c, nil)
		fr.AllowIllegalWrites = true
		write(fr, func(pairs ...string) []byte {
			var b bytes.Buffer
			enc := hpack.NewEncoder(&b)
			for i := 0; i < len(pairs); i += 2 {
				_ = enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
			}
			return b.Bytes()
		})
	})
}

func TestHTTP2ServersThatMisbehave(t *testing.T) {
	head := func(fr *http2.Framer, block []byte, end bool) {
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true, EndStream: end})
	}
	f := func(reason string, write func(fr *http2.Framer, block func(...string) []byte)) {
		t.Helper()
		address := frames(t, func(fr *http2.Framer, block func(...string) []byte) {
			_ = fr.WriteSettings()
			write(fr, block)
		})
		r := try(t, config.Check{Type: "h2", Search: "x", Timeout: 5 * time.Second}, address)
		want(t, r, probe.KindResponse, reason)
	}
	f(`response: GOAWAY ENHANCE_YOUR_CALM`, func(fr *http2.Framer, _ func(...string) []byte) {
		_ = fr.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil)
	})
	f(`response: RST_STREAM REFUSED_STREAM`, func(fr *http2.Framer, _ func(...string) []byte) {
		_ = fr.WriteRSTStream(1, http2.ErrCodeRefusedStream)
	})
	f(`response: too many HTTP/2 frames`, func(fr *http2.Framer, _ func(...string) []byte) {
		for range 300 {
			_ = fr.WritePing(false, [8]byte{})
		}
	})
	f(`response: more than 256 KiB of HTTP/2 frames`, func(fr *http2.Framer, _ func(...string) []byte) {
		for range 20 {
			_ = fr.WriteRawFrame(0xee, 0, 0, make([]byte, 16<<10)) // of a type nobody knows
		}
	})
	f(`body: more HTTP/2 data than was allowed`, func(fr *http2.Framer, block func(...string) []byte) {
		head(fr, block(":status", "200", "content-encoding", "gzip"), false)
		_ = fr.WriteData(1, false, []byte{0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0, 0xff, 0xff}) // 64 KiB of an extra field follow
		for range 5 {
			_ = fr.WriteData(1, false, make([]byte, 15<<10))
		}
	})
	f(`response: head above 16 KiB`, func(fr *http2.Framer, block func(...string) []byte) {
		head(fr, block(":status", "200", "a", strings.Repeat("x", 9000), "b", strings.Repeat("x", 9000)), true)
	})
	f(`response: too many informational responses`, func(fr *http2.Framer, block func(...string) []byte) {
		for range 9 {
			head(fr, block(":status", "103"), false)
		}
	})
	f(`response: malformed HTTP/2 response`, func(fr *http2.Framer, block func(...string) []byte) {
		_ = fr.WriteData(1, false, []byte("x"))
	})
	f(`response: malformed HTTP/2 response`, func(fr *http2.Framer, block func(...string) []byte) {
		head(fr, block(":status", "20O"), true)
	})
	f(`response: malformed HTTP/2 response`, func(fr *http2.Framer, block func(...string) []byte) {
		head(fr, block(":status", "103"), true)
	})
	f(`body: malformed HTTP/2 response`, func(fr *http2.Framer, block func(...string) []byte) {
		head(fr, block(":status", "200"), false)
		head(fr, block("a", "b"), false) // trailers that are not the end
	})
	f(`body: .*frame too large.*`, func(fr *http2.Framer, block func(...string) []byte) {
		head(fr, block(":status", "200"), false)
		_ = fr.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 17<<10))
	})
}

// health is the health service of a server, written by hand: a reply for each service, or a gRPC status.
func health(statuses map[string]byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		request, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || r.URL.Path != "/grpc.health.v1.Health/Check" || r.Header.Get("Te") != "trailers" ||
			r.Header.Get("Content-Type") != "application/grpc" || r.Header.Get("Grpc-Timeout") == "" || len(request) < 5 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		service := ""
		if message := request[5:]; len(message) > 2 && message[0] == 0x0a && int(message[1]) == len(message)-2 {
			service = string(message[2:])
		}
		w.Header().Set("Content-Type", "application/grpc+proto")
		status, known := statuses[service]
		if !known {
			w.Header().Set("Grpc-Status", "5")
			w.Header().Set("Grpc-Message", "unknown%20service")
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write([]byte{0, 0, 0, 0, 2, 8, status})
		w.Header().Set("Grpc-Status", "0")
	}
}

func TestGRPCHealth(t *testing.T) {
	for _, overTLS := range []bool{true, false} {
		address := serveH2(t, overTLS, health(map[string]byte{"": 1, "shop": 1, "mail": 2, "odd": 9}))
		f := func(service string, kind probe.Kind, reason string) {
			t.Helper()
			want(t, try(t, config.Check{Type: "grpc", TLS: overTLS, Service: service}, address), kind, reason)
		}
		f("", probe.KindSuccess, `SERVING`+took)
		f("shop", probe.KindSuccess, `SERVING`+took)
		f("mail", probe.KindStatus, `health NOT_SERVING, want SERVING`)
		f("odd", probe.KindStatus, `health 9, want SERVING`)
		f("none", probe.KindStatus, `grpc status NOT_FOUND: unknown service`)
	}
}

func TestGRPCServersThatMisbehave(t *testing.T) {
	f := func(kind probe.Kind, reason string, h http.HandlerFunc) {
		t.Helper()
		want(t, try(t, config.Check{Type: "grpc"}, serveH2(t, false, h)), kind, reason)
	}
	reply := func(trailer string, message []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			_, _ = w.Write(message)
			if trailer != "" {
				w.Header().Set(http.TrailerPrefix+"Grpc-Status", trailer)
			}
		}
	}
	prefixed := func(message ...byte) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	}
	f(probe.KindStatus, `status 404, want 200`, http.NotFound)
	f(probe.KindResponse, `response: the answer is not gRPC`, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") })
	f(probe.KindResponse, `response: no gRPC status`, reply("", prefixed(8, 1)))
	f(probe.KindStatus, `grpc status UNIMPLEMENTED`, reply("12", nil))
	f(probe.KindResponse, `response: malformed gRPC health reply`, reply("0", prefixed(8, 1)[:6]))
	f(probe.KindResponse, `response: malformed gRPC health reply`, reply("0", prefixed(append([]byte{8, 1, 18, 255, 7}, make([]byte, 1023)...)...))) // well-formed, but too long
	f(probe.KindResponse, `response: malformed gRPC health reply`, reply("0", prefixed(8)))
	f(probe.KindResponse, `response: malformed gRPC health reply`, reply("0", prefixed(18, 200, 1)))
	f(probe.KindResponse, `response: compressed gRPC health reply`, reply("0", []byte{1, 0, 0, 0, 0}))
	f(probe.KindStatus, `health UNKNOWN, want SERVING`, reply("0", prefixed()))
	f(probe.KindSuccess, `SERVING`+took, reply("0", prefixed(18, 2, 'h', 'i', 29, 1, 2, 3, 4, 33, 1, 2, 3, 4, 5, 6, 7, 8, 8, 1))) // fields of later versions
}
