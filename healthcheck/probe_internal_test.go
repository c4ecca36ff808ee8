package healthcheck

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
)

// canned is a connection that answers with given bytes.
type canned struct {
	net.Conn
	answer bytes.Reader
}

func (c *canned) Read(p []byte) (int, error)      { return c.answer.Read(p) }
func (c *canned) Write(p []byte) (int, error)     { return len(p), nil }
func (c *canned) SetReadDeadline(time.Time) error { return nil }

// FuzzExchange feeds foreign bytes to a probe: whatever they are, the reason is short, printable, and fits the verdict.
func FuzzExchange(f *testing.F) {
	for _, seed := range []string{
		"", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 No\r\n\r\n", "HTTP/1.0 200\r\nA: b\r\n\r\nbody",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "\x16\x03\x01",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 99999 \xff\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	a := newAsk(&config.Check{Type: "http"}, "192.0.2.1:80")
	f.Fuzz(func(t *testing.T, answer []byte) {
		conn := &canned{}
		conn.answer.Reset(answer)
		res := exchange(t.Context(), conn, &a, time.Now(), time.Second)
		if res.ok != (res.kind == kindSuccess) || res.reason == "" || len(res.reason) > maxReason {
			t.Fatalf("result %+v", res)
		}
		for _, r := range res.reason {
			if r != 'µ' && (r < ' ' || r > '~') {
				t.Fatalf("reason %q is not printable", res.reason)
			}
		}
		if res.ok && !bytes.HasPrefix(answer, []byte("HTTP/")) {
			t.Fatalf("%q counts as success", answer)
		}
	})
}
