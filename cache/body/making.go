package body

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/internal/fault"
)

// Maker makes forms. Make one with NewMaker, and Close it. It is safe for concurrent use.
type Maker struct {
	encoders *encode.Encoders
	log      *slog.Logger

	mu sync.Mutex // guards the fields below

	closed bool
	making map[*Form]context.CancelFunc
	wg     sync.WaitGroup // Add only with mu held and closed false
}

// NewMaker makes a Maker. Neither argument may be nil.
func NewMaker(encoders *encode.Encoders, log *slog.Logger) *Maker {
	return &Maker{encoders: encoders, log: log, making: make(map[*Form]context.CancelFunc)}
}

// Close cancels the making of forms and waits for its end. No more are begun.
func (m *Maker) Close() {
	m.mu.Lock()
	m.closed = true
	for _, cancel := range m.making {
		cancel()
	}
	m.mu.Unlock()
	m.wg.Wait()
}

// begin notes a form that is being made. It fails when the Maker is closed.
func (m *Maker) begin(f *Form, cancel context.CancelFunc) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.making[f] = cancel
	m.wg.Add(1)
	return true
}

// ended takes a form off the list that begin has put it on.
func (m *Maker) ended(f *Form) {
	m.mu.Lock()
	cancel := m.making[f]
	delete(m.making, f)
	m.mu.Unlock()
	cancel()
	m.wg.Done()
}

// run makes the form: the whole of its goroutine.
func (f *Form) run(ctx context.Context, in *Reader, stream *encode.Stream) {
	defer f.base.Maker.ended(f)
	stream.To(writerFunc(func(p []byte) (int, error) { return f.write(ctx, p) }))
	err := f.encode(ctx, in, stream)
	if err != nil {
		f.drop() // nobody shall find what has no end
	}
	f.object.Finish(err)
	if f.object.done.Load() {
		f.weigh()
	}
	_ = in.Close()
	f.object.Release()
}

// encode is all that an encoder does for a form. A panic of it is an error of this form's and of nobody else.
func (f *Form) encode(ctx context.Context, in *Reader, stream *encode.Stream) (err error) {
	defer func() {
		if p := recover(); p != nil {
			f.base.Maker.log.Error("encoder panicked", "coding", f.coding.String(), "panic", fmt.Sprint(p))
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
func (f *Form) pump(ctx context.Context, in *Reader, stream *encode.Stream) error {
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
			return ErrAbandoned
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
func (f *Form) pause(ctx context.Context, wait <-chan struct{}, due time.Time, stream *encode.Stream) (time.Time, error) {
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
func (f *Form) write(ctx context.Context, p []byte) (int, error) {
	total := 0
	for len(p) > 0 {
		to, err := f.object.Tail(ctx)
		if errors.Is(err, ErrTooLarge) {
			f.outgrow()
			continue
		}
		if err != nil {
			return total, err
		}
		n := copy(to, p)
		f.object.Grew(n)
		p, total = p[n:], total+n
	}
	return total, nil
}

// outgrow turns a form that has become too large to keep into one that its present readers pass through.
func (f *Form) outgrow() {
	if f.object.windowed { // only this goroutine sets it
		return
	}
	f.drop() // from here on nobody finds it
	f.object.Window(func() bool { return f.pending.Load() > 0 })
}

// unwanted reports whether nobody reads the form and nobody can any more: it is not to be found, or its base is held by its own
// goroutine alone.
func (f *Form) unwanted() bool {
	return f.idle() && (f.base.refs.Load() == 1 || !f.kept.Load())
}

// idle reports whether nobody reads the form just now or is about to: of its references, one is the goroutine's and one the base's.
func (f *Form) idle() bool {
	own := int32(1)
	if f.kept.Load() {
		own++
	}
	return f.object.refs.Load() <= own
}
