package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/meridian-edge/meridian/config"
)

// newLogger makes the daemon's log: lines for people on a terminal, JSON everywhere else, unless the configuration decides.
func newLogger(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // "" is info; config has refused everything else
	}
	if c.Format == "text" || c.Format != "json" && isTerminal(w) {
		return slog.New(&lineHandler{w: w, mu: &sync.Mutex{}, level: level})
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// lineHandler writes a record as "20:15:04.123 INFO  message  key=value ...".
type lineHandler struct {
	w      io.Writer
	mu     *sync.Mutex // guards w; shared with the handlers made by WithAttrs
	level  slog.Level
	prefix string // attributes given by With, rendered
	group  string // of names, with its dot
}

func (h *lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-5s %s", r.Time.Format("15:04:05.000"), r.Level, r.Message)
	if h.prefix != "" || r.NumAttrs() > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(h.prefix)
	r.Attrs(func(a slog.Attr) bool {
		h.attr(&b, a)
		return true
	})
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}

func (h *lineHandler) attr(b *strings.Builder, a slog.Attr) {
	v := a.Value.Resolve().String()
	// Some of it comes from the network: nothing in it is to act on the terminal (attack row S31).
	if v == "" || strings.ContainsAny(v, " \"=") || strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) {
		v = fmt.Sprintf("%q", v)
	}
	fmt.Fprintf(b, " %s%s=%s", h.group, a.Key, v)
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.prefix)
	for _, a := range attrs {
		h.attr(&b, a)
	}
	next := *h
	next.prefix = b.String()
	return &next
}

func (h *lineHandler) WithGroup(name string) slog.Handler {
	next := *h
	next.group += name + "."
	return &next
}
