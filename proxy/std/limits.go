package std

import "time"

// Limits that have no name in the configuration (secure defaults 3, 6 and 7).
const (
	handshakeTimeout = 5 * time.Second  // TLS over TCP; QUIC has the same
	bodyIdle         = 30 * time.Second // between bytes of a request body (attack row R02)
	writeStall       = 60 * time.Second // between bytes of a response that the client takes (attack row R03)
	renewEvery       = 5 * time.Second  // deadlines are moved no more often
	lingerTimeout    = time.Second      // to throw away the rest of a request body nobody read
	goAwayGrace      = 100 * time.Millisecond
	headDelay        = 10 * time.Millisecond // a head waits so long for the first byte of its body

	bufferSize = 64 << 10  // one step of a response body
	sendSize   = 256 << 10 // the same when the kernel sends it from a file
	h2Buffer   = 4 << 10   // what net/http collects before it sends

	h2Streams      = 100
	h2StreamWindow = 64 << 10
	h2ConnWindow   = 1 << 20
	h2PingAfter    = 30 * time.Second
	h2PingTimeout  = 15 * time.Second
	h2WriteTimeout = 30 * time.Second

	h3Streams         = 100
	h3UniStreams      = 16
	h3StreamWindow    = 512 << 10
	h3StreamWindowMax = 6 << 20
	h3ConnWindow      = 1 << 20
	h3ConnWindowMax   = 15 << 20
	h3Idle            = 30 * time.Second
	h3HalfOpen        = 100  // handshakes under way before addresses are verified by Retry
	h3InitialsPerSec  = 1000 // new connections before addresses are verified by Retry
	fieldListOverhead = 32   // what HTTP/2 and HTTP/3 add to each field (RFC 9113 section 6.5.2)
	bodyProbe         = 200 * time.Millisecond
)
