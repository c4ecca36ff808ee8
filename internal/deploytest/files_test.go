package deploytest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// root is the module's root, seen from this package.
const root = "../.."

// read returns the file at a path relative to the module's root.
func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// declared returns the names of all metrics that the rooms declare in their metrics.go, mapped to the file.
func declared(t *testing.T) map[string]string {
	t.Helper()
	name := regexp.MustCompile(`^meridian_[a-z0-9_]+$`)
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != "metrics.go" {
			return err
		}
		tree, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			if s, err := strconv.Unquote(lit.Value); err == nil && name.MatchString(s) {
				out[s] = path
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var (
	quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	word   = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
)

// series returns the metric names in a PromQL expression: our own, and those of recording rules, which hold a colon.
func series(expr string) []string {
	var out []string
	for _, w := range word.FindAllString(quoted.ReplaceAllString(expr, `""`), -1) {
		if strings.HasPrefix(w, "meridian_") || strings.Contains(strings.Trim(w, ":"), ":") {
			out = append(out, w)
		}
	}
	return out
}

// base is the name a series of a histogram is declared under.
func base(name string, names map[string]string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if b, ok := strings.CutSuffix(name, suffix); ok && names[b] != "" {
			return b
		}
	}
	return name
}
