package zone

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
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

// TestAFileIsNotReadAtEachLook: one that was young, or has been touched, is read once more and then left alone. That it was not read shows
// in a change that the file system does not tell of.
func TestAFileIsNotReadAtEachLook(t *testing.T) {
	for _, test := range []struct {
		name   string
		before time.Duration // how old the file is when it is read first
		touch  bool
	}{
		{"young", 0, false},
		{"touched", time.Hour, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "a.zone")
				modified := time.Now().Add(-test.before)
				write := func(serial int) {
					text := fmt.Sprintf("@ 5 SOA ns1.example.net. host %d 7200 3600 1209600 300\n@ 5 NS ns1.example.net.\n", serial)
					if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chtimes(path, modified, modified)); err != nil {
						t.Fatal(err)
					}
				}
				l := NewLoader(LoaderOptions{Dir: filepath.Dir(path)})
				load := func(previous *Zones) *Zones {
					z, err := l.Load(t.Context(), previous, []Source{{"a.example", "a.zone"}})
					if err != nil {
						t.Fatal(err)
					}
					return z
				}
				write(1)
				first := load(nil)
				time.Sleep(settle + time.Second)
				if test.touch {
					modified = modified.Add(time.Minute)
					write(1)
				}
				if z := load(first); z.list[0].Changed || z.list[0].Data != first.list[0].Data {
					t.Error("changed, without a change")
				}
				write(2)
				if z := load(first); z.list[0].Changed {
					t.Error("read again")
				}
				if z, err := l.LoadOne(first, first.list[0].Origin); err != nil || z != first {
					t.Error("read again:", err)
				}
			})
		})
	}
}
