package slice

import (
	"context"
	"errors"
	"io"
	"sync"
)

// Window keeps one who fills slices in order from running more than Ahead of the fastest of those who read them, and tells both when there is
// nobody left on the other side. It is safe for concurrent use; Fill, Began and End are the writer's.
type Window struct {
	first, to int64         // slices that are filled, to exclusive
	late      func() bool   // whether readers may be on their way
	moved     chan struct{} // has a token when the writer should look again

	mu sync.Mutex // guards the fields below

	next    int64 // the slice that is to begin
	ended   bool
	news    chan struct{} // closed when next or ended changes
	readers map[*Body]int64
}

// NewWindow makes one for slices from first to to, exclusive. late tells whether readers may come who do not follow yet; Poke has to be called when
// that changes.
func NewWindow(first, to int64, late func() bool) *Window {
	return &Window{first: first, to: to, next: first, late: late, moved: make(chan struct{}, 1), news: make(chan struct{}), readers: make(map[*Body]int64)}
}

// Fill gives the slices of a body to copy as it comes, which is told how long each one is and has to call Began. It ends with the body, with an
// error of copy's, or with ErrUnwanted after the slice that it is in when there is nobody left.
func (w *Window) Fill(ctx context.Context, body io.Reader, total int64, copy func(index int64, from io.Reader, length int64) (int64, error)) (read int64, err error) {
	defer w.End()
	for i := w.first; i < w.to && err == nil; i++ {
		if i > w.first && !w.wanted(ctx, i) {
			return read, ErrUnwanted
		}
		span, from, n := Span(i, total), body, int64(0)
		if i+1 < w.to {
			from = io.LimitReader(body, Size)
		}
		n, err = copy(i, from, span.End-span.Start)
		read += n
	}
	return read, err
}

// ErrUnwanted says that nobody reads what is filled.
var ErrUnwanted = errors.New("nobody is left to read the slices")

// wanted waits until a slice is near enough to those who read. It reports false when there is nobody, or ctx has ended.
func (w *Window) wanted(ctx context.Context, index int64) bool {
	for {
		some := w.late() // before the readers: who was late follows before it is late no more
		w.mu.Lock()
		fastest := w.first
		for _, at := range w.readers {
			fastest, some = max(fastest, at), true
		}
		w.mu.Unlock()
		switch {
		case !some || ctx.Err() != nil:
			return false
		case index <= fastest+Ahead:
			return true
		}
		select {
		case <-w.moved:
		case <-ctx.Done():
		}
	}
}

// Began tells that a slice is there to be found.
func (w *Window) Began(index int64) {
	w.mu.Lock()
	w.next = index + 1
	close(w.news)
	w.news = make(chan struct{})
	w.mu.Unlock()
}

// End tells that no more slices begin.
func (w *Window) End() {
	w.mu.Lock()
	w.ended = true
	close(w.news)
	w.mu.Unlock()
}

// Coming returns what is closed when it is worth looking for a slice again, if the writer is about to come to it; else nil.
func (w *Window) Coming(index int64) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || index < w.next || index >= min(w.next+Ahead, w.to) {
		return nil
	}
	return w.news
}

// follow says which slice a body reads. One that is further ahead than the writer would come does not follow.
func (w *Window) follow(b *Body, index int64) {
	w.mu.Lock()
	if index < w.next+Ahead {
		w.readers[b] = index
	} else {
		delete(w.readers, b)
	}
	w.mu.Unlock()
	w.Poke()
}

// leave is called when a body follows no more.
func (w *Window) leave(b *Body) {
	w.mu.Lock()
	delete(w.readers, b)
	w.mu.Unlock()
	w.Poke()
}

// Poke tells the writer to look again.
func (w *Window) Poke() {
	select {
	case w.moved <- struct{}{}:
	default:
	}
}
