package cache_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/synctest"

	"github.com/meridian-edge/meridian/cache"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// TestOutgrown: an object that becomes too large is not stored, takes no more readers, and reaches those it has in full.
func TestOutgrown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 4<<20) // 1 MiB for one object
		body := pattern(5 << 20)
		bodies := make(chan *gate, 2)
		o := gated(-1, bodies, "Cache-Control: max-age=60")
		readers := make(chan got, 2)
		for range 2 {
			go func() { readers <- serve(t, s, get("/"), o) }()
			synctest.Wait()
		}
		slow, _, err := s.Serve(t.Context(), get("/"), o)
		if err != nil {
			t.Fatal(err)
		}
		b := <-bodies
		go func() {
			for i := 0; i < len(body); i += 1000 {
				b.parts <- body[i:min(i+1000, len(body))]
			}
			close(b.parts)
		}()
		synctest.Wait()
		if used := s.Stats().Bytes; used > 4<<20 {
			t.Errorf("%d bytes resident", used)
		}
		go func() { (<-bodies).fail <- io.ErrUnexpectedEOF }()
		if g := serve(t, s, get("/"), o); g.result.Outcome != cache.Miss || g.result.Reason != "size" {
			t.Error(g.status())
		}
		rest, err := read(slow)
		if err != nil {
			t.Fatal(err)
		}
		same(t, rest, body)
		for range 2 {
			g := <-readers
			if g.short != nil {
				t.Fatal(g.short)
			}
			same(t, g.body, body)
		}
		synctest.Wait()
		if st := s.Stats(); st != (cache.Stats{}) {
			t.Errorf("left %+v", st)
		}
	})
}

// TestOutgrownAndLeft: nobody reads it and it cannot be stored: the fetch ends.
func TestOutgrownAndLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 2<<20)
		var ctx context.Context
		o := &originFunc{f: func(c context.Context, _ *httpwire.Head, _ int) (*httpwire.Response, error) {
			ctx = c
			return &httpwire.Response{Status: 200, Length: -1, Fields: fields("Cache-Control: max-age=60"), Body: endless{}}, nil
		}}
		resp, _, err := s.Serve(t.Context(), get("/"), o)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		resp.Body.Close()
		synctest.Wait()
		if ctx.Err() == nil || s.Stats() != (cache.Stats{}) {
			t.Errorf("left %+v", s.Stats())
		}
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
func (endless) Close() error               { return nil }

// TestAnnouncedTooLarge: a length above the limit is not begun, and goes to its requester alone.
func TestAnnouncedTooLarge(t *testing.T) {
	s := newStore(t, 4<<20)
	body := pattern(1<<20 + 1)
	o := &originFunc{f: respondWith(func() *httpwire.Response {
		return &httpwire.Response{Status: 200, Length: int64(len(body)), Fields: fields("Cache-Control: max-age=60"), Body: io.NopCloser(bytes.NewReader(body))}
	})}
	g := serve(t, s, get("/"), o)
	same(t, g.body, body)
	if g.result.Reason != "size" || g.result.Stored || s.Stats().Bytes != 0 {
		t.Error(g.status(), s.Stats())
	}
}
