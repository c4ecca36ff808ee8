package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoadReadsVariablesAndFilesOfTheProcess(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "name"), "edge-7\n")
	write(t, filepath.Join(dir, "meridian.yaml"), `version: 1
edge: {name: "${file:name}"}
state_dir: "${MERIDIAN_TEST_STATE}/x"
log: {access: "logs/$${literal}"}
`)
	t.Setenv("MERIDIAN_TEST_STATE", "/var/lib")
	cfg, _, err := config.Load(filepath.Join(dir, "meridian.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		cfg.Edge.Name:  "edge-7", // without the file's last line break
		cfg.StateDir:   "/var/lib/x",
		cfg.Log.Access: filepath.Join(dir, "logs/${literal}"),
		cfg.File:       filepath.Join(dir, "meridian.yaml"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestRelativePathsStartFromTheFolderOfTheFile(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "m.yaml"), "version: 1\nlisteners: {admin: [\"unix:./run/a.sock\"]}\n")
	t.Chdir(dir)
	cfg, _, err := config.Load("m.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "run/a.sock"); cfg.Listeners.Admin[0] != want {
		t.Errorf("socket %q, want %q", cfg.Listeners.Admin[0], want)
	}
	if want := filepath.Join(dir, "state"); cfg.StateDir != want {
		t.Errorf("state %q, want %q", cfg.StateDir, want)
	}
}

func TestUnreadableFilesAreMistakes(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.yaml")
	write(t, large, "version: 1\n"+strings.Repeat("# a comment\n", 16<<20/12+1))
	write(t, filepath.Join(dir, "secret"), strings.Repeat("x", 64<<10+1))
	secret := filepath.Join(dir, "secret.yaml")
	write(t, secret, "version: 1\nedge: {name: \"${file:secret}\"}\n")
	for path, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "cannot be read: no such file or directory",
		dir:                             "cannot be read: is a directory",
		large:                           "the file is larger than 16MiB",
		secret:                          "${file:secret}: the file is larger than 64KiB",
	} {
		_, _, err := config.Load(path)
		var list config.Errors
		if !errors.As(err, &list) || len(list) != 1 || list[0].Message != want || list[0].File != path {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestSumFollowsTheFileAndWhatItRefersTo(t *testing.T) {
	sum := func(src, a, b string) string {
		cfg, _, mistakes := parse(src, map[string]string{"A": a, "B": b})
		if mistakes != nil {
			t.Fatal(mistakes)
		}
		return cfg.Sum
	}
	src := "version: 1\nedge: {name: \"${A}\"}\nlog: {access: \"${B}\"}\n"
	base := sum(src, "x", "y")
	if len(base) != 64 || base != sum(src, "x", "y") {
		t.Errorf("sum %q is not stable", base)
	}
	for _, other := range []string{sum(src, "x", "z"), sum(src+"#\n", "x", "y"), sum(src, "xy", "y"), sum(src, "y", "x")} {
		if other == base {
			t.Error("different content has an equal sum")
		}
	}
}

func TestMistakesAreBounded(t *testing.T) {
	_, _, mistakes := parse("version: 1\nlisteners: {http: ["+strings.Repeat("x,", 5000)+"]}\n", nil)
	if len(mistakes) != 1001 || !strings.Contains(mistakes.Error(), "more than 1000 mistakes") {
		t.Errorf("%d mistakes", len(mistakes))
	}
}

func TestInvalidTextIsRefused(t *testing.T) {
	for src, at := range map[string]string{
		"version: 1\nedge: {name: \"\xff\"}\n":         "meridian.yaml:2:15: ",
		"version: 1\nedge: {name: \"\x00\"}\n":         "meridian.yaml:2:15: ",
		"version: 1\r\nedge: {name: ü\x01}\n":          "meridian.yaml:2:15: ",
		"\xff\xfev\x00e\x00r\x00s\x00i\x00o\x00n\x00:": "meridian.yaml:1:1: ",
	} {
		if _, _, mistakes := parse(src, nil); len(mistakes) != 1 || !strings.HasPrefix(mistakes.Error(), at) {
			t.Errorf("%q: %v, want %s", src, mistakes, at)
		}
	}
}

func TestLongLinesAreClippedAroundTheCaret(t *testing.T) {
	_, _, mistakes := parse("version: 1\nedge: {name: a, "+strings.Repeat(" ", 500)+"rgion: x"+strings.Repeat(" ", 500)+"}\n", nil)
	if len(mistakes) != 1 {
		t.Fatal(mistakes)
	}
	lines := strings.Split(mistakes[0].Detail(), "\n")
	if len(lines[1]) > 180 || strings.Index(lines[1], "rgion") != strings.Index(lines[2], "^^^^^") {
		t.Errorf("caret is not below the key:\n%s\n%s", lines[1], lines[2])
	}
}

func TestLookupsFindByName(t *testing.T) {
	cfg, _, mistakes := parse(allKeys, nil)
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	if p, ok := cfg.Pool("site/url"); !ok || !p.Endpoints[0].TLS || p.Endpoints[0].Host != "origin.example.org" || p.Endpoints[0].Port != 8443 {
		t.Errorf("pool of an origin's url: %+v, %v", p, ok)
	}
	if k, ok := cfg.Check("accelerators.tcp.groups[1].check"); !ok || !k.Inline || k.Type != "tcp" {
		t.Errorf("inline check: %+v, %v", k, ok)
	}
	if r, ok := cfg.Region("us"); !ok || r.Lat != 3 {
		t.Errorf("region: %+v, %v", r, ok)
	}
	if d, ok := cfg.Distribution("site"); !ok || len(d.Behaviors) != 2 {
		t.Errorf("distribution: %+v, %v", d, ok)
	}
	_, pool := cfg.Pool("none")
	_, check := cfg.Check("none")
	_, region := cfg.Region("none")
	_, dist := cfg.Distribution("none")
	if pool || check || region || dist {
		t.Error("found what is not there")
	}
}

// TestDefaults checks what the comments of the types promise for everything that a file does not say.
func TestDefaults(t *testing.T) {
	cfg, _, mistakes := parse(`version: 1
checks:
  c: {type: http}
  fast: {type: tcp, interval: 1s}
pools:
  p: {check: c, endpoints: [{address: "192.0.2.1:80"}]}
distributions:
  d:
    domains: [D.example.org]
    origins: {o: {url: "https://Origin.Example.ORG"}}
    behaviors:
      - {path: /a, cache: {profile: cloudfront}}
      - {path: /b, cache: {profile: cloudfront, max_ttl: 1h}}
      - {path: "*", cache: off}
zones:
  Example.org: {nameservers: [NS1.example.net], records: [{name: a, type: a, values: [192.0.2.1]}]}
`, nil)
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	c, fast := cfg.Checks[0], cfg.Checks[1]
	b := cfg.Distributions[0].Behaviors
	o := cfg.Distributions[0].Origins[0]
	z := cfg.Zones[0]
	check := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	check("edge.name", cfg.Edge.Name, "meridian")
	check("state_dir", cfg.StateDir, "/etc/meridian/state")
	check("cache", cfg.Cache.Memory, 256<<20)
	check("log", cfg.Log, config.Log{Level: "info", Format: "auto", Access: "stdout"})
	check("limits.body_bytes", cfg.Limits.BodyBytes, 100<<20)
	check("check", []any{c.Path, c.Expect, c.Interval, c.Timeout, c.Rise, c.Fall, c.Verify},
		[]any{"/", []config.StatusRange{{From: 200, To: 399}}, 10 * time.Second, 2 * time.Second, 2, 3, false})
	check("timeout below a short interval", fast.Timeout, 500*time.Millisecond)
	check("pool", []any{cfg.Pools[0].Policy, cfg.Pools[0].Endpoints[0].Weight}, []any{"simple", 1})
	check("origin", []any{o.Pool, o.ConnectTimeout, o.ReadTimeout, o.TLSServerName},
		[]any{"d/o", time.Second, 15 * time.Second, "origin.example.org"})
	check("url's port", cfg.Pools[1].Endpoints[0].Port, 443)
	check("behavior", []any{b[0].Origin, b[0].Methods, b[0].Cache.StaleIfError, b[0].Cache.KeyQuery.All},
		[]any{"o", []string{"GET", "HEAD", "OPTIONS"}, time.Hour, true})
	check("cloudfront", []any{b[0].Cache.MinTTL, b[0].Cache.DefaultTTL, b[0].Cache.MaxTTL},
		[]any{time.Duration(0), 24 * time.Hour, 365 * 24 * time.Hour})
	check("cloudfront with a low maximum", b[1].Cache.DefaultTTL, time.Hour)
	check("cache off", b[2].Cache.Off, true)
	check("zone", []any{z.Name, z.Nameservers, z.TTL, z.NegativeTTL, z.Hostmaster},
		[]any{"example.org.", []string{"ns1.example.net."}, 5 * time.Minute, time.Minute, "hostmaster.example.org."})
	check("record", []any{z.Records[0].Name, z.Records[0].Type, z.Records[0].TTL, z.Records[0].Policy},
		[]any{"a.example.org.", "A", 5 * time.Minute, "simple"})
}

func TestAliasesInheritTheSmallestTTLTheyCanBeAnsweredWith(t *testing.T) {
	cfg, _, mistakes := parse(`version: 1
zones:
  example.org:
    nameservers: [ns1.example.net]
    records:
      - {name: "@", type: A, alias: {record: split}}
      - {name: split, type: A, policy: weighted, answers: [{id: a, weight: 1, alias: {record: a}}, {id: b, weight: 1, alias: {record: b}}]}
      - {name: a, type: A, ttl: 20s, values: [192.0.2.1]}
      - {name: b, type: A, ttl: 10s, values: [192.0.2.1]}
`, nil)
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	for i, want := range []time.Duration{10 * time.Second, 10 * time.Second, 20 * time.Second, 10 * time.Second} {
		if got := cfg.Zones[0].Records[i].TTL; got != want {
			t.Errorf("record %d: TTL %v, want %v", i, got, want)
		}
	}
}

func ExampleParse() {
	_, _, err := config.Parse("meridian.yaml", []byte("version: 1\nlisteners:\n  htp: [\"127.0.0.1:8080\"]\n"), config.Env{})
	var list config.Errors
	if errors.As(err, &list) {
		list.Print(os.Stdout)
	}
	// Output:
	// meridian.yaml:3:3: listeners.htp: unknown key
	//   |   htp: ["127.0.0.1:8080"]
	//   |   ^^^ did you mean "http"?
}

func TestSlicesAreOnUnlessToldOtherwise(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.yaml")
	write(t, path, `version: 1
listeners: {http: ["127.0.0.1:8080"]}
distributions:
  site:
    domains: [a.example.org]
    origins: {app: {url: "http://192.0.2.1"}}
    behaviors:
      - {path: /off, cache: {slices: off}}
      - {path: /on, cache: {slices: on}}
      - {path: "*", cache: on}
`)
	cfg, _, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, off := range []bool{true, false, false} {
		if got := cfg.Distributions[0].Behaviors[i].Cache.NoSlices; got != off {
			t.Errorf("behavior %d: %v", i, got)
		}
	}
}
