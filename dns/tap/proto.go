package tap

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"time"
)

// Fields of dnstap.proto. Numbers are all that its encoding knows.
const (
	tapIdentity = 1
	tapVersion  = 2
	tapMessage  = 14
	tapType     = 15

	messageType        = 1
	messageFamily      = 2
	messageProtocol    = 3
	messageClient      = 4
	messageServer      = 5
	messageClientPort  = 6
	messageServerPort  = 7
	messageQueryTime   = 8
	messageQueryNanos  = 9
	messageQuery       = 10
	messageZone        = 11
	messageAnswerTime  = 12
	messageAnswerNanos = 13
	messageAnswer      = 14
)

// Values of dnstap.proto.
const (
	typeMessage  = 1 // of Dnstap
	authQuery    = 1
	authResponse = 2
	familyINET   = 1
	familyINET6  = 2
)

// Kinds of fields in protocol buffers.
const (
	varint  = 0
	octets  = 2
	fixed32 = 5
)

// protocol is the SocketProtocol of a transport.
func protocol(transport string) uint64 {
	switch transport {
	case "udp":
		return 1
	case "dot":
		return 3
	case "doh":
		return 4
	case "doq":
		return 7
	}
	return 2 // TCP
}

// frame appends a data frame: its length and a Dnstap message about one side of an exchange. head holds the identity and version,
// encoded.
func frame(b, head []byte, kind uint64, e *Event) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = append(b, head...)
	b = number(b, tapType, typeMessage)
	length := messageLen(kind, e)
	b = tag(b, tapMessage, octets)
	b = binary.AppendUvarint(b, uint64(length))
	b = message(b, kind, e)
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

func message(b []byte, kind uint64, e *Event) []byte {
	b = number(b, messageType, kind)
	client := e.Client.Addr().Unmap()
	family := uint64(familyINET6)
	if client.Is4() {
		family = familyINET
	}
	b = number(b, messageFamily, family)
	b = number(b, messageProtocol, protocol(e.Transport))
	b = address(b, messageClient, client)
	if server := e.Server.Addr().Unmap(); server.IsValid() && server.Is4() == client.Is4() {
		b = address(b, messageServer, server)
	}
	b = number(b, messageClientPort, uint64(e.Client.Port()))
	if e.Server.Port() != 0 {
		b = number(b, messageServerPort, uint64(e.Server.Port()))
	}
	b = instant(b, messageQueryTime, messageQueryNanos, e.Time)
	if kind == authQuery {
		return data(b, messageQuery, e.Query)
	}
	b = instant(b, messageAnswerTime, messageAnswerNanos, e.Time)
	return data(b, messageAnswer, e.Reply)
}

// messageLen is how long message will be.
func messageLen(kind uint64, e *Event) int {
	address := 16
	if e.Client.Addr().Unmap().Is4() {
		address = 4
	}
	n := 2 + 2 + 2 + 2 + address + 1 + uvarintLen(uint64(e.Client.Port()))
	if server := e.Server.Addr().Unmap(); server.IsValid() && server.Is4() == (address == 4) {
		n += 2 + address
	}
	if e.Server.Port() != 0 {
		n += 1 + uvarintLen(uint64(e.Server.Port()))
	}
	instant := 1 + uvarintLen(uint64(e.Time.Unix())) + 1 + 4
	payload := e.Query
	n += instant
	if kind != authQuery {
		n += instant
		payload = e.Reply
	}
	return n + 1 + uvarintLen(uint64(len(payload))) + len(payload)
}

func uvarintLen(v uint64) int { return max(1, (bits.Len64(v)+6)/7) }

func tag(b []byte, field, kind int) []byte { return binary.AppendUvarint(b, uint64(field<<3|kind)) }

func number(b []byte, field int, v uint64) []byte {
	return binary.AppendUvarint(tag(b, field, varint), v)
}

func data(b []byte, field int, v []byte) []byte {
	return append(binary.AppendUvarint(tag(b, field, octets), uint64(len(v))), v...)
}

func address(b []byte, field int, a netip.Addr) []byte {
	if a.Is4() {
		v := a.As4()
		return data(b, field, v[:])
	}
	v := a.As16()
	return data(b, field, v[:])
}

func instant(b []byte, seconds, nanos int, t time.Time) []byte {
	b = number(b, seconds, uint64(t.Unix()))
	return binary.LittleEndian.AppendUint32(tag(b, nanos, fixed32), uint32(t.Nanosecond()))
}
