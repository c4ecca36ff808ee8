// Package zones reads the zones of a configuration file: their records, policies and aliases, and what is wrong with them.
//
//	section := zones.Read(top)                                // reports what the zones alone can tell
//	for ref := range section.References() { resolve(ref) }    // names of other sections, for the caller to look up
//	section.Finish()                                          // once nothing at all is wrong: what follows from the rest
//
// Package config is its only user, and gives the types their public names. A Section belongs to one goroutine; the zones
// in it are plain data that nothing writes to after Finish.
package zones

import (
	"net/netip"
	"time"
)

// Zone is an authoritative DNS zone. It is a primary, with records from here, from a file or from both, or it has Primaries and all
// of it comes from there.
type Zone struct {
	Name string // lower case, fully qualified, with the final dot

	// File is the absolute path of the zone's text (RFC 1035 §5); empty: none. Where it has a SOA record, or NS records of the zone
	// itself, those go before NegativeTTL, Hostmaster and Nameservers.
	File        string
	Nameservers []string      // fully qualified; empty only with File or Primaries
	TTL         time.Duration // of records that have none; default 300 s
	NegativeTTL time.Duration // default 60 s
	Hostmaster  string        // SOA RNAME, fully qualified
	Records     []Record

	Primaries []Peer   // asked in this order; not empty: the zone is a secondary
	Notify    []Peer   // told about changes, besides nobody else
	Transfer  Transfer // who may have the whole zone; zero: nobody
	Update    *Update  // who may change the zone; nil: nobody
	// Catalog makes a secondary a catalog zone (RFC 9432): its members become secondaries of the same Primaries, with the same
	// Notify, Transfer, Journal and bounds of refresh.
	Catalog bool
	// Journal is how many bytes of changes are kept for IXFR; default 1 MiB.
	Journal int64
	// RefreshMin and RefreshMax bound the times that the SOA record of a secondary states; default 30 s and 7 days.
	RefreshMin, RefreshMax time.Duration

	Line int
}

// Peer is another server for a zone.
type Peer struct {
	Address netip.AddrPort // port 53 unless written
	Key     string         // name of a TSIG key, canonical; empty: messages are not signed
}

// Transfer says who may have a zone by AXFR or IXFR. The zero Transfer allows nobody; otherwise what is not empty must all hold.
type Transfer struct {
	To   []netip.Prefix // the client is in one of them
	Keys []string       // the query is signed with one of them; canonical names
}

// Update says who may change what by RFC 2136. All of it must hold.
type Update struct {
	Keys  []string       // the update is signed with one of them; canonical names; never empty
	From  []netip.Prefix // the client is in one of them; empty: it may be anybody
	Names []string       // patterns that names must fit, fully qualified; see Allows; empty: every name
	Types []string       // types that may be changed; empty: every type
}

// Record is one RRSet, or a policy that chooses one.
type Record struct {
	Name    string // fully qualified, lower case
	Type    string // A, AAAA, TXT, ...; TYPE65280 for a type without a name (RFC 3597 §5)
	TTL     time.Duration
	Policy  string   // simple when Answers is empty
	Values  []string // simple: presentation form of each RDATA
	Alias   *Alias   // simple: answered with another record's answers
	Answers []Answer
	// EvaluateTargetHealth is accepted on a simple alias, where AWS consoles write it, and changes nothing there: a record that is
	// its only answer has nothing to fall back to. Default true for an alias.
	EvaluateTargetHealth bool
	// Together (only with Answers) makes policies draw by client and name instead of by query, so that the A, AAAA and HTTPS records of one name, with
	// equal ids, choose the same answer.
	Together bool
	Line     int
}

// Alias points at what is answered instead. Exactly one field is set.
type Alias struct {
	Record       string // a record of the same zone and type: its name, fully qualified
	Host         string // A and AAAA: a name outside our zones, fully qualified, resolved in the background (ANAME)
	Pool         string // A and AAAA: the addresses of a pool's endpoints, by the pool's policy and health
	Distribution string // A, AAAA and HTTPS: where this edge serves a distribution, which is Edge.Addresses
	Accelerator  string // A and AAAA: the addresses an accelerator listens on
}

// Answer is one choice of a policy record.
type Answer struct {
	ID     string
	Values []string
	Alias  *Alias
	// EvaluateTargetHealth makes an alias as healthy as what it points at; default true for an alias, as AWS consoles set it.
	EvaluateTargetHealth bool
	Check                string // name of a Check; empty: always healthy
	Weight               int    // weighted: 0-255
	Role                 string // failover: primary or secondary
	Region               string // latency, geoproximity
	Country              string // geolocation: ISO 3166-1 alpha-2
	Continent            string // geolocation: AF AN AS EU NA OC SA
	Subdivision          string // geolocation: a US state
	Default              bool   // geolocation, cidr
	CIDRs                []netip.Prefix
	Lat, Lon             float64 // geoproximity, when HasPoint
	HasPoint             bool
	Bias                 int // geoproximity: -99 to 99
	Line                 int
}
