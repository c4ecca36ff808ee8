//go:build linux

package disk_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/cache/disk"
)

// TestF15NoDamagedByteIsServed changes files at random: bits, lengths, blocks of zeros, parts of other files. Whatever is returned after that
// is what was stored.
func TestF15NoDamagedByteIsServed(t *testing.T) {
	x := opened(t, t.TempDir(), nil, nil)
	served, refused := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		for range 20 {
			size := rapid.SampledFrom([]int{0, 1, 3000, 65_536, 65_537, 200_000}).Draw(r, "size")
			body := content(uint64(size), size)
			x.put(numbered(1), 1, "metadata", body)
			spoil(r, only(t, x.path))
			if intact(r, x, body) {
				served++
			} else {
				refused++
			}
		}
	})
	t.Logf("%d files were served all the same, %d were not", served, refused)
	if refused < served {
		t.Error("the damage was not where it would have been seen")
	}
}

// spoil damages a file.
func spoil(r *rapid.T, file string) {
	b, err := os.ReadFile(file)
	if err != nil {
		r.Fatal(err)
	}
	at := rapid.OneOf(rapid.IntRange(0, len(b)-1), rapid.IntRange(0, 200)).Draw(r, "at")
	switch rapid.SampledFrom([]string{"bit", "cut", "longer", "zeros", "torn"}).Draw(r, "how") {
	case "bit":
		b[at] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
	case "cut":
		b = b[:at]
	case "longer":
		b = append(b, make([]byte, rapid.IntRange(1, 5000).Draw(r, "more"))...)
	case "zeros":
		clear(b[at:min(len(b), at+rapid.SampledFrom([]int{512, 4096, 65_536}).Draw(r, "length"))])
	case "torn": // a page that another file had before
		copy(b[at&^4095:min(len(b), at&^4095+4096)], content(99, 4096))
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		r.Fatal(err)
	}
}

// intact reads the object by both ways and reports whether it was served whole. A wrong byte fails the test.
func intact(r *rapid.T, x *tier, body []byte) bool {
	found, err := x.Find(numbered(1))
	if err != nil {
		r.Fatal(err)
	}
	if len(found) == 0 {
		return false
	}
	o := found[0]
	defer o.Close()
	if string(o.Meta()) != "metadata" || o.Size() != int64(len(body)) {
		r.Fatalf("meta %q, size %d", o.Meta(), o.Size())
	}
	for _, w := range []interface {
		Write([]byte) (int, error)
		Bytes() []byte
		Len() int
	}{&sender{}, &bytes.Buffer{}} {
		n, err := o.WriteRange(w, 0, o.Size())
		if n != int64(w.Len()) || !bytes.Equal(w.Bytes(), body[:n]) {
			r.Fatalf("wrong bytes among the first %d", n)
		}
		if err != nil {
			if !errors.Is(err, disk.ErrCorrupt) {
				r.Fatal(err)
			}
			if x.Has(numbered(1)) {
				r.Fatal("it is still there")
			}
			return false
		}
	}
	p := make([]byte, len(body))
	if _, err := o.ReadAt(p, 0); err != nil || !bytes.Equal(p, body) {
		r.Fatal("ReadAt:", err)
	}
	return true
}

// TestF15DamageIsCountedByReason has one case for each reason.
func TestF15DamageIsCountedByReason(t *testing.T) {
	bubble(t, func(t *testing.T) {
		registry := prometheus.NewPedanticRegistry()
		x := open(t, t.TempDir(), func(o *disk.Options) { o.Registerer = registry })
		body := content(1, 200_000)
		flip := func(at int64) func(string) {
			return func(file string) {
				f, err := os.OpenFile(file, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				var b [1]byte
				f.ReadAt(b[:], at)
				b[0] ^= 1
				f.WriteAt(b[:], at)
			}
		}
		for reason, spoil := range map[string]func(file string){
			"head":      flip(30),
			"meta":      flip(80 + 8),
			"table":     flip(4096 - 5),
			"block":     flip(4096 + 150_000),
			"truncated": func(file string) { os.Truncate(file, 100_000) },
			"missing":   func(file string) { os.Remove(file) },
			"foreign": func(file string) {
				other := disk.Render(item(numbered(2), 0, "m", body, nil))
				os.WriteFile(file, other, 0o600)
			},
		} {
			x.put(numbered(1), 0, "m", body)
			spoil(only(t, x.path))
			if o := x.one(numbered(1)); o != nil {
				_, err := o.WriteRange(&bytes.Buffer{}, 0, o.Size())
				if !errors.Is(err, disk.ErrCorrupt) {
					t.Errorf("%s: %v", reason, err)
				}
				o.Close()
			}
			x.missing(numbered(1))
			if objects, _ := files(t, x.path); len(objects) > 0 {
				t.Errorf("%s: the file is still there", reason)
			}
			if n := counted(t, registry, "meridian_cache_disk_corrupt_total", reason); n != 1 {
				t.Errorf("%s: counted %v times", reason, n)
			}
		}
		if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
			t.Error(problems, err)
		}
	})
}

