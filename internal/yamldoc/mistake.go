package yamldoc

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Severity says whether a Mistake refuses the document.
type Severity uint8

// The two severities.
const (
	SeverityError   Severity = iota // the document is refused
	SeverityWarning                 // legal, but probably not what was meant
)

// Mistake is one thing wrong in a document. It is immutable once returned, and it never contains a value that
// came out of ${...}: such values are shown as the reference that was written.
type Mistake struct {
	File     string   // as given to Parse
	Line     int      // from 1; 0: the mistake is about the file as a whole
	Column   int      // from 1, in characters
	Path     string   // such as pools.web.endpoints[1].address; empty: the file as a whole
	Message  string   // what is wrong, without position or path
	Hint     string   // a remedy such as: did you mean "policy"?; may be empty
	Source   string   // the line, without its line break
	Width    int      // in characters, of what the caret line underlines; at least 1 when Line is not 0
	Severity Severity // SeverityError unless it comes from a Warnings list
}

// Error returns the one-line form, without source line and hint: meridian.yaml:7:3: pools.web.polcy: unknown key.
func (m *Mistake) Error() string {
	var b strings.Builder
	b.WriteString(m.File)
	if m.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", m.Line, m.Column)
	}
	if m.Severity == SeverityWarning {
		b.WriteString(": warning")
	}
	if m.Path != "" {
		b.WriteString(": " + m.Path)
	}
	b.WriteString(": " + m.Message)
	return b.String()
}

// Detail returns the full form: the one-line form, then the source line with a caret line below it that carries the hint.
// It ends with a line break.
func (m *Mistake) Detail() string {
	var b strings.Builder
	b.WriteString(m.Error() + "\n")
	if m.Line == 0 {
		if m.Hint != "" {
			b.WriteString("  " + m.Hint + "\n")
		}
		return b.String()
	}
	source, pad, width := excerpt(m.Source, m.Column-1, m.Width)
	b.WriteString("  | " + source + "\n")
	b.WriteString("  | " + pad + strings.Repeat("^", width))
	if m.Hint != "" {
		b.WriteString(" " + m.Hint)
	}
	b.WriteString("\n")
	return b.String()
}

const (
	maxExcerpt = 160 // characters of a source line shown; a whole document may be one line
	leadIn     = 60  // characters kept before the caret when the line is clipped
)

// excerpt returns the part of line to print, the padding that puts a caret under its column, and the caret's width.
func excerpt(line string, column, width int) (string, string, int) {
	text := []rune(strings.ToValidUTF8(line, "\uFFFD"))
	for i, r := range text {
		if r != '\t' && !unicode.IsPrint(r) {
			text[i] = '\uFFFD'
		}
	}
	column = min(max(column, 0), len(text))
	prefix, suffix := "", ""
	if len(text) > maxExcerpt {
		start := max(0, min(column-leadIn, len(text)-maxExcerpt))
		end := start + maxExcerpt
		if start > 0 {
			prefix = "..."
		}
		if end < len(text) {
			suffix = "..."
		}
		text, column = text[start:end], column-start
	}
	pad := []rune(prefix + string(text[:column]))
	for i, r := range pad {
		if r != '\t' { // a tab pads as wide as the tab above it
			pad[i] = ' '
		}
	}
	return prefix + string(text) + suffix, string(pad), max(1, min(width, len(text)-column))
}

// Errors is every mistake in a file, in the order of their positions. It is never empty when returned as an error.
type Errors []*Mistake

// Error returns the one-line forms, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, m := range e {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// Print writes the full form of each mistake to w. Errors of w are ignored.
func (e Errors) Print(w io.Writer) {
	for _, m := range e {
		_, _ = io.WriteString(w, m.Detail())
	}
}

// Warnings is everything in a valid file that is legal but probably not what was meant, in the order of positions.
type Warnings []*Mistake

// Print writes the full form of each warning to w. Errors of w are ignored.
func (ws Warnings) Print(w io.Writer) { Errors(ws).Print(w) }

// String returns the one-line forms, one a line.
func (ws Warnings) String() string { return Errors(ws).Error() }

// sorted orders a copy of mistakes by position and keeps one of those that say the same about the same place, which happens
// when two aliases lead to one wrong value.
func sorted(list []*Mistake) []*Mistake {
	list = slices.Clone(list)
	order := func(a, b *Mistake) int {
		return cmp.Or(a.Line-b.Line, a.Column-b.Column, strings.Compare(a.Message, b.Message))
	}
	slices.SortStableFunc(list, order)
	return slices.CompactFunc(list, func(a, b *Mistake) bool { return order(a, b) == 0 })
}

// splitLines splits src where YAML sees a line break (YAML 1.1 §4.2: the parser counts NEL, LS and PS as well).
func splitLines(src string) []string {
	var lines []string
	start := 0
	for i := 0; i < len(src); {
		size := breakAt(src[i:])
		if size == 0 {
			i++
			continue
		}
		lines = append(lines, src[start:i])
		i += size
		start = i
	}
	return append(lines, src[start:])
}

func breakAt(s string) int {
	switch {
	case strings.HasPrefix(s, "\r\n"):
		return 2
	case s[0] == '\n' || s[0] == '\r':
		return 1
	case strings.HasPrefix(s, "\u0085"):
		return 2
	case strings.HasPrefix(s, "\u2028"), strings.HasPrefix(s, "\u2029"):
		return 3
	}
	return 0
}

// position turns a byte offset into a line and a column, both from 1.
func position(src string, offset int) (line, column int) {
	lines := splitLines(src[:offset])
	return len(lines), utf8.RuneCountInString(lines[len(lines)-1]) + 1
}
