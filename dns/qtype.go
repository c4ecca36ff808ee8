package dns

import (
	"fmt"
	"strconv"
	"strings"

	mdns "github.com/miekg/dns"
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
