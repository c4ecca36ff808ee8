package doctest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/fault"
)

// TestErrorCodes compares the table of codes with the catalogue, word for word.
func TestErrorCodes(t *testing.T) {
	var documented, real []string
	for _, r := range table(t, pageNamed(t, "http.md"), "code", "status", "side") {
		documented = append(documented, strings.Join(r, " | "))
	}
	for _, c := range fault.Codes() {
		e := c.Entry()
		real = append(real, strings.Join([]string{"`" + string(c) + "`", strconv.Itoa(e.Status), e.Side.String(), e.Title}, " | "))
	}
	same(t, "error code", documented, real)
	known := regexp.MustCompile(`\bE-[A-Z]+(-[A-Z]+)*\b`)
	for _, p := range pages(t) {
		for _, name := range known.FindAllString(p.text, -1) {
			if _, ok := fault.Lookup(name); !ok {
				t.Errorf("%s: there is no code %s", p.name, name)
			}
		}
	}
}

// TestCommands finds every command and flag of the help in the guide, and every command of the guide in the help.
func TestCommands(t *testing.T) {
	text := pageNamed(t, "operations.md")
	rows := table(t, text, "command", "flags")
	documented := map[string]string{}
	for _, r := range rows {
		if names := r.code(0); len(names) > 0 {
			documented[strings.Fields(names[0])[1]] = strings.Join(r, " ")
		}
	}
	help := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), binary, append(args, "--help")...).CombinedOutput()
		if err != nil {
			t.Fatalf("meridian %v --help: %v\n%s", args, err, out)
		}
		return string(out)
	}
	command := regexp.MustCompile(`(?m)^  ([a-z]+)  +\S`)
	flag := regexp.MustCompile(`(?m)^ +(?:-[a-z], |    )(--[a-z-]+)`)
	_, list, _ := strings.Cut(help(), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var real []string
	for _, m := range command.FindAllStringSubmatch(list, -1) {
		name := m[1]
		real = append(real, name)
		own, _, _ := strings.Cut(help(name), "Global Flags:")
		for _, f := range flag.FindAllStringSubmatch(own, -1) {
			if f[1] != "--help" && !strings.Contains(documented[name], f[1]) {
				t.Errorf("meridian %s has a flag %s that is not documented", name, f[1])
			}
		}
		for _, m := range regexp.MustCompile(`--[a-z-]+`).FindAllString(documented[name], -1) {
			if !strings.Contains(own, m) {
				t.Errorf("meridian %s has no flag %s, and one is documented", name, m)
			}
		}
	}
	var names []string
	for name := range documented {
		names = append(names, name)
	}
	same(t, "command", names, real)
	for _, m := range flag.FindAllStringSubmatch(help(), -1) {
		if !strings.Contains(text, m[1]) {
			t.Errorf("the flag %s of every command is not documented", m[1])
		}
	}
	for _, topic := range regexp.MustCompile(`(?m)^  meridian (\S+) `).FindAllStringSubmatch(help()[strings.Index(help(), "Additional help topics"):], -1) {
		if !strings.Contains(text, "meridian help "+topic[1]) {
			t.Errorf("the help topic %s is not documented", topic[1])
		}
	}
}

// strs collects what visit emits for the nodes of Go files, each text once.
func strs(t *testing.T, files []string, visit func(n ast.Node, emit func(string))) []string {
	t.Helper()
	var list []string
	emit := func(s string) {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if n != nil {
				visit(n, emit)
			}
			return true
		})
	}
	return list
}

// literals emits every string literal below n.
func literals(n ast.Node, emit func(string)) {
	ast.Inspect(n, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if s, err := strconv.Unquote(l.Value); err == nil {
				emit(s)
			}
		}
		return true
	})
}

