package body_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/klauspost/compress/zstd"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/encode"
)

// form attaches a reader to an object's form in a coding. If there is none, the reader has nothing to read.
func form(t *testing.T, o *body.Object, c encode.Coding) *body.Reader {
	t.Helper()
	r := new(body.Reader)
	if f := o.Form(c); f != nil {
		f.Attach(t.Context(), r)
	} else {
		t.Errorf("no form in %v", c)
	}
	return r
}

// A form is made once, however many ask for it at once; it decodes to the body, and the index hears of what it weighs.
func TestAFormIsMadeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space, m := ample(), maker(t)
		data := text(300_000)
		o := whole(t, space, m, data)
		x := own(o)
		plain := o.Charged()
		var wg sync.WaitGroup
		var encoded [20][]byte
		for i := range encoded {
			wg.Go(func() {
				r := form(t, o, encode.Gzip)
				defer r.Close()
				b, err := io.ReadAll(r)
				if err != nil {
					t.Error(err)
				}
				encoded[i] = b
			})
		}
		wg.Wait()
		synctest.Wait()
		if got, err := gunzip(encoded[0]); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		for _, b := range encoded {
			if !bytes.Equal(b, encoded[0]) {
				t.Error("two readers have different bytes")
			}
		}
		if x.weighed.Load() != 1 {
			t.Errorf("made %d times", x.weighed.Load())
		}
		bodies := o.Bodies()
		if !bytes.Equal(bodies[encode.Identity], data) || !bytes.Equal(bodies[encode.Gzip], encoded[0]) || bodies[encode.Brotli] != nil {
			t.Error("Bodies are others")
		}
		if o.Forms() != 1<<encode.Gzip || o.FormLength(encode.Gzip) != int64(len(encoded[0])) || o.FormLength(encode.Brotli) != -1 ||
			strings.Join(o.Codings(), " ") != "gzip" || o.Form(encode.Gzip).Length() != int64(len(encoded[0])) {
			t.Errorf("forms %b, %d bytes, %v", o.Forms(), o.FormLength(encode.Gzip), o.Codings())
		}
		if o.Charged() != space.used.Load() || o.Charged() < plain+int64(len(encoded[0])) {
			t.Errorf("%d charged, %d used, %d without the form", o.Charged(), space.used.Load(), plain)
		}
	})
}

// Of many who begin to make a form at the same moment one makes it; what the others have reserved is given back.
func TestFormsThatAreBegunAtOnceAreOne(t *testing.T) {
	space, m := ample(), maker(t)
	for range 200 {
		o := whole(t, space, m, text(1_000))
		x := own(o)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				<-start
				r := form(t, o, encode.Gzip)
				if b, err := io.ReadAll(r); err != nil || len(b) == 0 {
					t.Error(len(b), err)
				}
				r.Close()
			})
		}
		close(start)
		wg.Wait()
		if x.weighed.Load() > 1 {
			t.Fatalf("made %d times", x.weighed.Load())
		}
		o.Release()
	}
	m.Close()
	spent(t, space)
}

// What came of the body so far is readable in a form before the rest has come.
func TestAFormOfAGrowingBodyGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space, m := ample(), maker(t)
		o := begin(t, space, m, -1)
		r := form(t, o, encode.Zstd)
		if err := write(t.Context(), o, []byte("the first line\n"), 100); err != nil {
			t.Fatal(err)
		}
		z, err := zstd.NewReader(struct{ io.Reader }{r}, zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		first := make([]byte, 15)
		if _, err := io.ReadFull(z, first); err != nil || string(first) != "the first line\n" {
			t.Fatalf("%q, %v", first, err)
		}
		if o.Unread() {
			t.Error("a body whose form is read is called unread")
		}
		if err := write(t.Context(), o, []byte("and another"), 100); err != nil {
			t.Fatal(err)
		}
		o.Finish(nil)
		if rest, err := io.ReadAll(z); string(rest) != "and another" || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
		r.Close()
		o.Release()
		m.Close()
		spent(t, space)
	})
}

// When a body breaks off, so does its form; nobody finds it any more.
func TestAFormOfABrokenBodyHasNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space, m := ample(), maker(t)
		o := begin(t, space, m, -1)
		r := form(t, o, encode.Gzip)
		if err := write(t.Context(), o, text(50_000), 5_000); err != nil {
			t.Fatal(err)
		}
		o.Finish(errBroken)
		b, err := io.ReadAll(r)
		if _, undone := gunzip(b); !errors.Is(err, errBroken) || undone == nil {
			t.Errorf("%v, and decoding it %v", err, undone)
		}
		synctest.Wait()
		if o.Forms() != 0 || o.Codings() != nil {
			t.Error("it is found")
		}
		r.Close()
		if o.Charged() != space.used.Load() {
			t.Errorf("%d bytes are charged, the body takes %d", space.used.Load(), o.Charged())
		}
		o.Release()
		spent(t, space)
	})
}

