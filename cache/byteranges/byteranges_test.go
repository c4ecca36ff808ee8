package byteranges_test

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/meridian-edge/meridian/cache/byteranges"
)

const object = "0123456789abcdefghijklmnopqrstuvwxyz"

// opener gives parts of the object and counts those that are open.
type opener struct{ opened, closed, done int }

type part struct {
	io.Reader
	o *opener
}

func (p part) Close() error {
	p.o.closed++
	return nil
}

func (o *opener) open(s byteranges.Span) io.ReadCloser {
	o.opened++
	return part{strings.NewReader(object[s.Start:s.End]), o}
}

var spans = []byteranges.Span{{0, 1}, {10, 20}, {5, 6}}

func newBody(o *opener) *byteranges.Body {
	return byteranges.New(append([]byteranges.Span{}, spans...), int64(len(object)), "text/plain", o.open, func() { o.done++ })
}

// A reader of multipart bodies finds the parts, each with its place, and Length is what there is.
func TestPartsAreFound(t *testing.T) {
	reads := map[string]func(*byteranges.Body) ([]byte, error){
		"WriteTo": func(b *byteranges.Body) ([]byte, error) {
			var out bytes.Buffer
			_, err := b.WriteTo(&out)
			return out.Bytes(), err
		},
		"Read":           func(b *byteranges.Body) ([]byte, error) { return io.ReadAll(struct{ io.Reader }{b}) },
		"octet by octet": func(b *byteranges.Body) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(b)) },
	}
	for name, read := range reads {
		t.Run(name, func(t *testing.T) {
			o := &opener{}
			b := newBody(o)
			data, err := read(b)
			if err != nil || int64(len(data)) != b.Length() {
				t.Fatalf("%d bytes of %d, %v", len(data), b.Length(), err)
			}
			if o.opened != len(spans) || o.closed != len(spans) {
				t.Errorf("%d opened, %d closed", o.opened, o.closed)
			}
			kind, params, err := mime.ParseMediaType(b.ContentType())
			if err != nil || kind != "multipart/byteranges" {
				t.Fatal(kind, err)
			}
			r := multipart.NewReader(bytes.NewReader(data), params["boundary"])
			for i, place := range []string{"bytes 0-0/36", "bytes 10-19/36", "bytes 5-5/36"} {
				p, err := r.NextRawPart()
				if err != nil {
					t.Fatal(err)
				}
				got, _ := io.ReadAll(p)
				if want := object[spans[i].Start:spans[i].End]; string(got) != want || p.Header.Get("Content-Range") != place || p.Header.Get("Content-Type") != "text/plain" {
					t.Errorf("part %d: %q %v", i, got, p.Header)
				}
			}
			if _, err := r.NextRawPart(); err != io.EOF {
				t.Error("after the last part: ", err)
			}
		})
	}
}

func TestBoundariesDiffer(t *testing.T) {
	if a, b := newBody(&opener{}), newBody(&opener{}); a.ContentType() == b.ContentType() {
		t.Error(a.ContentType())
	}
}

func TestAPartThatEndsEarlyIsAnError(t *testing.T) {
	short := func(byteranges.Span) io.ReadCloser { return io.NopCloser(strings.NewReader("0")) }
	for _, read := range []func(*byteranges.Body) error{
		func(b *byteranges.Body) error { _, err := b.WriteTo(io.Discard); return err },
		func(b *byteranges.Body) error { _, err := io.ReadAll(struct{ io.Reader }{b}); return err },
	} {
		b := byteranges.New([]byteranges.Span{{0, 10}, {20, 30}}, 36, "", short, nil)
		if err := read(b); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	}
}

func TestCloseInTheMiddleClosesThePart(t *testing.T) {
	o := &opener{}
	b := newBody(o)
	for o.opened < 2 {
		if _, err := b.Read(make([]byte, 7)); err != nil {
			t.Fatal(err)
		}
	}
	b.Close()
	b.Close()
	if o.closed != 2 || o.done != 1 {
		t.Errorf("%d of 2 closed, done %d times", o.closed, o.done)
	}
	if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Error(n, err)
	}
}
