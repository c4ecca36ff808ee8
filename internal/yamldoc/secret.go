package yamldoc

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const (
	shownSecret  = `"***"` // what Shown says for a secret that is written out
	shortestHint = 4       // bytes of a secret that are looked for in lines; fewer say nothing
	mostHints    = 4096    // of them in a document, which bounds the time that a mistake takes
)

// conceal makes a secret of the value under a key, if the key says so or was probably meant to: a single value, or a list of them.
func (d *Document) conceal(key string, value *yaml.Node) {
	if !d.secretKey(key) {
		return
	}
	switch value.Kind {
	case yaml.ScalarNode:
		d.concealScalar(value)
	case yaml.SequenceNode:
		for _, item := range value.Content {
			if item = follow(item); item.Kind == yaml.ScalarNode {
				d.concealScalar(item)
			}
		}
	}
}

// secretKey says whether a key is one of those, or one slip of the pen away.
func (d *Document) secretKey(key string) bool {
	return slices.ContainsFunc(d.env.Secrets, func(s string) bool { return distance(strings.ToLower(key), s, 2) < 2 })
}

func (d *Document) concealScalar(n *yaml.Node) {
	if _, reference := d.texts[n]; reference || isNull(n) { // a reference is no secret, what it stands for is
		return
	}
	d.texts[n] = substituted{n.Value, true}
	d.concealed[n] = true
	for _, word := range strings.Fields(n.Value) {
		if len(word) >= shortestHint && len(d.words) < mostHints {
			d.words = append(d.words, word)
		}
	}
}

// masked is a line of the source as it may be shown: stars take the place of secrets, so that columns stay what they are.
func (d *Document) masked(line int) string {
	text := d.line(line)
	for _, word := range d.words {
		if strings.Contains(text, word) {
			text = strings.ReplaceAll(text, word, strings.Repeat("*", utf8.RuneCountInString(word)))
		}
	}
	for n := range d.concealed {
		if n.Line == line { // as written, which escapes may make another text than the value
			runes := []rune(text)
			for i := max(n.Column-1, 0); i < min(n.Column-1+d.width(n), len(runes)); i++ {
				runes[i] = '*'
			}
			text = string(runes)
		}
	}
	return text
}