// Rest tells the index that nobody else has the object or a form of it: after the last reader of either, and after the making.
func TestRestIsWhenNobodyElseIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space, m := ample(), maker(t)
		o := whole(t, space, m, text(100_000))
		x := own(o)
		calls := func(n int32, idle bool, when string) {
			t.Helper()
			synctest.Wait()
			if got := x.rested.Swap(0); n > 0 != (got > 0) || o.Idle() != idle || got > 0 && x.idle.Load() != idle {
				t.Errorf("%s: called %d times, idle %v", when, got, o.Idle())
			}
		}
		calls(0, true, "nobody has read")
		one, two := attach(t.Context(), o, all), attach(t.Context(), o, all)
		one.Close()
		calls(0, false, "one of two has left")
		two.Close()
		calls(1, true, "both have left")
		r := form(t, o, encode.Gzip)
		synctest.Wait()
		x.rested.Store(0)
		if o.Idle() {
			t.Error("idle while a form is read")
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Error(err)
		}
		calls(0, false, "the form is made and still read")
		r.Close()
		calls(1, true, "the form's reader has left")
		o.SetOwner(nil)
		attach(t.Context(), o, all).Close()
		calls(0, true, "there is no owner")
		o.Release()
		spent(t, space)
	})
}

// A growing body does not rest, whoever leaves.
func TestAGrowingBodyDoesNotRest(t *testing.T) {
	space := ample()
	o := begin(t, space, nil, -1)
	x := own(o)
	attach(t.Context(), o, all).Close()
	if x.rested.Load() != 0 {
		t.Error("it rests")
	}
	o.Finish(nil)
	attach(t.Context(), o, all).Close()
	if x.rested.Load() != 1 {
		t.Errorf("afterwards it rests %d times", x.rested.Load())
	}
	o.Release()
	spent(t, space)
}

// A form dies with its body, but not for those who read it.
func TestAFormOutlivesItsBodyForItsReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space, m := ample(), maker(t)
		data := text(100_000)
		o := whole(t, space, m, data)
		r := form(t, o, encode.Gzip)
		synctest.Wait()
		o.Release()
		if space.used.Load() == 0 {
			t.Error("what is read is not charged for")
		}
		b, err := io.ReadAll(r)
		if got, undone := gunzip(b); err != nil || undone != nil || !bytes.Equal(got, data) {
			t.Error(err, undone)
		}
		r.Close()
		spent(t, space)
	})
}

// A form that nobody waits for any more is not made to its end.
func TestAnAbandonedFormEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space, m := ample(), maker(t)
		o := begin(t, space, m, -1)
		r := form(t, o, encode.Gzip)
		r.Close()
		if !o.Unread() {
			t.Error("a form that nobody reads is a reader")
		}
		o.Hold() // the index, which lets go first
		o.Release()
		if err := write(t.Context(), o, text(10_000), 1_000); err != nil {
			t.Fatal(err)
		}
		o.Release() // the writer gives up; only the form's goroutine is left
		synctest.Wait()
		spent(t, space)
	})
}

// Without memory, an encoder or a maker that is open there is no form, and nothing is kept charged.
func TestThereMayBeNoForm(t *testing.T) {
	space, m := ample(), maker(t)
	o := whole(t, space, m, text(10_000))
	before := space.used.Load()
	if o.Form(encode.Identity) != nil {
		t.Error("there is an encoder for nothing")
	}
	space.limit = before + 100
	if o.Form(encode.Gzip) != nil {
		t.Error("there was memory")
	}
	space.limit = 64 << 20
	m.Close()
	if o.Form(encode.Gzip) != nil || o.Forms() != 0 {
		t.Error("a maker that is closed has made one")
	}
	if space.used.Load() != before {
		t.Errorf("%d bytes more are charged", space.used.Load()-before)
	}
	o.Release()
	spent(t, space)
}

// Close ends what is being made, and waits for it.
func TestCloseEndsTheMaking(t *testing.T) {
	space, m := ample(), maker(t)
	o := begin(t, space, m, -1)
	r := form(t, o, encode.Brotli)
	m.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.Close()
	o.Finish(nil)
	o.Release()
	spent(t, space)
}

// Forms that were stored with their object are found as if they had been made, and give up what they lie in once.
func TestStoredForms(t *testing.T) {
	space, m := ample(), maker(t)
	var pin, pinForm pinned
	o := body.NewStored(body.Options{Space: space, Maker: m}, []byte("plain"), &pin)
	o.AddForm(encode.Brotli, []byte("encoded"), &pinForm)
	x := own(o)
	if o.Forms() != 1<<encode.Brotli || o.FormLength(encode.Brotli) != 7 || o.Charged() != 0 || !o.Idle() {
		t.Errorf("forms %b, %d bytes, %d charged", o.Forms(), o.FormLength(encode.Brotli), o.Charged())
	}
	r := form(t, o, encode.Brotli)
	if b, err := io.ReadAll(r); string(b) != "encoded" || err != nil || o.Idle() {
		t.Errorf("%q, %v, idle %v", b, err, o.Idle())
	}
	r.Close()
	if x.rested.Load() != 1 || !x.idle.Load() {
		t.Errorf("it rests %d times", x.rested.Load())
	}
	o.SetOwner(nil)
	o.Release()
	if pin.n.Load() != 1 || pinForm.n.Load() != 1 {
		t.Errorf("%d and %d releases", pin.n.Load(), pinForm.n.Load())
	}
	spent(t, space)
}

// From gives what a disk is to have of a complete body, from any place.
func TestFromGoesOnWhereItWas(t *testing.T) {
	space := ample()
	data := text(200_000)
	o := whole(t, space, nil, data)
	var got []byte
	for b := o.From(0); len(b) > 0; b = o.From(int64(len(got))) {
		got = append(got, b[:min(len(b), 7_001)]...)
	}
	if !bytes.Equal(got, data) || o.From(int64(len(data))) != nil {
		t.Errorf("%d bytes", len(got))
	}
	o.Release()
	spent(t, space)
}
