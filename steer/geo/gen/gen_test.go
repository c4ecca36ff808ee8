package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/steer/geo/internal/mmdbtest"
	"github.com/meridian-edge/meridian/steer/geo/internal/packed"
)

const packageJSON = `{"name": "example", "version": "1.2.3", "license": "PDDL-1.0"}`

// npmFile makes a package file of the given files.
func npmFile(t *testing.T, files map[string][]byte) string {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Name: "package/" + name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "package.tgz")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// world returns a small internet that runs into special networks here and there.
func world() []byte {
	rng := rand.New(rand.NewPCG(5, 6))
	codes := []string{"GB", "US", "JP", "AP"}
	var networks []mmdbtest.Network
	add := func(p netip.Prefix) {
		networks = append(networks, mmdbtest.Network{Prefix: p.Masked(), Record: map[string]any{"country_code": codes[rng.IntN(len(codes))]}})
	}
	add(netip.MustParsePrefix("8.0.0.0/6")) // 10.0.0.0/8 is in it
	add(netip.MustParsePrefix("2000::/4"))  // as are 2001:db8::/32 and others
	for range 500 {
		add(netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())}), 8+rng.IntN(20)))
		// Those below 1:: would run into the IPv4 networks.
		add(netip.PrefixFrom(netip.AddrFrom16([16]byte{byte(1 + rng.UintN(255)), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), 15: 1}), 16+rng.IntN(113)))
	}
	return mmdbtest.Write(mmdbtest.File{Built: time.Date(2026, 6, 17, 0, 0, 0, 0, time.UTC)}, networks)
}

func TestPackedAgreesWithTheOriginal(t *testing.T) {
	data := world()
	path := npmFile(t, map[string][]byte{"package.json": []byte(packageJSON), "x.mmdb": data, "x-ipv4.mmdb": []byte("not used")})
	dir := t.TempDir()
	for _, sub := range []string{"data", "testdata"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(path, dir); err != nil {
		t.Fatal(err)
	}

	file, err := os.ReadFile(filepath.Join(dir, "data/country.gz"))
	if err != nil {
		t.Fatal(err)
	}
	table, err := packed.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.Source, "example 1.2.3") || !table.Built.Equal(time.Date(2026, 6, 17, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("header %v", table.Header)
	}
	original, err := readPackage(path)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for range 20000 {
		addr := netip.AddrFrom4([4]byte{byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32())})
		if rng.IntN(2) == 0 {
			addr = netip.AddrFrom16([16]byte{byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), byte(rng.Uint32()), 9: byte(rng.Uint32())})
		}
		want, err := original.country(addr)
		if err != nil {
			t.Fatal(err)
		}
		label, _ := table.Lookup(addr)
		if got := table.Labels()[label]; got != want {
			t.Fatalf("%s is in %q, want %q", addr, got, want)
		}
	}

	sample, err := os.ReadFile(filepath.Join(dir, "testdata/sample.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(sample, []byte("\n")); n < 500 || !bytes.Contains(sample, []byte("10.0.0.0 -\n")) {
		t.Errorf("sample of %d lines without 10.0.0.0", n)
	}
	readme, err := os.ReadFile(filepath.Join(dir, "data/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1.2.3", "2026-06-17", "PDDL-1.0", npmPackage} {
		if !bytes.Contains(readme, []byte(want)) {
			t.Errorf("README.md does not name %s", want)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	good := world()
	f := func(path, want string) {
		t.Helper()
		dir := t.TempDir()
		err := run(path, dir)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left %v behind", left)
		}
	}
	f(filepath.Join(t.TempDir(), "missing.tgz"), "missing.tgz")
	f(npmFile(t, map[string][]byte{"package.json": []byte(packageJSON), "x-ipv4.mmdb": good}), "no database of both families")
	f(npmFile(t, map[string][]byte{"package.json": []byte(`{"license": "CC-BY-4.0"}`), "x.mmdb": good}), `"CC-BY-4.0"`)
	f(npmFile(t, map[string][]byte{"package.json": []byte(packageJSON), "x.mmdb": good[:100]}), "x.mmdb")
	f(npmFile(t, map[string][]byte{"package.json": []byte(packageJSON), "x.mmdb": mmdbtest.Write(mmdbtest.File{}, []mmdbtest.Network{
		{Prefix: netip.MustParsePrefix("8.0.0.0/8"), Record: map[string]any{"country_code": uint32(1)}},
	})}), "pack")
}

// A packed file that says something else than the original does not get out.
func TestCompareFindsADifference(t *testing.T) {
	pkg, err := readPackage(npmFile(t, map[string][]byte{"package.json": []byte(packageJSON), "x.mmdb": world()}))
	if err != nil {
		t.Fatal(err)
	}
	networks, err := pkg.networks()
	if err != nil {
		t.Fatal(err)
	}
	changed := exclude(networks, pkg.holes)
	for i, n := range changed {
		if n.Label == "GB" {
			changed[i].Label = "FR"
			break
		}
	}
	var file bytes.Buffer
	if err := packed.Encode(&file, packed.Header{}, changed); err != nil {
		t.Fatal(err)
	}
	table, err := packed.Decode(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := compare(table, pkg, networks); err == nil || !strings.Contains(err.Error(), `"FR", not in "GB"`) {
		t.Errorf("compare: %v", err)
	}
}
