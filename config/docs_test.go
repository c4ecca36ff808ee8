package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/config"
)

// TestExamplesOfTheDocumentationAreValid parses every yaml block of the pages about checks.
func TestExamplesOfTheDocumentationAreValid(t *testing.T) {
	paths, err := filepath.Glob("../docs/checks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, path := range append(paths, "../docs/checks.md") {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, strings.Split(string(page), "```yaml\n")[1:]...)
	}
	types := map[string]bool{}
	for _, block := range blocks {
		src, _, closed := strings.Cut(block, "```")
		if !closed {
			t.Fatalf("a block is not closed:\n%s", block)
		}
		cfg, _, err := config.Parse("checks.yaml", []byte(src), config.Env{Lookup: func(string) (string, bool) { return "secret", true }})
		if err != nil {
			t.Errorf("%v\n%s", err, src)
			continue
		}
		for _, k := range cfg.Checks {
			types[k.Type] = true
		}
	}
	for _, kind := range []string{"http", "https", "h2", "tcp", "tls", "grpc", "dns", "udp", "agent", "calculated", "manual"} {
		if !types[kind] {
			t.Errorf("no example of type %s", kind)
		}
	}
}
