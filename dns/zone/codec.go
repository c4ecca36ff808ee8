package zone

import (
	"bytes"
	"fmt"
	"strings"

	mdns "github.com/miekg/dns"
)

// codec has miekg/dns read a record's data. What that library gets wrong is kept from it, or found afterwards: it sees one line
// without comments, parentheses, octets that are not printable or bad escapes, and never an owner, TTL, class or directive;
// what it makes must come back from wire form unchanged.
func (p *parser) codec(typ uint16, t []token, origin []byte) (data []byte, bad, remedy string) {
	if _, known := mdns.TypeToRR[typ]; !known {
		return nil, "data of a type without a syntax of its own", `write it as in \# 2 0a0b (RFC 3597)`
	}
	if typ == mdns.TypeAPL && len(t) == 0 {
		return nil, "", ""
	}
	if typ == mdns.TypeNAPTR && len(t) == 6 { // miekg/dns wants quotes, which RFC 1035 section 5.1 leaves to the writer
		t[2].quoted, t[3].quoted, t[4].quoted = true, true, true
		t[2].glued, t[3].glued, t[4].glued = false, false, false
	}
	p.codecText = append(append(p.codecText[:0], ". 0 IN "...), typeName(typ)...)
	p.codecText = joinTokens(append(p.codecText, ' '), t)
	p.codecText = append(p.codecText, '\n')
	r, err := decode(p.codecText, NameText(origin))
	switch {
	case err != nil:
		return nil, err.Error(), ""
	case r.Type != typ || !valid(typ, r.RData):
		return nil, "data is not valid for this type", ""
	}
	return r.RData, "", ""
}

// decode reads one line. A panic in the library is that line's error.
func decode(line []byte, origin string) (r Record, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("data cannot be read: %v", v)
		}
	}()
	zp := mdns.NewZoneParser(bytes.NewReader(line), origin, "")
	rr, ok := zp.Next()
	if err := zp.Err(); err != nil {
		return Record{}, plain(err)
	}
	if !ok {
		return Record{}, fmt.Errorf("record has no data")
	}
	if _, more := zp.Next(); more || zp.Err() != nil {
		return Record{}, fmt.Errorf("something stands behind the data")
	}
	return FromRR(rr)
}

// plain is an error of miekg/dns without its place, which is one in our line.
func plain(err error) error {
	text := strings.TrimPrefix(err.Error(), "dns: ")
	if at := strings.LastIndex(text, " at line: "); at >= 0 {
		text = text[:at]
	}
	return fmt.Errorf("%s", text)
}

// valid reports whether data in wire form is right for a type that is known: it can be read, and says the same when written
// again, so that it holds no compressed name (RFC 3597 section 4) and nothing is left over.
func valid(typ uint16, data []byte) (ok bool) {
	if _, known := mdns.TypeToRR[typ]; !known {
		return true
	}
	if len(data) < leastData(typ) {
		return false
	}
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	rr, err := Record{Name: []byte{0}, Type: typ, RData: data}.RR()
	if err != nil {
		return false
	}
	again, err := FromRR(rr)
	return err == nil && bytes.Equal(again.RData, data)
}

// leastData is the length of the shortest data that a type can have, where miekg/dns takes less: it reads an empty digest, key
// or tag, and data that is not there at all, as updates have it.
func leastData(typ uint16) int {
	switch typ {
	case mdns.TypeAPL, mdns.TypeNULL:
		return 0
	case mdns.TypeDS, mdns.TypeCDS, mdns.TypeDLV, mdns.TypeTA, mdns.TypeDNSKEY, mdns.TypeCDNSKEY:
		return 5
	case mdns.TypeTLSA, mdns.TypeSMIMEA, mdns.TypeURI:
		return 4
	case mdns.TypeSSHFP, mdns.TypeCAA, mdns.TypeSVCB, mdns.TypeHTTPS:
		return 3
	case mdns.TypeCERT:
		return 6
	case mdns.TypeZONEMD:
		return 6 + 12 // RFC 8976 section 2.2.4
	}
	return 1
}
