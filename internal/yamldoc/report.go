package yamldoc

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Report is a mistake just reported, to which a remedy may still be added.
type Report struct{ m *Mistake }

// Hint sets the remedy and returns r, so that it can follow the call that reported the mistake.
func (r Report) Hint(format string, args ...any) Report {
	r.m.Hint = fmt.Sprintf(format, args...)
	return r
}

// Meant hints at the nearest of candidates to name, if one is near. Mistakes that already have a hint keep it.
func (r Report) Meant(name string, candidates []string) Report {
	if near := nearest(name, candidates); near != "" && r.m.Hint == "" {
		r.m.Hint = fmt.Sprintf("did you mean %q?", near)
	}
	return r
}

// whole reports a mistake about the file as a whole.
func (d *Document) whole(format string, args ...any) {
	d.errors = append(d.errors, &Mistake{File: d.file, Message: fmt.Sprintf(format, args...)})
}

// At reports a mistake at a position, both numbers from 1, one character wide. path may be empty.
func (d *Document) At(line, column int, path, message string) Report {
	m := &Mistake{
		File: d.file, Line: line, Column: column, Path: path, Message: message, Source: d.masked(line), Width: 1,
	}
	if len(d.errors) < maxMistakes {
		d.errors = append(d.errors, m)
	} else if len(d.errors) == maxMistakes {
		d.whole("more than %d mistakes; the rest is not shown", maxMistakes)
	}
	return Report{m}
}

func (d *Document) line(n int) string {
	if n < 1 || n > len(d.lines) {
		return ""
	}
	return strings.TrimPrefix(d.lines[n-1], "\uFEFF")
}

// Errorf reports a mistake at the value. Arguments must not be values that may have been substituted; see Shown.
func (c Cursor) Errorf(format string, args ...any) Report {
	n := c.n
	if isNull(n) && c.key != nil { // nothing is written there to point at
		n = c.key
	}
	return c.errorAt(n, c.path, fmt.Sprintf(format, args...))
}

// KeyError reports a mistake about the value at its key, or at the value itself where it has none.
func (c Cursor) KeyError(message string) Report {
	return c.errorAt(c.head(), c.path, message)
}

func (c Cursor) errorAt(n *yaml.Node, path, message string) Report {
	r := c.d.At(n.Line, n.Column, path, message)
	r.m.Width = c.d.width(n)
	return r
}

// Dangling reports a reference to something that does not exist: the value names a kind of thing of which only known are
// there. name is its text, which is not shown if it is secret.
func (c Cursor) Dangling(kind, name string, known []string) {
	r := c.Errorf("no %s named %s", kind, c.Shown())
	if c.Secret() {
		return
	}
	r.Meant(name, known)
	if r.m.Hint == "" && len(known) > 0 && len(known) <= 8 {
		r.Hint("known: %s", strings.Join(known, ", "))
	}
}

// Warnf is Errorf for what is legal but probably not meant. A value is pointed at by its key where it is a whole section.
func (c Cursor) Warnf(format string, args ...any) Report {
	n := c.n
	if c.key != nil && (n.Kind != yaml.ScalarNode || isNull(n)) {
		n = c.key
	}
	m := &Mistake{
		File: c.d.file, Line: n.Line, Column: n.Column, Path: c.path, Message: fmt.Sprintf(format, args...),
		Source: c.d.masked(n.Line), Width: c.d.width(n), Severity: SeverityWarning,
	}
	if len(c.d.warnings) < maxMistakes {
		c.d.warnings = append(c.d.warnings, m)
	}
	return Report{m}
}

// width is how many characters the caret line underlines.
func (d *Document) width(n *yaml.Node) int {
	text := []rune(d.line(n.Line))
	if n.Kind != yaml.ScalarNode || n.Column < 1 || n.Column > len(text) {
		return 1
	}
	rest := string(text[n.Column-1:])
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		if end := strings.IndexByte(strings.ReplaceAll(rest[1:], `\"`, "xx"), '"'); end >= 0 {
			return len([]rune(rest[:end+2]))
		}
	case n.Style&yaml.SingleQuotedStyle != 0:
		if end := strings.IndexByte(strings.ReplaceAll(rest[1:], "''", "xx"), '\''); end >= 0 {
			return len([]rune(rest[:end+2]))
		}
	case strings.HasPrefix(rest, n.Value):
		return max(1, len([]rune(n.Value)))
	}
	return max(1, len([]rune(strings.TrimRight(rest, " \t"))))
}
