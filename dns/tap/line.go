package tap

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	mdns "github.com/miekg/dns"
)

const timeFormat = "2006-01-02T15:04:05.000Z"

// route53 appends the line of Route 53: version, time, hosted zone, name, type, response code, protocol, edge, resolver, client
// subnet. None of the fields can hold a space.
func (l *Log) route53(b []byte, e *Event) []byte {
	b = append(b, "1.0 "...)
	b = e.Time.UTC().AppendFormat(b, timeFormat)
	b = append(b, ' ')
	if l.o.ZoneID != nil {
		b = append(b, l.o.ZoneID(e.Zone)...)
	} else {
		b = append(b, bare(e.Zone)...)
	}
	b = append(b, ' ')
	b = name(b, e.Name)
	b = append(b, ' ')
	b = typeName(b, e.Type)
	b = append(b, ' ')
	b = codeName(b, e.RCode)
	protocol, edge := " TCP ", l.o.Edge
	if e.Transport == "udp" || e.Transport == "doq" {
		protocol = " UDP "
	}
	if edge == "" {
		edge = "-"
	}
	b = append(append(append(b, protocol...), edge...), ' ')
	b = e.Client.Addr().AppendTo(b)
	b = append(b, ' ')
	return append(subnet(b, e.Subnet, "-"), '\n')
}

// json appends an object.
func (l *Log) json(b []byte, e *Event) []byte {
	b = append(b, `{"time":"`...)
	b = e.Time.UTC().AppendFormat(b, timeFormat)
	b = append(b, `","client":"`...)
	b = e.Client.Addr().AppendTo(b)
	b = append(b, `","port":`...)
	b = strconv.AppendUint(b, uint64(e.Client.Port()), 10)
	b = append(append(append(b, `,"proto":"`...), e.Transport...), '"')
	if l.o.Edge != "" {
		b = quoted(append(b, `,"edge":`...), l.o.Edge)
	}
	if e.Zone != "" {
		b = quoted(append(b, `,"zone":`...), bare(e.Zone))
	}
	if len(e.Name) > 0 {
		b = append(b, `,"name":"`...)
		from := len(b)
		b = name(b, e.Name)
		b = escaped(b, from)
		b = append(b, `","type":"`...)
		b = append(typeName(b, e.Type), '"')
	}
	b = append(b, `,"rcode":"`...)
	b = append(codeName(b, e.RCode), '"')
	if e.Subnet.IsValid() {
		b = append(b, `,"subnet":"`...)
		b = append(subnet(b, e.Subnet, ""), `","scope":`...)
		b = strconv.AppendUint(b, uint64(e.Scope), 10)
	}
	b = append(b, `,"query_bytes":`...)
	b = strconv.AppendInt(b, int64(len(e.Query)), 10)
	b = append(b, `,"reply_bytes":`...)
	b = strconv.AppendInt(b, int64(len(e.Reply)), 10)
	if e.Truncated {
		b = append(b, `,"truncated":true`...)
	}
	if e.Dropped != "" {
		b = quoted(append(b, `,"dropped":`...), e.Dropped)
	}
	return append(b, '}', '\n')
}

// bare is a zone as operators write it.
func bare(zone string) string {
	if zone == "." {
		return zone
	}
	return strings.TrimSuffix(zone, ".")
}

// name appends a name of wire form in presentation form (RFC 1035 section 5.1) without the final dot. Spaces and whatever is not
// printable are escaped: a name can make up no field and no line.
func name(b, wire []byte) []byte {
	if wire[0] == 0 {
		return append(b, '.')
	}
	for first := true; len(wire) > 0 && wire[0] != 0; first = false {
		if !first {
			b = append(b, '.')
		}
		for _, c := range wire[1 : 1+wire[0]] {
			switch {
			case c <= ' ' || c >= 0x7f:
				b = append(b, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			case strings.IndexByte(`.()"\;@$`, c) >= 0:
				b = append(b, '\\', c)
			default:
				b = append(b, c)
			}
		}
		wire = wire[1+int(wire[0]):]
	}
	return b
}

// escaped makes what was appended from there on fit into a JSON string. It is printable ASCII.
func escaped(b []byte, from int) []byte {
	extra := 0
	for _, c := range b[from:] {
		if c == '\\' || c == '"' {
			extra++
		}
	}
	end := len(b)
	for range extra {
		b = append(b, 0)
	}
	for to := len(b); extra > 0; {
		end--
		to--
		b[to] = b[end]
		if b[end] == '\\' || b[end] == '"' {
			to--
			b[to] = '\\'
			extra--
		}
	}
	return b
}

// quoted appends a JSON string of ours: configured, and short.
func quoted(b []byte, text string) []byte {
	b = append(b, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ':
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = append(b, string(r)...)
		}
	}
	return append(b, '"')
}

func typeName(b []byte, t uint16) []byte {
	if text, ok := mdns.TypeToString[t]; ok {
		return append(b, text...)
	}
	return strconv.AppendUint(append(b, "TYPE"...), uint64(t), 10)
}

func codeName(b []byte, rcode uint16) []byte {
	if rcode == mdns.RcodeBadVers {
		return append(b, "BADVERS"...) // miekg/dns calls it by its other name, BADSIG
	}
	if text, ok := mdns.RcodeToString[int(rcode)]; ok {
		return append(b, text...)
	}
	return strconv.AppendUint(append(b, "RCODE"...), uint64(rcode), 10)
}

func subnet(b []byte, p netip.Prefix, none string) []byte {
	if !p.IsValid() {
		return append(b, none...)
	}
	return p.AppendTo(b)
}
