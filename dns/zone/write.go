package zone

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/internal/dnswire"
)

// Write writes a zone as text that Parse reads back to an equal Data, always the same for the same Data: the SOA first, then
// all records in canonical order, one a line, with absolute names, TTL and class. Data that has no text of its own, or whose
// text would not come back as the same octets, is written in the form of RFC 3597. The nil Data writes nothing.
func Write(w io.Writer, d *Data) error {
	if d == nil {
		return nil
	}
	out := bufio.NewWriterSize(w, 64<<10)
	fmt.Fprintf(out, "$ORIGIN %s\n", NameText(d.origin))
	var line []byte
	var err error
	write := func(s Set) {
		for data := range s.RData() {
			line = AppendText(line[:0], Record{Name: s.Name, Type: s.Type, TTL: s.TTL, RData: data})
			_, err = out.Write(append(line, '\n'))
		}
	}
	write(d.Find(d.origin, dnswire.TypeSOA))
	for s := range d.Sets() {
		if s.Type != dnswire.TypeSOA || !bytes.Equal(s.Name, d.origin) {
			write(s)
		}
		if err != nil {
			break
		}
	}
	return out.Flush()
}

// AppendText writes one record as Write does, without the end of the line.
func AppendText(dst []byte, r Record) []byte {
	dst = append(appendNameText(dst, r.Name), '\t')
	dst = strconv.AppendUint(dst, uint64(r.TTL), 10)
	dst = append(append(append(dst, "\tIN\t"...), typeName(r.Type)...), '\t')
	if out, ok := fastText(dst, r); ok {
		return out
	}
	if text, ok := codecText(r); ok {
		return append(dst, text...)
	}
	dst = append(append(dst, `\# `...), strconv.Itoa(len(r.RData))...)
	if len(r.RData) > 0 {
		dst = hex.AppendEncode(append(dst, ' '), r.RData)
	}
	return dst
}

// fastText is the counterpart of fast. It gives up on data that is not well-formed.
func fastText(dst []byte, r Record) (out []byte, ok bool) {
	switch r.Type {
	case dnswire.TypeA, dnswire.TypeAAAA:
		a, ok := netip.AddrFromSlice(r.RData)
		if !ok || a.Is4() != (r.Type == dnswire.TypeA) {
			return dst, false
		}
		return a.AppendTo(dst), true
	case dnswire.TypeNS, dnswire.TypeCNAME, mdns.TypePTR, mdns.TypeDNAME:
		return fieldsText(dst, "n", r.RData)
	case dnswire.TypeMX:
		return fieldsText(dst, "2n", r.RData)
	case dnswire.TypeSRV:
		return fieldsText(dst, "222n", r.RData)
	case dnswire.TypeSOA:
		return fieldsText(dst, "nn44444", r.RData)
	case mdns.TypeTXT, mdns.TypeSPF, mdns.TypeNINFO, mdns.TypeAVC, mdns.TypeRESINFO, dnswire.TypeHINFO:
		return stringsText(dst, r.RData)
	}
	return dst, false
}

func fieldsText(dst []byte, shape string, data []byte) (out []byte, ok bool) {
	start := len(dst)
	for i := range shape {
		if i > 0 {
			dst = append(dst, ' ')
		}
		n := int(shape[i] - '0')
		if shape[i] == 'n' {
			if n = nameLen(data); n == 0 {
				return dst[:start], false
			}
			dst, data = appendNameText(dst, data[:n]), data[n:]
			continue
		}
		if len(data) < n {
			return dst[:start], false
		}
		var v uint64
		for _, c := range data[:n] {
			v = v<<8 | uint64(c)
		}
		dst, data = strconv.AppendUint(dst, v, 10), data[n:]
	}
	if len(data) > 0 {
		return dst[:start], false
	}
	return dst, true
}

// nameLen is the length of the name that data starts with, 0 if it starts with none.
func nameLen(data []byte) int {
	for at := 0; at < len(data) && at < dnswire.MaxName; at += 1 + int(data[at]) {
		switch {
		case data[at] == 0:
			return at + 1
		case data[at] > 63:
			return 0
		}
	}
	return 0
}

func stringsText(dst, data []byte) (out []byte, ok bool) {
	start := len(dst)
	for i := 0; len(data) > 0; i++ {
		n := int(data[0])
		if n >= len(data) {
			return dst[:start], false
		}
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, '"')
		for _, c := range data[1 : 1+n] {
			dst = appendOctet(dst, c, false)
		}
		dst, data = append(dst, '"'), data[1+n:]
	}
	return dst, len(dst) > start
}

// codecText is the text that miekg/dns has for a record's data, if it comes back as the same octets.
func codecText(r Record) (text string, ok bool) {
	if _, known := mdns.TypeToRR[r.Type]; !known || len(r.RData) == 0 {
		return "", false
	}
	defer func() {
		if recover() != nil {
			text, ok = "", false
		}
	}()
	rr, err := r.RR()
	if err != nil {
		return "", false
	}
	text, ok = strings.CutPrefix(rr.String(), rr.Header().String())
	if !ok || strings.ContainsRune(text, '\n') {
		return "", false
	}
	l := lexer{src: []byte(". " + text), line: 1}
	if !l.entry() || l.bad != "" || len(l.tokens) < 2 || l.pos < len(l.src) {
		return "", false
	}
	p := parser{}
	data, bad, _ := p.data(r.Type, l.tokens[1:], []byte{0})
	return text, bad == "" && bytes.Equal(data, r.RData)
}
