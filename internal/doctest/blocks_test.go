package doctest_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/config"
)

// TestBlocks loads every configuration of every page and runs its commands, in the order of the page.
func TestBlocks(t *testing.T) {
	for _, p := range pages(t) {
		t.Run(p.name, func(t *testing.T) {
			s := &walk{t: t, page: p, folder: t.TempDir()}
			for i := range p.blocks {
				s.block(&p.blocks[i])
			}
		})
	}
}

// walk is one page being worked through.
type walk struct {
	t      *testing.T
	page   *page
	folder string
	code   int // exit code of the last command
}

func (s *walk) block(b *block) {
	if b.file != "" {
		if err := os.WriteFile(filepath.Join(s.folder, b.file), []byte(b.text), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	switch b.lang {
	case "yaml":
		s.load(b)
	case "console":
		s.console(b)
	case "sh", "text":
	default:
		s.t.Errorf("%s:%d: a block of language %q; use yaml, console, sh or text", s.page.name, b.line, b.lang)
	}
}

// load checks that a configuration loads, or does not where that is meant.
func (s *walk) load(b *block) {
	whole := strings.Contains("\n"+b.text, "\nversion: 1\n")
	if whole == b.has("part") {
		s.t.Errorf("%s:%d: a yaml block is a whole configuration, or marked as a part of one", s.page.name, b.line)
	}
	if !whole {
		return
	}
	name := b.file
	if name == "" {
		name = "meridian.yaml"
	}
	_, warnings, err := config.Parse(name, []byte(b.text), config.Env{
		Dir: s.folder, Hostname: "edge1",
		Lookup:   func(name string) (string, bool) { v, ok := b.env[name]; return v, ok },
		ReadFile: os.ReadFile,
	})
	switch {
	case b.has("mistakes") && err == nil:
		s.t.Errorf("%s:%d: it loads, and is shown as one with mistakes", s.page.name, b.line)
	case !b.has("mistakes") && err != nil:
		s.t.Errorf("%s:%d: %v", s.page.name, b.line, err)
	case len(warnings) > 0:
		s.t.Logf("%s:%d: warnings: %v", s.page.name, b.line, warnings)
	}
}

// console runs the commands of a block that need no running node, and compares what they print.
func (s *walk) console(b *block) {
	lines := strings.Split(strings.TrimSuffix(b.text, "\n"), "\n")
	for i := 0; i < len(lines); {
		command, is := strings.CutPrefix(lines[i], "$ ")
		if !is {
			s.t.Fatalf("%s:%d: a console block starts with a command", s.page.name, b.line)
		}
		i++
		var want []string
		for i < len(lines) && !strings.HasPrefix(lines[i], "$ ") {
			want = append(want, lines[i])
			i++
		}
		next := ""
		if i < len(lines) {
			next = lines[i]
		}
		s.command(b, command, want, next == "$ echo $?")
	}
}

// command runs one, if it can be run. tolerant: its exit code is shown below.
func (s *walk) command(b *block, line string, want []string, tolerant bool) {
	at := s.page.name + ":" + strconv.Itoa(b.line) + ": $ " + line
	if line == "echo $?" {
		if len(want) != 1 || want[0] != strconv.Itoa(s.code) {
			s.t.Errorf("%s: the exit code is %d, and %q is shown", at, s.code, want)
		}
		return
	}
	args := words(line)
	if args[0] != "meridian" || !offline(args[1:]) || strings.Contains(line, "/etc/") {
		return
	}
	c := exec.CommandContext(s.t.Context(), binary, args[1:]...)
	c.Dir = s.folder
	c.Env = append(os.Environ(), "MERIDIAN_CONFIG=")
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		s.t.Fatalf("%s: %v", at, err)
	}
	s.code = c.ProcessState.ExitCode()
	if s.code != 0 && !tolerant {
		s.t.Errorf("%s: exit code %d\n%s", at, s.code, out.String())
	}
	if want != nil && !matches(want, strings.Split(strings.TrimRight(out.String(), "\n"), "\n")) {
		s.t.Errorf("%s prints\n%s\n-- and this is shown:\n%s", at, out.String(), strings.Join(want, "\n"))
	}
}

// words splits a command line at spaces outside single quotes.
func words(line string) []string {
	var list []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			list = append(list, part)
		} else {
			list = append(list, strings.Fields(part)...)
		}
	}
	return list
}

