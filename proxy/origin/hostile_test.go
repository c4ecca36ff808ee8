package origin_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy/origin"
)

const ok = "HTTP/1.1 200 OK\r\n"

// TestHostileOrigin is attack rows S30 and P13: each answer gives the right fault, at the head or in the body, and is never
// taken for a complete one; the connection is not used again.
func TestHostileOrigin(t *testing.T) {
	f := func(name, answer string, atHead, inBody fault.Code) {
		t.Helper()
		o := raw(t, closes(answer))
		transport := newTransport(t, origin.Options{})
		goal := target(t, o.addr)
		response, _, err := transport.Do(t.Context(), goal, get("/"))
		if err != nil && inBody != "" && code(err) == inBody {
			return // what comes in one piece fails in one piece
		}
		if code(err) != atHead {
			t.Errorf("%s: head: %v, want %q", name, err, atHead)
		}
		if err != nil {
			return
		}
		_, err = read(t, response)
		if code(err) != inBody {
			t.Errorf("%s: body: %v, want %q", name, err, inBody)
		}
		if err != nil && !errors.Is(err, httpwire.ErrTruncated) {
			t.Errorf("%s: %v is no httpwire.ErrTruncated", name, err)
		}
	}
	const p, a = fault.OriginProtocol, fault.OriginAborted
	f("TE and CL", ok+"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", p, "")
	f("two TE", ok+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", p, "")
	f("TE list", ok+"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", p, "")
	f("TE identity", ok+"Transfer-Encoding: identity\r\n\r\n", p, "")
	f("TE in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", p, "")
	f("two CL", ok+"Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi", p, "")
	f("CL list", ok+"Content-Length: 2, 2\r\n\r\nhi", p, "")
	f("CL plus", ok+"Content-Length: +2\r\n\r\nhi", p, "")
	f("CL empty", ok+"Content-Length:\r\n\r\nhi", p, "")
	f("CL huge", ok+"Content-Length: 99999999999999999999\r\n\r\nhi", p, "")
	f("fold", ok+"X: a\r\n b\r\n\r\n", p, "")
	f("bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", p, "")
	f("bare CR", ok+"X: a\rb\r\n\r\n", p, "")
	f("NUL", ok+"X: a\x00b\r\n\r\n", p, "")
	f("space before colon", ok+"Content-Length : 2\r\n\r\nhi", p, "")
	f("no colon", ok+"nonsense\r\n\r\n", p, "")
	f("no HTTP", "SSH-2.0-OpenSSH\r\n\r\n", p, "")
	f("HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n", p, "")
	f("status 99", "HTTP/1.1 099 OK\r\n\r\n", p, "")
	f("status 600", "HTTP/1.1 600 OK\r\n\r\n", p, "")
	f("101 unasked", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", p, "")
	f("1xx flood", strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 100)+ok+"\r\n", p, "")
	f("endless field", ok+"X: "+strings.Repeat("a", 100<<10), p, "")
	f("endless fields", ok+strings.Repeat("X: a\r\n", 20<<10), p, "")
	f("nothing", "", a, "")
	f("half a head", ok+"X: a", a, "")

	f("short", ok+"Content-Length: 5\r\n\r\nhi", "", a)
	f("chunks end", ok+"Transfer-Encoding: chunked\r\n\r\n5\r\nhi", "", a)
	f("no last chunk", ok+"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", "", a)
	f("no end of trailers", ok+"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", "", a)
	f("chunk size 0x", ok+"Transfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n", "", p)
	f("chunk size negative", ok+"Transfer-Encoding: chunked\r\n\r\n-2\r\nhi\r\n0\r\n\r\n", "", p)
	f("chunk size empty", ok+"Transfer-Encoding: chunked\r\n\r\n\r\nhi\r\n0\r\n\r\n", "", p)
	f("chunk size too long", ok+"Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\nhi\r\n0\r\n\r\n", "", p)
	f("chunk spills", ok+"Transfer-Encoding: chunked\r\n\r\n2\r\nhiXX0\r\n\r\n", "", p)
	f("chunk with bare LF", ok+"Transfer-Encoding: chunked\r\n\r\n2\nhi\n0\n\n", "", p)
	f("extension endless", ok+"Transfer-Encoding: chunked\r\n\r\n2;"+strings.Repeat("a", 100<<10), "", p)
	f("extension with CR", ok+"Transfer-Encoding: chunked\r\n\r\n2;a\rb\r\nhi\r\n0\r\n\r\n", "", p)
	f("trailers endless", ok+"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"+strings.Repeat("X: a\r\n", 20<<10), "", p)

	f("closed by the end", "HTTP/1.0 200 OK\r\n\r\nhi", "", "")
	f("hints first", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"+ok+"Content-Length: 2\r\n\r\nhi", "", "")
	f("no reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", "", "")
}

// TestBytesBehindAResponseAreNoResponse is the canary of attack row S30: whatever follows a complete response is not the
// answer to the next request.
func TestBytesBehindAResponseAreNoResponse(t *testing.T) {
	f := func(name, method, answer, want string) {
		t.Helper()
		o := raw(t, func(c net.Conn, conn, n int) bool {
			if conn == 1 {
				io.WriteString(c, answer)
				return true
			}
			io.WriteString(c, ok+"Content-Length: 4\r\n\r\nmine")
			return true
		})
		transport := newTransport(t, origin.Options{})
		goal := target(t, o.addr)
		response, _, err := transport.Do(t.Context(), goal, request(method, "/", nil, 0))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := read(t, response); got != want || err != nil {
			t.Errorf("%s: first body %q, %v; want %q", name, got, err, want)
		}
		for range 3 {
			response, _, err = transport.Do(t.Context(), goal, get("/"))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got, err := read(t, response); got != "mine" || err != nil {
				t.Errorf("%s: next body %q, %v", name, got, err)
			}
		}
	}
	const evil = ok + "Content-Length: 4\r\n\r\nevil"
	f("two responses", "GET", ok+"Content-Length: 2\r\n\r\nhi"+evil, "hi")
	f("two chunked responses", "GET", ok+"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"+evil, "hi")
	f("body to HEAD", "HEAD", ok+"Content-Length: 4\r\n\r\nevil", "")
	f("response behind HEAD", "HEAD", ok+"Content-Length: 4\r\n\r\n"+evil, "")
	f("body with 204", "GET", "HTTP/1.1 204 No Content\r\n\r\n"+evil, "")
	f("body with 304", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n"+evil, "")
	f("one byte", "GET", ok+"Content-Length: 2\r\n\r\nhi!", "hi")
	f("empty lines", "GET", ok+"Content-Length: 2\r\n\r\nhi\r\n\r\n", "hi")
	f("beyond one read", "GET", ok+"Content-Length: 60000\r\n\r\n"+strings.Repeat("a", 60000)+evil, strings.Repeat("a", 60000))
}

func TestSlowOriginTimesOut(t *testing.T) {
	f := func(name, begin string, atHead, inBody fault.Code) {
		t.Helper()
		release := make(chan struct{})
		o := raw(t, func(c net.Conn, _, _ int) bool {
			io.WriteString(c, begin)
			<-release
			return false
		})
		goal := target(t, o.addr)
		goal.ReadTimeout = 50 * time.Millisecond
		response, _, err := newTransport(t, origin.Options{}).Do(t.Context(), goal, get("/"))
		if code(err) != atHead {
			t.Errorf("%s: head: %v, want %q", name, err, atHead)
		}
		if err == nil {
			if _, err := read(t, response); code(err) != inBody {
				t.Errorf("%s: body: %v, want %q", name, err, inBody)
			}
		}
		close(release)
	}
	f("silent", "", fault.OriginTimeout, "")
	f("half a head", ok+"X: ", fault.OriginTimeout, "")
	f("only hints", "HTTP/1.1 103 Early Hints\r\n\r\n", fault.OriginTimeout, "")
	f("half a body", ok+"Content-Length: 5\r\n\r\nhi", "", fault.OriginTimeout)
	f("half a chunk", ok+"Transfer-Encoding: chunked\r\n\r\n5\r\nhi", "", fault.OriginTimeout)
	f("no end", "HTTP/1.0 200 OK\r\n\r\nhi", "", fault.OriginTimeout)
}

// TestSlowClientIsNotASlowOrigin: the time in which we wait for the client's body, or for the client to take ours, is not
// counted against the origin.
func TestSlowClientIsNotASlowOrigin(t *testing.T) {
	o := raw(t, func(c net.Conn, _, _ int) bool {
		io.ReadFull(c, make([]byte, 4))
		io.WriteString(c, ok+"Content-Length: 4\r\n\r\ndone")
		return false
	})
	goal := target(t, o.addr)
	goal.ReadTimeout = 40 * time.Millisecond
	slow := &slowReader{parts: []string{"a", "b", "c", "d"}, pause: 60 * time.Millisecond}
	response, _, err := newTransport(t, origin.Options{}).Do(t.Context(), goal, request("POST", "/", slow, 4))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := read(t, response); got != "done" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

type slowReader struct {
	parts []string
	pause time.Duration
}

func (s *slowReader) Read(p []byte) (int, error) {
	if len(s.parts) == 0 {
		return 0, io.EOF
	}
	<-time.After(s.pause)
	n := copy(p, s.parts[0])
	s.parts = s.parts[1:]
	return n, nil
}

// TestEarlyResponseEndsTheConnection is attack row S24: a connection with part of a request unsent is not used again.
func TestEarlyResponseEndsTheConnection(t *testing.T) {
	o := raw(t, func(c net.Conn, conn, _ int) bool {
		io.WriteString(c, ok+"Content-Length: 2\r\n\r\nhi")
		return true // and reads the next head from whatever comes
	})
	transport := newTransport(t, origin.Options{})
	goal := target(t, o.addr)
	body, more := io.Pipe()
	defer more.Close()
	response, _, err := transport.Do(t.Context(), goal, request("POST", "/", body, 1000))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := read(t, response); got != "hi" || err != nil {
		t.Errorf("early response: %q, %v", got, err)
	}
	response, report, err := transport.Do(t.Context(), goal, get("/next"))
	if err != nil {
		t.Fatal(err)
	}
	read(t, response)
	if report.Attempts[0].Reused || o.conns.Load() != 2 {
		t.Errorf("the connection was used again: %+v, %d connections", report.Attempts, o.conns.Load())
	}
}
