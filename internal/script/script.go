// Package script runs tests that are documents: txtar archives whose comment is a transcript of steps and what they print.
//
//	func TestScripts(t *testing.T) {
//		script.Run(t, "testdata/*.txt", func(t *testing.T, files map[string][]byte) script.Step { ... })
//	}
//
// A transcript reads like a session at a prompt. A line that begins at the left edge is a step; the indented lines below it
// are what it prints, to the letter. Lines that begin with # and empty lines are for the reader. The files of the archive are
// the world the steps run in: a configuration, a zone.
//
//	# The second request is answered from the store.
//	get /a
//	  200 miss
//	get /a
//	  200 hit
//	-- meridian.yaml --
//	version: 1
//
// With -update the transcripts are rewritten to what the steps really print. Each room brings its own small language; what
// they share is here, and so is the rule of names: b... basic, c... complex, r1234 a regression; failures are sensible in
// lexical order. It is a test kit: only tests import it.
package script

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite what the scripts in testdata expect")

// Step carries out one step, split at white space (a part in single quotes keeps its spaces), and returns what it prints:
// lines without indentation. It fails the test itself when the step makes no sense.
type Step func(t *testing.T, args []string) string

// Run runs every script that matches pattern as a subtest. start makes the world of one script from the files of its archive
// and returns what carries out its steps; what it opens it closes with t.Cleanup.
func Run(t *testing.T, pattern string, start func(t *testing.T, files map[string][]byte) Step) {
	t.Helper()
	RunIn(t, pattern, func(t *testing.T, script func(t *testing.T)) { script(t) }, start)
}

// RunIn is Run with start and the steps of each script inside a call of wrap, such as synctest.Test.
func RunIn(t *testing.T, pattern string, wrap func(*testing.T, func(*testing.T)), start func(*testing.T, map[string][]byte) Step) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts match %s (%v)", pattern, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files := make(map[string][]byte, len(archive.Files))
			for _, f := range archive.Files {
				files[f.Name] = f.Data
			}
			want, got := string(archive.Comment), ""
			wrap(t, func(t *testing.T) { got = play(t, path, want, start(t, files)) })
			if got == want {
				return
			}
			if *update {
				archive.Comment = []byte(got)
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Fatal(difference(path, want, got))
		})
	}
}

// play carries out the steps of a transcript and returns it with what they really print.
func play(t *testing.T, path, transcript string, step Step) string {
	var out strings.Builder
	number := 0
	for line := range strings.Lines(transcript) {
		number++
		if strings.HasPrefix(line, "  ") {
			continue // what was expected of the last step
		}
		out.WriteString(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		args, err := split(line)
		if err != nil {
			t.Fatalf("%s:%d: %v", path, number, err)
		}
		if len(args) == 0 {
			continue
		}
		for printed := range strings.Lines(step(t, args)) {
			out.WriteString("  " + strings.TrimRight(printed, "\n") + "\n")
		}
	}
	return out.String()
}

// split cuts a step at white space; single quotes keep a part together.
func split(line string) ([]string, error) {
	var args []string
	var part strings.Builder
	quoted, open := false, false
	for _, c := range strings.TrimRight(line, "\n") {
		switch {
		case c == '\'':
			quoted, open = !quoted, true
		case !quoted && (c == ' ' || c == '\t'):
			if open {
				args = append(args, part.String())
				part.Reset()
			}
			open = false
		default:
			part.WriteRune(c)
			open = true
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote is not closed: %s", line)
	}
	if open {
		args = append(args, part.String())
	}
	return args, nil
}

// difference names the first line that differs and the step it belongs to.
func difference(path, want, got string) string {
	wants, gots := strings.Split(want, "\n"), strings.Split(got, "\n")
	step := ""
	for i := range max(len(wants), len(gots)) {
		var w, g string
		if i < len(wants) {
			w = wants[i]
		}
		if i < len(gots) {
			g = gots[i]
		}
		if w != g {
			return fmt.Sprintf("%s:%d: after %q\n got: %s\nwant: %s\n(-update rewrites the script)", path, i+1, step, g, w)
		}
		if g != "" && g[0] != ' ' && g[0] != '#' {
			step = g
		}
	}
	return path + ": no difference"
}
