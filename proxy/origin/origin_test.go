package origin_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy/origin"
	"github.com/meridian-edge/meridian/steer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newTransport makes a transport that is closed at the end of the test.
func newTransport(t testing.TB, o origin.Options) *origin.Transport {
	transport := origin.NewTransport(o)
	t.Cleanup(transport.Close)
	return transport
}

// target makes a failover target of addresses: they are asked in order.
func target(t testing.TB, addrs ...netip.AddrPort) *origin.Target {
	t.Helper()
	target := &origin.Target{Name: "pool", ConnectTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second}
	group := &steer.Group{Name: "pool", Policy: steer.Failover}
	for i, a := range addrs {
		target.Endpoints = append(target.Endpoints, origin.Endpoint{ID: a.String(), Addr: a})
		group.Members = append(group.Members, steer.Member{ID: a.String(), Slot: steer.Always, Leaf: i, Weight: 1})
	}
	tree, err := steer.Compile(group)
	if err != nil {
		t.Fatal(err)
	}
	target.Tree = tree
	return target
}

// get is a GET for path.
func get(path string) *origin.Request { return request("GET", path, nil, 0) }

func request(method, path string, body io.Reader, length int64) *origin.Request {
	return &origin.Request{
		Head: &httpwire.Head{Method: method, Scheme: "http", Proto: httpwire.HTTP11}, Target: path, Host: "example.org",
		Body: body, Length: length,
	}
}

// read reads a whole response body.
func read(t testing.TB, r *httpwire.Response) (string, error) {
	t.Helper()
	if r.Body == nil {
		return "", nil
	}
	b, err := io.ReadAll(r.Body)
	if err := r.Body.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	return string(b), err
}

// server is an origin made with net/http.
func server(t testing.TB, handler http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).AddrPort()
}

// rawOrigin speaks bytes: script answers the nth request on the conn-th connection and returns false to close it.
type rawOrigin struct {
	addr     netip.AddrPort
	conns    atomic.Int32
	requests atomic.Int32

	mu    sync.Mutex
	heads []string
}

