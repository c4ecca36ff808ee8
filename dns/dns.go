// Package dns is the authoritative DNS server: zones compiled to wire form, one pure function that answers a packet, and the
// loops that carry packets to it.
//
//	zones, err := dns.Compile(cfg, dns.Deps{Health: board, Places: db, Serial: serial})
//	server := dns.NewServer(dns.Options{Source: source, Limits: cfg.Limits, Log: log, Registerer: reg})
//	go server.ServeUDP(ctx, udpConn)
//	go server.ServeTCP(ctx, tcpListener)
//	go server.ServeTLS(ctx, tcpListener, tlsConfig) // DoT; likewise ServeHTTPS, ServeHTTP3 (DoH) and ServeQUIC (DoQ)
//
// Zones never change after Compile and are safe for concurrent use; a reload compiles new ones and the Source starts to return
// them. Zones.Answer does no I/O and, once its buffer has grown, allocates nothing; Zones.Explain runs the same lookup and says
// what it did.
package dns

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/meridian-edge/meridian/dns/zone"
	"github.com/meridian-edge/meridian/internal/dnswire"
	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

// Places tells where an address is. It must not block and must be safe for concurrent use.
type Places interface {
	Place(netip.Addr) geo.Place
}

// Deps are the organs a compiled set of zones points at, and the facts about this node that go into it. The zero Deps work:
// everything is up and nobody's place is known. The functions must be safe for concurrent use; all but Hosts are called only
// while zones are compiled.
type Deps struct {
	Health  steer.Health                  // nil: everything is up
	Places  Places                        // nil: everybody is unknown
	From    geo.Point                     // where this edge is: distance starts here for clients whose place is unknown
	Slot    func(check string) steer.Slot // the board's slot of a check; nil: steer.Always
	Regions map[string]geo.Point          // places of the regions answers name
	Serial  uint32                        // SOA serial of zones that bring none; must rise (RFC 1982) from one generation to the next

	// Endpoint is the board's slot of the i-th endpoint of a pool in the configuration given to Compile, for aliases to pools.
	// nil: the slot of the pool's check.
	Endpoint func(pool string, i int) steer.Slot
	// Hosts is what is known of a name outside our zones, for aliases to hosts. It is called for every query, and must neither
	// block nor allocate. nil: nothing is known, and such aliases are answered with SERVFAIL.
	Hosts func(host string) HostAnswer
	// Data are zones, or the further records of zones of the configuration, by their name in lower case with its final dot: from
	// zone files, transfers and catalogs. A nil Data is a zone that is ours and not there yet: it is answered with SERVFAIL.
	Data map[string]*zone.Data
	// Previous are the zones whose unchanged parts are taken over. nil: everything is compiled.
	Previous *Zones
}

// HostAnswer is what is known of a host: the last good answer.
type HostAnswer struct {
	Addrs []netip.Addr // of both families; empty: nothing is known yet. It must not change
	TTL   uint32       // seconds
}

// ZoneError is why a zone from Deps.Data is not served as it is there. Its previous version goes on being served; without one,
// it is answered with SERVFAIL.
type ZoneError struct {
	Zone string // with the final dot
	Err  error
}

func (e ZoneError) Error() string { return fmt.Sprintf("zone %s: %v", e.Zone, e.Err) }

// Unwrap returns Err.
func (e ZoneError) Unwrap() error { return e.Err }

// Transport is what carried a query. It decides how large an answer may be.
type Transport uint8

// The transports.
const (
	UDP   Transport = iota // 512 octets, or what the client's EDNS allows up to MaxUDP
	TCP                    // 65,535 octets, here and below
	TLS                    // DoT
	HTTPS                  // DoH
	QUIC                   // DoQ

	transports = 5
)

func (t Transport) String() string { return [...]string{"udp", "tcp", "tls", "https", "quic"}[t] }

// Client is who asks. Make one per worker and use it for every packet: it carries the scratch space of an answer. It belongs
// to one call at a time.
type Client struct {
	Addr   netip.Addr   // source of the packet; zero: unknown
	Subnet netip.Prefix // EDNS Client Subnet; zero: none. Answer sets it from the packet, Explain takes it from here
	Random uint64       // the draw for random policies and rotation; equal draws give equal answers

	// Transports set these: when the batch in hand arrived (zero: the clock is read for each query that needs it), and where queries
	// arrive (zero: unknown).
	now   time.Time
	local netip.AddrPort

	info     Info // about the last answer
	answered bool // it is made, and not yet on its way
	count    count
	dice     rand.PCG // see draw
	query    dnswire.Query
	work     work
}

// Reason says why a packet got no reply.
type Reason uint8

// The reasons. NotDropped means there is a reply.
const (
	NotDropped  Reason = iota
	Malformed          // shorter than a header, or itself a response (D08, D09)
	SourcePort         // from port 0, or an error reply to a service port (D09)
	SendFailed         // the kernel refused the reply
	RateLimited        // the client's network gets too many replies of this kind (D01)
	ProxyHeader        // a listed proxy sent no header that can be believed (L05)

	reasons = 6
)

func (r Reason) String() string {
	return [...]string{"", "malformed", "source_port", "send_failed", "rate_limited", "proxy_header"}[r]
}

// Info describes an answer for metrics and logs.
type Info struct {
	Zone      string // as in the configuration, with the final dot; empty: outside our zones
	RCode     uint16 // with the upper bits of EDNS
	Type      uint16 // of the question; 0: there was none to read
	Scope     uint8  // of the client subnet in the answer
	Truncated bool
	Dropped   Reason // not NotDropped: nothing was appended

	zone int // index of the zone plus one; 0: outside. Zone is filled in for who asks
}

// Zones is one immutable generation of everything this server answers for. The nil Zones answer SERVFAIL to every well-formed
// query: nothing has been loaded yet.
type Zones struct {
	env    *env
	deps   Deps
	health steer.Health
	units  []*unit
	order  *order // of units
	apexes apexTable
	errs   []ZoneError
}

// order stands for which zones there are, and in which order: generations that have it in common have that in common too.
type order struct{ zones int }

// Names returns the zones' names, with the final dot: first those of the configuration in its order, then the others. The nil
// Zones have none.
func (z *Zones) Names() []string {
	if z == nil {
		return nil
	}
	names := make([]string, len(z.units))
	for i, u := range z.units {
		names[i] = u.name
	}
	return names
}

// nameOf is what the zone of an Info is called.
func (z *Zones) nameOf(zone int) string {
	if zone == 0 {
		return ""
	}
	return z.units[zone-1].name
}

// Errors are the zones from Deps.Data that are not served as they are there, in the order of Names.
func (z *Zones) Errors() []ZoneError {
	if z == nil {
		return nil
	}
	return z.errs
}

// Records is the number of records in all zones, steered answers included.
func (z *Zones) Records() int {
	if z == nil {
		return 0
	}
	n := 0
	for _, u := range z.units {
		n += u.records
	}
	return n
}
