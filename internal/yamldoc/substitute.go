package yamldoc

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
)

// MaxSecretBytes bounds what one ${file:...} may read.
const MaxSecretBytes = 64 << 10

// substituted is the text of a scalar that contains ${...}.
type substituted struct {
	text string
	ok   bool // false: a reference could not be resolved, which has been reported
}

// substitute resolves the references in every scalar value below n, once and before anything is decoded, so that what
// they resolve to can never become YAML structure (attack row A05). Keys are not touched.
func (d *Document) substitute(c Cursor) {
	switch c.n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(c.n.Content); i += 2 {
			key := c.n.Content[i]
			if key.Kind == yaml.ScalarNode {
				d.substitute(c.child(key, c.n.Content[i+1]))
				d.conceal(key.Value, follow(c.n.Content[i+1]))
			}
		}
	case yaml.SequenceNode:
		for i := range c.n.Content {
			d.substitute(c.Item(i))
		}
	case yaml.ScalarNode:
		if _, done := d.texts[c.n]; done || !strings.Contains(c.n.Value, "${") {
			return
		}
		text, ok := d.expand(c)
		d.texts[c.n] = substituted{text, ok}
		fmt.Fprintf(d.sum, "%d:%s", len(text), text)
	}
}

// expand returns the text of one scalar with its references resolved. $${ stands for ${.
func (d *Document) expand(c Cursor) (string, bool) {
	var out strings.Builder
	rest, ok := c.n.Value, true
	for {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			out.WriteString(rest)
			return out.String(), ok
		}
		if literal, escaped := strings.CutSuffix(before, "$"); escaped {
			out.WriteString(literal + "${")
			rest = after
			continue
		}
		out.WriteString(before)
		reference, after, found := strings.Cut(after, "}")
		if !found {
			c.Errorf("${ without its closing }").Hint("write $${ for a literal ${")
			return "", false
		}
		value, err := d.resolve(reference)
		if err != nil {
			d.locate(c.Errorf("${%s}: %v", reference, err).m, "${"+reference+"}")
			ok = false
		}
		out.WriteString(value)
		rest = after
	}
}

// locate moves the caret of m onto the reference itself where it stands in the mistake's own line.
func (d *Document) locate(m *Mistake, reference string) {
	text := []rune(m.Source)
	start := min(max(m.Column-1, 0), len(text))
	before, _, found := strings.Cut(string(text[start:]), reference)
	if found {
		m.Column += len([]rune(before))
		m.Width = len([]rune(reference))
	}
}

// resolve returns what NAME or file:PATH stands for. Its errors never contain a value.
func (d *Document) resolve(reference string) (string, error) {
	if path, isFile := strings.CutPrefix(reference, "file:"); isFile {
		return d.resolveFile(path)
	}
	if !isVariableName(reference) {
		return "", errors.New("not the name of an environment variable, nor file:PATH")
	}
	if d.env.Lookup != nil {
		if value, set := d.env.Lookup(reference); set {
			return value, nil
		}
	}
	return "", errors.New("the environment variable is not set")
}

func (d *Document) resolveFile(path string) (string, error) {
	if path == "" {
		return "", errors.New("file: without a path")
	}
	if d.env.ReadFile == nil {
		return "", errors.New("files cannot be read here")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(d.env.Dir, path)
	}
	data, err := d.env.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", errors.New("the file does not exist")
	case errors.Is(err, fs.ErrPermission):
		return "", errors.New("the file may not be read")
	case err != nil:
		return "", fmt.Errorf("read the file: %w", err)
	case len(data) > MaxSecretBytes:
		return "", fmt.Errorf("the file is larger than %s", FormatSize(MaxSecretBytes))
	}
	// Editors and echo end a file with one line break, which is not part of the value.
	text, _ := strings.CutSuffix(string(data), "\n")
	text, _ = strings.CutSuffix(text, "\r")
	return text, nil
}

func isVariableName(s string) bool {
	for i, r := range s {
		switch {
		case r == '_', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
		case r >= '0' && r <= '9' && i > 0:
		default:
			return false
		}
	}
	return s != ""
}
