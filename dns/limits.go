package dns

import (
	"time"

	"github.com/meridian-edge/meridian/dns/message"
	"github.com/meridian-edge/meridian/dns/transport"
)

// Sizes of messages.
const (
	MaxUDP = message.MaxUDP       // what fits every path without fragments (DNS flag day 2020); offered and never passed over UDP (D03)
	MaxTCP = transport.MaxMessage // over anything but UDP

	minUDP   = 512 // without EDNS (RFC 1035 section 4.2.1)
	maxQuery = transport.MaxQuery
)

const (
	receivePause = 100 * time.Millisecond // after a socket failed for want of something
)

// servicePorts is below what clients send from: an error sent there may be answered with an error, for ever (D09,
// CVE-2024-2169).
const servicePorts = 1024
