package config_test

import (
	"os"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/config"
)

// TestExamplesOfTheDocumentationAreValid parses every yaml block of the page about checks.
func TestExamplesOfTheDocumentationAreValid(t *testing.T) {
	page, err := os.ReadFile("../docs/checks.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")[1:]
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
