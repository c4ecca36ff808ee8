package std_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy/std"
)

func TestExchangeIsFilledIn(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		f := start(t, func(_ context.Context, x *httpwire.Exchange) *httpwire.Response {
			h := &x.Head
			if h.Proto != proto || h.Method != "GET" || h.Target != "/a%2Fb//c?d=e&f" || h.Authority != host {
				t.Errorf("head %+v", h)
			}
			if secure := proto != httpwire.HTTP11; secure != (h.Scheme == "https") || secure != (x.TLS != nil) {
				t.Errorf("scheme %q, TLS %v", h.Scheme, x.TLS != nil)
			}
			if len(x.ID) != 26 || !x.Peer.Addr().IsLoopback() || !x.Local.Addr().IsLoopback() || x.Start.IsZero() {
				t.Errorf("id %q, peer %v, local %v", x.ID, x.Peer, x.Local)
			}
			if x.Body != nil || x.Length != 0 {
				t.Errorf("body %v, length %d", x.Body, x.Length)
			}
			values := slices.Collect(func(yield func(string) bool) {
				for i := range h.Fields {
					if h.Fields[i].Name == "X-Two" && !yield(h.Fields[i].Value) {
						return
					}
				}
			})
			if !slices.Equal(values, []string{"1", "2"}) || h.Fields.Has(httpwire.Host) {
				t.Errorf("fields %v", h.Fields)
			}
			if v, _ := h.Fields.Get(httpwire.AcceptLanguage); v != "de" {
				t.Errorf("Accept-Language %q", v)
			}
			if !slices.IsSortedFunc(h.Fields, func(a, b httpwire.Field) int { return strings.Compare(a.Name, b.Name) }) {
				t.Errorf("fields are not sorted: %v", h.Fields)
			}
			return text(200, "hi")
		}, nil)
		f.client(t, proto).must(t, "GET", "/a%2Fb//c?d=e&f", nil, "X-Two", "1", "X-Two", "2", "Accept-Language", "de")
	})
}

func TestResponseIsWritten(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		done := make(chan int64, 1)
		f := start(t, func(_ context.Context, x *httpwire.Exchange) *httpwire.Response {
			r := text(203, "hello")
			r.Fields.Add(httpwire.ETag, `"x"`)
			r.Fields.AddName("X-Two", "1")
			r.Fields.AddName("X-Two", "2")
			r.Fields.AddName("X-Bad", "a\r\nX-Evil: b")
			r.Fields.AddName("X Bad", "a")
			r.Fields.Add(httpwire.Connection, "close")
			r.Fields.Add(httpwire.TransferEncoding, "gzip")
			r.Fields.Add(httpwire.ContentLength, "99")
			r.Trailers = func() httpwire.Fields { return nil }
			r.Done = func(n int64, err error) {
				if err != nil {
					t.Error(err)
				}
				done <- n
			}
			return r
		}, nil)
		response, got := f.client(t, proto).must(t, "GET", "/", nil)
		h := response.Header
		if response.StatusCode != 203 || got != "hello" || response.ContentLength != 5 {
			t.Errorf("%d %q, length %d", response.StatusCode, got, response.ContentLength)
		}
		if h.Get("ETag") != `"x"` || !slices.Equal(h["X-Two"], []string{"1", "2"}) {
			t.Errorf("fields %v", h)
		}
		for _, name := range []string{"X-Bad", "X Bad", "X-Evil", "Connection", "Transfer-Encoding", "Content-Type", "Trailer"} {
			if v, there := h[name]; there {
				t.Errorf("%s: %q was sent", name, v)
			}
		}
		if alt := h.Get("Alt-Svc"); (alt != "") != (proto == httpwire.HTTP2) {
			t.Errorf("Alt-Svc %q", alt)
		}
		if n := <-done; n != 5 {
			t.Errorf("Done with %d bytes", n)
		}
	})
}

func TestResponsesWithoutBody(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		closed := newBody(func([]byte) (int, error) { t.Error("the body was read"); return 0, io.EOF })
		var next atomic.Pointer[httpwire.Response]
		f := start(t, func(context.Context, *httpwire.Exchange) *httpwire.Response { return next.Load() }, nil)
		c := f.client(t, proto)
		check := func(method string, status int, length int64, stated string) {
			t.Helper()
			next.Store(&httpwire.Response{Status: status, Length: length, Body: closed})
			got, b := c.must(t, method, "/", nil)
			if got.StatusCode != status || b != "" || got.Header.Get("Content-Length") != stated {
				t.Errorf("%s %d: %d %q, Content-Length %q, want %q", method, status, got.StatusCode, b,
					got.Header.Get("Content-Length"), stated)
			}
			<-closed.closed
		}
		check("HEAD", 200, 5, "5")
		check("HEAD", 200, -1, "")
		check("HEAD", 404, 0, "0")
		check("GET", 304, 5, "")
		check("GET", 204, 0, "")
		next.Store(&httpwire.Response{Status: 301, Length: -1})
		if got, _ := c.must(t, "GET", "/", nil); got.ContentLength != 0 {
			t.Errorf("a response without body has length %d", got.ContentLength)
		}
	})
}

