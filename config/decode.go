package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// cursor is one value of the file: its node, its place and where mistakes about it go. Reading methods report what is
// wrong themselves and return false; their callers only go on or not, so that one cause stays one mistake.
type cursor struct {
	d    *document
	n    *yaml.Node // never an alias
	key  *yaml.Node // that the value stands under; nil at the top and in lists
	path string
}

// follow returns the node an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func (c cursor) child(key, value *yaml.Node) cursor {
	return cursor{c.d, follow(value), key, joinPath(c.path, key.Value)}
}

func (c cursor) item(i int) cursor {
	return cursor{d: c.d, n: follow(c.n.Content[i]), path: c.path + "[" + strconv.Itoa(i) + "]"}
}

// joinPath adds a key to a path; keys that would be hard to read in one are quoted.
func joinPath(path, key string) string {
	if key == "" || strings.ContainsFunc(key, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"[]:,`, r)
	}) {
		key = strconv.QuoteToASCII(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// whole reports a mistake about the file as a whole.
func (d *document) whole(format string, args ...any) *Mistake {
	m := &Mistake{File: d.file, Message: fmt.Sprintf(format, args...)}
	d.errors = append(d.errors, m)
	return m
}

// at reports a mistake at a position, one character wide.
func (d *document) at(line, column int, path, message string) *Mistake {
	m := &Mistake{
		File: d.file, Line: line, Column: column, Path: path, Message: message, Source: d.line(line), Width: 1,
	}
	if len(d.errors) < maxMistakes {
		d.errors = append(d.errors, m)
	} else if len(d.errors) == maxMistakes {
		d.whole("more than %d mistakes; the rest is not shown", maxMistakes)
	}
	return m
}

func (d *document) line(n int) string {
	if n < 1 || n > len(d.lines) {
		return ""
	}
	return strings.TrimPrefix(d.lines[n-1], "\uFEFF")
}

// errorf reports a mistake at the value. Arguments must not be values that may have been substituted; see shown.
func (c cursor) errorf(format string, args ...any) *Mistake {
	n := c.n
	if isNull(n) && c.key != nil { // nothing is written there to point at
		n = c.key
	}
	return c.errorAt(n, c.path, fmt.Sprintf(format, args...))
}

func (c cursor) errorAt(n *yaml.Node, path, message string) *Mistake {
	m := c.d.at(n.Line, n.Column, path, message)
	m.Width = c.d.width(n)
	return m
}

// warnf is errorf for what is legal but probably not meant. A value is pointed at by its key where it is a whole section.
func (c cursor) warnf(format string, args ...any) *Mistake {
	n := c.n
	if c.key != nil && (n.Kind != yaml.ScalarNode || isNull(n)) {
		n = c.key
	}
	m := &Mistake{
		File: c.d.file, Line: n.Line, Column: n.Column, Path: c.path, Message: fmt.Sprintf(format, args...),
		Source: c.d.line(n.Line), Width: c.d.width(n), Severity: SeverityWarning,
	}
	if len(c.d.warnings) < maxMistakes {
		c.d.warnings = append(c.d.warnings, m)
	}
	return m
}

// width is how many characters the caret line underlines.
func (d *document) width(n *yaml.Node) int {
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

// shown is the value as the file has it, quoted: with its references, never with what they stand for.
func (c cursor) shown() string {
	const most = 80
	text := []rune(c.n.Value)
	if len(text) > most {
		return strconv.Quote(string(text[:most]) + "...")
	}
	return strconv.Quote(c.n.Value)
}

// secret says whether the value came out of ${...}, so that nothing derived from it may be printed.
func (c cursor) secret() bool {
	_, is := c.d.texts[c.n]
	return is
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// single says whether c is one value, neither a mapping nor a list nor nothing.
func (c cursor) single() bool { return c.n.Kind == yaml.ScalarNode && !isNull(c.n) }

func kindName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	}
	return "a single value"
}

// entries returns the pairs of a mapping in their order. It reports other kinds of value, keys that are not text and keys
// written twice.
func (c cursor) entries() ([]cursor, bool) {
	if c.n.Kind != yaml.MappingNode {
		c.errorf("must be a mapping (key: value), not %s", kindName(c.n))
		return nil, false
	}
	if !c.untagged() {
		return nil, false
	}
	list := make([]cursor, 0, len(c.n.Content)/2)
	lines := make(map[string]int, len(c.n.Content)/2)
	for i := 0; i+1 < len(c.n.Content); i += 2 {
		key := follow(c.n.Content[i])
		switch {
		case key.Kind != yaml.ScalarNode || isNull(key) || key.Style&yaml.TaggedStyle != 0:
			c.errorAt(key, c.path, "a key must be plain text")
		case key.Tag == "!!merge":
			c.errorAt(key, joinPath(c.path, "<<"), "merge keys are not supported").hint("repeat the keys, or alias whole values")
		case lines[key.Value] > 0:
			c.errorAt(key, joinPath(c.path, key.Value), fmt.Sprintf("duplicate key, first in line %d", lines[key.Value]))
		default:
			lines[key.Value] = key.Line
			list = append(list, c.child(key, c.n.Content[i+1]))
		}
	}
	return list, true
}

func (c cursor) untagged() bool {
	if c.n.Style&yaml.TaggedStyle != 0 {
		c.errorf("YAML tags are not supported").hint("remove %s", c.n.Tag)
		return false
	}
	return true
}

// items returns the elements of a list. It reports other kinds of value.
func (c cursor) items() ([]cursor, bool) {
	if c.n.Kind != yaml.SequenceNode {
		m := c.errorf("must be a list, not %s", kindName(c.n))
		if c.n.Kind == yaml.ScalarNode && !isNull(c.n) {
			m.hint("put it in brackets: [ ]")
		}
		return nil, false
	}
	if !c.untagged() {
		return nil, false
	}
	list := make([]cursor, len(c.n.Content))
	for i := range list {
		list[i] = c.item(i)
	}
	return list, true
}

// find walks from the top of the file along keys (strings) and list positions (ints). Where a step is not written in the
// file, because a default stands there, it stops at the value before.
func (d *document) find(steps ...any) cursor {
	c := d.root.cursor
	for _, step := range steps {
		next, found := c.step(step)
		if !found {
			break
		}
		c = next
	}
	return c
}

func (c cursor) step(step any) (cursor, bool) {
	switch s := step.(type) {
	case int:
		if c.n.Kind == yaml.SequenceNode && s < len(c.n.Content) {
			return c.item(s), true
		}
	case string:
		if c.n.Kind != yaml.MappingNode {
			break
		}
		for i := 0; i+1 < len(c.n.Content); i += 2 {
			if key := follow(c.n.Content[i]); key.Value == s {
				return c.child(key, c.n.Content[i+1]), true
			}
		}
	}
	return cursor{}, false
}

// clean says whether nothing at or below path has been reported, so that conclusions may be drawn from it.
func (d *document) clean(path string) bool {
	return !slices.ContainsFunc(d.errors, func(m *Mistake) bool {
		rest, below := strings.CutPrefix(m.Path, path)
		return below && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}
