package zone

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestAFileThatChangesWhileItIsReadIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	text := "@ 5 SOA ns1.example.net. host %d 7200 3600 1209600 300\n@ 5 NS ns1.example.net.\n"
	serial := 1
	write := func(string) {
		if err := os.WriteFile(filepath.Join(dir, "new"), fmt.Appendf(nil, text, serial), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "a.zone")); err != nil {
			t.Fatal(err)
		}
	}
	load := func(previous *Zones, changes int) (*Loaded, *Zones) {
		l := NewLoader(LoaderOptions{Dir: dir})
		l.during = func(name string) {
			if changes > 0 {
				changes, serial = changes-1, serial+1
				write(name)
			}
		}
		z, err := l.Load(t.Context(), previous, []Source{{"a.example", "a.zone"}})
		if err != nil {
			t.Fatal(err)
		}
		for loaded := range z.All() {
			return loaded, z
		}
		return nil, nil
	}
	write("")
	first, z := load(nil, 2)
	if first.Err != nil || first.Data.Serial() != 3 {
		t.Fatalf("%+v", first)
	}
	serial++
	write("")
	if got, _ := load(z, 100); !errors.Is(got.Err, errChanged) || got.Data != first.Data {
		t.Errorf("%+v", got)
	}
}
