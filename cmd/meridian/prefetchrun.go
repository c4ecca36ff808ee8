package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/meridian-edge/meridian/proxy"
)

// prefetching is one run of `meridian prefetch`.
type prefetching struct {
	fetch    func(ctx context.Context, url string) (proxy.Prefetched, error)
	parallel int
	total    int       // URLs and bad lines; -1: not known before they are read
	out      io.Writer // the summary, or JSON
	notes    io.Writer // what went wrong, and progress
	asJSON   bool
	terminal bool // of notes: progress is shown

	results map[string]int // by proxy's words
	reasons map[string]int // why not stored
	bytes   int64          // of what is stored
	bad     int            // lines that are no URL
	shown   bool           // there is a line of progress on the terminal
}

// prefetched is what came of one line, or URL of the command line.
type prefetched struct {
	Line              int    `json:"line,omitempty"`
	URL               string `json:"url"`
	Result            string `json:"result"`
	Error             string `json:"error,omitempty"`
	*proxy.Prefetched        // nil: there is no response

	err error // why not; of Error
	bad bool  // it is no URL
}

// Progress is shown from a second on: a short list needs none.
const (
	progressAfter = time.Second
	progressEvery = time.Second / 2
)

// run fetches the lists and says what came of them. The error is the last line: nil when everything is in the cache.
func (p *prefetching) run(ctx context.Context, lists []iter.Seq[listed]) error {
	p.results, p.reasons = map[string]int{}, map[string]int{}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	answers := p.start(ctx, lists)
	tick := time.NewTimer(progressAfter)
	defer tick.Stop()
	for open := true; open; {
		select {
		case a, ok := <-answers:
			if open = ok; !ok {
				break
			}
			if unreachable(a.err) { // and so would all the others be
				stop(a.err)
			}
			if ctx.Err() == nil {
				p.note(&a)
			}
		case <-tick.C:
			p.progress()
			tick.Reset(progressEvery)
		}
	}
	p.erase()
	return p.conclude(context.Cause(ctx))
}

// start sends the lists through workers, which end when ctx does. The channel is closed when they are through.
func (p *prefetching) start(ctx context.Context, lists []iter.Seq[listed]) <-chan prefetched {
	work, answers := make(chan listed), make(chan prefetched)
	go func() { // not waited for: a read of standard input does not end with ctx, the process does
		defer close(work)
		for _, list := range lists {
			for item := range list {
				select {
				case work <- item:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	var wg sync.WaitGroup
	for range p.parallel {
		wg.Go(func() {
			for {
				select {
				case item, ok := <-work:
					if !ok {
						return
					}
					answers <- p.one(ctx, item)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	go func() {
		wg.Wait()
		close(answers)
	}()
	return answers
}

func (p *prefetching) one(ctx context.Context, item listed) prefetched {
	a := prefetched{Line: item.line, URL: item.url, Result: proxy.PrefetchFailed, err: item.bad, bad: item.bad != nil}
	if a.bad {
		a.Error = item.bad.Error()
		return a
	}
	answer, err := p.fetch(ctx, item.url)
	if a.err = err; err != nil {
		a.Error = err.Error()
		return a
	}
	a.Prefetched = &answer
	if a.Result = answer.Result(); a.Result == proxy.PrefetchFailed {
		a.Error = fmt.Sprintf("status %d", answer.Status)
	}
	return a
}

// note counts an answer, and prints it where it is one that has to be seen by itself.
func (p *prefetching) note(a *prefetched) {
	switch {
	case a.bad:
		p.bad++
	default:
		p.results[a.Result]++
	}
	switch a.Result {
	case proxy.PrefetchStored:
		p.bytes += a.Bytes
	case proxy.PrefetchNotStored:
		p.reasons[a.Reason]++
	}
	switch {
	case p.asJSON:
		e := json.NewEncoder(p.out)
		e.SetEscapeHTML(false) // a URL is full of ampersands
		_ = e.Encode(a)        // whoever closed the pipe has seen enough
	case a.Result == proxy.PrefetchFailed:
		p.complain(a)
	}
}

// complain prints what failed.
func (p *prefetching) complain(a *prefetched) {
	p.erase()
	where := ""
	if a.Line > 0 {
		where = fmt.Sprintf("line %d: ", a.Line)
	}
	if !a.bad {
		where += a.URL + ": "
	}
	fmt.Fprintln(p.notes, printable(where+a.Error))
}

// done is how many lines and URLs are behind us.
func (p *prefetching) done() int {
	n := p.bad
	for _, count := range p.results {
		n += count
	}
	return n
}

// progress rewrites the last line of a terminal.
func (p *prefetching) progress() {
	if !p.terminal {
		return
	}
	text := fmt.Sprint(p.done())
	if p.total >= 0 {
		text += fmt.Sprintf(" of %d", p.total)
	}
	if failed := p.results[proxy.PrefetchFailed] + p.bad; failed > 0 {
		text += fmt.Sprintf(", %d failed", failed)
	}
	fmt.Fprintf(p.notes, "\r\x1b[K%s", text)
	p.shown = true
}

// erase takes the line of progress away.
func (p *prefetching) erase() {
	if p.shown {
		fmt.Fprint(p.notes, "\r\x1b[K")
		p.shown = false
	}
}

// conclude prints the summary. cause is why the run ended early; nil: it did not.
func (p *prefetching) conclude(cause error) error {
	done := p.done()
	to := p.out
	if p.asJSON {
		to = p.notes
	}
	if done > 0 || cause == nil {
		fmt.Fprintln(to, p.summary())
	}
	wrong := p.bad + p.results[proxy.PrefetchFailed] + p.results[proxy.PrefetchNotStored]
	switch {
	case cause != nil && p.total >= 0:
		return fmt.Errorf("%d of %d not fetched: %w", p.total-done, p.total, early(cause))
	case cause != nil:
		return fmt.Errorf("the rest of the list not fetched: %w", early(cause))
	case wrong > 0:
		return fmt.Errorf("%d of %d are not in the cache as they should be", wrong, done)
	}
	return nil
}

// early words a cause.
func early(cause error) error {
	if errors.Is(cause, context.Canceled) {
		return errors.New("interrupted")
	}
	return cause
}

func (p *prefetching) summary() string {
	var parts []string
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	if n := p.results[proxy.PrefetchStored]; n > 0 {
		add(n, fmt.Sprintf("stored, %d bytes", p.bytes))
	}
	add(p.results[proxy.PrefetchFresh], "fresh already")
	var why []string
	for _, reason := range slices.Sorted(maps.Keys(p.reasons)) {
		why = append(why, fmt.Sprintf("%s %d", reason, p.reasons[reason]))
	}
	add(p.results[proxy.PrefetchNotStored], "not stored ("+strings.Join(why, ", ")+")")
	add(p.results[proxy.PrefetchFailed], "failed")
	add(p.bad, "no URL")
	if len(parts) == 0 {
		return "nothing to fetch"
	}
	return strings.Join(parts, "; ")
}

// printable quotes text that would do something to a terminal.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Sprintf("%q", text)
	}
	return text
}
