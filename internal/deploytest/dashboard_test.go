package deploytest_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is the part of Grafana's dashboard JSON that the rules are about.
type dashboard struct {
	UID           string `json:"uid"`
	Title         string `json:"title"`
	SchemaVersion int    `json:"schemaVersion"`
	Editable      bool   `json:"editable"`
	GraphTooltip  int    `json:"graphTooltip"`
	Annotations   struct {
		List []struct {
			Name string `json:"name"`
			Expr string `json:"expr"`
		} `json:"list"`
	} `json:"annotations"`
	Templating struct {
		List []variable `json:"list"`
	} `json:"templating"`
	Panels []panel `json:"panels"`
}

type variable struct {
	Name       string          `json:"name"`
	Label      string          `json:"label"`
	Type       string          `json:"type"`
	Definition string          `json:"definition"`
	Query      json.RawMessage `json:"query"`
	Multi      bool            `json:"multi"`
	IncludeAll bool            `json:"includeAll"`
	AllValue   string          `json:"allValue"`
	Refresh    int             `json:"refresh"`
}

type panel struct {
	ID          int        `json:"id"`
	Type        string     `json:"type"`
	Title       string     `json:"title"`
	Description string     `json:"description"`
	Datasource  datasource `json:"datasource"`
	GridPos     struct{ H, W, X, Y int }
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []struct {
		RefID      string     `json:"refId"`
		Expr       string     `json:"expr"`
		Datasource datasource `json:"datasource"`
	} `json:"targets"`
}

type datasource struct{ Type, UID string }

// load reads the dashboard as it is shipped.
func load(t *testing.T) *dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/meridian.json")), &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

// expressions returns every PromQL expression of the dashboard by the name of its place.
func (d *dashboard) expressions() map[string]string {
	out := map[string]string{}
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			out[fmt.Sprintf("panel %q %s", p.Title, q.RefID)] = q.Expr
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			out[fmt.Sprintf("annotation %q", a.Name)] = a.Expr
		}
	}
	return out
}

// units are Grafana's names of the units we use.
var units = []string{"Bps", "bytes", "cps", "none", "percentunit", "reqps", "s", "short"}

// lint returns what the dashboard does against the conventions of Grafana's dashboard linter and our own.
func lint(d *dashboard) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if d.UID == "" || d.Title == "" || d.SchemaVersion != 39 || d.Editable || d.GraphTooltip != 1 {
		say("dashboard: needs uid, title, schemaVersion 39, not editable, shared crosshair")
	}
	out = append(out, lintVariables(d.Templating.List)...)
	ids := map[int]bool{}
	titles := map[string]bool{}
	for i, p := range d.Panels {
		if ids[p.ID] || titles[p.Type+p.Title] || p.Title == "" {
			say("panel %q: needs an id and a title of its own", p.Title)
		}
		ids[p.ID], titles[p.Type+p.Title] = true, true
		for _, o := range d.Panels[:i] {
			if overlap(p, o) {
				say("panel %q: lies over %q", p.Title, o.Title)
			}
		}
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W <= 0 || p.GridPos.H <= 0 {
			say("panel %q: is not within the 24 columns", p.Title)
		}
		if p.Type != "row" {
			out = append(out, lintPanel(p)...)
		}
	}
	for place, expr := range d.expressions() {
		out = append(out, lintExpression(place, expr)...)
	}
	slices.Sort(out)
	return out
}

func overlap(a, b panel) bool {
	p, q := a.GridPos, b.GridPos
	return p.X < q.X+q.W && q.X < p.X+p.W && p.Y < q.Y+q.H && q.Y < p.Y+p.H
}

func lintVariables(list []variable) []string {
	var out []string
	sources := 0
	found := map[string]bool{}
	for _, v := range list {
		found[v.Name] = true
		if v.Type == "datasource" {
			sources++
			if v.Name != "datasource" || v.Label != "Data Source" || string(v.Query) != `"prometheus"` {
				out = append(out, "variable datasource: needs its name, the label Data Source and the type prometheus")
			}
			continue
		}
		if !v.Multi || !v.IncludeAll || v.AllValue != ".+" || v.Refresh != 2 || v.Label == "" {
			out = append(out, fmt.Sprintf("variable %q: needs a label, multi, includeAll, allValue .+ and refresh on time change", v.Name))
		}
	}
	if sources != 1 || !found["job"] || !found["instance"] {
		out = append(out, "variables: one datasource, job and instance are needed")
	}
	return out
}

func lintPanel(p panel) []string {
	var out []string
	want := datasource{"prometheus", "${datasource}"}
	if p.Datasource != want {
		out = append(out, fmt.Sprintf("panel %q: needs the datasource variable", p.Title))
	}
	if p.Description == "" {
		out = append(out, fmt.Sprintf("panel %q: needs a description", p.Title))
	}
	if !slices.Contains(units, p.FieldConfig.Defaults.Unit) {
		out = append(out, fmt.Sprintf("panel %q: unit %q is not known", p.Title, p.FieldConfig.Defaults.Unit))
	}
	if len(p.Targets) == 0 {
		out = append(out, fmt.Sprintf("panel %q: needs a target", p.Title))
	}
	for _, q := range p.Targets {
		if q.Datasource != want || q.RefID == "" {
			out = append(out, fmt.Sprintf("panel %q %s: needs a refId and the datasource variable", p.Title, q.RefID))
		}
	}
	return out
}

