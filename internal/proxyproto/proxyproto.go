// Package proxyproto reads the header of the PROXY protocol, version 2, with which a load balancer says who its client is.
//
//	src, n, err := proxyproto.Parse(datagram) // a datagram: the payload is datagram[n:]
//	src, err := proxyproto.Read(conn)         // a stream: exactly the header is read
//
// A header may be believed only when it comes from a source that the operator has listed, and must then be there: guessing whether
// one is there lets every client choose its address. The text form (version 1) is not spoken. The functions keep nothing and are safe
// for concurrent use.
package proxyproto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
)

// Sizes of the format (proxy-protocol.txt section 2.2). MaxLen bounds addresses and TLVs together, and with them what a header may
// cost (row L05).
const (
	FixedLen = 16   // signature, version and command, family, length
	MaxLen   = 4096 // what may follow

	signature = "\r\n\r\n\x00\r\nQUIT\n"
	typeCRC32 = 0x03
)

// ErrNoHeader is returned for octets that do not start with a header: another error means one that is broken.
var ErrNoHeader = errors.New("no PROXY protocol header")

// Parse reads a header at the start of b. src is who the proxy speaks for; the zero AddrPort means the proxy itself (the LOCAL
// command, or no address family), n how long the header is. The error wraps ErrNoHeader when there is none.
func Parse(b []byte) (src netip.AddrPort, n int, err error) {
	length, err := check(b)
	if err != nil {
		return netip.AddrPort{}, 0, err
	}
	if len(b) < FixedLen+length {
		return netip.AddrPort{}, 0, fmt.Errorf("PROXY protocol header of %d octets ends after %d", FixedLen+length, len(b))
	}
	b = b[:FixedLen+length]
	src, addresses, err := source(b)
	if err != nil {
		return netip.AddrPort{}, 0, err
	}
	if err := values(b, FixedLen+addresses); err != nil {
		return netip.AddrPort{}, 0, err
	}
	return src, len(b), nil
}

// Read reads a header from a stream, and not one octet more. What it returns is as with Parse. Deadlines are the caller's.
func Read(r io.Reader) (netip.AddrPort, error) {
	b := make([]byte, FixedLen, 128)
	if _, err := io.ReadFull(r, b); err != nil {
		return netip.AddrPort{}, fmt.Errorf("read PROXY protocol header: %w", err)
	}
	length, err := check(b)
	if err != nil {
		return netip.AddrPort{}, err
	}
	b = append(b, make([]byte, length)...)
	if _, err := io.ReadFull(r, b[FixedLen:]); err != nil {
		return netip.AddrPort{}, fmt.Errorf("read PROXY protocol header: %w", err)
	}
	src, _, err := Parse(b)
	return src, err
}

// check looks at the fixed part and returns the length of the rest.
func check(b []byte) (int, error) {
	if len(b) < FixedLen || string(b[:len(signature)]) != signature {
		return 0, ErrNoHeader
	}
	if version := b[12] >> 4; version != 2 {
		return 0, fmt.Errorf("PROXY protocol version %d", version)
	}
	length := int(binary.BigEndian.Uint16(b[14:]))
	if length > MaxLen {
		return 0, fmt.Errorf("PROXY protocol header says %d octets follow, more than %d", length, MaxLen)
	}
	return length, nil
}

// source reads the addresses of a whole header and returns how many octets they take.
func source(b []byte) (netip.AddrPort, int, error) {
	command, family, transport := b[12]&0xF, b[13]>>4, b[13]&0xF
	var each int // octets of one address
	switch family {
	case 0:
	case 1:
		each = 4
	case 2:
		each = 16
	default: // 3 is a unix socket, which is no client of ours
		return netip.AddrPort{}, 0, fmt.Errorf("PROXY protocol address family %d", family)
	}
	switch {
	case command > 1:
		return netip.AddrPort{}, 0, fmt.Errorf("PROXY protocol command %d", command)
	case transport > 2:
		return netip.AddrPort{}, 0, fmt.Errorf("PROXY protocol transport %d", transport)
	case command == 1 && family != 0 && transport == 0:
		return netip.AddrPort{}, 0, errors.New("PROXY protocol address without a transport")
	}
	size := 0
	if each > 0 {
		size = 2*each + 4
	}
	rest := b[FixedLen:]
	if len(rest) < size {
		if command == 0 {
			return netip.AddrPort{}, len(rest), nil // a LOCAL header's addresses are to be thrown away, whatever they are
		}
		return netip.AddrPort{}, 0, fmt.Errorf("PROXY protocol addresses of %d octets in %d", size, len(rest))
	}
	if command == 0 || size == 0 {
		return netip.AddrPort{}, size, nil
	}
	addr, _ := netip.AddrFromSlice(rest[:each])
	return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(rest[2*each:])), size, nil
}

// values steps over the TLVs that start at off, and checks the checksum when there is one (section 2.2.3).
func values(b []byte, off int) error {
	for off < len(b) {
		if len(b)-off < 3 {
			return errors.New("PROXY protocol value is cut off")
		}
		kind, length := b[off], int(binary.BigEndian.Uint16(b[off+1:]))
		start := off + 3
		off = start + length
		if off > len(b) {
			return fmt.Errorf("PROXY protocol value of %d octets is cut off", length)
		}
		if kind != typeCRC32 {
			continue
		}
		if length != 4 {
			return fmt.Errorf("PROXY protocol checksum of %d octets", length)
		}
		table := crc32.MakeTable(crc32.Castagnoli)
		sum := crc32.Update(0, table, b[:start])
		sum = crc32.Update(sum, table, make([]byte, 4))
		sum = crc32.Update(sum, table, b[off:])
		if sum != binary.BigEndian.Uint32(b[start:]) {
			return errors.New("PROXY protocol checksum is wrong")
		}
	}
	return nil
}
