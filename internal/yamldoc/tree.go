package yamldoc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// MaxFileBytes bounds a document.
const MaxFileBytes = 16 << 20

// The other bounds of a document (attack row A05).
const (
	maxDepth        = 64      // of nesting, aliases followed
	maxAliasedNodes = 100_000 // that aliases may add to those written
	maxMistakes     = 1000    // reported in one run
)

// parseTree turns the source into YAML nodes. It reports why it cannot and then returns nil.
func (d *Document) parseTree() *yaml.Node {
	if len(d.src) > MaxFileBytes {
		d.whole("the file is larger than %s", FormatSize(MaxFileBytes))
		return nil
	}
	if at := badCharacter(d.src); at >= 0 {
		line, column := position(d.src, at)
		d.At(line, column, "", "a character that YAML does not allow").Hint("the file must be plain UTF-8 text")
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader([]byte(d.src)),
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthFunc(checkDepth), loaderlimits.AliasNone())))
	if err != nil {
		d.whole("%v", err)
		return nil
	}
	root, second := &yaml.Node{}, &yaml.Node{}
	if err := loader.Load(root); errors.Is(err, io.EOF) {
		return &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1} // comments alone: an empty mapping
	} else if err != nil {
		d.syntax(err)
		return nil
	}
	if err := loader.Load(second); err == nil {
		d.At(second.Line, second.Column, "", "a second document").Hint("one file holds one document: remove the ---")
		return nil
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
		return nil
	}
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	if !d.boundedAliases(root) {
		return nil
	}
	return root
}

func checkDepth(depth int, _ *loaderlimits.DepthContext) error {
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	return nil
}

// badCharacter returns the offset of the first byte that no YAML file may contain, or -1 (YAML 1.2 §5.1).
func badCharacter(src string) int {
	for i, r := range src {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(src[i:], "\uFFFD"):
			return i
		case r < 0x20 && r != '\t' && r != '\n' && r != '\r', r == 0xFFFE, r == 0xFFFF:
			return i
		}
	}
	return -1
}

// syntax reports what the YAML parser could not read.
func (d *Document) syntax(err error) {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		d.whole("%v", err)
		return
	}
	line, column := le.Mark.Line, le.Mark.Column
	// Where a construct was never closed, the parser notices only at the end; the place to mend is where it began.
	if le.ContextMark.Line > 0 && (line == 0 || line > le.ContextMark.Line && unclosed(le.Message)) {
		line, column = le.ContextMark.Line, le.ContextMark.Column
	}
	message := "YAML: " + strings.TrimPrefix(le.Message, "yaml: ")
	if line <= 0 {
		d.whole("%s", message)
		return
	}
	m := d.At(line, max(column, 1), "", message)
	next := rune(0)
	if text := []rune(d.line(line)); column >= 1 && column <= len(text) {
		next = text[column-1]
	}
	switch {
	case next == '\t':
		m.Hint("indent with spaces, not with a tab")
	case strings.Contains(d.line(line), "${"):
		m.Hint(`put quotes around values with ${...}: within braces they end at the first {`)
	case strings.Contains(le.Message, "cannot start any token"):
		m.Hint("put quotes around a value that starts with %q", next)
	case strings.Contains(le.Message, "mapping values are not allowed"):
		m.Hint(`check the indentation, or put quotes around a value that contains ": "`)
	case strings.Contains(le.Message, "expected ':'"):
		m.Hint(`write "key: value"`)
	case le.ContextMark.Line > 0 && le.ContextMark.Line < line:
		m.Hint("%s that begins in line %d", le.ContextMsg, le.ContextMark.Line)
	}
}

func unclosed(message string) bool {
	return strings.Contains(message, "end of stream") || strings.Contains(message, "expected ':'")
}

// expansion is what a node amounts to once its aliases are followed.
type expansion struct{ nodes, depth int }

// boundedAliases refuses aliases that contain themselves or that multiply into more than the file's size can pay for
// ("billion laughs").
func (d *Document) boundedAliases(root *yaml.Node) bool {
	known := make(map[*yaml.Node]expansion) // anchored nodes; the zero value while one is being measured
	added := 0
	good := true
	var measure func(n *yaml.Node) expansion
	measure = func(n *yaml.Node) expansion {
		if !good {
			return expansion{}
		}
		if n.Kind == yaml.AliasNode {
			e := known[n.Alias]
			added += e.nodes
			switch {
			case e.nodes == 0:
				d.At(n.Line, n.Column, "", fmt.Sprintf("alias *%s contains itself", n.Value))
				good = false
			case added > maxAliasedNodes:
				d.At(n.Line, n.Column, "", fmt.Sprintf("aliases expand to more than %d values", maxAliasedNodes))
				good = false
			}
			return e
		}
		e := expansion{nodes: 1}
		for _, child := range n.Content {
			c := measure(child)
			e.nodes, e.depth = e.nodes+c.nodes, max(e.depth, c.depth+1)
		}
		if e.depth > maxDepth && good {
			d.At(n.Line, n.Column, "", fmt.Sprintf("nested deeper than %d levels", maxDepth))
			good = false
		}
		if n.Anchor != "" {
			known[n] = e
		}
		return e
	}
	measure(root)
	return good
}