func TestBodiesStreamBothWays(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		// An echo: what comes in goes out, while more is to come.
		f := start(t, func(_ context.Context, x *httpwire.Exchange) *httpwire.Response {
			if x.Length != -1 {
				t.Errorf("length %d", x.Length)
			}
			return &httpwire.Response{Status: 200, Length: -1, Body: newBody(x.Body.Read)}
		}, nil)
		c := f.client(t, proto)
		in, out := io.Pipe()
		go io.WriteString(out, "begin\n")
		response, err := c.do(t, "POST", "/", in)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		lines := bufio.NewReader(response.Body)
		for i, want := range []string{"begin\n", "0\n", "1\n", "2\n"} {
			got, err := lines.ReadString('\n')
			if got != want || err != nil {
				t.Fatalf("%q, %v; want %q", got, err, want)
			}
			fmt.Fprintf(out, "%d\n", i)
		}
		out.Close()
		if rest, err := io.ReadAll(lines); string(rest) != "3\n" || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
	})
}

func TestHeadIsSentBeforeTheBodyBegins(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		release := make(chan struct{})
		f := start(t, func(context.Context, *httpwire.Exchange) *httpwire.Response {
			return &httpwire.Response{Status: 200, Length: -1, Body: newBody(func([]byte) (int, error) {
				<-release
				return 0, io.EOF
			})}
		}, nil)
		response, err := f.client(t, proto).do(t, "GET", "/", nil)
		close(release) // only after the head has arrived
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(response.Body); len(b) > 0 || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		response.Body.Close()
	})
}

func TestLargeBodiesArriveWhole(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		large := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
		f := start(t, func(_ context.Context, x *httpwire.Exchange) *httpwire.Response {
			if x.Body != nil {
				if b, err := io.ReadAll(x.Body); err != nil || !bytes.Equal(b, large) || x.Length != int64(len(large)) {
					t.Errorf("%d bytes of %d, %v", len(b), x.Length, err)
				}
			}
			r := &httpwire.Response{Status: 200, Length: int64(len(large)), Body: httpwire.TextBody(string(large))}
			if x.Head.Target == "/reader" {
				r.Body = newBody(bytes.NewReader(large).Read)
			}
			return r
		}, nil)
		c := f.client(t, proto)
		for _, path := range []string{"/writer", "/reader"} {
			if _, got := c.must(t, "POST", path, bytes.NewReader(large)); got != string(large) {
				t.Errorf("%s: %d bytes", path, len(got))
			}
		}
	})
}

// TestTruncatedBodyIsNeverAWholeOne: a body that ends early, by whatever means, is an error at the client.
func TestTruncatedBodyIsNeverAWholeOne(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		var next atomic.Pointer[httpwire.Response]
		done := make(chan error, 1)
		f := start(t, func(context.Context, *httpwire.Exchange) *httpwire.Response { return next.Load() }, nil)
		c := f.client(t, proto)
		check := func(name string, length int64, end error, want fault.Code) {
			t.Helper()
			first := true
			b := newBody(func(p []byte) (int, error) {
				if first {
					first = false
					return copy(p, "begun"), nil
				}
				if end == nil {
					panic("in the body")
				}
				return 0, end
			})
			next.Store(&httpwire.Response{
				Status: 200, Length: length, Body: b, Done: func(_ int64, err error) { done <- err },
			})
			got, err := c.do(t, "GET", "/", nil)
			if err == nil {
				_, err = io.ReadAll(got.Body)
				got.Body.Close()
			}
			if err == nil {
				t.Errorf("%s: the client saw a whole body", name)
			}
			if err := <-done; fault.As(err).Code != want {
				t.Errorf("%s: Done with %v, want %s", name, err, want)
			}
			<-b.closed
			if len(b.closed) > 0 {
				t.Errorf("%s: closed twice", name)
			}
		}
		aborted := fault.New(fault.OriginAborted, httpwire.ErrTruncated)
		check("error, known length", 10, aborted, fault.OriginAborted)
		check("error, unknown length", -1, aborted, fault.OriginAborted)
		check("end, known length", 10, io.EOF, fault.OriginAborted)
		check("too long", 3, io.EOF, fault.Unexpected)
		check("panic", -1, nil, fault.Unexpected)
		check("panic, known length", 10, nil, fault.Unexpected)
	})
}