// offline reports whether a command needs no running node.
func offline(args []string) bool {
	switch args[0] {
	case "validate", "version", "help", "completion":
		return true
	case "explain":
		for _, a := range args {
			if a == "--offline" || strings.HasPrefix(a, "E-") {
				return true
			}
		}
	}
	return false
}

// matches compares lines; "..." alone is any lines, and within a line any text.
func matches(want, got []string) bool {
	if len(want) == 0 {
		return len(got) == 0
	}
	if want[0] == "..." {
		for i := range len(got) + 1 {
			if matches(want[1:], got[i:]) {
				return true
			}
		}
		return false
	}
	if len(got) == 0 {
		return false
	}
	parts := strings.Split(want[0], "...")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	fits, _ := regexp.MatchString("^"+strings.Join(parts, ".*")+"$", got[0])
	return fits && matches(want[1:], got[1:])
}

func TestMatches(t *testing.T) {
	lines := func(s string) []string { return strings.Split(s, "\n") }
	for _, c := range []struct {
		want, got string
		fits      bool
	}{
		{"a\nb", "a\nb", true},
		{"a", "a\nb", false},
		{"a\nb", "a", false},
		{"a ... c", "a b c", true},
		{"a...", "a", true},
		{"...\nc", "a\nb\nc", true},
		{"a\n...", "a", true},
		{"a\n...\nd", "a\nb\nc", false},
		{"(a)", "(a)", true},
	} {
		if matches(lines(c.want), lines(c.got)) != c.fits {
			t.Errorf("%q on %q: not %v", c.want, c.got, c.fits)
		}
	}
}

// link is [text](target) with a target that is no URL.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks follows every relative link, to the heading if it names one.
func TestLinks(t *testing.T) {
	for _, p := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(withoutBlocks(p.text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(m[1], "#")
			target := filepath.Join(root, "docs", filepath.Dir(p.name), path)
			if path == "" {
				target = filepath.Join(root, "docs", p.name)
			}
			if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s does not exist", p.name, m[1])
				continue
			}
			if anchor != "" && !anchors(read(t, target))[anchor] {
				t.Errorf("%s: %s has no such heading", p.name, m[1])
			}
		}
	}
}

var heading = regexp.MustCompile(`(?m)^#+ (.*)$`)

// anchors are the ids that a Markdown renderer gives the headings of a page.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(withoutBlocks(text), -1) {
		id := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				return r
			}
			return -1
		}, strings.ToLower(m[1]))
		out[id] = true
	}
	return out
}

// TestEachPolicyAndEachCheckHasAPage compares the folders with what the configuration takes. Each page has an example, and is in
// its index.
func TestEachPolicyAndEachCheckHasAPage(t *testing.T) {
	var source strings.Builder
	for _, path := range sources(t, "config", func(string) bool { return true }) {
		source.WriteString(read(t, path))
	}
	enums := func(key string) []string { // the words of o.Enum("policy", &p, words...), and of return []string{...}
		var list []string
		for _, m := range regexp.MustCompile(key).FindAllStringSubmatch(source.String(), -1) {
			for _, word := range regexp.MustCompile(`"([a-z0-9-]+)"`).FindAllStringSubmatch(m[1], -1) {
				if !slices.Contains(list, word[1]) {
					list = append(list, word[1])
				}
			}
		}
		return list
	}
	policies := enums(`o\.Enum\("policy", &p\.Policy, (.*)\)`)
	for _, word := range enums(`p\.Enum\(("simple", "weighted".*)\)`) {
		if !slices.Contains(policies, word) {
			policies = append(policies, word)
		}
	}
	checks := append(enums(`return \[\]string\{("http", .*)\}`), "route53")
	for folder, want := range map[string][]string{"policies": policies, "checks": checks} {
		index := "checks.md"
		if folder == "policies" {
			index = "policies/README.md"
		}
		var pagesOf []string
		for _, p := range pages(t) {
			in, name, _ := strings.Cut(p.name, "/")
			if in != folder || name == "README.md" {
				continue
			}
			pagesOf = append(pagesOf, strings.TrimSuffix(name, ".md"))
			if !strings.Contains(pageNamed(t, index), name+")") {
				t.Errorf("%s is not linked by %s", p.name, index)
			}
			if !slices.ContainsFunc(p.blocks, func(b block) bool { return b.lang == "yaml" && !b.has("part") }) {
				t.Errorf("%s has no example", p.name)
			}
		}
		same(t, folder, pagesOf, want)
	}
}
