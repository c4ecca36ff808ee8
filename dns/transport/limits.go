package transport

import "time"

// Limits bound what clients can hold (row D11, RFC 7766 section 6.2.3, RFC 9210 section 4.4). The zero value of a field stands for
// its default.
type Limits struct {
	Connections int // open, for each kind of transport; 4,096. The one idle longest makes room for a new one
	PerPeer     int // open, of one IPv4 address or /64 of IPv6, for each kind; 16
	Queries     int // on one connection over TCP or TLS; 128
	Streams     int // open at a time on one HTTP/2, HTTP/3 or QUIC connection; 100
	Handed      int // messages of one TCP or TLS connection that Messages has at a time; 4. The next one waits, unread

	Header    time.Duration // for a PROXY protocol header (row L05); 5 s
	Handshake time.Duration // of TLS and of QUIC; 5 s
	First     time.Duration // for the first message on TCP or TLS to be complete; 2 s
	Idle      time.Duration // for the next message on TCP or TLS to begin; 10 s. edns-tcp-keepalive tells it (RFC 7828)
	IdleQUIC  time.Duration // without a message on HTTP or QUIC; 30 s
	Receive   time.Duration // for a message that has begun to be complete; 2 s
	Write     time.Duration // for a reply to be taken; 2 s
	Transfer  time.Duration // for each reply to be taken while Messages sends on the same connection; 10 s
	Drain     time.Duration // for Messages to finish once the server stops; 5 s
	Goodbye   time.Duration // for the last replies on QUIC to arrive before its connections are closed; 100 ms. Clients may leave first
}

func (l Limits) withDefaults() Limits {
	count := func(n *int, by int) {
		if *n == 0 {
			*n = by
		}
	}
	span := func(d *time.Duration, by time.Duration) {
		if *d == 0 {
			*d = by
		}
	}
	count(&l.Connections, 4096)
	count(&l.PerPeer, 16)
	count(&l.Queries, 128)
	count(&l.Streams, 100)
	count(&l.Handed, 4)
	span(&l.Header, 5*time.Second)
	span(&l.Handshake, 5*time.Second)
	span(&l.First, 2*time.Second)
	span(&l.Idle, 10*time.Second)
	span(&l.IdleQUIC, 30*time.Second)
	span(&l.Receive, 2*time.Second)
	span(&l.Write, 2*time.Second)
	span(&l.Transfer, 10*time.Second)
	span(&l.Drain, 5*time.Second)
	span(&l.Goodbye, 100*time.Millisecond)
	return l
}

// Sizes in octets.
const (
	MaxMessage = 65535    // RFC 1035 section 4.2.2
	MaxQuery   = 4096     // of a query on any transport (D11); longer ones are not queries
	MaxUpdate  = 16 << 10 // of a dynamic update (RFC 2136), on any transport but HTTPS
	MaxGET     = 512      // of a query in a URL (D22)

	headerLen = 12
	flushAt   = 16 << 10 // replies gathered before they are written
	lingerFor = 64 << 10 // read and thrown away before closing
	padBlock  = 468      // RFC 8467 section 4.1

	httpHead      = 8 << 10 // of a request
	h2Window      = 64 << 10
	quicWindow    = 32 << 10  // of a stream
	quicWindowAll = 256 << 10 // of a connection
	quicHalfOpen  = 100       // handshakes under way before addresses are verified by Retry (row Q01)
	quicInitials  = 1000      // new connections a second before addresses are verified by Retry
	h3UniStreams  = 16        // control and QPACK streams
)

const acceptPause = 100 * time.Millisecond // after a socket failed for want of something
