package doctest_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the repository, seen from this package.
const root = "../.."

// page is one page of the guide.
type page struct {
	name   string // below docs: "http.md", "checks/tcp.md"
	text   string
	blocks []block
}

// block is one fenced block.
type block struct {
	line  int // of the fence
	lang  string
	text  string
	marks []string // such as "mistakes"
	file  string   // of a file comment
	env   map[string]string
}

func (b *block) has(mark string) bool { return slices.Contains(b.marks, mark) }

// pages reads the guide.
func pages(t *testing.T) []*page {
	t.Helper()
	var paths []string
	for _, folder := range []string{"", "checks/", "policies/"} {
		found, err := filepath.Glob(root + "/docs/" + folder + "*.md")
		if err != nil || len(found) == 0 {
			t.Fatalf("no pages in docs/%s: %v", folder, err)
		}
		paths = append(paths, found...)
	}
	var list []*page
	for _, path := range paths {
		text := read(t, path)
		name, err := filepath.Rel(root+"/docs", path)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, &page{name: filepath.ToSlash(name), text: text, blocks: blocksOf(t, path, text)})
	}
	return list
}

// pageNamed is the text of one page.
func pageNamed(t *testing.T, name string) string { return read(t, root+"/docs/"+name) }

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var comment = regexp.MustCompile(`^<!-- ([a-z]+)(?:: *(.*?))? -->$`)

// blocksOf finds the fenced blocks of a page, with the comments between a block and the text above it.
func blocksOf(t *testing.T, path, text string) []block {
	t.Helper()
	var list []block
	next := block{}
	open := false
	for i, line := range strings.Split(text, "\n") {
		switch m := comment.FindStringSubmatch(line); {
		case open && line == "```":
			list = append(list, next)
			next, open = block{}, false
		case open:
			next.text += line + "\n"
		case strings.HasPrefix(line, "```"):
			next.line, next.lang, open = i+1, line[3:], true
		case m != nil:
			next.note(t, path, m[1], m[2])
		case line != "" && (next.marks != nil || next.file != "" || next.env != nil):
			t.Errorf("%s:%d: a comment stands before text, not before a block", path, i+1)
			next = block{}
		}
	}
	if open {
		t.Errorf("%s:%d: the block is not closed", path, next.line)
	}
	return list
}

// note takes in one comment.
func (b *block) note(t *testing.T, path, key, value string) {
	t.Helper()
	switch key {
	case "file":
		b.file = value
	case "env":
		name, value, _ := strings.Cut(value, "=")
		b.env = map[string]string{name: value}
	case "mistakes", "part":
		b.marks = append(b.marks, key)
	default:
		t.Errorf("%s: unknown comment %q", path, key)
	}
}

// withoutBlocks is a page's own words, without its fenced blocks.
func withoutBlocks(text string) string {
	var b strings.Builder
	open := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "```") {
			open = !open
		} else if !open {
			b.WriteString(line)
		}
	}
	return b.String()
}

// row is a line of a table: its cells, trimmed.
type row []string

// code returns what stands between the backquotes of a cell.
func (r row) code(cell int) []string {
	if cell >= len(r) {
		return nil
	}
	var list []string
	for _, m := range quoted.FindAllStringSubmatch(r[cell], -1) {
		list = append(list, m[1])
	}
	return list
}

var quoted = regexp.MustCompile("`([^`]+)`")

// table returns the rows of the first table whose header starts with these cells.
func table(t *testing.T, text string, header ...string) []row {
	t.Helper()
	var rows []row
	in := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			if in {
				return rows
			}
			continue
		}
		cells := row(strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, "\x00"), "|"), "|"))
		for i := range cells {
			cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), "\x00", "|")
		}
		switch {
		case in && !strings.HasPrefix(cells[0], "---"):
			rows = append(rows, cells)
		case !in && len(cells) >= len(header) && slices.Equal(cells[:len(header)], header):
			in = true
		}
	}
	if !in {
		t.Fatalf("no table with the header %q", header)
	}
	return rows
}

// section is a page's text from a heading to the next one of the same or a higher level.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(text, heading+"\n")
	if !found {
		t.Fatalf("no heading %q", heading)
	}
	level := len(heading) - len(strings.TrimLeft(heading, "#"))
	for n := level; n > 0; n-- {
		rest, _, _ = strings.Cut(rest, "\n"+strings.Repeat("#", n)+" ")
	}
	return rest
}

// sources yields the Go files below a folder of the repository, tests left out.
func sources(t *testing.T, folder string, match func(path string) bool) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(filepath.Join(root, folder), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") && match(path) {
			list = append(list, path)
		}
		return nil
	})
	if err != nil || len(list) == 0 {
		t.Fatalf("no sources below %s: %v", folder, err)
	}
	return list
}

// same reports the difference between what a page names and what the product has.
func same(t *testing.T, what string, documented, real []string) {
	t.Helper()
	for _, name := range real {
		if !slices.Contains(documented, name) {
			t.Errorf("%s %q is not documented", what, name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(real, name) {
			t.Errorf("%s %q is documented and does not exist", what, name)
		}
	}
}
