package config_test

import (
	"os"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/config"
)

// Every configuration in the page about balancing is complete and valid.
func TestBalancingPageIsValid(t *testing.T) {
	page, err := os.ReadFile("../docs/balancing.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	if len(blocks) < 9 {
		t.Errorf("only %d examples", len(blocks))
	}
	for _, block := range blocks {
		source, _, _ := strings.Cut(block, "```")
		if _, _, err := config.Parse("meridian.yaml", []byte(source), config.Env{Dir: "/etc/meridian"}); err != nil {
			t.Errorf("%v\n%s", err, source)
		}
	}
}
