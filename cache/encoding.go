package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/internal/fault"
)

// begin notes a form that is being made, for Close. It fails when the store is closed.
func (s *Store) begin(f *form, cancel context.CancelFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.forms[f] = cancel
	s.wg.Add(1)
	return true
}

// ended takes a form off the list that begin has put it on.
func (s *Store) ended(f *form) {
	s.mu.Lock()
	cancel := s.forms[f]
	delete(s.forms, f)
	s.mu.Unlock()
	cancel()
	s.wg.Done()
}

// run makes the form: the whole of its goroutine.
func (f *form) run(ctx context.Context, in *reader, stream *encode.Stream) {
	defer f.base.store.ended(f)
	stream.To(writerFunc(func(p []byte) (int, error) { return f.write(ctx, p) }))
	err := f.encode(ctx, in, stream)
	if err != nil {
		f.drop() // nobody shall find what has no end
	}
	f.object.finish(err)
	if f.object.done.Load() {
		f.weigh()
	}
	_ = in.Close()
	f.object.release()
}

// encode is all that an encoder does for a form. A panic of it is an error of this form's and of nobody else.
func (f *form) encode(ctx context.Context, in *reader, stream *encode.Stream) (err error) {
	defer func() {
		if p := recover(); p != nil {
			f.base.store.log.Error("encoder panicked", "coding", f.coding.String(), "panic", fmt.Sprint(p))
			err = fault.New(fault.Unexpected, fmt.Errorf("encoder: %v", p))
		}
	}()
	if err := f.pump(ctx, in, stream); err != nil {
		stream.Abort()
		return err
	}
	return stream.End()
}

// writerFunc is a function that is an io.Writer.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// pump encodes the base until it ends. What has come is flushed when more is slow to follow.
func (f *form) pump(ctx context.Context, in *reader, stream *encode.Stream) error {
	var due time.Time // of a flush; zero: nothing is held back
	for {
		b, wait, err := f.base.at(in)
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case wait != nil:
			if due, err = f.pause(ctx, wait, due, stream); err != nil {
				return err
			}
			continue
		case f.unwanted():
			return errAbandoned
		}
		if _, err := stream.Write(b); err != nil {
			return err
		}
		in.advance(len(b))
		if f.read += int64(len(b)); f.read > encode.MaxLength {
			f.outgrow()
		}
		if due.IsZero() {
			due = time.Now().Add(encode.FlushDelay)
		}
	}
}

// pause waits for news of the base, until a flush is due. It returns when the next one is.
func (f *form) pause(ctx context.Context, wait <-chan struct{}, due time.Time, stream *encode.Stream) (time.Time, error) {
	var flush <-chan time.Time
	if !due.IsZero() {
		timer := time.NewTimer(time.Until(due))
		defer timer.Stop()
		flush = timer.C
	}
	select {
	case <-wait:
		return due, nil
	case <-ctx.Done():
		return due, ctx.Err()
	case <-flush:
		return time.Time{}, stream.Flush()
	}
}

// write adds encoded bytes to the form.
func (f *form) write(ctx context.Context, p []byte) (int, error) {
	total := 0
	for len(p) > 0 {
		to, err := f.object.tail(ctx)
		if errors.Is(err, errTooLarge) {
			f.outgrow()
			continue
		}
		if err != nil {
			return total, err
		}
		n := copy(to, p)
		f.object.grew(n)
		p, total = p[n:], total+n
	}
	return total, nil
}

// outgrow turns a form that has become too large to keep into one that its present readers pass through.
func (f *form) outgrow() {
	if f.object.windowed { // only this goroutine sets it
		return
	}
	f.drop() // from here on nobody finds it
	f.object.window(func() bool { return f.pending.Load() > 0 })
}

// unwanted reports whether nobody reads the form and nobody can any more: it is not to be found, or its base is held by its own
// goroutine alone.
func (f *form) unwanted() bool {
	return f.idle() && (f.base.refs.Load() == 1 || !f.kept.Load())
}

// idle reports whether nobody reads the form just now or is about to: of its references, one is the goroutine's and one the base's.
func (f *form) idle() bool {
	own := int32(1)
	if f.kept.Load() {
		own++
	}
	return f.object.refs.Load() <= own
}
