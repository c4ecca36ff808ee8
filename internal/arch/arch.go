// Package arch checks that the source keeps the laws of the house: who may import whom, and the few habits that a
// reader may rely on everywhere.
//
//	breaches, err := arch.Check(os.DirFS(root), "github.com/meridian-edge/meridian")
//
// It reads the source with go/parser and starts no process. The floors are in house.go, one rule a function in rules.go.
// A new room must be placed on a floor before anything compiles against it. Safe for concurrent use.
package arch

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Breach is one place where the source breaks a rule.
type Breach struct {
	Rule    string // short and stable, such as "direction"
	Where   string // path, or path:line, relative to the module's root
	Message string // what is wrong and what to do about it
}

// String is the form a failing test prints.
func (b Breach) String() string { return b.Where + ": " + b.Rule + ": " + b.Message }

// Check reads every Go file of the module at the root of fsys, whose path is module, and returns all breaches sorted by
// place. Folders named testdata, folders that start with a dot or an underscore, and folders with a go.mod of their own
// are not part of the module. The error is only about files that cannot be read or parsed.
func Check(fsys fs.FS, module string) ([]Breach, error) {
	rooms, err := read(fsys, module)
	if err != nil {
		return nil, err
	}
	var out []Breach
	for _, r := range rooms {
		for _, rule := range rules {
			out = append(out, rule(r)...)
		}
	}
	slices.SortFunc(out, func(a, b Breach) int {
		return cmp.Or(strings.Compare(a.Where, b.Where), strings.Compare(a.Rule, b.Rule), strings.Compare(a.Message, b.Message))
	})
	return out, nil
}

// room is one package folder.
type room struct {
	path  string // relative to the module's root; "." for the root itself
	name  string // the package name, without _test
	files []*file
}

// file is one parsed Go file.
type file struct {
	room      *room
	path      string
	test      bool
	generated bool // it has the standard "Code generated ... DO NOT EDIT." line
	lines     int
	tree      *ast.File
	set       *token.FileSet
	ours      []use // imports of this module
	others    []use // all other imports
}

// use is one import.
type use struct {
	path string // relative to the module's root for ours, the full import path otherwise
	name string // the name it has in the file; a guess from the path when the file gives none
	pos  token.Pos
}

// at returns path:line of a position in the file.
func (f *file) at(p token.Pos) string { return fmt.Sprintf("%s:%d", f.path, f.set.Position(p).Line) }

func read(fsys fs.FS, module string) ([]*room, error) {
	byPath := map[string]*room{}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return skip(fsys, p)
		case path.Ext(p) != ".go" || strings.HasPrefix(path.Base(p), "_") || strings.HasPrefix(path.Base(p), "."):
			return nil
		}
		f, err := parse(fsys, p, module)
		if err != nil {
			return err
		}
		dir := path.Dir(p)
		r := byPath[dir]
		if r == nil {
			r = &room{path: dir}
			byPath[dir] = r
		}
		if r.name == "" || !f.test {
			r.name = strings.TrimSuffix(f.tree.Name.Name, "_test")
		}
		f.room = r
		r.files = append(r.files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the module: %w", err)
	}
	rooms := make([]*room, 0, len(byPath))
	for _, r := range byPath {
		rooms = append(rooms, r)
	}
	slices.SortFunc(rooms, func(a, b *room) int { return strings.Compare(a.path, b.path) })
	return rooms, nil
}

// skip says whether the walk stays out of the folder p.
func skip(fsys fs.FS, p string) error {
	if p == "." {
		return nil
	}
	base := path.Base(p)
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(p, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func parse(fsys fs.FS, p, module string) (*file, error) {
	src, err := fs.ReadFile(fsys, p)
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, p, src, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	f := &file{
		path:      p,
		test:      strings.HasSuffix(p, "_test.go"),
		generated: ast.IsGenerated(tree),
		lines:     strings.Count(string(src), "\n"),
		tree:      tree,
		set:       set,
	}
	for _, spec := range tree.Imports {
		full := strings.Trim(spec.Path.Value, "\"`")
		u := use{path: full, name: path.Base(full), pos: spec.Pos()}
		if spec.Name != nil {
			u.name = spec.Name.Name
		}
		if inner, ok := strings.CutPrefix(full, module+"/"); ok {
			u.path = inner
			f.ours = append(f.ours, u)
			continue
		}
		f.others = append(f.others, u)
	}
	return f, nil
}
