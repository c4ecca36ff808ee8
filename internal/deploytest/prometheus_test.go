package deploytest_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/meridian-edge/meridian/internal/need"
)

const rulesFolder = "deploy/prometheus"

// rule is a recording rule or an alert.
type rule struct {
	Record      string            `yaml:"record"`
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func (r rule) name() string { return r.Record + r.Alert }

// rules returns the rules of rules.yaml and alerts.yaml in order.
func rules(t *testing.T) []rule {
	t.Helper()
	var out []rule
	for _, file := range []string{"rules.yaml", "alerts.yaml"} {
		var doc struct {
			Groups []struct {
				Rules []rule `yaml:"rules"`
			} `yaml:"groups"`
		}
		if err := yaml.Unmarshal([]byte(read(t, filepath.Join(rulesFolder, file))), &doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, g := range doc.Groups {
			out = append(out, g.Rules...)
		}
	}
	return out
}

// A metric that a rule or a panel asks for and nobody declares is a panel that stays empty and an alert that never fires.
func TestEveryMetricAskedForIsDeclared(t *testing.T) {
	names := declared(t)
	asked := load(t).expressions()
	for _, v := range load(t).Templating.List {
		asked["variable "+v.Name] = v.Definition
	}
	recorded := map[string]bool{}
	for _, r := range rules(t) {
		recorded[r.Record] = r.Record != ""
		asked["rule "+r.name()] = r.Expr
	}
	used := map[string]bool{}
	for _, place := range slices.Sorted(maps.Keys(asked)) {
		for _, s := range series(asked[place]) {
			name := base(s, names)
			used[name] = true
			if names[name] == "" && !recorded[name] {
				t.Errorf("%s asks for %s, which no metrics.go declares and no rule records", place, s)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !used[name] {
			t.Logf("declared and shown nowhere: %s (%s)", name, names[name])
		}
	}
}

func TestEveryAlertSaysWhatToDo(t *testing.T) {
	runbooks := read(t, filepath.Join(rulesFolder, "runbooks.md"))
	seen := map[string]bool{}
	for _, r := range rules(t) {
		if seen[r.name()] {
			t.Errorf("%s is there twice", r.name())
		}
		seen[r.name()] = true
		if r.Alert == "" {
			continue
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) || r.For == "" {
			t.Errorf("%s: needs a severity of critical, warning or info, and for", r.Alert)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: needs a summary and a description", r.Alert)
		}
		if !strings.HasSuffix(r.Annotations["runbook_url"], "/"+rulesFolder+"/runbooks.md#"+strings.ToLower(r.Alert)) {
			t.Errorf("%s: runbook_url %q is not its page", r.Alert, r.Annotations["runbook_url"])
		}
		// The page starts with what to type, not with prose.
		if !strings.Contains(runbooks, "\n## "+r.Alert+"\n\n```sh\n") {
			t.Errorf("%s: runbooks.md has no page that starts with a command", r.Alert)
		}
	}
	for line := range strings.Lines(runbooks) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "## "); ok && !seen[name] {
			t.Errorf("runbooks.md: no alert is called %s", name)
		}
	}
}

// promtool runs promtool in the folder of the rules and fails the test with its words.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), need.Tool(t, "promtool"), args...)
	cmd.Dir = filepath.Join(root, rulesFolder)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtoolAcceptsTheRules(t *testing.T) {
	promtool(t, "check", "config", "prometheus.yml")
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml", "alerts.yaml")
}

func TestAlertsFireWhenTheyShouldAndOnlyThen(t *testing.T) {
	promtool(t, "test", "rules", "tests.yaml")
}

func TestPromtoolParsesEveryExpressionOfTheDashboard(t *testing.T) {
	fill := strings.NewReplacer("$__rate_interval", "5m", "$job", ".+", "$instance", ".+", "$distribution", ".+")
	exprs := load(t).expressions()
	var b strings.Builder
	b.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, place := range slices.Sorted(maps.Keys(exprs)) {
		fmt.Fprintf(&b, "  # %s\n  - {record: \"dashboard:%d\", expr: %q}\n", place, i, fill.Replace(exprs[place]))
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}
