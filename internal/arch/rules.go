package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of size. A file, function or package above them is cut before it grows into one nobody dares to touch.
const (
	maxPackageLines  = 4000 // without tests and generated files
	maxFileLines     = 500
	maxFunctionLines = 100
)

// rules are applied to every room, each on its own.
var rules = []func(*room) []Breach{
	placed, direction, documented, noInit, noGlobals, noStoredContext, sized, noUnsafe, named,
}

// placed: every package has a floor.
func placed(r *room) []Breach {
	if _, _, ok := place(r.path); ok || tools[r.path] {
		return nil
	}
	return []Breach{{"placed", r.path, "this package is on no floor; place it in internal/arch/house.go"}}
}

// direction: imports run downwards only.
func direction(r *room) []Breach {
	var out []Breach
	for _, f := range r.files {
		for _, u := range f.ours {
			if why := refuse(r.path, u.path, f.test); why != "" {
				out = append(out, Breach{"direction", f.at(u.pos), r.path + " imports " + u.path + ": " + why})
			}
		}
	}
	return out
}

// refuse says why the package from may not import the package to, or nothing if it may.
func refuse(from, to string, test bool) string {
	if tools[to] {
		return "a generator is run, not imported"
	}
	if kits[to] && from != to {
		if test {
			return ""
		}
		return "a kit for tests; only _test files may import it"
	}
	here, room, ok := place(from)
	if !ok || tools[from] || from == to {
		return "" // an unplaced room is reported by its own rule, and a black-box test imports its own room
	}
	there, target, ok := place(to)
	switch {
	case !ok:
		return "it is on no floor; place it in internal/arch/house.go"
	case here > there:
		return ""
	case here < there:
		return fmt.Sprintf("up, from floor %d to floor %d; take what you need as an argument, or move the type down", here, there)
	case room == target && !inside(from, to):
		return "" // a room and the folders called internal inside it
	case inside(to, room) || inside(to, from):
		return ""
	case inside(from, to):
		return "a sub-room never imports the room around it; let the parent pass what it needs"
	case slices.Contains(ground[from], to):
		return ""
	}
	return fmt.Sprintf("sideways, both are on floor %d; let the floor above join them", here)
}

// documented: every package says what it is.
func documented(r *room) []Breach {
	want := "Package " + r.name + " "
	if r.name == "main" {
		want = "Command "
	}
	code := false
	for _, f := range r.files {
		if f.test {
			continue
		}
		code = true
		if f.tree.Doc != nil && strings.HasPrefix(f.tree.Doc.Text(), want) {
			return nil
		}
	}
	if !code {
		return nil // a folder with only tests has no documentation to show
	}
	return []Breach{{"documented", r.path, fmt.Sprintf("no package comment starts with %q", want)}}
}

// noInit: nothing runs before main except what the language itself needs.
func noInit(r *room) []Breach {
	var out []Breach
	for _, f := range r.files {
		for _, d := range f.tree.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && !f.test && fn.Recv == nil && fn.Name.Name == "init" {
				out = append(out, Breach{"init", f.at(fn.Pos()), "func init() hides an order of events; call it from New"})
			}
		}
	}
	return out
}

// globals maps an import path to the names in it that reach for process-wide state; an empty list means all of it.
var globals = map[string][]string{
	"log": {"Default", "Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln", "Print", "Printf", "Println", "SetFlags", "SetOutput", "SetPrefix"},
	"log/slog": {"Debug", "DebugContext", "Default", "Error", "ErrorContext", "Info", "InfoContext", "Log", "LogAttrs", "SetDefault",
		"Warn", "WarnContext", "With"},
	"github.com/prometheus/client_golang/prometheus": {"DefaultGatherer", "DefaultRegisterer", "MustRegister", "Register",
		"Unregister"},
	"github.com/prometheus/client_golang/prometheus/promauto": {},
}

