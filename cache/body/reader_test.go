package body_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/rules"
)

// consume reads all, in one of the ways there are.
func consume(r *body.Reader, size int) ([]byte, error) {
	var out bytes.Buffer
	var err error
	switch size {
	case 0:
		_, err = r.WriteTo(&out) // which is an io.ReaderFrom
	case 1:
		_, err = r.WriteTo(struct{ io.Writer }{&out})
	default:
		_, err = io.CopyBuffer(struct{ io.Writer }{&out}, struct{ io.Reader }{r}, make([]byte, size))
	}
	return out.Bytes(), err
}

// Wherever a body is, whatever part of it is wanted and in whatever way it is read: the bytes are those that went in, and the memory comes
// back when everybody has left.
func TestWhatIsReadIsWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		space := ample()
		data := text(rapid.SampledFrom([]int{0, 1, 4095, 4096, 4097, 65_536, 65_537, 69_632, 200_000}).Draw(t, "size"))
		kind := rapid.SampledFrom([]string{"growing", "whole", "stored", "file"}).Draw(t, "kind")
		piece := rapid.IntRange(1_000, 70_000).Draw(t, "piece")
		var o *body.Object
		var pin pinned
		on := &file{data: data}
		switch kind {
		case "growing":
			o = begin(t, space, nil, rapid.SampledFrom([]int64{-1, int64(len(data))}).Draw(t, "announced"))
		case "whole":
			o = whole(t, space, nil, data)
		case "stored":
			o = body.NewStored(body.Options{Space: space}, data, &pin)
		default:
			o = stored(space, nil, on, len(data))
		}
		readers, wants, sizes := make([]*body.Reader, 3), make([][]byte, 3), make([]int, 3)
		for i := range readers {
			start := rapid.IntRange(0, len(data)).Draw(t, "start")
			end := rapid.IntRange(start, len(data)).Draw(t, "end")
			wants[i], sizes[i] = data[start:end], rapid.SampledFrom([]int{0, 1, 7, 5_000, 100_000}).Draw(t, "way")
			span := rules.Span{Start: int64(start), End: int64(end)}
			if end == len(data) {
				span.End = -1
			}
			readers[i] = attach(context.Background(), o, span)
		}
		var wg sync.WaitGroup
		gots, errs := make([][]byte, 3), make([]error, 3)
		for i, r := range readers {
			wg.Go(func() { gots[i], errs[i] = consume(r, sizes[i]) })
		}
		if kind == "growing" {
			if err := write(context.Background(), o, data, piece); err != nil {
				t.Fatal(err)
			}
			o.Finish(nil)
		}
		wg.Wait()
		for i := range gots {
			if errs[i] != nil || !bytes.Equal(gots[i], wants[i]) {
				t.Fatalf("%s: %d bytes for %d, %v", kind, len(gots[i]), len(wants[i]), errs[i])
			}
		}
		if !o.Done() || o.Length() != int64(len(data)) || o.Size() != o.Length() || o.Stored() != (kind == "file") {
			t.Fatalf("%s: done %v, length %d", kind, o.Done(), o.Length())
		}
		if o.Charged() != space.used.Load() || kind == "growing" && o.Charged() > base+body.Need(int64(len(data)))+body.Need(4096)*2 {
			t.Fatalf("%s: %d charged, %d used for %d", kind, o.Charged(), space.used.Load(), len(data))
		}
		o.Release() // the index evicts it, and the readers still have it
		for _, r := range readers {
			if pin.n.Load()+on.closed.Load() != 0 {
				t.Fatal("given up while it is read")
			}
			r.Close()
			r.Close()
		}
		spent(t, space)
		if kind == "stored" && pin.n.Load() != 1 || kind == "file" && on.closed.Load() != 1 {
			t.Fatalf("%s: %d releases, %d closes", kind, pin.n.Load(), on.closed.Load())
		}
	})
}

