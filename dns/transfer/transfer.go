// Package transfer moves zones between servers: AXFR, IXFR, NOTIFY and dynamic update, all of them signed with TSIG where a key is
// asked for.
package transfer

import "net/netip"

// Message is one DNS message that is no plain query, on its way through a server: another opcode than QUERY, a question for AXFR
// or IXFR, or anything with a TSIG record. It lives until its handler returns.
type Message struct {
	Packet []byte         // as received
	From   netip.AddrPort // of the client
	Stream bool           // TCP, TLS or QUIC: several replies may be sent, each up to 65,535 octets; else one, for UDP
	Secure bool           // the transport was encrypted

	// Plain answers an unsigned query as the server would, appending to dst. limit is how many octets the reply may have; 0:
	// as many as the transport allows.
	Plain func(dst, packet []byte, limit int) []byte
	// Send writes one reply; the slice may be used again when it returns. On a stream an error means that the client has gone.
	Send func(reply []byte) error
}
