package arch_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/meridian-edge/meridian/internal/arch"
)

const module = "github.com/meridian-edge/meridian"

// root is the folder that holds go.mod, found from the folder the test runs in.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}

func TestTheHouseKeepsItsLaws(t *testing.T) {
	breaches, err := arch.Check(os.DirFS(root(t)), module)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range breaches {
		t.Error(b)
	}
}