// counted returns a counter with one label.
func counted(t *testing.T, g prometheus.Gatherer, name, label string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no %s of %s", name, label)
	return 0
}

// FuzzDiskRecord feeds the parser of files. What it takes for sound must be a file that we write in the same way.
func FuzzDiskRecord(f *testing.F) {
	for _, n := range []int{0, 10, 70_000} {
		f.Add(disk.Render(item(key("/path", "+more"), 7, "metadata", content(1, n), nil)))
	}
	f.Add([]byte("MERIDISK"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, variant, meta, body, err := disk.Parse(b)
		if err != nil {
			if !errors.Is(err, disk.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		again := disk.Render(disk.Item{Key: k, Variant: variant, Meta: meta, Size: int64(len(body)),
			Body: func(off int64) []byte { return body[off:] }})
		k2, variant2, meta2, body2, err := disk.Parse(again)
		if err != nil || k2 != k || variant2 != variant || !bytes.Equal(meta, meta2) || !bytes.Equal(body, body2) {
			t.Fatal("what was read is not what is written", err)
		}
	})
}

// FuzzDiskName feeds the parser of names.
func FuzzDiskName(f *testing.F) {
	f.Add("0123456789abcdef-0123456789abcdef-0123456789abcdef-00000001")
	f.Fuzz(func(t *testing.T, s string) {
		if again, ok := disk.ParseName(s); ok && again != s {
			t.Fatalf("%q was read as %q", s, again)
		}
	})
}

// TestA06LinksAreNeverFollowed plants links and other things where files and directories are, before and while the tier runs.
func TestA06LinksAreNeverFollowed(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	for name, plant := range map[string]func(file string) error{
		"symlink to a file": func(file string) error { return os.Symlink(outside, file) },
		"symlink to a twin": func(file string) error {
			return errors.Join(os.WriteFile(file+"x", must(os.ReadFile(outside)), 0o600), os.Symlink(filepath.Base(file)+"x", file))
		},
		"dangling symlink": func(file string) error { return os.Symlink(outside+"-nowhere", file) },
		"hard link":        func(file string) error { return os.Link(outside, file) },
		"pipe":             pipe,
		"directory":        func(file string) error { return os.Mkdir(file, 0o700) },
		"full directory":   func(file string) error { return os.MkdirAll(filepath.Join(file, "more"), 0o700) },
		"symlink to a directory": func(file string) error {
			dir := filepath.Dir(file)
			elsewhere := filepath.Join(filepath.Dir(outside), "elsewhere")
			return errors.Join(os.RemoveAll(elsewhere), os.Mkdir(elsewhere, 0o700), os.RemoveAll(dir), os.Symlink(elsewhere, dir),
				os.WriteFile(filepath.Join(elsewhere, filepath.Base(file)), must(os.ReadFile(outside)), 0o600))
		},
	} {
		for _, running := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					x := open(t, t.TempDir(), nil)
					x.put(numbered(1), 0, "m", content(1, 1000))
					file := only(t, x.path)
					sound := must(os.ReadFile(file))
					if err := os.WriteFile(outside, sound, 0o600); err != nil { // it would pass every other check
						t.Fatal(err)
					}
					if !running {
						x.close()
					}
					if err := errors.Join(os.Remove(file), plant(file)); err != nil {
						t.Fatal(err)
					}
					if !running {
						x = open(t, x.path, nil)
					}
					if name != "symlink to a directory" || !running { // an open directory stays the one it was
						x.missing(numbered(1))
					}
					if !bytes.Equal(must(os.ReadFile(outside)), sound) {
						t.Error("the file outside was changed")
					}
					x.Remove(numbered(1), 0)
					x.put(numbered(2), 0, "m", content(2, 1000)) // goes on
					x.wants(numbered(2), "m", content(2, 1000))
					if s := x.Stats(); s.Failing != nil {
						t.Error(s.Failing)
					}
				})
			})
		}
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
