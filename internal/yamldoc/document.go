// Package yamldoc reads one strict YAML document whose every mistake gets a position, a caret and, where it can, a remedy.
//
//	d, ok := yamldoc.Parse("meridian.yaml", src, yamldoc.Env{Dir: "/etc/meridian"})
//	if ok { // it is YAML; now read it
//		o := d.Top().Object("name", "timeout")
//		o.Need("name")
//		o.Name("name", &name)
//		o.Duration("timeout", &timeout, time.Second, time.Hour)
//	}
//	if d.Failed() { d.Errors().Print(os.Stderr) }
//
// It knows no product: the schema is what its caller asks for. Reading never stops at a mistake; everything that can still be
// judged is. Strict means: no unknown and no duplicate keys, no tags, no merge keys, bounded size, depth and aliases, and
// ${NAME} and ${file:PATH} are resolved after parsing, so that they can neither become structure nor show in a mistake.
// A Document and its cursors belong to one goroutine; mistakes are immutable once the Document is no longer used.
package yamldoc

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Env is everything outside a document that it can depend on. The zero Env has no variables and no files.
type Env struct {
	// Dir is the folder that relative paths start from. Empty: the folder of the document, as named.
	Dir string
	// Lookup finds the variable of ${NAME}; nil: none is set.
	Lookup func(name string) (string, bool)
	// ReadFile reads the file of ${file:PATH}, given its path below Dir or absolute; nil: none can be read. More than
	// MaxSecretBytes is a mistake, so it need not read further than that.
	ReadFile func(path string) ([]byte, error)
	// Secrets are keys whose values are secrets, written out or not: what stands under them, or under a slip of the pen of them, is
	// never shown, and lines that hold it are shown without it.
	Secrets []string
}

// Document is one file on its way to what it means: its values and what has been reported about them.
type Document struct {
	file  string // as shown in mistakes
	src   string
	lines []string
	env   Env
	sum   hash.Hash // of the source and, in their order, of everything substituted into it

	top   Cursor
	texts map[*yaml.Node]substituted

	concealed map[*yaml.Node]bool // scalars that are secrets because of their key; in texts too
	words     []string            // of their values

	errors   []*Mistake
	warnings []*Mistake
}

// Parse reads src, which mistakes name as file, and resolves its references. It returns false if src is no YAML document within
// the bounds of this package: there is nothing to read then, only Errors. Mistakes in references are reported too, but leave
// the document readable. It does no I/O but through env; equal arguments give equal results.
func Parse(file string, src []byte, env Env) (*Document, bool) {
	if env.Dir == "" {
		env.Dir = filepath.Dir(file)
	}
	d := &Document{
		file: file, src: string(src), lines: splitLines(string(src)), env: env, sum: sha256.New(),
		texts: make(map[*yaml.Node]substituted), concealed: make(map[*yaml.Node]bool),
	}
	_, _ = d.sum.Write(src) // a hash never fails
	tree := d.parseTree()
	if tree == nil {
		return d, false
	}
	d.top = Cursor{d: d, n: follow(tree)}
	d.substitute(d.top)
	return d, true
}

// Top is the value that holds all others. It must not be used if Parse returned false.
func (d *Document) Top() Cursor { return d.top }

// Find walks from the top of the file along keys (strings) and list positions (ints). Where a step is not written in the
// file, because a default stands there, it stops at the value before.
func (d *Document) Find(steps ...any) Cursor {
	c := d.top
	for _, step := range steps {
		next, found := c.Step(step)
		if !found {
			break
		}
		c = next
	}
	return c
}

// Abs makes a path absolute as far as Env.Dir is: relative ones start from there.
func (d *Document) Abs(path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(d.env.Dir, path)
	}
	return filepath.Clean(path)
}

// Sum is the hex SHA-256 of the source and of everything that was substituted into it.
func (d *Document) Sum() string { return hex.EncodeToString(d.sum.Sum(nil)) }

// Failed says whether any mistake has been reported, warnings aside.
func (d *Document) Failed() bool { return len(d.errors) > 0 }

// Reported says whether a mistake stands at exactly this path, which is that of a whole section.
func (d *Document) Reported(path string) bool {
	return slices.ContainsFunc(d.errors, func(m *Mistake) bool { return m.Path == path })
}

// Errors returns what has been reported, in the order of positions; nil when that is nothing. What two aliases of one wrong
// value would say twice is in it once. It is a snapshot.
func (d *Document) Errors() Errors { return sorted(d.errors) }

// Warnings returns the warnings, as Errors does the mistakes.
func (d *Document) Warnings() Warnings { return sorted(d.warnings) }

// clean says whether nothing at or below path has been reported.
func (d *Document) clean(path string) bool {
	return !slices.ContainsFunc(d.errors, func(m *Mistake) bool {
		rest, below := strings.CutPrefix(m.Path, path)
		return below && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}
