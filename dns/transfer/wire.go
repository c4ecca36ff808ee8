package transfer

import (
	"encoding/binary"
	"fmt"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/zone"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// maxPointer is the last place in a message that a compressed name can point to.
const maxPointer = 1<<14 - 1

// writer builds one reply with records in its answer section. Owner names are compressed, and names in data are not: every receiver
// takes that, and no type needs to be known.
type writer struct {
	msg   []byte
	limit int
	names map[string]int // where a name, or the end of one, stands
}

// start begins a reply to a query. The question, if any, is repeated as it was sent; name is its name in lower case.
func (w *writer) start(id, flags uint16, question, name []byte) {
	w.msg = binary.BigEndian.AppendUint16(w.msg[:0], id)
	w.msg = binary.BigEndian.AppendUint16(w.msg, flags)
	w.msg = append(w.msg, 0, 0, 0, 0, 0, 0, 0, 0)
	if w.names == nil {
		w.names = map[string]int{}
	}
	clear(w.names)
	if question != nil {
		w.msg[5] = 1
		for at := 0; name[at] != 0; at += 1 + int(name[at]) {
			w.names[string(name[at:])] = len(w.msg) + at
		}
		w.msg = append(w.msg, question...)
	}
}

// add appends a record, or reports that there is no room.
func (w *writer) add(r zone.Record) bool {
	before := len(w.msg)
	w.name(r.Name)
	if len(w.msg)+10+len(r.RData) > w.limit {
		w.msg = w.msg[:before] // places noted beyond it are overwritten before anything points there, by forget
		w.forget(before)
		return false
	}
	w.msg = binary.BigEndian.AppendUint16(w.msg, r.Type)
	w.msg = binary.BigEndian.AppendUint16(w.msg, dnswire.ClassIN)
	w.msg = binary.BigEndian.AppendUint32(w.msg, r.TTL)
	w.msg = binary.BigEndian.AppendUint16(w.msg, uint16(len(r.RData)))
	w.msg = append(w.msg, r.RData...)
	binary.BigEndian.PutUint16(w.msg[6:], binary.BigEndian.Uint16(w.msg[6:])+1)
	return true
}

func (w *writer) forget(from int) {
	for name, at := range w.names {
		if at >= from {
			delete(w.names, name)
		}
	}
}

func (w *writer) empty() bool { return w.msg[6] == 0 && w.msg[7] == 0 }

// name appends a name in lower-case wire form.
func (w *writer) name(name []byte) {
	for name[0] != 0 {
		if at, ok := w.names[string(name)]; ok {
			w.msg = binary.BigEndian.AppendUint16(w.msg, 0xc000|uint16(at))
			return
		}
		if len(w.msg) <= maxPointer {
			w.names[string(name)] = len(w.msg)
		}
		end := 1 + int(name[0])
		w.msg = append(w.msg, name[:end]...)
		name = name[end:]
	}
	w.msg = append(w.msg, 0)
}

// wireName brings a domain name into wire form, lower case.
func wireName(name string) ([]byte, error) {
	buf := make([]byte, dnswire.MaxName+1)
	end, err := mdns.PackDomainName(mdns.CanonicalName(name), buf, 0, nil, false)
	if err != nil {
		return nil, fmt.Errorf("%q is no domain name: %w", name, err)
	}
	return buf[:end:end], nil
}

// textName is a name in wire form as operators write it, with its final dot.
func textName(name []byte) string {
	s, _, err := mdns.UnpackDomainName(name, 0)
	if err != nil {
		return "?"
	}
	return s
}

// question reads the one question of a message: its name in lower-case wire form, and where it ends; 0 when there is none that could be
// read, or not exactly one.
func question(p []byte) (name []byte, typ, class uint16, end int) {
	if len(p) < dnswire.HeaderLen || binary.BigEndian.Uint16(p[4:]) != 1 {
		return nil, 0, 0, 0
	}
	for at := dnswire.HeaderLen; at < len(p) && p[at] < 64 && len(name) < dnswire.MaxName; at += 1 + int(p[at]) {
		if at+1+int(p[at]) > len(p) {
			break
		}
		name = append(name, p[at:at+1+int(p[at])]...)
		if p[at] != 0 {
			continue
		}
		if at+5 > len(p) {
			break
		}
		for i, c := range name {
			if c-'A' < 26 {
				name[i] = c | 0x20
			}
		}
		return name, binary.BigEndian.Uint16(p[at+1:]), binary.BigEndian.Uint16(p[at+3:]), at + 5
	}
	return nil, 0, 0, 0
}

// refuse is a reply without records: the header and the question of a packet, if it can be read, and a response code.
func refuse(packet []byte, rcode int) []byte {
	reply := append([]byte(nil), packet[:dnswire.HeaderLen]...)
	reply[2] = reply[2]&0x79 | 0x80 // the opcode and RD stay
	reply[3] = byte(rcode)
	clear(reply[4:])
	if _, _, _, end := question(packet); end > 0 {
		reply[5] = 1
		reply = append(reply, packet[dnswire.HeaderLen:end]...)
	}
	return reply
}
