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
	"net/netip"
	"time"

	"github.com/meridian-edge/meridian/internal/dnswire"
	"github.com/meridian-edge/meridian/steer"
	"github.com/meridian-edge/meridian/steer/geo"
)

// Places tells where an address is. It must not block and must be safe for concurrent use.
type Places interface {
	Place(netip.Addr) geo.Place
}

// Deps are the organs a compiled set of zones points at, and the facts about this node that go into it. The zero Deps work:
// everything is up and nobody's place is known.
type Deps struct {
	Health  steer.Health                  // nil: everything is up
	Places  Places                        // nil: everybody is unknown
	From    geo.Point                     // where this edge is: distance starts here for clients whose place is unknown
	Slot    func(check string) steer.Slot // the board's slot of a check; nil: steer.Always
	Regions map[string]geo.Point          // places of the regions answers name
	Serial  uint32                        // SOA serial of every zone; must rise (RFC 1982) from one generation to the next
}

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

	// Transports set these: when the batch in hand arrived (zero: the clock is read for each query that needs it), where queries arrive
	// (zero: unknown), how long a connection may be idle, in units of 100 ms (0: not
	// told; RFC 7828), and the block that replies are padded to (0: not padded; RFC 7830 allows it on encrypted transports only).
	now       time.Time
	local     netip.AddrPort
	keepalive uint16
	pad       int

	query dnswire.Query
	work  work
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

	zone int // index of the zone plus one; 0: outside
}

// Zones is one immutable generation of everything this server answers for. The nil Zones answer SERVFAIL to every well-formed
// query: nothing has been loaded yet.
type Zones struct {
	deps   Deps
	health steer.Health
	zones  []zone
	nodes  []node
	table  table
	leaves []blob // what steer's picks point at
}

// Names returns the zones' names, with the final dot, in the order of the configuration. The nil Zones have none.
func (z *Zones) Names() []string {
	if z == nil {
		return nil
	}
	names := make([]string, len(z.zones))
	for i := range z.zones {
		names[i] = z.zones[i].name
	}
	return names
}

// zone is what all nodes of one zone share.
type zone struct {
	name     string
	index    int  // plus one, for Info
	wireLen  int  // of the name
	negative blob // the SOA with the negative TTL (RFC 2308 section 3)
}

// node is a name that exists: it has records, or one below it does (an empty non-terminal, RFC 4592 section 2.2.2).
type node struct {
	name     []byte // wire form, lower case
	zone     *zone
	wildcard *node     // "*" directly below
	cut      *referral // the name is at or below a delegation
	atCut    bool      // it is the delegation point itself
	sets     []rrset
	cname    *rrset // one of sets
	any      *rrset // what ANY gets (RFC 8482 section 4.1); nil: HINFO
}

// set returns the node's RRset of a type, or nil.
func (n *node) set(typ uint16) *rrset {
	for i := range n.sets {
		if n.sets[i].typ == typ {
			return &n.sets[i]
		}
	}
	return nil
}

// rrset is what is known under one name and type: one answer, or a policy that picks one.
type rrset struct {
	typ     uint16
	leaf    int         // into Zones.leaves; unused with tree
	tree    *steer.Tree // nil: the answer is always the same
	multi   bool        // the tree has a multivalue group: several leaves may answer together
	choices []int       // every leaf that can be the answer
	about   *about
}

// about is where an rrset comes from, for explain.
type about struct {
	name, typ, policy string
	line              int
}

// blob is one or more RRs in wire form, ready to copy. Every owner is a two-octet pointer at the question's name; a copy that
// belongs elsewhere has its owners patched.
type blob struct {
	wire   []byte
	ends   []uint16 // where each RR ends in wire
	target []byte   // of a CNAME: its target in wire form, lower case
	extra  []extra  // additional records that go with it
	id     string   // of the answer, for explain; empty: the record has one answer only
	// Signatures and their DO variant go here once zones are signed.
}

// extra is a group of additional RRs of one owner and type, owners written out.
type extra struct {
	wire     []byte
	count    uint16
	required bool // in-domain glue: without it the answer is truncated (RFC 9471 section 3)
}

// referral is a delegation as it is handed out.
type referral struct {
	ns      blob
	nameLen int // of the delegation point in wire form
	about   *about
}
