package body_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/cache/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// budget is a Space with a bound.
type budget struct {
	limit, most int64
	used        atomic.Int64
}

func (b *budget) Reserve(n int64) bool {
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) Charge(n int64)   { b.used.Add(n) }
func (b *budget) MaxObject() int64 { return b.most }

func ample() *budget { return &budget{limit: 64 << 20, most: 16 << 20} }

// index is an Owner. It looks at the object whenever it is called, for which no lock may be held.
type index struct {
	object *body.Object

	weighed, rested, broken atomic.Int32

	idle atomic.Bool // what it found when it was last called
}

func (x *index) look() {
	x.object.Charged()
	x.object.Forms()
	x.idle.Store(x.object.Idle())
}

func (x *index) Weigh()  { x.look(); x.weighed.Add(1) }
func (x *index) Rest()   { x.look(); x.rested.Add(1) }
func (x *index) Broken() { x.look(); x.broken.Add(1) }

// own puts an object into an index, which has the caller's reference from then on.
func own(o *body.Object) *index {
	x := &index{object: o}
	o.SetOwner(x)
	return x
}

func maker(t testing.TB) *body.Maker {
	m := body.NewMaker(encode.New(nil), slog.New(slog.DiscardHandler))
	t.Cleanup(m.Close)
	return m
}

// fail is what rapid's T and testing's have in common.
type fail interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

const base = 300 // what a head takes, in these tests

// begin makes an object whose length is announced or not (-1), with the memory that a fill reserves first.
func begin(t fail, space *budget, m *body.Maker, total int64) *body.Object {
	t.Helper()
	charge := base + body.Need(total)
	if !space.Reserve(charge) {
		t.Fatal("no memory")
	}
	return body.New(body.Options{Space: space, Maker: m, Total: total, Most: space.most, Charge: charge, Base: base})
}

// write adds bytes in pieces of at most n. It is the writer's.
func write(ctx context.Context, o *body.Object, data []byte, n int) error {
	for len(data) > 0 {
		to, err := o.Tail(ctx)
		if err != nil {
			return err
		}
		k := copy(to, data[:min(n, len(data))])
		o.Grew(k)
		data = data[k:]
	}
	return nil
}

// whole makes a complete object.
func whole(t fail, space *budget, m *body.Maker, data []byte) *body.Object {
	t.Helper()
	o := begin(t, space, m, int64(len(data)))
	if err := write(context.Background(), o, data, len(data)); err != nil {
		t.Fatal(err)
	}
	o.Finish(nil)
	return o
}

// attach adds a reader of a part, with a reference of its own.
func attach(ctx context.Context, o *body.Object, span rules.Span) *body.Reader {
	o.Hold()
	r := new(body.Reader)
	o.Attach(ctx, r, span)
	return r
}

var all = rules.Span{End: -1}

func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefgh\n"[(i*i>>7+i>>11)%9]
	}
	return b
}

// spent fails unless all memory is given back.
func spent(t fail, space *budget) {
	t.Helper()
	if n := space.used.Load(); n != 0 {
		t.Fatalf("%d bytes are still charged", n)
	}
}

func gunzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// pinned counts its releases.
type pinned struct{ n atomic.Int32 }

func (p *pinned) Release() { p.n.Add(1) }

// file is a File in memory that may end early or fail.
type file struct {
	data   []byte
	err    error // at the end of data; nil: io.EOF
	closed atomic.Int32
	direct atomic.Int32 // bytes given by way of io.ReaderFrom
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(f.data)) {
		n = copy(p, f.data[off:])
	}
	switch {
	case n == len(p):
		return n, nil
	case f.err != nil:
		return n, f.err
	}
	return n, io.EOF
}

func (f *file) WriteRange(w io.Writer, start, end int64) (int64, error) {
	there := bytes.NewReader(f.data[min(start, int64(len(f.data))):min(end, int64(len(f.data)))])
	var n int64
	var err error
	if direct, ok := w.(io.ReaderFrom); ok {
		n, err = direct.ReadFrom(there)
		f.direct.Add(int32(n))
	} else {
		n, err = io.Copy(struct{ io.Writer }{w}, there)
	}
	if err == nil && end > int64(len(f.data)) {
		err = f.err
	}
	return n, err
}

func (f *file) Close() { f.closed.Add(1) }

func stored(space *budget, m *body.Maker, f *file, size int) *body.Object {
	space.used.Add(base)
	return body.NewFile(body.Options{Space: space, Maker: m, Most: math.MaxInt64, Charge: base, Base: base}, f, int64(size))
}

var errBroken = errors.New("broken")
