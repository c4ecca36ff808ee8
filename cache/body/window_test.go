package body_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/encode"
)

func never() bool { return false }

// outgrow writes until the object has become too large, windows it, and returns how much went in.
func outgrow(t *testing.T, o *body.Object, data []byte, late func() bool) int {
	t.Helper()
	for i := 0; i < len(data); {
		to, err := o.Tail(t.Context())
		if errors.Is(err, body.ErrTooLarge) {
			o.Window(late)
			return i
		}
		if err != nil {
			t.Fatal(err)
		}
		n := copy(to, data[i:])
		o.Grew(n)
		i += n
	}
	t.Fatal("it is not too large")
	return 0
}

// What is too large to store passes through: each reader gets all of it at its own speed, and it never takes more than it had.
func TestWhatIsTooLargePassesThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space := &budget{limit: 64 << 20, most: 200_000}
		data := text(2_000_000)
		o := begin(t, space, nil, -1)
		readers := []*body.Reader{attach(t.Context(), o, all), attach(t.Context(), o, all)}
		written := make(chan error, 1)
		at := outgrow(t, o, data, never)
		most := space.used.Load()
		go func() {
			err := write(t.Context(), o, data[at:], 10_000)
			o.Finish(err)
			written <- err
		}()
		synctest.Wait()
		select {
		case err := <-written:
			t.Fatalf("it did not wait for its readers: %v", err)
		default:
		}
		got := make(chan []byte, len(readers))
		for i, r := range readers {
			go func() {
				b, err := consume(r, 1+i*3_000)
				if err != nil {
					t.Error(err)
				}
				r.Close()
				got <- b
			}()
		}
		for range readers {
			if b := <-got; !bytes.Equal(b, data) {
				t.Errorf("%d bytes of %d", len(b), len(data))
			}
		}
		if err := <-written; err != nil || o.Done() || space.used.Load() > most {
			t.Errorf("%v, done %v, %d bytes of %d", err, o.Done(), space.used.Load(), most)
		}
		o.Release()
		spent(t, space)
	})
}

// The slowest reader holds the writer up until it leaves; then the others go on.
func TestALeavingReaderMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space := &budget{limit: 64 << 20, most: 200_000}
		data := text(1_000_000)
		o := begin(t, space, nil, -1)
		fast, slow := attach(t.Context(), o, all), attach(t.Context(), o, all)
		at := outgrow(t, o, data, never)
		go func() { o.Finish(write(t.Context(), o, data[at:], 50_000)) }()
		got := make(chan []byte)
		go func() {
			b, err := io.ReadAll(fast)
			if err != nil {
				t.Error(err)
			}
			got <- b
		}()
		synctest.Wait()
		select {
		case <-got:
			t.Fatal("nobody waited for the slow one")
		default:
		}
		slow.Close()
		if b := <-got; !bytes.Equal(b, data) {
			t.Errorf("%d bytes", len(b))
		}
		fast.Close()
		o.Release()
		spent(t, space)
	})
}

// A writer that waits for readers ends when the last one leaves, and when its own time is over.
func TestAWaitingWriterEnds(t *testing.T) {
	for _, cancelled := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			space := &budget{limit: 64 << 20, most: 200_000}
			o := begin(t, space, nil, -1)
			r := attach(t.Context(), o, all)
			late := true // somebody may come, for whom the first blocks are kept
			at := outgrow(t, o, text(1_000_000), func() bool { return late })
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			written := make(chan error)
			go func() { written <- write(ctx, o, text(1_000_000)[at:], 50_000) }()
			synctest.Wait()
			if cancelled {
				cancel()
			} else {
				late = false
				r.Close() // now nobody is left, and the blocks go; the writer decides by Unread whether to go on
			}
			err := <-written
			if cancelled && !errors.Is(err, context.Canceled) || !cancelled && err != nil {
				t.Errorf("%v", err)
			}
			o.Finish(errBroken)
			r.Close()
			o.Release()
			spent(t, space)
		})
	}
}

// Neither the store's bound, nor the object's, nor the memory that there is, is exceeded.
func TestTailKeepsToTheBounds(t *testing.T) {
	for name, space := range map[string]*budget{"the store's": {limit: 1 << 30, most: 150_000}, "memory": {limit: 150_000, most: 1 << 30}} {
		o := begin(t, space, nil, -1)
		r := attach(t.Context(), o, all)
		at := outgrow(t, o, text(1_000_000), never)
		if at > 150_000 || at < 50_000 || space.used.Load() > 150_000+base {
			t.Errorf("%s: %d bytes went in, %d are used", name, at, space.used.Load())
		}
		o.Finish(errBroken)
		r.Close()
		o.Release()
		spent(t, space)
	}
}

// A form that becomes too large to keep passes through to those who read it, and nobody finds it any more.
func TestAFormThatIsTooLargePassesThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		space, m := ample(), maker(t)
		size := encode.MaxLength + 1_000_000
		o := whole(t, space, m, text(size))
		r := form(t, o, encode.Gzip)
		b, err := io.ReadAll(r)
		got, undone := gunzip(b)
		if err != nil || undone != nil || !bytes.Equal(got, text(size)) {
			t.Errorf("%d bytes, %v, %v", len(got), err, undone)
		}
		r.Close()
		synctest.Wait()
		if o.Forms() != 0 || !o.Idle() {
			t.Error("it is kept")
		}
		o.Release()
		spent(t, space)
	})
}
