package config_test

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/config"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata")

// A golden file is a txtar archive: meridian.yaml, optionally env with lines NAME=VALUE and files for ${file:...}, and want with the
// exact output.
type golden struct {
	path    string
	archive *txtar.Archive
}

func goldens(t *testing.T, pattern string) []golden {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files match %s (%v)", pattern, err)
	}
	list := make([]golden, len(paths))
	for i, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = golden{path, archive}
	}
	return list
}

func (g golden) name() string { return strings.TrimSuffix(filepath.Base(g.path), ".txt") }

func (g golden) file(name string) (string, bool) {
	for _, f := range g.archive.Files {
		if f.Name == name {
			return string(f.Data), true
		}
	}
	return "", false
}

// parse runs the archive's meridian.yaml in the archive's world.
func (g golden) parse() (*config.Config, config.Warnings, error) {
	src, _ := g.file("meridian.yaml")
	return config.Parse("meridian.yaml", []byte(src), config.Env{
		Dir: "/etc/meridian",
		Lookup: func(name string) (string, bool) {
			env, _ := g.file("env")
			for line := range strings.Lines(env) {
				if value, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), name+"="); found {
					return value, true
				}
			}
			return "", false
		},
		ReadFile: func(path string) ([]byte, error) {
			if data, found := g.file(strings.TrimPrefix(path, "/etc/meridian/")); found {
				return []byte(data), nil
			}
			return nil, fmt.Errorf("open %s: %w", path, fs.ErrNotExist)
		},
	})
}

func (g golden) check(t *testing.T, got string) {
	t.Helper()
	want, _ := g.file("want")
	if got == want {
		return
	}
	if !*update {
		t.Errorf("%s\n--- got ---\n%s--- want ---\n%s", g.path, got, want)
		return
	}
	for i := range g.archive.Files {
		if g.archive.Files[i].Name == "want" {
			g.archive.Files[i].Data = []byte(got)
		}
	}
	if err := os.WriteFile(g.path, txtar.Format(g.archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestMistakesAreReportedExactly(t *testing.T) {
	for _, g := range goldens(t, "testdata/bad/*.txt") {
		t.Run(g.name(), func(t *testing.T) {
			cfg, warnings, err := g.parse()
			var list config.Errors
			if !errors.As(err, &list) || len(list) == 0 {
				t.Fatalf("error is %v, want a list of mistakes", err)
			}
			if cfg != nil || warnings != nil {
				t.Errorf("a refused file returns a config or warnings")
			}
			var out strings.Builder
			list.Print(&out)
			g.check(t, out.String())
		})
	}
}

func TestWarningsAreReportedExactly(t *testing.T) {
	for _, g := range goldens(t, "testdata/warn/*.txt") {
		t.Run(g.name(), func(t *testing.T) {
			cfg, warnings, err := g.parse()
			if err != nil || cfg == nil {
				t.Fatal(err)
			}
			var out strings.Builder
			warnings.Print(&out)
			g.check(t, out.String())
		})
	}
}
