package geo

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"sync"

	"github.com/oschwald/maxminddb-golang/v2"
)

const (
	// maxFile is the largest database file that Open reads, in bytes. City databases of
	// both families are some 150 MB.
	maxFile = 1 << 30
	// probes is how many networks Open looks through for a first place.
	probes = 10000
)

// Open reads the MaxMind DB file at path, of at most 1 GiB, into memory: a file that is
// cut or overwritten in place later does no harm. It knows the nested layout of MaxMind
// and DB-IP (country.iso_code, continent.code, subdivisions[].iso_code,
// location.latitude, city.names.en) and the flat one of the npm packages
// (country_code, state1, city, latitude).
//
// The file has the last word: a private network that it places somewhere is there. But
// countries that ISO 3166-1 does not have are unknown, and the continent of a known
// country is Continent's, whatever the file says.
//
// Place.Bits is the length of the file's own network around the address. Those
// networks tile, as leaves of one tree, but a neighbour may be in the same Place.
// An address whose record is damaged is unknown, with all its bits decisive.
//
// Open fails when the file cannot be read, is no such database, or holds no places, as
// a database of AS numbers does. It does not read all of the file's records: use the
// publisher's checksum against damage.
func Open(path string) (*DB, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("open geo database: %w", err)
	}
	f, err := newFile(data)
	if err != nil {
		return nil, fmt.Errorf("open geo database %q: %w", path, err)
	}
	return &DB{
		file:   f,
		built:  f.reader.Metadata.BuildTime().UTC(),
		source: fmt.Sprintf("%s (%s)", f.reader.Metadata.DatabaseType, filepath.Base(path)),
	}, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%q is no regular file of at most %d bytes", path, maxFile)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return data, nil
}

// file is a MaxMind DB file in memory.
type file struct {
	reader  *maxminddb.Reader
	records sync.Pool // of *record, which would be one allocation for each lookup
}

// newFile makes a file of its bytes, which nobody may change from then on.
func newFile(data []byte) (*file, error) {
	reader, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, err
	}
	f := &file{reader: reader}
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

// check finds out whether the file is of a version that the reader knows and has
// places in it; an ASN database, say, has the same format.
func (f *file) check() error {
	m := f.reader.Metadata
	if m.BinaryFormatMajorVersion != 2 || m.IPVersion != 4 && m.IPVersion != 6 ||
		m.RecordSize != 24 && m.RecordSize != 28 && m.RecordSize != 32 {
		return fmt.Errorf("unknown version: format %d, IP version %d, record size %d",
			m.BinaryFormatMajorVersion, m.IPVersion, m.RecordSize)
	}
	n := 0
	// Networks without data and aliases count too: a damaged tree may have more of them
	// than anyone can go through, and the reader passes over them in silence.
	for result := range f.reader.Networks(maxminddb.IncludeNetworksWithoutData(), maxminddb.IncludeAliasedNetworks()) {
		place, err := f.decode(result)
		if err != nil {
			return err
		}
		if place.Continent != "" || place.Point.Known() {
			return nil
		}
		if n++; n == probes {
			break
		}
	}
	return fmt.Errorf("no place in the first %d networks of type %q", n, m.DatabaseType)
}

// place looks an address up.
func (f *file) place(addr netip.Addr) Place {
	if addr.Is6() && f.reader.Metadata.IPVersion == 4 {
		return Place{}
	}
	result := f.reader.Lookup(addr)
	place, err := f.decode(result)
	if err != nil {
		return Place{Bits: addr.BitLen()}
	}
	// In a tree for both families the leaf may lie above all of IPv4; the reader then
	// gives an IPv6 prefix.
	if p := result.Prefix(); p.Addr().BitLen() == addr.BitLen() {
		place.Bits = p.Bits()
	}
	return place
}

// decode reads the record of a lookup; no record is no place.
func (f *file) decode(result maxminddb.Result) (Place, error) {
	if !result.Found() {
		return Place{}, result.Err()
	}
	r, ok := f.records.Get().(*record)
	if !ok {
		r = new(record)
	}
	*r = record{left: maxRecord}
	err := result.Decode(r)
	place := r.place()
	f.records.Put(r)
	if err != nil {
		return Place{}, fmt.Errorf("record of %s: %w", result.Prefix(), err)
	}
	return place, nil
}
