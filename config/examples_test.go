package config_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config"
)

const examples = "../deploy/examples/"

func readExample(t testing.TB, name string) []byte {
	t.Helper()
	src, err := os.ReadFile(examples + name)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// compare checks got against a file in testdata, or rewrites the file with -update.
func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs\n--- got ---\n%s\n--- want ---\n%s", path, got, want)
	}
}

func TestExamplesLoadCompletely(t *testing.T) {
	for _, name := range []string{"quickstart", "edge", "policies", "dns"} {
		t.Run(name, func(t *testing.T) {
			src := readExample(t, name+".yaml")
			cfg, warnings, err := config.Parse(name+".yaml", src, config.Env{
				Dir: "/etc/meridian", Hostname: "edge.example.org",
				ReadFile: func(path string) ([]byte, error) { return os.ReadFile(examples + filepath.Base(path)) },
			})
			if err != nil {
				t.Fatal(err)
			}
			data, err := json.MarshalIndent(cfg, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			compare(t, filepath.Join("testdata/examples", name+".json"), string(data)+"\n")
			var out strings.Builder
			warnings.Print(&out)
			compare(t, filepath.Join("testdata/examples", name+".warnings"), out.String())
		})
	}
}

func TestOnlyTheSetWithoutDefaultDeservesAWarning(t *testing.T) {
	for name, want := range map[string][]string{
		"quickstart": nil, "edge": nil, "dns": nil, "policies": {"zones.policy.test.records[10]"}, // geo-nodefault
	} {
		_, warnings, err := config.Load(examples + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range warnings {
			got = append(got, w.Path)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: warnings at %v, want %v", name, got, want)
		}
	}
}

func TestBrokenExampleHasExactlySevenMistakes(t *testing.T) {
	cfg, warnings, err := config.Parse("broken.yaml", readExample(t, "broken.yaml"), config.Env{Dir: "/etc/meridian"})
	var list config.Errors
	if !errors.As(err, &list) || cfg != nil || warnings != nil {
		t.Fatalf("cfg %v, warnings %v, error %v", cfg, warnings, err)
	}
	if len(list) != 7 {
		t.Errorf("%d mistakes, want 7", len(list))
	}
	var out strings.Builder
	list.Print(&out)
	compare(t, "testdata/examples/broken.txt", out.String())
}

// TestExampleZoneIsATextOfItsZone reads the file beside the example of DNS: the names in it, and those added to it, are not the same.
func TestExampleZoneIsATextOfItsZone(t *testing.T) {
	cfg, _, err := config.Load(examples + "dns.yaml")
	if err != nil {
		t.Fatal(err)
	}
	z := cfg.Zones[0]
	text, err := os.Open(z.File)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = text.Close() }()
	added := make(map[string]bool)
	for _, r := range z.Records {
		added[r.Name] = true
	}
	parser := dns.NewZoneParser(text, z.Name, z.File)
	count := 0
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		count++
		if name := rr.Header().Name; !dns.IsSubDomain(z.Name, name) || added[name] {
			t.Errorf("%s", rr)
		}
	}
	if err := parser.Err(); err != nil || count < 15 {
		t.Errorf("%d records, %v", count, err)
	}
}