// noGlobals: loggers and registerers are arguments. Commands and tests may do as they like.
func noGlobals(r *room) []Breach {
	if r.path == "cmd" || inside(r.path, "cmd") || tools[r.path] {
		return nil
	}
	const advice = "take a *slog.Logger or prometheus.Registerer as an argument of New"
	var out []Breach
	for _, f := range r.files {
		if f.test {
			continue
		}
		banned := map[string][]string{}
		for _, u := range f.others {
			names, ok := globals[u.path]
			switch {
			case ok && len(names) == 0:
				out = append(out, Breach{"globals", f.at(u.pos), u.path + " registers globally; " + advice})
			case ok:
				banned[u.name] = names
			}
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			// An identifier that the parser resolved is a variable that shadows the import, such as an argument named log.
			id, ok := sel.X.(*ast.Ident)
			if ok && id.Obj == nil && slices.Contains(banned[id.Name], sel.Sel.Name) {
				out = append(out, Breach{"globals", f.at(sel.Pos()), id.Name + "." + sel.Sel.Name + " is process-wide; " + advice})
			}
			return true
		})
	}
	return out
}

// noStoredContext: a context is an argument, so that its end is visible where the work is.
func noStoredContext(r *room) []Breach {
	var out []Breach
	for _, f := range r.files {
		name := ""
		for _, u := range f.others {
			if u.path == "context" {
				name = u.name
			}
		}
		if f.test || name == "" {
			continue
		}
		owner := ""
		ast.Inspect(f.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				owner = "" // what follows is local to a function
			case *ast.TypeSpec:
				owner = n.Name.Name
			case *ast.StructType:
				if contextAllowed[r.path+"."+owner] {
					return true
				}
				for _, field := range n.Fields.List {
					if sel, ok := field.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Context" && isName(sel.X, name) {
						out = append(out, Breach{"context", f.at(field.Pos()), "a context in a struct; pass it as the first argument"})
					}
				}
			}
			return true
		})
	}
	return out
}

func isName(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// sized: what a reader must hold in the head stays small.
func sized(r *room) []Breach {
	var out []Breach
	total := 0
	for _, f := range r.files {
		if f.test || f.generated {
			continue
		}
		total += f.lines
		if f.lines > maxFileLines {
			out = append(out, Breach{"size", f.path, fmt.Sprintf("%d lines, %d are the most; give one idea a file of its own", f.lines, maxFileLines)})
		}
		for _, d := range f.tree.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := f.set.Position(fn.End()).Line - f.set.Position(fn.Pos()).Line + 1
			if n > maxFunctionLines {
				out = append(out, Breach{"size", f.at(fn.Pos()), fmt.Sprintf("%s has %d lines, %d are the most; name its steps", fn.Name.Name, n, maxFunctionLines)})
			}
		}
	}
	most := maxPackageLines
	if n, ok := larger[r.path]; ok {
		most = n
	}
	if total > most {
		out = append(out, Breach{"size", r.path, fmt.Sprintf("%d lines, %d are the most; the package holds two ideas, give one a room", total, most)})
	}
	return out
}

// noUnsafe: unsafe lives where the kernel asks for it.
func noUnsafe(r *room) []Breach {
	if unsafeAllowed[r.path] {
		return nil
	}
	var out []Breach
	for _, f := range r.files {
		for _, u := range f.others {
			if u.path == "unsafe" {
				out = append(out, Breach{"unsafe", f.at(u.pos), "unsafe is for internal/netio; if it must be here, list it with its reason in internal/arch/house.go"})
			}
		}
	}
	return out
}

// vague are endings that say nothing about what a type is.
var vague = []string{"Manager", "Helper", "Helpers", "Util", "Utils"}

// named: a public type is called after a thing of the field.
func named(r *room) []Breach {
	var out []Breach
	for _, f := range r.files {
		for _, d := range f.tree.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || f.test {
				continue
			}
			for _, s := range gen.Specs {
				ts, ok := s.(*ast.TypeSpec)
				if ok && exported(ts.Name.Name) && slices.ContainsFunc(vague, func(v string) bool { return strings.HasSuffix(ts.Name.Name, v) }) {
					out = append(out, Breach{"name", f.at(ts.Pos()), ts.Name.Name + " says nothing; name the thing it is"})
				}
			}
		}
	}
	return out
}

func exported(name string) bool {
	r, _ := utf8.DecodeRuneInString(name)
	return unicode.IsUpper(r)
}
