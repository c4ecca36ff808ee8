package body_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// A file that ends early or fails gives what it has and then an error that is never an end, and the index hears of it.
func TestAFileThatFailsNeverLooksWhole(t *testing.T) {
	for name, err := range map[string]error{"ends early": nil, "ends early, in its words": io.ErrUnexpectedEOF, "fails": errBroken, "fails with an end": errors.Join(errBroken, io.EOF)} {
		for _, way := range []int{0, 1, 10, 100_000} {
			space, on := ample(), &file{data: text(70_000), err: err}
			o := stored(space, nil, on, 100_000)
			x := own(o)
			r := attach(t.Context(), o, all)
			got, err := consume(r, way)
			if err == nil || errors.Is(err, io.EOF) || !errors.Is(err, httpwire.ErrTruncated) || fault.As(err).Code != fault.Unexpected {
				t.Errorf("%s, way %d: %v", name, way, err)
			}
			if name == "fails" && !errors.Is(err, errBroken) {
				t.Errorf("way %d: it does not say why: %v", way, err)
			}
			if !bytes.Equal(got, text(70_000)[:len(got)]) || x.broken.Load() != 1 {
				t.Errorf("%s, way %d: %d bytes, told %d times", name, way, len(got), x.broken.Load())
			}
			if n, err := r.Read(make([]byte, 10)); n == 0 && (err == nil || err == io.EOF) {
				t.Errorf("%s, way %d: afterwards %v", name, way, err)
			}
			r.Close()
			o.Release()
			spent(t, space)
		}
	}
}

// What lies before the damage is served as ever.
func TestAPartBeforeTheDamageIsServed(t *testing.T) {
	space, on := ample(), &file{data: text(70_000), err: errBroken}
	o := stored(space, nil, on, 100_000)
	x := own(o)
	for _, way := range []int{0, 1, 10_000} {
		r := attach(t.Context(), o, rules.Span{Start: 10, End: 60_000})
		if got, err := consume(r, way); err != nil || !bytes.Equal(got, text(70_000)[10:60_000]) {
			t.Errorf("way %d: %d bytes, %v", way, len(got), err)
		}
		if more, err := consume(r, way); len(more) != 0 || err != nil {
			t.Errorf("way %d: then %d bytes, %v", way, len(more), err)
		}
		r.Close()
	}
	if x.broken.Load() != 0 {
		t.Error("it is called broken")
	}
	o.Release()
	spent(t, space)
}

// A writer that can take files is given the file; one that cannot is not, and neither is one who reads.
func TestFilesGoToWritersThatTakeThem(t *testing.T) {
	space, on := ample(), &file{data: text(100_000)}
	o := stored(space, nil, on, 100_000)
	for way, want := range []int32{100_000 - 6, 0, 0} {
		on.direct.Store(0)
		r := attach(t.Context(), o, all)
		head := make([]byte, 6)
		if _, err := io.ReadFull(r, head); err != nil { // what was read first is not sent again
			t.Fatal(err)
		}
		got, err := consume(r, way)
		if err != nil || !bytes.Equal(append(head, got...), on.data) || on.direct.Load() != want {
			t.Errorf("way %d: %d bytes, %d direct, %v", way, len(got), on.direct.Load(), err)
		}
		if n, err := r.WriteTo(&bytes.Buffer{}); n != 0 || err != nil {
			t.Errorf("way %d: once more: %d, %v", way, n, err)
		}
		r.Close()
	}
	o.Release()
	spent(t, space)
}

// full is a writer that takes ten bytes, by either way.
type full struct{ n int }

func (f *full) Write(p []byte) (int, error) {
	n := min(len(p), 10-f.n)
	if f.n += n; n < len(p) {
		return n, errBroken
	}
	return n, nil
}

type fullFrom struct{ full }

func (f *fullFrom) ReadFrom(r io.Reader) (int64, error) { return io.Copy(&f.full, r) }

// A client that leaves is no damage: its error is what the reader says, and the index hears nothing.
func TestAWritersErrorIsNotTheFiles(t *testing.T) {
	for _, w := range []io.Writer{&full{}, &fullFrom{}} {
		space, on := ample(), &file{data: text(100)}
		o := stored(space, nil, on, 100)
		x := own(o)
		r := attach(t.Context(), o, all)
		n, err := r.WriteTo(w)
		if n != 10 || !errors.Is(err, errBroken) || errors.Is(err, httpwire.ErrTruncated) || x.broken.Load() != 0 {
			t.Errorf("%T: %d, %v, told %d times", w, n, err, x.broken.Load())
		}
		if rest, err := io.ReadAll(r); err != nil || !bytes.Equal(rest, on.data[10:]) {
			t.Errorf("%T: then %d bytes, %v", w, len(rest), err)
		}
		r.Close()
		o.Release()
		spent(t, space)
	}
}

// A form of a file is made of its bytes; one of a file that fails has no end, is not found again, and the index hears of it.
func TestFormsOfFiles(t *testing.T) {
	space, m := ample(), maker(t)
	for _, sound := range []bool{true, false} {
		on := &file{data: text(100_000)}
		size := 100_000
		if !sound {
			size++
		}
		o := stored(space, m, on, size)
		x := own(o)
		r := new(body.Reader)
		o.Form(encode.Gzip).Attach(t.Context(), r)
		b, err := io.ReadAll(r)
		plain, undone := gunzip(b)
		if sound != (err == nil) || sound != (undone == nil) || sound && !bytes.Equal(plain, on.data) {
			t.Errorf("sound %v: %d bytes, %v, %v", sound, len(plain), err, undone)
		}
		if sound == (x.broken.Load() > 0) {
			t.Errorf("sound %v: told %d times", sound, x.broken.Load())
		}
		if !sound && (o.Forms() != 0 || o.FormLength(encode.Gzip) != -1) {
			t.Error("a form without an end is found")
		}
		r.Close()
		o.Release()
	}
	m.Close()
	spent(t, space)
}
