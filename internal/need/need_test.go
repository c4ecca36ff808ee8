package need_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/internal/need"
)

// spy is a testing.TB that records how a test ended instead of ending it.
type spy struct {
	testing.TB
	skipped, failed string
}

func (s *spy) Helper() {}

func (s *spy) Skipf(format string, args ...any) {
	s.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (s *spy) Fatalf(format string, args ...any) {
	s.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (s *spy) Context() context.Context { return context.Background() }

// outcome runs find on a goroutine of its own, since a skip ends the goroutine that asked.
func outcome(find func(testing.TB, string) string, name string) (path string, s *spy) {
	s = &spy{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		path = find(s, name)
	}()
	<-done
	return path, s
}

func TestToolFindsAnInstalledProgram(t *testing.T) {
	t.Setenv(need.Variable, "1")
	path, s := outcome(need.Tool, "go")
	if !filepath.IsAbs(path) || s.skipped+s.failed != "" {
		t.Fatalf("path %q, skipped %q, failed %q", path, s.skipped, s.failed)
	}
}

func TestMissingToolSkipsForADeveloperAndSaysWhatToInstall(t *testing.T) {
	t.Setenv(need.Variable, "")
	t.Setenv("PATH", t.TempDir())
	_, s := outcome(need.Tool, "dig")
	if s.failed != "" || !strings.Contains(s.skipped, "apt-get install dnsutils") {
		t.Fatalf("skipped %q, failed %q", s.skipped, s.failed)
	}
}

func TestMissingToolFailsInTheProjectsOwnChecks(t *testing.T) {
	t.Setenv(need.Variable, "1")
	t.Setenv("PATH", t.TempDir())
	_, s := outcome(need.Tool, "curl")
	if s.skipped != "" || !strings.Contains(s.failed, "apt-get install curl") {
		t.Fatalf("skipped %q, failed %q", s.skipped, s.failed)
	}
}

func TestOptionalSkipsEverywhere(t *testing.T) {
	t.Setenv(need.Variable, "1")
	t.Setenv("PATH", t.TempDir())
	_, s := outcome(need.Optional, "systemd-analyze")
	if s.failed != "" || !strings.Contains(s.skipped, "apt-get install systemd") {
		t.Fatalf("skipped %q, failed %q", s.skipped, s.failed)
	}
}

func TestPythonModulesAreNeededAsToolsAre(t *testing.T) {
	t.Setenv(need.Variable, "1")
	if _, s := outcome(need.Python, "no_such_module"); s.skipped != "" || !strings.Contains(s.failed, "no_such_module is not installed") {
		t.Errorf("in the project's checks: skipped %q, failed %q", s.skipped, s.failed)
	}
	t.Setenv(need.Variable, "")
	if _, s := outcome(need.Python, "no_such_module"); s.failed != "" || !strings.Contains(s.skipped, "apt-get install") {
		t.Errorf("for a developer: skipped %q, failed %q", s.skipped, s.failed)
	}
	if path, s := outcome(need.Python, "os"); s.skipped == "" && !filepath.IsAbs(path) {
		t.Errorf("path %q", path)
	}
}
