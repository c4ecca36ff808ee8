package cache_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// originFunc is an origin that a test writes; it counts.
type originFunc struct {
	n  atomic.Int64
	mu sync.Mutex

	heads []*httpwire.Head
	f     func(ctx context.Context, h *httpwire.Head, n int) (*httpwire.Response, error)
}

func (o *originFunc) Fetch(ctx context.Context, h *httpwire.Head) (*httpwire.Response, error) {
	n := o.n.Add(1)
	o.mu.Lock()
	copied := *h
	copied.Fields = h.Fields.Clone()
	o.heads = append(o.heads, &copied)
	o.mu.Unlock()
	return o.f(ctx, h, int(n))
}

func (o *originFunc) last() *httpwire.Head {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.heads[len(o.heads)-1]
}

// always answers each fetch with the same message: "200 body | Name: value | ...".
func always(message string) *originFunc { return script(message) }

// script answers the nth fetch with the nth message, and the last for ever.
func script(messages ...string) *originFunc {
	return &originFunc{f: func(_ context.Context, _ *httpwire.Head, n int) (*httpwire.Response, error) {
		m := messages[min(n, len(messages))-1]
		if m == "error" {
			return nil, errOrigin
		}
		return message(m), nil
	}}
}

var errOrigin = fmt.Errorf("origin is down")

// respondWith makes an origin of a function that knows nothing of the request.
func respondWith(f func() *httpwire.Response) func(context.Context, *httpwire.Head, int) (*httpwire.Response, error) {
	return func(context.Context, *httpwire.Head, int) (*httpwire.Response, error) { return f(), nil }
}

func message(m string) *httpwire.Response {
	parts := strings.Split(m, " | ")
	var status int
	var body string
	if _, err := fmt.Sscanf(parts[0], "%d %s", &status, &body); err != nil && status == 0 {
		panic(m)
	}
	r := &httpwire.Response{Status: status, Fields: fields(parts[1:]...), Length: int64(len(body))}
	if body != "" {
		r.Body = io.NopCloser(strings.NewReader(body))
	}
	return r
}

func fields(lines ...string) httpwire.Fields {
	var f httpwire.Fields
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		f.AddName(name, value)
	}
	return f
}

func policy() *config.CachePolicy {
	return &config.CachePolicy{Profile: "rfc9111", KeyQuery: config.KeyPart{All: true}}
}

// request makes one from "GET https://host/path".
func request(line string, lines ...string) *cache.Request {
	method, url, _ := strings.Cut(line, " ")
	scheme, rest, _ := strings.Cut(url, "://")
	host, path, _ := strings.Cut(rest, "/")
	head := &httpwire.Head{Method: method, Target: "/" + path, Proto: httpwire.HTTP11, Scheme: scheme, Authority: host, Fields: fields(lines...)}
	canon, err := httpwire.Canonicalize(head)
	if err != nil {
		panic(err)
	}
	return &cache.Request{Site: "web", Head: head, Canon: &canon, Policy: policy()}
}

func get(path string, lines ...string) *cache.Request {
	return request("GET https://example.org"+path, lines...)
}

func with(req *cache.Request, change func(p *config.CachePolicy)) *cache.Request {
	change(req.Policy)
	return req
}

func newStore(t testing.TB, memory int64) *cache.Store {
	t.Helper()
	s := cache.New(cache.Options{Memory: memory, Node: "eu1"})
	t.Cleanup(s.Close)
	return s
}

// got is an answer read to its end.
type got struct {
	resp   *httpwire.Response
	body   string
	result cache.Result
	err    error // of Serve
	short  error // of the body
}

func (g got) status() string {
	return string(g.result.AppendStatus(nil, "eu1"))
}

func serve(t testing.TB, s *cache.Store, req *cache.Request, o cache.Origin) got {
	t.Helper()
	var g got
	g.resp, g.result, g.err = s.Serve(t.Context(), req, o)
	if g.err == nil {
		g.body, g.short = read(g.resp)
	}
	return g
}

func read(resp *httpwire.Response) (string, error) {
	if resp.Body == nil {
		return "", nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// want serves and checks body and outcome.
func want(t *testing.T, s *cache.Store, req *cache.Request, o cache.Origin, body string, outcome cache.Outcome) got {
	t.Helper()
	g := serve(t, s, req, o)
	if g.err != nil || g.short != nil {
		t.Fatalf("error %v, body error %v", g.err, g.short)
	}
	if g.body != body || g.result.Outcome != outcome {
		t.Fatalf("got %q %v (%s), want %q %v", g.body, g.result.Outcome, g.status(), body, outcome)
	}
	return g
}

func field(g got, name string) string {
	v, _ := g.resp.Fields.Lookup(name)
	return v
}

// gate is a body that gives what a test sends, and nothing else.
type gate struct {
	parts  chan []byte
	fail   chan error
	ctx    context.Context
	rest   []byte
	closed atomic.Bool
}

func newGate(ctx context.Context) *gate {
	return &gate{parts: make(chan []byte), fail: make(chan error, 1), ctx: ctx}
}

func (b *gate) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		select {
		case part, ok := <-b.parts:
			if !ok {
				return 0, io.EOF
			}
			b.rest = part
		case err := <-b.fail:
			return 0, err
		case <-b.ctx.Done():
			return 0, b.ctx.Err()
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *gate) Close() error {
	b.closed.Store(true)
	return nil
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8 ^ i*7)
	}
	return b
}

func same(t *testing.T, got string, want []byte) {
	t.Helper()
	if !bytes.Equal([]byte(got), want) {
		t.Fatalf("body of %d bytes differs from the origin's %d", len(got), len(want))
	}
}

func date(t time.Time) string { return t.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT") }

func stringBody(s string) httpwire.Body { return io.NopCloser(strings.NewReader(s)) }

func rangeOf(start, end uint) string { return fmt.Sprintf("Range: bytes=%d-%d", start, end-1) }
