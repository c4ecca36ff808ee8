package dns

import (
	"encoding/binary"

	"github.com/meridian-edge/meridian/dns/guard"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// options is what goes into a reply's OPT record besides the client subnet. The zero options are none.
type options struct {
	cookie    [guard.CookieLen]byte
	hasCookie bool
	nsid      string
	extra     []byte // further ones in wire form, at most maxExtra octets
	limit     int    // octets of the whole message; 0: none but those of the transport and of the client
}

// Lengths of the OPT record.
const (
	optFixed  = 11 // without options
	optHead   = 4  // of an option
	maxSubnet = optHead + 4 + 16
	maxExtra  = 64
	// maxOPT is the longest OPT record sent, but for what the transport adds: keepalive and padding.
	maxOPT = optFixed + maxSubnet + optHead + guard.CookieLen + optHead + MaxNSID + maxExtra
)

// len is the length of the options.
func (o *options) len(q *dnswire.Query) int {
	n := len(o.extra)
	if q.SubnetOption != nil {
		n += optHead + len(q.SubnetOption)
	}
	if o.hasCookie {
		n += optHead + len(o.cookie)
	}
	if o.nsid != "" {
		n += optHead + len(o.nsid)
	}
	return n
}

// opt appends our OPT record: version 0, DO as received (RFC 3225 section 3), the client subnet with the scope of the answer
// (RFC 7871 section 7.2.1), and the options.
func (r *reply) opt(q *dnswire.Query, scope int) {
	flags := byte(0)
	if q.DO {
		flags = 0x80
	}
	o := &r.options
	m := append(r.msg, 0, 0, byte(dnswire.TypeOPT), MaxUDP>>8, MaxUDP&0xFF, byte(r.rcode>>4), 0, flags, 0)
	length := len(m)
	m = append(m, 0, 0)
	if subnet := q.SubnetOption; subnet != nil {
		m = optionHead(m, dnswire.OptionSubnet, len(subnet))
		m = append(m, subnet...)
		m[len(m)-len(subnet)+3] = byte(scope)
	}
	if o.hasCookie {
		m = append(optionHead(m, dnswire.OptionCookie, len(o.cookie)), o.cookie[:]...)
	}
	if o.nsid != "" {
		m = append(optionHead(m, dnswire.OptionNSID, len(o.nsid)), o.nsid...)
	}
	m = append(m, o.extra...)
	binary.BigEndian.PutUint16(m[length:], uint16(len(m)-length-2))
	r.msg = m
}

func optionHead(m []byte, code uint16, length int) []byte {
	return append(m, byte(code>>8), byte(code), byte(length>>8), byte(length))
}
