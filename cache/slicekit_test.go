package cache_test

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

const mib = 1 << 20

// file is an origin of one file, which has versions and does what RFC 9110 says of ranges and preconditions. Its bytes follow from the version and
// their place, so it takes no memory.
type file struct {
	mu sync.Mutex // guards the fields below

	size    int64
	version int
	plain   bool   // no ranges
	control string // Cache-Control; empty: max-age=60
	tag     string // with %d for the version; empty: "v%d"; "-": none
	delay   time.Duration
	slow    time.Duration                                                          // before each read of a body
	change  func(n int, h *httpwire.Head, r *httpwire.Response) *httpwire.Response // what it does wrong; nil: nothing
	cut     int64                                                                  // bytes after which the next body breaks; 0: never

	log  []string // Range and status of each request
	sent int64    // bytes that were read of all bodies
	open int      // bodies that are not closed
	most int      // the same, at any time
}

var bytesOf = pattern(3*mib + 7919)

// fileBytes are a part of a version.
func fileBytes(version int, start, end int64) []byte {
	b := make([]byte, end-start)
	for n := 0; n < len(b); {
		pos := start + int64(n)
		k := int64(mib) - pos%mib
		at := (pos/mib*7919 + int64(version)*104729 + pos%mib) % (2 * mib)
		n += copy(b[n:min(int64(len(b)), int64(n)+k)], bytesOf[at:])
	}
	return b
}

func (o *file) Fetch(ctx context.Context, h *httpwire.Head) (*httpwire.Response, error) {
	o.mu.Lock()
	delay := o.delay
	o.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.answer(ctx, h)
	if o.change != nil {
		r = o.change(len(o.log)+1, h, r)
	}
	asked, _ := h.Fields.Get(httpwire.Range)
	if r == nil {
		o.log = append(o.log, strings.TrimSpace(strings.TrimPrefix(asked, "bytes=")+" error"))
		return nil, errOrigin
	}
	o.log = append(o.log, strings.TrimSpace(fmt.Sprint(strings.TrimPrefix(asked, "bytes="), " ", r.Status)))
	return r, nil
}

func (o *file) etag() string {
	switch o.tag {
	case "":
		return fmt.Sprintf(`"v%d"`, o.version)
	case "-":
		return ""
	}
	return strings.ReplaceAll(o.tag, "%d", strconv.Itoa(o.version))
}

func (o *file) answer(ctx context.Context, h *httpwire.Head) *httpwire.Response {
	control := o.control
	if control == "" {
		control = "max-age=60"
	}
	tag := o.etag()
	r := &httpwire.Response{Status: 200, Length: o.size, Fields: fields("Cache-Control: "+control, "Content-Type: video/x")}
	if tag != "" {
		r.Fields.AddName("ETag", tag)
	}
	if !o.plain {
		r.Fields.AddName("Accept-Ranges", "bytes")
	}
	if v, ok := h.Fields.Get(httpwire.IfMatch); ok && v != tag {
		return &httpwire.Response{Status: 412, Fields: r.Fields}
	}
	if v, ok := h.Fields.Get(httpwire.IfNoneMatch); ok && v == tag {
		return &httpwire.Response{Status: 304, Fields: r.Fields, Length: -1}
	}
	span := rules.Span{End: o.size}
	if v, ok := h.Fields.Get(httpwire.Range); ok && !o.plain {
		spans, _, heeded := rules.ParseRanges(nil, v, o.size)
		switch {
		case heeded && len(spans) == 0:
			r.Fields.AddName("Content-Range", fmt.Sprint("bytes */", o.size))
			r.Status, r.Length = 416, 0
			return r
		case heeded && len(spans) == 1:
			span = spans[0]
			r.Status, r.Length = 206, span.End-span.Start
			r.Fields.AddName("Content-Range", fmt.Sprintf("bytes %d-%d/%d", span.Start, span.End-1, o.size))
		}
	}
	if h.Method != "HEAD" {
		b := &fileBody{file: o, ctx: ctx, version: o.version, at: span.Start, end: span.End, cut: -1, slow: o.slow}
		if o.cut > 0 {
			b.cut, o.cut = span.Start+o.cut, 0
		}
		o.open++
		o.most = max(o.most, o.open)
		r.Body = b
	}
	return r
}

type fileBody struct {
	file         *file
	ctx          context.Context
	version      int
	at, end, cut int64
	slow         time.Duration
	closed       bool
}

func (b *fileBody) Read(p []byte) (int, error) {
	if b.slow > 0 {
		time.Sleep(b.slow)
	}
	if b.ctx.Err() != nil {
		return 0, b.ctx.Err()
	}
	end := b.end
	if b.cut >= 0 {
		end = min(end, b.cut)
	}
	n := copy(p, fileBytes(b.version, b.at, min(end, b.at+int64(len(p)))))
	b.at += int64(n)
	b.file.mu.Lock()
	b.file.sent += int64(n)
	b.file.mu.Unlock()
	switch {
	case n > 0:
		return n, nil
	case b.at < b.end:
		return 0, io.ErrUnexpectedEOF
	}
	return 0, io.EOF
}

func (b *fileBody) Close() error {
	if !b.closed {
		b.closed = true
		b.file.mu.Lock()
		b.file.open--
		b.file.mu.Unlock()
	}
	return nil
}

// asked is what the origin was asked for since the last time.
func (o *file) asked() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := strings.Join(o.log, ", ")
	o.log = nil
	return s
}

func (o *file) set(f func(o *file)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(o)
}

// wantPart serves and checks a range, or the whole with end -1.
func wantPart(t *testing.T, s *cache.Store, o *file, version int, value string, start, end int64) got {
	t.Helper()
	req := get("/f")
	if value != "" {
		req = get("/f", "Range: bytes="+value)
	}
	g := serve(t, s, req, o)
	checkPart(t, g, o, version, value, start, end)
	return g
}

func checkPart(t *testing.T, g got, o *file, version int, value string, start, end int64) {
	t.Helper()
	if g.err != nil || g.short != nil {
		t.Fatalf("%q: error %v, body error %v", value, g.err, g.short)
	}
	status, place := 206, fmt.Sprintf("bytes %d-%d/%d", start, end-1, o.size)
	if value == "" {
		status, place = 200, ""
	}
	if g.resp.Status != status || field(g, "Content-Range") != place || g.resp.Length != end-start || field(g, "Content-Type") != "video/x" {
		t.Fatalf("%q: %d %q, %d bytes", value, g.resp.Status, field(g, "Content-Range"), g.resp.Length)
	}
	same(t, g.body, fileBytes(version, start, end))
}

func wantAsked(t *testing.T, o *file, want string) {
	t.Helper()
	if got := o.asked(); got != want {
		t.Fatalf("the origin was asked for %q, want %q", got, want)
	}
}

func wantStatus(t *testing.T, g got, want string) {
	t.Helper()
	if got := g.status(); got != want {
		t.Fatalf("%s, want %s", got, want)
	}
}

// drop is for a change that takes the body away.
func drop(r *httpwire.Response) {
	if b, ok := r.Body.(*fileBody); ok && !b.closed {
		b.closed = true
		b.file.open--
	}
	r.Body = nil
}