// TestConfigurationKeys compares the keys in the tables of configuration.md with those that the configuration's source asks for.
func TestConfigurationKeys(t *testing.T) {
	files := sources(t, "config", func(string) bool { return true })
	real := strs(t, files, func(n ast.Node, emit func(string)) {
		switch n := n.(type) {
		case *ast.CallExpr: // c.object("name", "region")
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if ok && strings.EqualFold(sel.Sel.Name, "object") {
				for _, arg := range n.Args {
					literals(arg, emit)
				}
			}
		case *ast.FuncDecl: // the keys of answers, by policy
			if n.Name.Name == "checkFields" { // {"preset", types, read}: the key comes first
				ast.Inspect(n, func(n ast.Node) bool {
					if list, ok := n.(*ast.CompositeLit); ok && list.Type == nil && len(list.Elts) == 3 {
						literals(list.Elts[0], emit)
					}
					return true
				})
			}
			if n.Name.Name == "policyKeys" {
				ast.Inspect(n, func(n ast.Node) bool {
					if list, ok := n.(*ast.CompositeLit); ok {
						literals(list, emit)
					}
					return true
				})
			}
		case *ast.AssignStmt:
			if id, ok := n.Lhs[0].(*ast.Ident); ok && (id.Name == "common" || id.Name == "keys") {
				literals(n.Rhs[0], emit)
			}
		}
	})
	sections := []string{"regions", "listeners", "limits", "cache", "geo", "log", "quorum", "dns", "resolvers", "checks", "pools", "distributions", "zones", "accelerators", "edge", "trusted_proxies"}
	text := pageNamed(t, "configuration.md")
	documented := slices.Clone(sections)
	for _, s := range sections {
		section(t, text, "## "+s) // each has one
	}
	for line := range strings.Lines(text) {
		m := keyCell.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for _, key := range strings.Split(strings.ReplaceAll(m[1], "[]", ""), ".") {
			if !slices.Contains(documented, key) {
				documented = append(documented, key)
			}
		}
	}
	real = slices.DeleteFunc(real, func(s string) bool { return s == "" })
	same(t, "key", documented, real)
}

// keyCell is the first cell of a row about a key, such as `endpoints[].address`.
var keyCell = regexp.MustCompile("^\\| `([a-z0-9_.\\[\\]]+)` \\|")

// TestLimitDefaults sets each limit to the default that the table gives, which must change nothing.
func TestLimitDefaults(t *testing.T) {
	parse := func(src string) config.Limits {
		cfg, _, err := config.Parse("meridian.yaml", []byte("version: 1\n"+src), config.Env{Dir: "/"})
		if err != nil {
			t.Fatal(err)
		}
		return cfg.Limits
	}
	rows := table(t, section(t, pageNamed(t, "configuration.md"), "## limits"), "key", "type", "default", "range")
	for _, r := range rows {
		if got := parse("limits: {" + r.code(0)[0] + ": " + r.code(2)[0] + "}\n"); got != parse("") {
			t.Errorf("the default of %s is not %s", r[0], r[2])
		}
	}
}

// TestAccessLogFields compares the table of log fields with the code that writes them.
func TestAccessLogFields(t *testing.T) {
	real := strs(t, []string{filepath.Join(root, "proxy", "accesslog.go")}, func(n ast.Node, emit func(string)) {
		c, ok := n.(*ast.CallExpr)
		if !ok || len(c.Args) != 3 {
			return
		}
		if id, ok := c.Fun.(*ast.Ident); ok && (id.Name == "text" || id.Name == "number") {
			literals(c.Args[1], emit)
		}
	})
	real = append(real, "time", "duration_ms")
	var documented []string
	for _, r := range table(t, section(t, pageNamed(t, "http.md"), "## The access log"), "field", "meaning") {
		documented = append(documented, r.code(0)...)
	}
	same(t, "log field", documented, real)
}

// TestCacheReasons compares the table of reasons with the constants of the cache.
func TestCacheReasons(t *testing.T) {
	sources := []string{filepath.Join(root, "cache", "result.go"), filepath.Join(root, "cache", "rules", "rules.go")}
	real := strs(t, sources, func(n ast.Node, emit func(string)) {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Reason") {
			literals(v, emit)
		}
	})
	real = append(real, "cache off") // the proxy's own word
	var documented []string
	for _, r := range table(t, pageNamed(t, "cache.md"), "reason", "meaning") {
		documented = append(documented, r.code(0)...)
	}
	same(t, "reason", documented, real)
}
