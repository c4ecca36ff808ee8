package probe

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/meridian-edge/meridian/config"
)

// canned is a connection that answers with given bytes.
type canned struct {
	net.Conn
	answer bytes.Reader
}

func (c *canned) Read(p []byte) (int, error)       { return c.answer.Read(p) }
func (c *canned) Write(p []byte) (int, error)      { return len(p), nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }
func (c *canned) SetDeadline(time.Time) error      { return nil }

// attemptOf is an attempt of a check on a connection that answers with given bytes.
func attemptOf(c config.Check, reply []byte) *attempt {
	a := New(&c, "192.0.2.1:80")
	conn := &canned{}
	conn.answer.Reset(reply)
	return &attempt{Ask: &a, prober: &Prober{}, began: time.Now(), limit: time.Second, conn: conn}
}

// sound fails unless a result is one that may be shown.
func sound(t *testing.T, res Result) {
	t.Helper()
	// A success has " in 1.2ms" after its reason.
	if res.OK != (res.Kind == KindSuccess) || res.Reason == "" || len(res.Reason) > maxReason+len(" in 1.11µs")+5 {
		t.Fatalf("result %+v", res)
	}
	for _, r := range res.Reason {
		if r != 'µ' && (r < ' ' || r > '~') {
			t.Fatalf("reason %q is not printable", res.Reason)
		}
	}
}

// FuzzExchange feeds foreign bytes to a probe: whatever they are, the reason is short, printable, and fits the verdict.
func FuzzExchange(f *testing.F) {
	for _, seed := range []string{
		"", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 No\r\n\r\n", "HTTP/1.0 200\r\nA: b\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "\x16\x03\x01",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 99999 \xff\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + string(zip([]byte("some text"))),
		"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n\x78\x9c",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, search := range []string{"", "text"} {
			res := attemptOf(config.Check{Type: "http", Search: search}, answer).http1(t.Context())
			sound(t, res)
			if res.OK && !bytes.HasPrefix(answer, []byte("HTTP/")) {
				t.Fatalf("%q counts as success", answer)
			}
		}
	})
}

func zip(text []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(text)
	_ = w.Close()
	return b.Bytes()
}

// FuzzFind looks for a text in what any bytes decode to: no more than 5120 bytes of it, and what is found is there.
func FuzzFind(f *testing.F) {
	var bare bytes.Buffer
	w, _ := flate.NewWriter(&bare, flate.BestCompression)
	_, _ = w.Write([]byte("needle"))
	_ = w.Close()
	f.Add([]byte("hay needle hay"), "", "needle")
	f.Add(zip([]byte("hay needle hay")), "gzip", "needle")
	f.Add(zip(make([]byte, 4<<20)), "gzip", "needle") // 4 MiB out of 4 KiB
	f.Add(bare.Bytes(), "deflate", "needle")
	f.Add([]byte("x"), "br", "needle")
	f.Fuzz(func(t *testing.T, body []byte, coding, text string) {
		if text == "" {
			return
		}
		looked, err := find(answer{200, coding, bytes.NewReader(body)}, text)
		if looked > searchBytes {
			t.Fatalf("looked at %d bytes", looked)
		}
		if coding == "" && (err == nil) != bytes.Contains(body[:min(len(body), searchBytes)], []byte(text)) {
			t.Fatalf("%q in %q: %v", text, body, err)
		}
	})
}

// FuzzAgent reads any line: it is never both unknown and healthy, and what is understood is understood again.
func FuzzAgent(f *testing.F) {
	for _, seed := range []string{
		"75%\n", "up\n", "down #disk full\r\n", "maint,maxconn:30", "ready drain up 0%", "fail#x", "\x00", "weight:50%", "99999999999%", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		w := parseAgent(line)
		text := w.String()
		if again := parseAgent([]byte(text)); w.note == "" && w.known() && again.healthy() != w.healthy() && w.maxconn < 0 {
			t.Fatalf("%q became %q", line, text)
		}
		res := attemptOf(config.Check{Type: "agent"}, line).agent()
		sound(t, res)
	})
}

// h2Reply writes what a server sends: its settings, a head, a message and trailers.
func h2Reply(head, trailer []hpack.HeaderField, body []byte) []byte {
	var b bytes.Buffer
	fr := http2.NewFramer(&b, nil)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	fields := func(list []hpack.HeaderField) []byte {
		block.Reset()
		for _, f := range list {
			_ = enc.WriteField(f)
		}
		return slices.Clone(block.Bytes())
	}
	_ = fr.WriteSettings()
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(head), EndHeaders: true, EndStream: body == nil})
	if body != nil {
		_ = fr.WriteData(1, trailer == nil, body)
	}
	if trailer != nil {
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(trailer), EndHeaders: true, EndStream: true})
	}
	return b.Bytes()
}

func field(name, value string) hpack.HeaderField { return hpack.HeaderField{Name: name, Value: value} }

// FuzzHTTP2 feeds foreign bytes to the probes that speak HTTP/2.
func FuzzHTTP2(f *testing.F) {
	ok := []hpack.HeaderField{field(":status", "200"), field("content-type", "application/grpc")}
	zero := []hpack.HeaderField{field("grpc-status", "0")}
	f.Add(h2Reply(ok, zero, []byte{0, 0, 0, 0, 2, 8, 1}))
	f.Add(h2Reply(append(ok, field("grpc-status", "12")), nil, nil))
	f.Add(h2Reply(ok, nil, []byte("text")))
	f.Add(h2Reply([]hpack.HeaderField{field(":status", "103")}, nil, nil))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, reply []byte) {
		sound(t, attemptOf(config.Check{Type: "h2"}, reply).http2(t.Context()))
		sound(t, attemptOf(config.Check{Type: "h2", Search: "text"}, reply).http2(t.Context()))
		sound(t, attemptOf(config.Check{Type: "grpc"}, reply).grpc())
	})
}

// FuzzHealthReply reads any gRPC message.
func FuzzHealthReply(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 2, 8, 1})
	f.Add([]byte{0, 0, 0, 0, 0})
	f.Add([]byte{1, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 0, 6, 18, 2, 'h', 'i', 8, 2})
	f.Add([]byte{0, 0, 0, 0, 11, 18, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := healthReply(body); err == nil && len(body) < 5 {
			t.Fatalf("%x is a reply", body)
		}
	})
}

// FuzzDNSReply reads any message: only one that answers the question is taken.
func FuzzDNSReply(f *testing.F) {
	q := new(dns.Msg)
	q.SetQuestion("www.example.org.", dns.TypeA)
	q.Id = 4711
	packed, _ := q.Pack()
	f.Add(packed)
	reply := new(dns.Msg).SetReply(q)
	rr, _ := dns.NewRR("www.example.org. 60 IN A 192.0.2.1")
	reply.Answer = []dns.RR{rr}
	packed, _ = reply.Pack()
	f.Add(packed)
	f.Add(packed[:len(packed)-2])
	check := config.Check{Type: "dns", Query: config.CheckQuery{Name: "www.example.org.", Type: "A", Answer: "192.0.2.1"}}
	f.Fuzz(func(t *testing.T, buf []byte) {
		reply, err := parseReply(q, buf)
		if err != nil {
			return
		}
		if reply.Id != q.Id || !reply.Response || len(reply.Question) == 1 && !strings.EqualFold(reply.Question[0].Name, "www.example.org.") {
			t.Fatalf("%v answers %v", reply, q)
		}
		sound(t, attemptOf(check, nil).answer(reply))
	})
}
