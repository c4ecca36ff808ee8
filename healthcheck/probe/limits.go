package probe

import "time"

// Limits of what a probe reads and says.
const (
	maxHeadBytes     = 16 << 10    // heads of one response, informational ones included (as Route 53)
	maxBodyBytes     = 64 << 10    // read of a body, as it is sent; longer is no failure
	maxBodyTime      = time.Second // spent on a body nobody looks into, within the timeout; longer is no failure
	maxInformational = 8           // responses before the final one; more of them is no health
	searchBytes      = 5120        // of a decoded body that a text is looked for in (as Route 53)

	maxReplyBytes = 4096 // of a TCP stream or of one datagram that a reply is looked for in
	maxAgentLine  = 512  // bytes of an agent's line
	maxDNSBytes   = 4096 // of a DNS message over UDP, and over TCP
	maxStrangers  = 16   // datagrams that answer something else, before a DNS probe gives up

	maxH2Bytes  = 256 << 10 // read from an HTTP/2 connection
	maxH2Frames = 256       // read from an HTTP/2 connection
	maxH2Frame  = 16 << 10  // payload of one frame, which is the protocol's own default (RFC 9113 section 6.5.2)
	maxH2Body   = 65535     // the window a stream starts with; it is never opened further (RFC 9113 section 6.9.2)
	maxGRPC     = 1024      // bytes of a gRPC message; a health reply has two

	maxReason    = 160 // bytes of a reason, which may quote what the endpoint sent
	maxQuote     = 40  // bytes of a quotation in a reason
	maxCheckText = 64  // bytes of a fingerprint before its tail becomes a hash
)

// The timeouts of Route 53's HTTP and HTTPS checks, each counted from the end of the one before.
const (
	route53Connect = 4 * time.Second
	route53Status  = 2 * time.Second // TLS handshake included
	route53Body    = 2 * time.Second
)
