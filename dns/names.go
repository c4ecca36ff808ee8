package dns

import (
	"fmt"
	"strconv"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// ParseType finds a record type by name, such as AAAA, ignoring case, or in the form TYPE65280 (RFC 3597 section 5).
func ParseType(name string) (uint16, error) {
	name = strings.ToUpper(name)
	if t, ok := mdns.StringToType[name]; ok {
		return t, nil
	}
	if number, ok := strings.CutPrefix(name, "TYPE"); ok {
		if t, err := strconv.ParseUint(number, 10, 16); err == nil {
			return uint16(t), nil
		}
	}
	return 0, fmt.Errorf("unknown record type %q", name)
}

// parseName packs a name in presentation form into lower-case wire form.
func parseName(name string) ([]byte, error) {
	var buf [dnswire.MaxName + 1]byte
	end, err := mdns.PackDomainName(mdns.Fqdn(name), buf[:], 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("name %q: %w", name, err)
	}
	if end > dnswire.MaxName {
		return nil, fmt.Errorf("name %q: longer than %d octets", name, dnswire.MaxName)
	}
	return dnswire.Lower(buf[:end]), nil
}

// parseType finds a record type that zones may hold.
func parseType(name string) (uint16, error) {
	typ, err := ParseType(name)
	if err != nil {
		return 0, err
	}
	switch {
	case typ == 0 || typ == mdns.TypeOPT || typ >= 128 && typ <= 255: // meta types, RFC 6895 section 3.1
		return 0, fmt.Errorf("%s is not a record type for zones", name)
	}
	return typ, nil
}
