package yamldoc_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// read is a schema of everything there is to ask for.
func read(d *yamldoc.Document) (name string, timeout time.Duration) {
	o := d.Top().Object("name", "timeout", "size", "ratio", "count", "mode", "path", "on", "list", "rooms")
	o.Need("name")
	o.Name("name", &name)
	o.Duration("timeout", &timeout, time.Second, time.Hour)
	var (
		size  int64
		ratio float64
		count int
		text  string
		on    bool
	)
	o.Size("size", &size, 1, 1<<30)
	o.Number("ratio", &ratio, 0, 1)
	o.Integer("count", &count, 0, 10)
	o.Enum("mode", &text, "fast", "slow")
	o.File("path", &text)
	o.Boolean("on", &on)
	if list, found := o.Get("list"); found {
		items, _ := list.Items()
		for _, item := range items {
			item.Text()
		}
	}
	for _, room := range o.Named("rooms") {
		room.Object("name")
	}
	return name, timeout
}

func TestSmallFormsOfYAMLAreRefused(t *testing.T) {
	for src, want := range map[string]string{
		"name: a\nname: b\n":                        "f.yaml:2:1: name: duplicate key, first in line 1",
		"name: !!str a\n":                           "f.yaml:1:7: name: YAML tags are not supported",
		"x: &x {name: a}\n<<: *x\nname: b\n":        "f.yaml:2:1: <<: merge keys are not supported",
		"name: a\n---\nname: b\n":                   "f.yaml:2:1: a second document",
		"name: &a [*a]\n":                           "f.yaml:1:11: alias *a contains itself",
		"name: a\nlist: " + strings.Repeat("[", 99): "nested deeper than 64 levels",
		"nmae: a\n":                                 "f.yaml:1:1: nmae: unknown key",
		"name: ~\n":                                 "f.yaml:1:1: name: has no value",
		"[name]\n":                                  "f.yaml:1:1: must be a mapping (key: value), not a list",
	} {
		d, ok := yamldoc.Parse("f.yaml", []byte(src), yamldoc.Env{})
		if ok {
			read(d)
		}
		if !d.Failed() || !strings.Contains(d.Errors().Error(), want) {
			t.Errorf("%q: %v, want %s", src, d.Errors(), want)
		}
	}
}

func TestReferencesNeverBecomeStructure(t *testing.T) {
	secret := "a, timeout: 5s}\n"
	d, ok := yamldoc.Parse("f.yaml", []byte(`{name: "${N}"}`), yamldoc.Env{
		Lookup: func(string) (string, bool) { return secret, true },
	})
	if !ok {
		t.Fatal(d.Errors())
	}
	if name, timeout := read(d); name != "" || timeout != 0 {
		t.Errorf("read %q and %v", name, timeout)
	}
	if list := d.Errors(); len(list) != 1 || strings.Contains(list[0].Detail(), "timeout") {
		t.Errorf("reported %v", list)
	}
}

func TestSumFollowsReferences(t *testing.T) {
	sum := func(value string) string {
		d, _ := yamldoc.Parse("f.yaml", []byte(`name: "${N}"`), yamldoc.Env{
			Lookup: func(string) (string, bool) { return value, true },
		})
		return d.Sum()
	}
	first, again, other := sum("a"), sum("a"), sum("b")
	if first != again || first == other || len(first) != 64 {
		t.Errorf("sums %s, %s and %s", first, again, other)
	}
}

func ExampleParse() {
	d, ok := yamldoc.Parse("f.yaml", []byte("name: a\ntimeot: 5s\n"), yamldoc.Env{})
	if ok {
		read(d)
	}
	d.Errors().Print(os.Stdout)
	// Output:
	// f.yaml:2:1: timeot: unknown key
	//   | timeot: 5s
	//   | ^^^^^^ did you mean "timeout"?
}

// FuzzParse checks that no text can crash the reading, and that each mistake has a place in the text.
func FuzzParse(f *testing.F) {
	for _, src := range []string{
		"name: a\ntimeout: 5s\nsize: 1MiB\nratio: .5\ncount: 3\nmode: fast\npath: x\non: off\nlist: [a, \"b\", 'c']\n",
		"name: ${N}\nrooms: {a: &a {name: x}, b: *a, \"\": *a}\n", "name: |\n  ${file:x}\n", "a: [", "\xff", "? x", "<<: {}",
	} {
		f.Add([]byte(src))
	}
	env := yamldoc.Env{
		Lookup:   func(name string) (string, bool) { return name, true },
		ReadFile: func(path string) ([]byte, error) { return []byte(path), nil },
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		d, ok := yamldoc.Parse("f.yaml", src, env)
		if ok {
			read(d)
		} else if !d.Failed() {
			t.Fatal("not readable, and no mistake")
		}
		lines := len(src) + 1
		for _, m := range d.Errors() {
			if m.Message == "" || m.Detail() == "" || m.Line < 0 || m.Line > lines || m.Line > 0 && m.Column < 1 {
				t.Fatalf("mistake %+v", *m)
			}
		}
	})
}
