package message

import (
	"encoding/binary"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Options are what goes into a reply's OPT record besides the client subnet. The zero Options are none.
type Options struct {
	Cookie    [CookieLen]byte // client's and server's (RFC 9018)
	HasCookie bool
	NSID      string // at most MaxNSID octets; empty: none
}

// Lengths of options.
const (
	CookieLen = 24  // of a client's and a server's cookie
	MaxNSID   = 128 // the longest NSID
)

// Lengths of the OPT record.
const (
	optFixed  = 11 // without options
	optHead   = 4  // of an option
	maxSubnet = optHead + 4 + 16
	// maxOPT is the longest OPT record sent, but for what the transport adds: keepalive and padding.
	maxOPT = optFixed + maxSubnet + optHead + CookieLen + optHead + MaxNSID
)

// len is the length of the options.
func (o *Options) len(q *dnswire.Query) int {
	n := 0
	if q.SubnetOption != nil {
		n += optHead + len(q.SubnetOption)
	}
	if o.HasCookie {
		n += optHead + len(o.Cookie)
	}
	if o.NSID != "" {
		n += optHead + len(o.NSID)
	}
	return n
}

// opt appends our OPT record: version 0, DO as received (RFC 3225 section 3), the client subnet with the scope of the answer
// (RFC 7871 section 7.2.1), and the options.
func (r *Reply) opt(q *dnswire.Query, scope int) {
	flags := byte(0)
	if q.DO {
		flags = 0x80
	}
	o := &r.Options
	m := append(r.msg, 0, 0, byte(dnswire.TypeOPT), MaxUDP>>8, MaxUDP&0xFF, byte(r.RCode>>4), 0, flags, 0, 0, 0)
	length := len(m) - 2
	if subnet := q.SubnetOption; subnet != nil {
		m = optionHead(m, dnswire.OptionSubnet, len(subnet))
		m = append(m, subnet...)
		m[len(m)-len(subnet)+3] = byte(scope)
	}
	if o.HasCookie {
		m = append(optionHead(m, dnswire.OptionCookie, len(o.Cookie)), o.Cookie[:]...)
	}
	if o.NSID != "" {
		m = append(optionHead(m, dnswire.OptionNSID, len(o.NSID)), o.NSID...)
	}
	binary.BigEndian.PutUint16(m[length:], uint16(len(m)-length-2))
	r.msg = m
}

func optionHead(m []byte, code uint16, length int) []byte {
	return append(m, byte(code>>8), byte(code), byte(length>>8), byte(length))
}
