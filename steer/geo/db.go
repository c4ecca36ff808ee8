package geo

import (
	_ "embed"
	"fmt"
	"net/netip"
	"time"

	"github.com/meridian-edge/meridian/steer/geo/internal/packed"
)

//go:generate go run ./gen

//go:embed data/country.gz
var embedded string

// DB is a database of places. It is immutable and safe for concurrent use. The nil
// DB knows nobody.
type DB struct {
	// A database is either a packed table, whose labels are countries, or a file.
	table  *packed.Table
	places []Place // by label
	file   *file

	overrides *overrides // nil: none

	built  time.Time
	source string
}

// Embedded returns the country database in the binary: every public address that was
// announced on the day of Built, without cities and states. Private, loopback,
// documentation and other special-purpose addresses (RFC 6890) are unknown in it.
//
// Each call expands the data anew, which takes some 15 ms, 9 MB for the moment and 4 MB
// for as long as the database is in use: keep the result. Place then takes less than
// 100 ns and allocates nothing. An error means that the binary is damaged.
//
// Place.Bits is exact: the shortest prefix around the address whose addresses are all
// in the same country.
func Embedded() (*DB, error) {
	table, err := packed.Decode([]byte(embedded))
	if err != nil {
		return nil, fmt.Errorf("embedded geo database: %w", err)
	}
	return fromTable(table), nil
}

// fromTable makes a database of a table with country codes as labels. Codes that are
// no country's are unknown.
func fromTable(table *packed.Table) *DB {
	db := &DB{table: table, built: table.Built, source: table.Source}
	for _, code := range table.Labels() {
		var p Place
		if i := countryAt(code); i >= 0 {
			p = countries[i].place()
		}
		db.places = append(db.places, p)
	}
	return db
}

// Place returns where addr is. An IPv4 address mapped into IPv6 is looked up as IPv4,
// and its Bits count from there too; a zone is ignored. The zero Addr is nowhere.
func (db *DB) Place(addr netip.Addr) Place {
	addr = addr.Unmap()
	if db == nil || !addr.IsValid() {
		return Place{}
	}
	if db.overrides == nil {
		return db.data(addr)
	}
	found, bits := db.overrides.find(addr)
	if found == nil {
		p := db.data(addr)
		p.Bits = max(p.Bits, bits)
		return p
	}
	p := *found
	p.Bits = bits
	return p
}

// data is Place without overrides.
func (db *DB) data(addr netip.Addr) Place {
	switch {
	case db.table != nil:
		label, bits := db.table.Lookup(addr)
		p := db.places[label]
		p.Bits = bits
		return p
	case db.file != nil:
		return db.file.place(addr)
	default:
		return Place{}
	}
}

// Built returns when the data was made; the zero Time when db is nil.
func (db *DB) Built() time.Time {
	if db == nil {
		return time.Time{}
	}
	return db.built
}

// Source returns what the data is, in a few words for people: a name and a version, or
// the type and the name of a file.
func (db *DB) Source() string {
	if db == nil {
		return ""
	}
	return db.source
}