func TestPanicCostsOneRequest(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		f := start(t, func(_ context.Context, x *httpwire.Exchange) *httpwire.Response {
			switch x.Head.Target {
			case "/panic":
				panic("BUG: on purpose")
			case "/nil":
				return nil
			case "/abort":
				panic(http.ErrAbortHandler)
			}
			return text(200, "fine")
		}, nil)
		c := f.client(t, proto)
		for _, path := range []string{"/panic", "/nil"} {
			if response, got := c.must(t, "GET", path, nil); response.StatusCode != 500 || !strings.Contains(got, "E-INTERNAL") {
				t.Errorf("%s: %d %q", path, response.StatusCode, got)
			}
		}
		if _, err := c.do(t, "GET", "/abort", nil); err == nil {
			t.Error("an aborted request was answered")
		}
		if response, got := c.must(t, "GET", "/", nil); response.StatusCode != 200 || got != "fine" {
			t.Errorf("afterwards: %d %q", response.StatusCode, got)
		}
		want := "# HELP meridian_http_panics_total Requests that ended in a panic: each one is a bug.\n" +
			"# TYPE meridian_http_panics_total counter\nmeridian_http_panics_total 1\n"
		if err := testutil.GatherAndCompare(f.registry, strings.NewReader(want), "meridian_http_panics_total"); err != nil {
			t.Error(err)
		}
		f.Close()
		f.served.Wait()
		if s := f.log.String(); strings.Count(s, "on purpose") == 0 || !strings.Contains(s, "behaviour_test.go") {
			t.Errorf("the log has no stack: %s", s)
		}
	})
}

func TestRefusalsHaveOneForm(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		f := start(t, func(context.Context, *httpwire.Exchange) *httpwire.Response {
			t.Error("the handler was called")
			return text(200, "")
		}, func(o *std.Options) {
			o.Refuse = func(x *httpwire.Exchange, err *fault.Error) *httpwire.Response {
				r := text(err.Code.Entry().Status, "refused: "+string(err.Code))
				r.Fields.Add(httpwire.XRequestID, x.ID)
				return r
			}
		})
		c := f.client(t, proto)
		check := func(name string, want fault.Code, method, path string, body io.Reader, fields ...string) {
			t.Helper()
			response, got := c.must(t, method, path, body, fields...)
			if response.StatusCode != want.Entry().Status || got != "refused: "+string(want) || response.Header.Get("X-Request-Id") == "" {
				t.Errorf("%s: %d %q", name, response.StatusCode, got)
			}
		}
		check("long target", fault.TargetTooLong, "GET", "/"+strings.Repeat("a", 1<<10), nil)
		var many []string
		for i := range 60 {
			many = append(many, fmt.Sprintf("X-%d", i), "1")
		}
		check("many fields", fault.HeadTooLarge, "GET", "/", nil, many...)
		check("large head", fault.HeadTooLarge, "GET", "/", nil, "X-A", strings.Repeat("a", 8<<10))
		check("large body", fault.BodyTooLarge, "POST", "/", bytes.NewReader(make([]byte, 2<<20)))
	})
}

func TestBodyPastTheLimit(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		f := start(t, func(_ context.Context, x *httpwire.Exchange) *httpwire.Response {
			n, err := io.Copy(io.Discard, x.Body)
			if err == nil {
				return text(200, fmt.Sprint(n))
			}
			return text(fault.As(err).Code.Entry().Status, fmt.Sprint(n))
		}, nil)
		c := f.client(t, proto)
		for size, want := range map[int]int{1 << 20: 200, 1<<20 + 1: 413, 5 << 20: 413} {
			body := io.MultiReader(bytes.NewReader(make([]byte, size))) // hides the length
			response, err := c.do(t, "POST", "/", body)
			if err != nil {
				t.Errorf("%d bytes: %v", size, err)
				continue
			}
			got, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode != want || string(got) != fmt.Sprint(1<<20) {
				t.Errorf("%d bytes: %d %s, want %d", size, response.StatusCode, got, want)
			}
		}
	})
}

func TestRequestTrailersAreDropped(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		f := start(t, func(_ context.Context, x *httpwire.Exchange) *httpwire.Response {
			b, err := io.ReadAll(x.Body)
			for i := range x.Head.Fields {
				if x.Head.Fields[i].Name == "X-T" {
					t.Error("a trailer became a field")
				}
			}
			return text(200, fmt.Sprintf("%s %v", b, err))
		}, nil)
		c := f.client(t, proto)
		r, err := http.NewRequestWithContext(t.Context(), "POST", c.base, io.MultiReader(strings.NewReader("abc")))
		if err != nil {
			t.Fatal(err)
		}
		r.Trailer = http.Header{"X-T": {"1"}}
		response, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if b, err := io.ReadAll(response.Body); string(b) != "abc <nil>" || err != nil || len(response.Trailer) > 0 {
			t.Errorf("%q, %v, trailers %v", b, err, response.Trailer)
		}
	})
}
