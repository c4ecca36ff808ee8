package geo

import (
	"strconv"

	"github.com/oschwald/maxminddb-golang/v2/mmdbdata"
)

const (
	// maxRecord is how many map entries of one record are looked at, all levels together;
	// the fullest records of City databases have some 120.
	maxRecord = 4096
	// maxText is the longest text taken from a record, in bytes.
	maxText = 1024
)

// record collects what a record of either layout tells. Values of kinds that it does
// not expect are left out, not refused: other vendors use the same names for other
// things.
type record struct {
	country     int // index into countries + 1
	continent   string
	subdivision string // a code
	state       string // a name
	city        string
	lat, lon    float64
	hasLat      bool
	hasLon      bool

	left int // map entries that may still be looked at
}

func (r *record) place() Place {
	var p Place
	if r.country > 0 {
		p = countries[r.country-1].place()
	} else if isContinent(r.continent) {
		p.Continent = r.continent
	}
	p.City = r.city
	p.Subdivision = r.subdivision
	if p.Subdivision == "" && p.Country == "US" {
		p.Subdivision = stateCode(r.state)
	}
	// Nobody lives at 0, 0: it stands for "unknown" in some files.
	if r.hasLat && r.hasLon && (r.lat != 0 || r.lon != 0) {
		if point := At(r.lat, r.lon); point.Known() {
			p.Point = point
		}
	}
	return p
}

// UnmarshalMaxMindDBCursor implements mmdbdata.CursorUnmarshaler.
func (r *record) UnmarshalMaxMindDBCursor(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	return r.each(c, r.top)
}

// visit takes the value of a key, and returns the cursor after it.
type visit func(key []byte, c mmdbdata.Cursor) (mmdbdata.Cursor, error)

// each visits the entries of a map; anything else is skipped.
func (r *record) each(c mmdbdata.Cursor, visit visit) (mmdbdata.Cursor, error) {
	kind, err := c.Kind()
	if err != nil {
		return c, err
	}
	if kind != mmdbdata.KindMap {
		return c.Skip()
	}
	m, err := c.Map()
	if err != nil {
		return c, err
	}
	var after mmdbdata.Cursor
	for {
		key, value, ok := m.Next(after)
		if !ok {
			return m.End()
		}
		if r.left--; r.left < 0 {
			return c, mmdbdata.NewInvalidDatabaseError("record has more than %d entries", maxRecord)
		}
		if after, err = visit(key, value); err != nil {
			return c, err
		}
	}
}

// top takes an entry of the record itself. Flat and nested layouts share names.
func (r *record) top(key []byte, c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	kind, err := c.Kind()
	if err != nil {
		return c, err
	}
	nested := kind == mmdbdata.KindMap
	switch string(key) {
	case "country":
		if nested {
			return r.each(c, r.countryEntry)
		}
		return r.countryCode(c)
	case "country_code":
		return r.countryCode(c)
	case "continent":
		if nested {
			return r.each(c, r.continentEntry)
		}
		return text(c, &r.continent)
	case "continent_code":
		return text(c, &r.continent)
	case "subdivisions":
		return r.firstSubdivision(c)
	case "state1":
		return text(c, &r.state)
	case "city":
		if nested {
			return r.each(c, r.cityEntry)
		}
		return text(c, &r.city)
	case "location":
		return r.each(c, r.locationEntry)
	default:
		return r.locationEntry(key, c)
	}
}

func (r *record) countryEntry(key []byte, c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	if string(key) == "iso_code" {
		return r.countryCode(c)
	}
	return c.Skip()
}

// countryCode takes a country's code and leaves anything that is none, such as a name.
func (r *record) countryCode(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	var code string
	next, err := text(c, &code)
	if i := countryAt(code); i >= 0 {
		r.country = i + 1
	}
	return next, err
}

func (r *record) continentEntry(key []byte, c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	if string(key) == "code" {
		return text(c, &r.continent)
	}
	return c.Skip()
}

func (r *record) cityEntry(key []byte, c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	if string(key) == "names" {
		return r.each(c, r.cityName)
	}
	return c.Skip()
}

func (r *record) cityName(key []byte, c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	if string(key) == "en" {
		return text(c, &r.city)
	}
	return c.Skip()
}

func (r *record) subdivisionEntry(key []byte, c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	if string(key) == "iso_code" {
		return text(c, &r.subdivision)
	}
	return c.Skip()
}

// firstSubdivision takes the first of the subdivisions, which is the largest.
func (r *record) firstSubdivision(c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	kind, err := c.Kind()
	if err != nil {
		return c, err
	}
	if kind != mmdbdata.KindSlice {
		return c.Skip()
	}
	list, err := c.Slice()
	if err != nil {
		return c, err
	}
	var after mmdbdata.Cursor
	for {
		i, value, ok := list.Next(after)
		if !ok {
			return list.End()
		}
		if i == 0 {
			after, err = r.each(value, r.subdivisionEntry)
		} else {
			after, err = value.Skip()
		}
		if err != nil {
			return c, err
		}
	}
}

func (r *record) locationEntry(key []byte, c mmdbdata.Cursor) (mmdbdata.Cursor, error) {
	var next mmdbdata.Cursor
	var err error
	switch string(key) {
	case "latitude":
		r.lat, r.hasLat, next, err = number(c)
	case "longitude":
		r.lon, r.hasLon, next, err = number(c)
	default:
		return c.Skip()
	}
	return next, err
}

// text reads a string into s; anything else, and what is too long, is skipped.
func text(c mmdbdata.Cursor, s *string) (mmdbdata.Cursor, error) {
	kind, err := c.Kind()
	if err != nil {
		return c, err
	}
	if kind != mmdbdata.KindString {
		return c.Skip()
	}
	v, next, err := c.ReadStringMaxSize(maxText)
	if err == nil {
		*s = v
	}
	return next, err
}

// number reads a number, which some files keep as text.
func number(c mmdbdata.Cursor) (v float64, ok bool, next mmdbdata.Cursor, err error) {
	kind, err := c.Kind()
	if err != nil {
		return 0, false, c, err
	}
	switch kind {
	case mmdbdata.KindFloat64, mmdbdata.KindFloat32:
		v, next, err = c.ReadFloat()
		return v, err == nil, next, err
	case mmdbdata.KindInt32:
		i, next, err := c.ReadInt32()
		return float64(i), err == nil, next, err
	case mmdbdata.KindUint16, mmdbdata.KindUint32, mmdbdata.KindUint64:
		u, next, err := c.ReadUint()
		return float64(u), err == nil, next, err
	case mmdbdata.KindString:
		var s string
		next, err := text(c, &s)
		v, parseErr := strconv.ParseFloat(s, 64)
		return v, parseErr == nil, next, err
	default:
		next, err = c.Skip()
		return 0, false, next, err
	}
}
