package dnswire_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/internal/need"
)

// branchesOut names the file into which a run of the instrumented package writes what it has seen.
const branchesOut = "MERIDIAN_BRANCHES"

// TestEveryBranchIsTakenBothWays runs the other tests of this package with every condition of its code counted: of if, for and switch, and of
// each operand of && and ||. Each must have been true and false, each loop entered and each case taken. The coverage of "go test -cover" knows
// statements only.
func TestEveryBranchIsTakenBothWays(t *testing.T) {
	if os.Getenv(branchesOut) != "" {
		t.Skip("SKIPPED: this is the counted run")
	}
	tool := need.Tool(t, "go")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	dir, c := t.TempDir(), &counted{}
	replace := map[string]string{}
	overlay := func(name, text string) {
		replace[filepath.Join(here, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range sources {
		if !strings.HasSuffix(name, "_test.go") {
			overlay(name, c.instrument(t, name))
		}
	}
	overlay("branches.go", fmt.Sprintf(branchCounter, len(c.places)))
	overlay("branches_main_test.go", branchMain)
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list, out := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "seen")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tool, "test", "-count=1", "-vet=off", "-overlay="+list, ".")
	cmd.Env = append(os.Environ(), branchesOut+"="+out)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	seen, err := os.ReadFile(out)
	if err != nil || len(seen) != 2*len(c.places) {
		t.Fatalf("%d marks for %d branches, %v", len(seen), len(c.places), err)
	}
	for i, place := range c.places {
		for side, word := range []string{"false", "true"} {
			if seen[2*i+side] != '1' {
				t.Errorf("%s was never %s", place, word)
			}
		}
	}
	t.Logf("%d branches", len(c.places))
}

const branchCounter = `package dnswire

var Branches [%d][2]bool

func branch(i int, v bool) bool {
	if v {
		Branches[i][1] = true
	} else {
		Branches[i][0] = true
	}
	return v
}

func came(i int) { Branches[i] = [2]bool{true, true} }
`

const branchMain = `package dnswire_test

import (
	"os"
	"testing"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

func TestMain(m *testing.M) {
	code := m.Run()
	var out []byte
	for _, b := range dnswire.Branches {
		for _, seen := range b {
			out = append(out, map[bool]byte{false: '0', true: '1'}[seen])
		}
	}
	if err := os.WriteFile(os.Getenv("MERIDIAN_BRANCHES"), out, 0o600); err != nil {
		panic(err)
	}
	os.Exit(code)
}
`

// counted gathers the branches of a package.
type counted struct {
	places []string // by number

	set   *token.FileSet
	text  []byte
	known map[ast.Expr]bool
	edits []edit
}

// edit is text to be put in at an offset. Of those at one offset the one that opens the longer expression comes first, and the one that
// closes the shorter.
type edit struct {
	at, order int
	text      string
}

// instrument returns the source with its branches counted.
func (c *counted) instrument(t *testing.T, name string) string {
	t.Helper()
	var err error
	if c.text, err = os.ReadFile(name); err != nil {
		t.Fatal(err)
	}
	c.set, c.known, c.edits = token.NewFileSet(), map[ast.Expr]bool{}, nil
	file, err := parser.ParseFile(c.set, name, c.text, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			c.condition(n.Cond)
		case *ast.ForStmt:
			if n.Cond != nil {
				c.condition(n.Cond)
			}
		case *ast.RangeStmt:
			c.arrival(n.Body.Lbrace)
		case *ast.SwitchStmt:
			c.cases(t, n)
		case *ast.BinaryExpr:
			if n.Op == token.LAND || n.Op == token.LOR {
				c.condition(n.X)
				c.condition(n.Y)
			}
		}
		return true
	})
	slices.SortStableFunc(c.edits, func(a, b edit) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order, b.order)) })
	var out strings.Builder
	at := 0
	for _, e := range c.edits {
		out.Write(c.text[at:e.at])
		out.WriteString(e.text)
		at = e.at
	}
	out.Write(c.text[at:])
	return out.String()
}

// cases counts the conditions of a switch without a value, and the cases of one with a value; without a default there is a way past it that nobody
// would count.
func (c *counted) cases(t *testing.T, s *ast.SwitchStmt) {
	t.Helper()
	fallsBack := s.Tag == nil
	for _, stmt := range s.Body.List {
		clause := stmt.(*ast.CaseClause)
		fallsBack = fallsBack || clause.List == nil
		for _, e := range clause.List {
			if s.Tag == nil {
				c.condition(e)
			}
		}
		if s.Tag != nil {
			c.arrival(clause.Colon)
		}
	}
	if !fallsBack {
		t.Errorf("%s: a switch without default has a branch that is not counted", c.set.Position(s.Pos()))
	}
}

// condition counts an expression that is true or false, once.
func (c *counted) condition(e ast.Expr) {
	if c.known[e] {
		return
	}
	c.known[e] = true
	from, to := c.set.Position(e.Pos()).Offset, c.set.Position(e.End()).Offset
	c.edits = append(c.edits, edit{from, -(to - from), fmt.Sprintf("branch(%d, ", len(c.places))}, edit{to, to - from - len(c.text), ")"})
	c.places = append(c.places, fmt.Sprintf("%s: %s", c.set.Position(e.Pos()), c.text[from:to]))
}

// arrival counts that the code after an opening brace or colon was come to.
func (c *counted) arrival(pos token.Pos) {
	at := c.set.Position(pos)
	c.edits = append(c.edits, edit{at.Offset + 1, 0, fmt.Sprintf(" came(%d);", len(c.places))})
	c.places = append(c.places, at.String())
}
