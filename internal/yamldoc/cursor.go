package yamldoc

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Cursor is one value of the file: its node, its place and where mistakes about it go. Reading methods report what is
// wrong themselves and return false; their callers only go on or not, so that one cause stays one mistake. Only a Document
// makes one; the zero Cursor has no value, and nothing may be asked of it.
type Cursor struct {
	d    *Document
	n    *yaml.Node // never an alias
	key  *yaml.Node // that the value stands under; nil at the top and in lists
	path string
}

// Path is where the value stands, such as pools.web.endpoints[1].address.
func (c Cursor) Path() string { return c.path }

// Line is the line of the value, from 1.
func (c Cursor) Line() int { return c.n.Line }

// Key is the key that the value stands under; at the top and in lists it must not be asked for. References in keys are not
// resolved.
func (c Cursor) Key() string { return c.key.Value }

// KeyLine is the line of the key, or of the value where there is no key.
func (c Cursor) KeyLine() int { return c.head().Line }

// head is the node that names the value: its key, or itself where there is none.
func (c Cursor) head() *yaml.Node {
	if c.key != nil {
		return c.key
	}
	return c.n
}

// Raw is the text of a single value as the file has it, with its references; "" for mappings and lists.
func (c Cursor) Raw() string { return c.n.Value }

// follow returns the node an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func (c Cursor) child(key, value *yaml.Node) Cursor {
	return Cursor{c.d, follow(value), key, joinPath(c.path, key.Value)}
}

// Item is the ith element of a list, which must have that many.
func (c Cursor) Item(i int) Cursor {
	return Cursor{d: c.d, n: follow(c.n.Content[i]), path: c.path + "[" + strconv.Itoa(i) + "]"}
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

// Shown is the value as the file has it, quoted: with its references, never with what they stand for, and stars for a value that is
// secret because of its key.
func (c Cursor) Shown() string {
	if c.d.concealed[c.n] {
		return shownSecret
	}
	const most = 80
	text := []rune(c.n.Value)
	if len(text) > most {
		return strconv.Quote(string(text[:most]) + "...")
	}
	return strconv.Quote(c.n.Value)
}

// Secret says whether the value came out of ${...} or is a secret by its key, so that nothing derived from it may be printed.
func (c Cursor) Secret() bool {
	_, is := c.d.texts[c.n]
	return is
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// Single says whether c is one value, neither a mapping nor a list nor nothing.
func (c Cursor) Single() bool { return c.n.Kind == yaml.ScalarNode && !isNull(c.n) }

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

// Entries returns the pairs of a mapping in their order. It reports other kinds of value, keys that are not text and keys
// written twice.
func (c Cursor) Entries() ([]Cursor, bool) {
	if c.n.Kind != yaml.MappingNode {
		c.Errorf("must be a mapping (key: value), not %s", kindName(c.n))
		return nil, false
	}
	if !c.untagged() {
		return nil, false
	}
	list := make([]Cursor, 0, len(c.n.Content)/2)
	lines := make(map[string]int, len(c.n.Content)/2)
	for i := 0; i+1 < len(c.n.Content); i += 2 {
		key := follow(c.n.Content[i])
		switch {
		case key.Kind != yaml.ScalarNode || isNull(key) || key.Style&yaml.TaggedStyle != 0:
			c.errorAt(key, c.path, "a key must be plain text")
		case key.Tag == "!!merge":
			c.errorAt(key, joinPath(c.path, "<<"), "merge keys are not supported").Hint("repeat the keys, or alias whole values")
		case lines[key.Value] > 0:
			c.errorAt(key, joinPath(c.path, key.Value), fmt.Sprintf("duplicate key, first in line %d", lines[key.Value]))
		default:
			lines[key.Value] = key.Line
			list = append(list, c.child(key, c.n.Content[i+1]))
		}
	}
	return list, true
}

func (c Cursor) untagged() bool {
	if c.n.Style&yaml.TaggedStyle != 0 {
		c.Errorf("YAML tags are not supported").Hint("remove %s", c.n.Tag)
		return false
	}
	return true
}

// Items returns the elements of a list. It reports other kinds of value.
func (c Cursor) Items() ([]Cursor, bool) {
	if c.n.Kind != yaml.SequenceNode {
		m := c.Errorf("must be a list, not %s", kindName(c.n))
		if c.n.Kind == yaml.ScalarNode && !isNull(c.n) {
			m.Hint("put it in brackets: [ ]")
		}
		return nil, false
	}
	if !c.untagged() {
		return nil, false
	}
	list := make([]Cursor, len(c.n.Content))
	for i := range list {
		list[i] = c.Item(i)
	}
	return list, true
}

// Step goes one step down, to what stands under a key (a string) or at a position of a list (an int), if it is there.
func (c Cursor) Step(step any) (Cursor, bool) {
	switch s := step.(type) {
	case int:
		if c.n.Kind == yaml.SequenceNode && s < len(c.n.Content) {
			return c.Item(s), true
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
	return Cursor{}, false
}

// Keys are the keys of a mapping as written, in their order and wrong ones included; nil for other kinds of value.
func (c Cursor) Keys() []string {
	if c.n.Kind != yaml.MappingNode {
		return nil
	}
	list := make([]string, 0, len(c.n.Content)/2)
	for i := 0; i+1 < len(c.n.Content); i += 2 {
		list = append(list, follow(c.n.Content[i]).Value)
	}
	return list
}

// Clean says whether nothing at or below the value has been reported, so that conclusions may be drawn from it.
func (c Cursor) Clean() bool { return c.d.clean(c.path) }

// CleanAt is Clean for what stands under a key of the value, or should.
func (c Cursor) CleanAt(key string) bool { return c.d.clean(joinPath(c.path, key)) }