// A reader of a growing body gets what has come, waits for more, and ends with its request.
func TestAReaderWaitsUntilItsRequestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space := ample()
		o := begin(t, space, nil, -1)
		ctx, cancel := context.WithCancelCause(t.Context())
		r := attach(ctx, o, all)
		if o.Unread() {
			t.Error("a body that is read is called unread")
		}
		got, read := make(chan error), func() (string, error) {
			b := make([]byte, 100)
			n, err := r.Read(b)
			return string(b[:n]), err
		}
		if err := write(ctx, o, []byte("first"), 100); err != nil {
			t.Fatal(err)
		}
		if s, err := read(); s != "first" || err != nil {
			t.Fatal(s, err)
		}
		go func() { _, err := read(); got <- err }()
		synctest.Wait()
		select {
		case err := <-got:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		cancel(errBroken)
		if err := <-got; !errors.Is(err, errBroken) {
			t.Error(err)
		}
		r.Close()
		if !o.Unread() {
			t.Error("a body that nobody reads is called read")
		}
		o.Finish(nil)
		o.Release()
		spent(t, space)
	})
}

// A body that breaks off gives what has come, and then its error, which is no end.
func TestABrokenBodyHasNoEnd(t *testing.T) {
	for _, way := range []int{0, 1, 100} {
		space := ample()
		o := begin(t, space, nil, 100_000)
		r := attach(t.Context(), o, all)
		data := text(80_000)
		if err := write(t.Context(), o, data, 9_000); err != nil {
			t.Fatal(err)
		}
		o.Finish(errBroken)
		got, err := consume(r, way)
		if !errors.Is(err, errBroken) || !bytes.Equal(got, data) || o.Done() {
			t.Errorf("%d bytes, %v, done %v", len(got), err, o.Done())
		}
		r.Close()
		o.Release()
		spent(t, space)
	}
}

// What is closed is not read, and what was never attached has nothing to close.
func TestClosedReadersReadNothing(t *testing.T) {
	var never body.Reader
	if never.Reading() || never.Close() != nil {
		t.Error("the zero Reader reads")
	}
	space := ample()
	on := &file{data: text(10)}
	for _, o := range []*body.Object{whole(t, space, nil, text(10)), stored(space, nil, on, 10)} {
		r := attach(t.Context(), o, all)
		if !r.Reading() {
			t.Error("it does not read")
		}
		r.Close()
		n, err := r.Read(make([]byte, 10))
		if _, again := r.WriteTo(io.Discard); n != 0 || err == nil || err == io.EOF || again == nil || r.Reading() {
			t.Error(n, err, again)
		}
		o.Release()
	}
	spent(t, space)
}

// A flat reader gives bytes that are all there, and gives them up once.
func TestFlatReaders(t *testing.T) {
	for _, way := range []int{0, 1, 3} {
		var r body.Reader
		var pin pinned
		r.Flat([]byte("all of it"), &pin)
		if got, err := consume(&r, way); string(got) != "all of it" || err != nil || !r.Reading() {
			t.Errorf("%q, %v", got, err)
		}
		r.Close()
		r.Close()
		if pin.n.Load() != 1 || r.Reading() {
			t.Errorf("%d releases", pin.n.Load())
		}
	}
}

// Writers that fail or take too little end the reading, and nothing is passed over.
func TestAWritersErrorIsTheReaders(t *testing.T) {
	space := ample()
	o := whole(t, space, nil, text(100_000))
	r := attach(t.Context(), o, all)
	from, to := io.Pipe()
	from.CloseWithError(errBroken)
	if n, err := r.WriteTo(to); n != 0 || !errors.Is(err, errBroken) {
		t.Error(n, err)
	}
	if n, err := r.WriteTo(short{}); n != 1 || !errors.Is(err, io.ErrShortWrite) {
		t.Error(n, err)
	}
	if got, err := consume(r, 1); len(got) != 99_999 || err != nil {
		t.Error(len(got), err)
	}
	r.Close()
	o.Release()
	spent(t, space)
}

// short takes one byte.
type short struct{}

func (short) Write(p []byte) (int, error) { return 1, nil }

// Recharge changes what the head takes, and says by how much.
func TestRechargeIsOfTheHead(t *testing.T) {
	space := ample()
	o := whole(t, space, nil, text(1000))
	before := o.Charged()
	if grown := o.Recharge(base + 50); grown != 50 || o.Charged() != before+50 || o.Base() != base+50 {
		t.Errorf("grown %d, charged %d", grown, o.Charged())
	}
	space.Charge(50)
	o.Release()
	spent(t, space)
}
