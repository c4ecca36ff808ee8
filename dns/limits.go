package dns

import "time"

// Sizes of messages.
const (
	MaxUDP = 1232  // what fits every path without fragments (DNS flag day 2020); offered and never passed over UDP (D03)
	MaxTCP = 65535 // RFC 1035 section 4.2.2

	minUDP   = 512  // without EDNS (RFC 1035 section 4.2.1)
	maxQuery = 4096 // octets of a query on any transport (D11); longer ones are not queries
)

// Limits of TCP connections (RFC 7766 section 6.2.3, row D11).
const (
	tcpFirst    = 2 * time.Second        // for the first query to be complete
	tcpIdle     = 10 * time.Second       // for the next query to begin
	tcpReceive  = 2 * time.Second        // for a query that has begun to be complete
	tcpWrite    = 2 * time.Second        // for replies to be taken
	tcpQueries  = 128                    // on one connection
	tcpFlush    = 16 << 10               // octets of replies gathered before they are written
	tcpLinger   = 64 << 10               // octets read and thrown away before closing
	udpFlush    = time.Second            // for the last replies to leave when serving ends
	acceptPause = 100 * time.Millisecond // after a socket failed for want of something
)

// servicePorts is below what clients send from: an error sent there may be answered with an error, for ever (D09,
// CVE-2024-2169).
const servicePorts = 1024