var (
	selector = regexp.MustCompile(`\b((?:meridian|process|go)_[a-z0-9_]+|up)\{([^}]*)\}`)
	metric   = regexp.MustCompile(`\b(?:(?:meridian|process|go)_[a-z0-9_]+|up)\b`)
	counter  = regexp.MustCompile(`[a-z_]*\(?[a-z0-9_]+_(?:total|bucket)\{`)
	interval = regexp.MustCompile(`\[([^\]]*)\]`)
)

func lintExpression(place, expr string) []string {
	var out []string
	selectors := selector.FindAllStringSubmatch(expr, -1)
	bare := quoted.ReplaceAllString(expr, `""`)
	if len(selectors) == 0 || len(metric.FindAllString(bare, -1)) != len(selectors) {
		out = append(out, place+": a series without a selector")
	}
	for _, s := range selectors {
		if !strings.Contains(s[2], `job=~"$job"`) || !strings.Contains(s[2], `instance=~"$instance"`) {
			out = append(out, place+": "+s[1]+` needs job=~"$job", instance=~"$instance"`)
		}
	}
	for _, c := range counter.FindAllString(expr, -1) {
		if !strings.HasPrefix(c, "rate(") && !strings.HasPrefix(c, "increase(") {
			out = append(out, place+": the counter "+strings.TrimRight(c, "{")+" needs rate or increase")
		}
	}
	for _, r := range interval.FindAllStringSubmatch(expr, -1) {
		if r[1] != "$__rate_interval" {
			out = append(out, place+": the interval "+r[1]+" is fixed; use $__rate_interval")
		}
	}
	return out
}

func TestDashboardKeepsTheConventions(t *testing.T) {
	for _, problem := range lint(load(t)) {
		t.Error(problem)
	}
}

// Each rule of the linter is seen to fail on a dashboard that is wrong in one place.
func TestDashboardRulesAreSeenToFail(t *testing.T) {
	first := func(d *dashboard) *panel {
		return &d.Panels[slices.IndexFunc(d.Panels, func(p panel) bool { return p.Type == "timeseries" })]
	}
	for want, spoil := range map[string]func(*dashboard){
		"not editable":               func(d *dashboard) { d.Editable = true },
		"needs its name":             func(d *dashboard) { d.Templating.List[0].Label = "Source" },
		"one datasource, job":        func(d *dashboard) { d.Templating.List = slices.Delete(d.Templating.List, 1, 2) },
		"allValue .+":                func(d *dashboard) { d.Templating.List[1].AllValue = "" },
		"a title of its own":         func(d *dashboard) { first(d).ID = d.Panels[0].ID },
		"lies over":                  func(d *dashboard) { first(d).GridPos.X++ },
		"24 columns":                 func(d *dashboard) { first(d).GridPos.W = 25 },
		"needs the datasource":       func(d *dashboard) { first(d).Datasource.UID = "prometheus" },
		"needs a description":        func(d *dashboard) { first(d).Description = "" },
		`unit "furlong"`:             func(d *dashboard) { first(d).FieldConfig.Defaults.Unit = "furlong" },
		"needs a target":             func(d *dashboard) { first(d).Targets = nil },
		"needs a refId":              func(d *dashboard) { first(d).Targets[0].RefID = "" },
		"a series without":           func(d *dashboard) { first(d).Targets[0].Expr = `up{job=~"$job", instance=~"$instance"} + go_threads` },
		`up needs job=~"$job"`:       func(d *dashboard) { first(d).Targets[0].Expr = `up{instance=~"$instance"}` },
		"the counter meridian_x":     func(d *dashboard) { first(d).Targets[0].Expr = `meridian_x_total{job=~"$job", instance=~"$instance"}` },
		"the interval 5m is fixed":   func(d *dashboard) { first(d).Targets[0].Expr = `rate(up{job=~"$job", instance=~"$instance"}[5m])` },
		`annotation "Health change"`: func(d *dashboard) { d.Annotations.List[2].Expr = "up" },
	} {
		d := load(t)
		spoil(d)
		if got := strings.Join(lint(d), "\n"); !strings.Contains(got, want) {
			t.Errorf("want %q, got %q", want, got)
		}
	}
}

// What the board, steering, discovery and the votes report is on the dashboard.
func TestDashboardShowsWhatHealthReports(t *testing.T) {
	var all strings.Builder
	for _, expr := range load(t).expressions() {
		all.WriteString(expr + "\n")
	}
	for _, name := range []string{
		"meridian_health_up", "meridian_health_alive", "meridian_health_ejected", "meridian_health_ejections_total", "meridian_health_ordered",
		"meridian_health_edit_waiting", "meridian_origin_picks_total", "meridian_discovery_endpoints", "meridian_discovery_held",
		"meridian_discovery_looks_total", "meridian_discovery_old_sources", "meridian_votes_targets", "meridian_votes_voters",
		"meridian_votes_abstaining", "meridian_votes_received_total",
	} {
		if !strings.Contains(all.String(), name+"{") {
			t.Errorf("no panel shows %s", name)
		}
	}
}