func raw(t testing.TB, script func(c net.Conn, conn, n int) bool) *rawOrigin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &rawOrigin{addr: ln.Addr().(*net.TCPAddr).AddrPort()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conn := int(o.conns.Add(1))
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				br := bufio.NewReader(c)
				for n := 1; ; n++ {
					var head strings.Builder
					for !strings.HasSuffix(head.String(), "\r\n\r\n") {
						line, err := br.ReadString('\n')
						if err != nil {
							return
						}
						head.WriteString(line)
					}
					o.requests.Add(1)
					o.mu.Lock()
					o.heads = append(o.heads, head.String())
					o.mu.Unlock()
					if !script(c, conn, n) {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return o
}

func (o *rawOrigin) head(i int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.heads[i]
}

// says answers every request with the same bytes and keeps the connection.
func says(text string) func(net.Conn, int, int) bool {
	return func(c net.Conn, _, _ int) bool {
		_, err := io.WriteString(c, text)
		return err == nil
	}
}

// closes answers with the bytes and closes the connection.
func closes(text string) func(net.Conn, int, int) bool {
	return func(c net.Conn, _, _ int) bool {
		io.WriteString(c, text)
		return false
	}
}

// refused is an address nobody listens on.
func refused(t testing.TB) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func code(err error) fault.Code {
	if err == nil {
		return ""
	}
	return fault.As(err).Code
}

func TestRequestGoesOutAsGiven(t *testing.T) {
	o := raw(t, says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-B: 1\r\nX-A: 2\r\n\r\nhi"))
	transport := newTransport(t, origin.Options{})
	r := get("/a%2Cb/\"c|d?x=[1]&y")
	r.Head.Fields.AddName("X-Thing", "one")
	r.Head.Fields.AddName("X-Thing", "two")
	r.Head.Fields.AddName("Idempotency-Key", "k")
	r.Head.Fields.Add(httpwire.Expect, "100-continue")
	r.Head.Fields.Add(httpwire.Connection, "upgrade")
	response, report, err := transport.Do(t.Context(), target(t, o.addr), r)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := read(t, response); body != "hi" || err != nil {
		t.Errorf("body %q, %v", body, err)
	}
	want := "GET /a%2Cb/\"c|d?x=[1]&y HTTP/1.1\r\nHost: example.org\r\nX-Thing: one\r\nX-Thing: two\r\nidempotency-key: k\r\n\r\n"
	if got := o.head(0); got != want {
		t.Errorf("sent\n%q, want\n%q", got, want)
	}
	if response.Status != 200 || response.Length != 2 {
		t.Errorf("status %d, length %d", response.Status, response.Length)
	}
	if len(response.Fields) != 2 || response.Fields[0].Name != "X-A" || response.Fields[1].Name != "X-B" {
		t.Errorf("fields %v: want X-A, X-B", response.Fields)
	}
	if len(report.Attempts) != 1 || report.Attempts[0].Status != 200 || report.Attempts[0].Endpoint != o.addr.String() {
		t.Errorf("report %+v", report)
	}
}

func TestTargetsAreWrittenUnchanged(t *testing.T) {
	o := raw(t, says("HTTP/1.1 204 No Content\r\n\r\n"))
	transport := newTransport(t, origin.Options{})
	goal := target(t, o.addr)
	for i, path := range []string{"/", "//evil.example/x?q=1", "/a?", "/?a=b?c", "/%C3%BC", "/a//b", "*"} {
		r := get(path)
		if path == "*" {
			r.Head.Method = "OPTIONS"
		}
		response, _, err := transport.Do(t.Context(), goal, r)
		if err != nil {
			t.Fatal(err)
		}
		read(t, response)
		if line, _, _ := strings.Cut(o.head(i), "\r\n"); line != r.Head.Method+" "+path+" HTTP/1.1" {
			t.Errorf("%s: sent %q", path, line)
		}
	}
}

func TestIncorrectRequestsAreNeverSent(t *testing.T) {
	o := raw(t, says("HTTP/1.1 204 No Content\r\n\r\n"))
	transport := newTransport(t, origin.Options{})
	f := func(name, value, method string) {
		t.Helper()
		r := get("/")
		r.Head.Method = method
		r.Head.Fields.AddName(name, value)
		if _, _, err := transport.Do(t.Context(), target(t, o.addr), r); err == nil {
			t.Errorf("%q: %q with %q was sent", name, value, method)
		}
	}
	f("X-A", "b\r\nX-C: d", "GET")
	f("X-A", "b\x00", "GET")
	f("X A", "b", "GET")
	f("", "b", "GET")
	f("X-A", "b", "GE T")
	f("X-A", "b", "CONNECT")
	if n := o.requests.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	o := raw(t, says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n0\r\nX-T: 1\r\n\r\n"))
	transport := newTransport(t, origin.Options{})
	goal := target(t, o.addr)
	for i := range 10 {
		response, report, err := transport.Do(t.Context(), goal, get("/"))
		if err != nil {
			t.Fatal(err)
		}
		if body, err := read(t, response); body != "hi" || err != nil {
			t.Errorf("body %q, %v", body, err)
		}
		if response.Length != -1 || response.Trailers != nil {
			t.Errorf("length %d, trailers %v: want -1 and none", response.Length, response.Trailers != nil)
		}
		if reused := report.Attempts[0].Reused; reused != (i > 0) {
			t.Errorf("request %d: reused %v", i, reused)
		}
	}
	if n := o.conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestHeadAndNotModifiedHaveALengthAndNoBody(t *testing.T) {
	f := func(method, text string, status int, length int64) {
		t.Helper()
		o := raw(t, says(text))
		response, _, err := newTransport(t, origin.Options{}).Do(t.Context(), target(t, o.addr), request(method, "/", nil, 0))
		if err != nil {
			t.Fatal(err)
		}
		body, err := read(t, response)
		if response.Status != status || response.Length != length || body != "" || err != nil {
			t.Errorf("%s: status %d, length %d, body %q, %v", text, response.Status, response.Length, body, err)
		}
	}
	f("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, 5)
	f("HEAD", "HTTP/1.1 200 OK\r\n\r\n", 200, -1)
	f("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, -1)
	f("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 304, 7)
	f("GET", "HTTP/1.1 304 Not Modified\r\n\r\n", 304, -1)
	f("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, 0)
	f("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, 0)
}

func TestBodyGoesUpstream(t *testing.T) {
	addr := server(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %d %v %s %v", r.Method, r.ContentLength, r.TransferEncoding, b, err)
	})
	transport := newTransport(t, origin.Options{})
	f := func(method string, body io.Reader, length int64, want string) {
		t.Helper()
		response, _, err := transport.Do(t.Context(), target(t, addr), request(method, "/", body, length))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(t, response); got != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	f("POST", strings.NewReader("abc"), 3, "POST 3 [] abc <nil>")
	f("POST", strings.NewReader("abc"), -1, "POST -1 [chunked] abc <nil>")
	f("POST", nil, 0, "POST 0 []  <nil>")
	f("GET", strings.NewReader("abc"), 3, "GET 3 [] abc <nil>")
}

func TestBodyErrorsKeepTheirName(t *testing.T) {
	addr := server(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	transport := newTransport(t, origin.Options{})
	f := func(cause error, want fault.Code) {
		t.Helper()
		body := io.MultiReader(strings.NewReader("abc"), failing{cause})
		_, report, err := transport.Do(t.Context(), target(t, addr, addr), request("POST", "/", body, -1))
		if code(err) != want || len(report.Attempts) != 1 {
			t.Errorf("%v after %d attempts, want %s after 1", err, len(report.Attempts), want)
		}
	}
	f(fault.New(fault.BodyTooLarge, nil), fault.BodyTooLarge)
	f(errors.New("reset"), fault.ClientGone)
	f(io.ErrUnexpectedEOF, fault.ClientGone)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestClientGoneEndsTheRequest(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	o := raw(t, func(net.Conn, int, int) bool {
		close(arrived)
		<-release
		return false
	})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	_, report, err := newTransport(t, origin.Options{}).Do(ctx, target(t, o.addr, o.addr), get("/"))
	if code(err) != fault.ClientGone || len(report.Attempts) != 1 {
		t.Errorf("%v after %d attempts", err, len(report.Attempts))
	}
	if _, _, err := newTransport(t, origin.Options{}).Do(ctx, target(t, o.addr), get("/")); code(err) != fault.ClientGone {
		t.Errorf("with a context that is over: %v", err)
	}
}

func TestCloseAbortsTheRequestUpstream(t *testing.T) {
	gone := make(chan struct{})
	addr := server(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	})
	response, _, err := newTransport(t, origin.Options{}).Do(t.Context(), target(t, addr), get("/"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(response.Body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	<-gone
}

func TestNoEndpoint(t *testing.T) {
	goal := target(t, refused(t))
	tree, err := steer.Compile(&steer.Group{Name: "g", Policy: steer.CIDR, Members: []steer.Member{{ID: "a", Slot: steer.Always,
		CIDRs: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}}})
	if err != nil {
		t.Fatal(err)
	}
	goal.Tree = tree
	if _, _, err := newTransport(t, origin.Options{}).Do(t.Context(), goal, get("/")); code(err) != fault.NoEndpoint {
		t.Error(err)
	}
}

func TestKeepForgetsWhatNobodyNames(t *testing.T) {
	old, kept := raw(t, says("HTTP/1.1 204 No Content\r\n\r\n")), raw(t, says("HTTP/1.1 204 No Content\r\n\r\n"))
	transport := newTransport(t, origin.Options{})
	a, b := target(t, old.addr), target(t, kept.addr)
	do := func(goal *origin.Target) bool {
		t.Helper()
		_, report, err := transport.Do(t.Context(), goal, get("/"))
		if err != nil {
			t.Fatal(err)
		}
		return report.Attempts[0].Reused
	}
	do(a)
	do(b)
	transport.Keep([]*origin.Target{target(t, kept.addr)})
	if !do(b) {
		t.Error("the connection of an endpoint that stays was dropped")
	}
	if do(a) {
		t.Error("the connection of a forgotten endpoint was kept")
	}
}
