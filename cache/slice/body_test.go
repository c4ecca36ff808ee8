package slice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/cache/slice"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// shelf is a Source whose slices all are there, each of one letter. It notes what becomes of them.
type shelf struct {
	log    []string
	broken map[int64]error // that opening ends with
	window *slice.Window
}

func (s *shelf) Window() *slice.Window { return s.window }

func (s *shelf) Find(_ context.Context, index int64) slice.Slot {
	s.log = append(s.log, fmt.Sprint("find ", index))
	return &place{s, index}
}

type place struct {
	s     *shelf
	index int64
}

func (p *place) Open(_ context.Context, part rules.Span) (io.ReadCloser, error) {
	if err := p.s.broken[p.index]; err != nil {
		return nil, err
	}
	letters := strings.Repeat(string(rune('a'+p.index)), int(part.End-part.Start))
	return io.NopCloser(strings.NewReader(letters)), nil
}

func (p *place) Drop() { p.s.log = append(p.s.log, fmt.Sprint("drop ", p.index)) }

func TestABodyIsReadThroughItsSlices(t *testing.T) {
	const total = 3*size + 10
	for _, test := range []struct {
		name string
		span rules.Span
		want string // run lengths
		log  []string
	}{
		{"the whole", rules.Span{Start: 0, End: -1}, "1048576a 1048576b 1048576c 10d", []string{"find 0", "find 1", "find 2", "find 3"}},
		{"within one", rules.Span{Start: size + 1, End: size + 5}, "4b", []string{"find 1"}},
		{"over an edge", rules.Span{Start: size - 2, End: size + 3}, "2a 3b", []string{"find 0", "find 1"}},
		{"the last bytes", rules.Span{Start: 3 * size, End: total}, "10d", []string{"find 3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &shelf{}
			closed := 0
			b := slice.NewBody(t.Context(), s, total, test.span, func() { closed++ })
			got, err := io.ReadAll(struct{ io.Reader }{b}) // without WriteTo
			if err != nil || runs(got) != test.want || !slices.Equal(s.log, test.log) {
				t.Errorf("%s, %v, %q", runs(got), err, s.log)
			}
			_ = b.Close()
			_ = b.Close()
			if _, err := b.Read(make([]byte, 1)); err == nil || closed != 1 {
				t.Errorf("after Close: %v, told %d times", err, closed)
			}
			var out strings.Builder
			if _, err := slice.NewBody(t.Context(), &shelf{}, total, test.span, nil).WriteTo(&out); err != nil || runs([]byte(out.String())) != test.want {
				t.Errorf("written: %s, %v", runs([]byte(out.String())), err)
			}
		})
	}
}

// runs says how often each octet comes, one after the other.
func runs(data []byte) string {
	var parts []string
	for len(data) > 0 {
		n := 1
		for n < len(data) && data[n] == data[0] {
			n++
		}
		parts = append(parts, fmt.Sprintf("%d%c", n, data[0]))
		data = data[n:]
	}
	return strings.Join(parts, " ")
}

// TestASliceIsLookedForWhenHalfOfTheOneBeforeIsRead: not sooner, and it is dropped when nobody comes to it.
func TestASliceIsLookedForWhenHalfOfTheOneBeforeIsRead(t *testing.T) {
	s := &shelf{}
	b := slice.NewBody(t.Context(), s, 3*size, rules.Span{End: -1}, nil)
	read := func(n int) {
		t.Helper()
		if _, err := io.ReadFull(b, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	read(size/2 - 1)
	if !slices.Equal(s.log, []string{"find 0"}) {
		t.Errorf("before the half: %q", s.log)
	}
	read(1)
	if !slices.Equal(s.log, []string{"find 0", "find 1"}) {
		t.Errorf("at the half: %q", s.log)
	}
	_ = b.Close()
	if !slices.Equal(s.log, []string{"find 0", "find 1", "drop 1"}) {
		t.Errorf("closed: %q", s.log)
	}
}

// TestASliceThatCannotBeHadEndsABody after the right bytes, and with an error that is never taken for an end.
func TestASliceThatCannotBeHadEndsABody(t *testing.T) {
	s := &shelf{broken: map[int64]error{1: slice.ErrVersion}}
	got, err := io.ReadAll(slice.NewBody(t.Context(), s, 3*size, rules.Span{End: -1}, nil))
	if runs(got) != "1048576a" || !errors.Is(err, slice.ErrVersion) || !errors.Is(err, httpwire.ErrTruncated) {
		t.Errorf("%s, %v", runs(got), err)
	}
}

// TestAWindowGoesOnOnlyForWhoReads: no more than Ahead of the fastest, and not after the slice it is in when there is nobody.
func TestAWindowGoesOnOnlyForWhoReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const total = 20 * size
		w := slice.NewWindow(0, 20, func() bool { return false })
		s := &shelf{window: w}
		b := slice.NewBody(t.Context(), s, total, rules.Span{End: -1}, nil)
		if _, err := b.Begin(); err != nil { // it follows
			t.Fatal(err)
		}
		var began []int64
		ended := make(chan error, 1)
		go func() {
			_, err := w.Fill(t.Context(), strings.NewReader(strings.Repeat("x", total)), total, func(i int64, from io.Reader, length int64) (int64, error) {
				began = append(began, i)
				w.Began(i)
				return io.CopyN(io.Discard, from, length)
			})
			ended <- err
		}()
		synctest.Wait()
		if last := began[len(began)-1]; last != slice.Ahead {
			t.Errorf("a reader of slice 0: filled up to %d", last)
		}
		if _, err := io.CopyN(io.Discard, b, 2*size+1); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if last := began[len(began)-1]; last != 2+slice.Ahead {
			t.Errorf("a reader of slice 2: filled up to %d", last)
		}
		if w.Coming(2+slice.Ahead+1) == nil || w.Coming(19) != nil {
			t.Error("the next slice is not to be waited for, or one far away is")
		}
		_ = b.Close()
		if err := <-ended; !errors.Is(err, slice.ErrUnwanted) {
			t.Error(err)
		}
		if w.Coming(2+slice.Ahead+1) != nil {
			t.Error("something is still to come")
		}
	})
}
