package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/meridian-edge/meridian/config"
)

// FuzzParse checks that no file can crash the loader or get half a configuration out of it.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{examples + "*.yaml", "testdata/bad/*.txt", "testdata/warn/*.txt"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte(allKeys))
	f.Add([]byte(dnsKeys))
	env := config.Env{
		Dir:      "/etc/meridian",
		Lookup:   func(name string) (string, bool) { return name, name != "" },
		ReadFile: func(path string) ([]byte, error) { return []byte(path), nil },
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		cfg, warnings, err := config.Parse("fuzz.yaml", src, env)
		if (cfg == nil) != (err != nil) {
			t.Fatalf("config %v with error %v", cfg, err)
		}
		var list config.Errors
		if err != nil && (!errors.As(err, &list) || len(list) == 0) {
			t.Fatalf("error without mistakes: %v", err)
		}
		for _, m := range append(list, warnings...) {
			if m.Message == "" || m.Detail() == "" || m.Line < 0 || m.Line > 0 && m.Column < 1 {
				t.Fatalf("mistake %+v", *m)
			}
		}
		if _, again, _ := config.Parse("fuzz.yaml", src, env); again.String() != warnings.String() {
			t.Fatal("the same file gives other warnings")
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, name := range []string{"quickstart", "edge", "policies", "broken"} {
		b.Run(name, func(b *testing.B) {
			src := readExample(b, name+".yaml")
			b.ReportAllocs()
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				_, _, _ = config.Parse("meridian.yaml", src, config.Env{Dir: "/etc/meridian"})
			}
		})
	}
}
