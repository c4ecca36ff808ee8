// Package config turns meridian.yaml into one validated, read-only Config and reports every mistake in it at once.
//
//	cfg, warnings, err := config.Load("meridian.yaml")
//	var list config.Errors
//	if errors.As(err, &list) { list.Print(os.Stderr) }
//
// The types here are plain data: no defaults are left open, names are resolved and checked, durations and sizes are
// numbers, paths are absolute. Nothing may write to a Config after Load has returned it; it is then safe for concurrent use.
package config

import (
	"net/netip"
	"time"

	"github.com/meridian-edge/meridian/config/nameserver"
	"github.com/meridian-edge/meridian/config/zones"
)

// Config is everything one edge node is told to do. It is never partly filled: Load returns a complete one or none.
type Config struct {
	// File is the absolute path the configuration was read from; relative paths in it are relative to its folder.
	File string
	// Sum is the hex SHA-256 of the file's bytes after substitution; equal sums mean there is nothing to reload.
	Sum string

	Edge      Edge
	StateDir  string // absolute; created on first use with mode 0700
	Regions   []Region
	Listeners Listeners
	Cache     Cache
	Geo       Geo
	Log       Log
	Limits    Limits
	Quorum    Quorum
	DNS       DNS

	// TrustedProxies are the peers whose X-Forwarded-* fields are believed. Empty: nobody's are (attack row P06).
	TrustedProxies []netip.Prefix

	// Resolvers are asked for the names of pools' discovery and of aliases to hosts. Empty: those of /etc/resolv.conf.
	Resolvers []netip.AddrPort

	Checks        []Check
	Pools         []Pool
	Distributions []Distribution
	Zones         []Zone
	Accelerators  []Accelerator
}

// Edge says which node this is and where it stands.
type Edge struct {
	Name   string // host name when the file does not say; used in Via, CDN-Loop and Cache-Status
	Region string // a name in Regions, or empty: distance then has no origin and order decides
	// Addresses are where clients reach this edge; aliases to distributions are answered with them. Empty: the addresses of its
	// listeners, as far as these are not unspecified.
	Addresses []netip.Addr
}

// Region is a named place on the earth.
type Region struct {
	Name     string
	Lat, Lon float64 // degrees
}

// Listeners are the only addresses the node ever binds.
type Listeners struct {
	HTTP    []netip.AddrPort // plain HTTP/1.1 over TCP
	HTTPS   []netip.AddrPort // TLS over TCP for HTTP/1.1 and HTTP/2, QUIC over UDP for HTTP/3
	DNS     []netip.AddrPort // UDP and TCP
	DoT     []netip.AddrPort // DNS over TLS, TCP (RFC 7858)
	DoH     []netip.AddrPort // DNS over HTTPS: HTTP/2 over TCP, HTTP/3 over UDP (RFC 8484)
	DoQ     []netip.AddrPort // DNS over QUIC, UDP (RFC 9250)
	Metrics []netip.AddrPort // Prometheus text, read only
	Admin   []string         // absolute paths of unix sockets
}

// Cache sizes the object store shared by all distributions.
type Cache struct {
	Memory    int64    // bytes; default 256 MiB
	TagFields []string // response fields that hold tags, lower case; default surrogate-key and cache-tag
	Disk      *Disk    // nil: no disk tier
}

// Disk sizes the disk tier.
type Disk struct {
	Path string // absolute folder
	Size int64  // bytes
}

// Geo chooses the database that turns an address into a place.
type Geo struct {
	Database  string // absolute path of an mmdb file; empty: the embedded country database
	Overrides []GeoOverride
}

// GeoOverride is the operator's word on where the addresses of some networks are; of all that hold an address the longest
// network decides.
type GeoOverride struct {
	CIDRs       []netip.Prefix // masked; in no other override; at least one
	Country     string         // ISO 3166-1 alpha-2; empty: unknown, and HasPoint is set
	Subdivision string         // a US state; empty: unknown
	Lat, Lon    float64        // degrees, when HasPoint; otherwise the country's centroid counts
	HasPoint    bool
	Line        int
}

// Log says what is written where.
type Log struct {
	Level  string // debug, info (default), warn, error
	Format string // auto (default: text on a terminal, else json), text, json
	Access string // stdout (default), off, or an absolute file path
}

// Limits bound what one client can take. Every field has a default and is never zero.
type Limits struct {
	HeaderBytes    int           // whole request head; default 32 KiB (431)
	HeaderFields   int           // fields in a head; default 100 (431)
	TargetBytes    int           // request target; default 8 KiB (414)
	HeaderTimeout  time.Duration // to receive a head; default 10 s
	IdleTimeout    time.Duration // keep-alive without a request; default 60 s
	BodyBytes      int64         // request body; default 100 MiB (413)
	Connections    int           // open client connections; default 50,000
	PerClient      int           // open connections of one address (/64 in IPv6); default 256
	DrainTimeout   time.Duration // to finish requests when stopping; default 30 s
	DNSTCPClients  int           // open DNS connections; default 4,096
	DNSTCPPerPeer  int           // open DNS connections of one address; default 16
	DNSTCPIdle     time.Duration // DNS over TCP, TLS and QUIC without a query; default 10 s (RFC 7766 §6.2.3)
	DNSTCPQueries  int           // queries on one DNS connection; default 128
	OriginConns    int           // connections to one endpoint; default 256
	OriginAttempts int           // attempts for one request; default 3
	RetryPercent   float64       // retries as a share of requests; default 10
}

// Check is a named way to find out whether something works.
type Check struct {
	Name     string
	Type     string         // http, https, h2, tcp, tls, grpc, dns, udp, agent, calculated, manual
	Target   netip.AddrPort // invalid: each endpoint's own address
	Port     uint16         // takes the place of each endpoint's own; 0: it does not. Never with Target
	Preset   string         // http, https, tcp: route53 gives it the timeouts of Route 53; default none
	Host     string         // Host field and SNI; empty: the target's address
	Path     string         // http, https and h2; default /
	Method   string         // http, https, h2: GET (default) or HEAD
	Headers  []CheckHeader  // http, https, h2: further fields of the request, in the order of the file
	Expect   []StatusRange  // http, https, h2: statuses that count as success; default 200-399
	Search   string         // http, https, h2: at most 255 bytes that must be in the first 5120 of the body; empty: the body is ignored
	Send     string         // tcp, tls, udp, agent: bytes to send first; needed for udp
	Reply    string         // tcp, tls, udp: bytes that must be in the reply (key expect); empty: any reply to Send
	TLS      bool           // h2 (default true) and grpc (default false); https and tls always use it
	ALPN     []string       // tls: protocols to offer, of which the server must choose one; empty: none
	MinDays  int            // tls: days that the certificate must still be valid; default 0, not expired
	Service  string         // grpc: name of the service; empty: the server as a whole
	Query    CheckQuery     // dns
	Interval time.Duration  // default 10 s, or 30 s with a preset
	Timeout  time.Duration  // below Interval; default 2 s, or half of Interval when that is less; a preset sets it
	Rise     int            // successes in a row to come up; default 2, or 3 with a preset
	Fall     int            // failures in a row to go down; default 3
	Count    *Counting      // nil: Rise and Fall; else it takes their place
	HoldDown *HoldDown      // nil: an endpoint comes up as soon as it has succeeded often enough
	Inverted bool           // success means down
	Disabled bool           // not probed: healthy, or down when Inverted (Route 53's forced-down idiom)
	Verify   bool           // https, and h2, tls and grpc over TLS: verify the certificate; default false, as Route 53
	Of       []string       // calculated: names of other checks
	AtLeast  int            // calculated: how many of them must be healthy
	MaxFlip  float64        // percent of what is up in a pool that an edit may take down, or it is refused; default 50

	// Inline is true for a check written in place (an accelerator group's); its Name is then its path in the file.
	Inline bool
}

// CheckHeader is a field of a probe's request. The value may be a secret.
type CheckHeader struct{ Name, Value string }

// CheckQuery is what a check of type dns asks and wants.
type CheckQuery struct {
	Name   string // absolute, with its final dot
	Type   string // in capitals; default A
	Rcode  string // in capitals; default NOERROR
	Answer string // data of a record that must be among the answers, in its presentation form; empty: the rcode decides
}

// Quorum says how the votes of several nodes become one opinion about health, for DNS answers. Without votes of others this
// node's own probes are the opinion, whatever the mode.
type Quorum struct {
	Mode         string        // r53 (default), regions, all, any, local
	HealthyAbove float64       // r53: healthy while more than this share of the votes says so; default 0.18, 0 in other modes
	MinVoters    int           // votes that make a quorum; default 3
	HoldLast     time.Duration // how long the last opinion is held without a quorum; default 5 min
	Period       time.Duration // how often a node votes and counts; a vote expires after three; default 2 s
	Dwell        time.Duration // how long an opinion stays before votes can turn it round; default 10 s, 0: no time
	// References are the checks of targets that are known to be up: a node that fails more than half of them abstains.
	References []string
}

// Counting is how gdnsd counts: failures add up while the endpoint is up, and are forgotten only after OK successes in a row.
type Counting struct {
	Up   int // successes in a row to come up; default 20
	OK   int // successes in a row that forgive the failures so far; default 10
	Down int // failures, in a row or not, to go down; default 10
}

// HoldDown keeps an endpoint that goes up and down, down for longer each time: Min after the first time, doubled by each
// further one, at most Max. The count of times halves every HalfLife.
type HoldDown struct {
	Min      time.Duration // default: the interval of the check
	Max      time.Duration // default 5 min, or Min when that is more
	HalfLife time.Duration // default 5 min
}

// StatusRange is an inclusive range of HTTP statuses.
type StatusRange struct{ From, To int }

// Pool is a set of endpoints that can serve the same requests.
type Pool struct {
	Name      string
	Policy    string // simple, weighted, failover, latency, round-robin, least-outstanding, hash, least-latency; default simple
	Check     string // name of a Check; empty: endpoints are always up
	Endpoints []Endpoint
	Passive   Passive // how requests judge endpoints; zero: they do not

	Hash           HashKey       // what stays together under policy hash
	SlowStart      time.Duration // how long the share of a recovered endpoint grows: 30 s to 15 min; 0: it has all of it at once
	Sticky         *Sticky       // nil: clients are not bound to endpoints
	Panic          int           // percent of healthy endpoints below which health is ignored; 0: only when none is healthy
	MinHealthy     int           // number of healthy endpoints below which health is ignored; 0: as 1
	MaxOutstanding int           // requests in flight at one endpoint before others are asked; 0: no limit but limits.origin_conns

	// Discover says where further endpoints come from; see package edge/discover. With it, Endpoints may be empty.
	Discover []Discovery
	// MaxVanish is the share of the pool's endpoints, in percent, that discovery may take away in one step; what vanishes beyond
	// it is held until it is confirmed. Default 50.
	MaxVanish float64
	// VanishLooks is how many looks in a row must then agree before what vanished goes; default 5.
	VanishLooks int
}

// HashKey says which part of a request policy hash goes by. A request without that part goes by its client.
type HashKey struct {
	By   string // client (default), path, header or cookie
	Name string // of the header (lower case) or the cookie
}

// Sticky binds a client to the endpoint that served it, by a cookie that does not tell which that is.
type Sticky struct {
	Cookie string        // its name
	TTL    time.Duration // how long it lasts after the last request that set it: 1 s to 7 days; default 1 day
	Key    string        // secret that edges share, so that they understand each other's cookies; empty: one of this process
}

// Discovery is one source of a pool's endpoints.
type Discovery struct {
	Kind string // dns, file, url
	// Type of a dns source: a (A and AAAA records of Name, with Port) or srv (SRV records of Name and the addresses of their
	// targets).
	Type string
	Name string // dns: lower case, without the final dot
	Port uint16 // dns of type a
	Path string // file: absolute; Prometheus file_sd form
	URL  string // url: http or https; answers in the same form

	Interval                 time.Duration // file and url: how often they are looked at; default 5 s and 30 s
	MinInterval, MaxInterval time.Duration // dns: bounds on the TTL, which is when to ask again; default 5 s and 1 h

	Region string // of endpoints for which the source names none; a name in Regions, or empty
	Weight int    // likewise; 0-255; default 1
	Line   int
}

// Passive is how the requests that a pool serves judge its endpoints: one that fails them is ejected, which means asked last,
// for a while. The defaults are those of a pool that says `passive: on`; a pool of several endpoints that says nothing has
// only GatewayFailures.
type Passive struct {
	ServerErrors    int           // 5xx and gateway failures in a row that eject; default 5, 0: do not
	GatewayFailures int           // 502, 503, 504 and endpoints not reached, in a row, that eject; default 5, 0: do not
	Deviations      float64       // standard deviations below the mean success rate that eject; default 1.9, 0: do not
	MinEndpoints    int           // with MinRequests each, before success rates are compared; default 5
	MinRequests     int           // in one Interval; default 100
	Interval        time.Duration // over which success rates are taken; default 10 s
	BaseEjection    time.Duration // of the first ejection; the n-th lasts n times as long; default 30 s
	MaxEjection     time.Duration // default 300 s
	MaxShare        float64       // percent of the pool ejected at once, but always one; default 10
}

// On reports whether anything of it is switched on.
func (p *Passive) On() bool { return p.ServerErrors > 0 || p.GatewayFailures > 0 || p.Deviations > 0 }

// Endpoint is one server of a pool.
type Endpoint struct {
	Address netip.AddrPort // the address to dial; invalid when Host is a name
	Host    string         // a DNS name to dial instead of Address; empty when Address is set
	Port    uint16         // with Host
	Region  string         // a name in Regions, or empty
	Weight  int            // 0-255; default 1
	Role    string         // failover: primary or secondary; empty: by order
	// Capacity is how many requests in flight it can take, in place of the pool's MaxOutstanding; 0: that.
	Capacity int
	TLS      bool   // speak TLS to it (from an https url)
	ID       string // unique in its pool: the address as written

	// Discovered is true for an endpoint that a source of its pool found; Load never sets it. Where the pool has a check, it
	// counts as down until its first success.
	Discovered bool
}

// Distribution is everything served for a set of host names.
type Distribution struct {
	Name        string
	Domains     []string // lower case; "*.x" matches one or more labels below x, "*" everything
	Certificate Certificate
	Origins     []Origin
	Behaviors   []Behavior // first match wins; the last matches everything
	Errors      []ErrorObject
	Quota       int64 // bytes of the cache's memory; 0: what is left by those with one
}

// ErrorObject is what clients get instead of an error of an origin.
type ErrorObject struct {
	Status int    // of the error
	Path   string // what is fetched instead, through the behavior that matches it; empty: nothing
	As     int    // the status clients see
}

// Certificate says where a distribution's certificate comes from. Zero: self-signed when an https listener exists.
type Certificate struct {
	SelfSigned bool
	ACME       bool
	CertFile   string // absolute
	KeyFile    string // absolute
}

// Origin is where a behavior fetches from: one pool, reached in one way.
type Origin struct {
	Name           string
	Pool           string        // name of a Pool; an origin given by url gets a pool of its own, named "<distribution>/<origin>"
	HostHeader     string        // Host sent upstream; empty: the client's host
	ConnectTimeout time.Duration // default 1 s
	ReadTimeout    time.Duration // to the first byte of the response, and between bytes; default 15 s
	TLSServerName  string        // SNI and name to verify; empty: HostHeader, or the endpoint's name
	SkipVerify     bool          // do not verify the origin's certificate
}

// Behavior says how requests whose path matches are served.
type Behavior struct {
	Path            string   // pattern with * and ?; a leading / is optional
	Origin          string   // name of an Origin in the same distribution
	Methods         []string // upper case; nil: every method
	Cache           CachePolicy
	Compress        bool // bodies go out in a coding that the client accepts
	RedirectToHTTPS bool
	Line            int // in the file, for explain
}

// CachePolicy says what may be stored for a behavior and under which key.
type CachePolicy struct {
	Off                  bool
	Profile              string        // rfc9111 (default) or cloudfront
	MinTTL               time.Duration // lower bound on explicit freshness
	DefaultTTL           time.Duration // freshness of a response that states none; 0: none
	MaxTTL               time.Duration // upper bound; 0: none
	KeyQuery             KeyPart
	KeyHeaders           []string // lower case; extra request fields in the key
	KeyCookies           *KeyPart // nil: cookies are not in the key, and forwarded; else those selected are in it, and only they are forwarded
	ForwardAll           bool     // what is left out of the key is forwarded all the same
	StaleIfError         time.Duration
	StaleWhileRevalidate time.Duration
	StaleIfSlow          time.Duration // how long the origin has before a stale response stands in for it; 0: as long as it takes
	ErrorTTL             time.Duration // freshness of errors that state none; cloudfront: the least of any error; 0: none
	ErrorTTLs            []ErrorTTL    // instead of ErrorTTL, by status
	Targeted             []string      // lower case; fields that come before Cache-Control (RFC 9213), in this order
	HeuristicPercent     int           // of the time since Last-Modified, as freshness of a response that states none; 0: none
	HeuristicMax         time.Duration // upper bound of that
	HonourRequest        bool          // clients' max-age, min-fresh, max-stale and no-cache count
	ShowKey              bool          // Cache-Status says the key
	Pin                  bool          // what is stored is not evicted, as far as half of the memory goes
	MaxObject            int64         // bytes of the largest body that is stored; 0: what the store allows
	NoSlices             bool          // large bodies are stored whole or not at all, and ranges of what is not stored are not
	MaxWaiters           int           // requests that wait for one fetch; 0: 20000
	WaitTimeout          time.Duration // how long one waits; 0: 30s
}

// ErrorTTL is how long errors of one status are fresh.
type ErrorTTL struct {
	Status int
	TTL    time.Duration
}

// KeyPart selects named parts of a request for the cache key.
type KeyPart struct {
	All   bool     // every one but Names, as sent (the default for the query)
	Names []string // without All: these
}

// The parts of a zone are their own package's. They are as much a part of a Config as the types here.
type (
	Zone   = zones.Zone   // an authoritative DNS zone
	Record = zones.Record // one RRSet, or a policy that chooses one
	Alias  = zones.Alias  // what is answered instead
	Answer = zones.Answer // one choice of a policy record
)

// DNS is how zones are served, whichever they are.
type DNS struct {
	// Certificate is that of the listeners dot, doh and doq. Zero: self-signed when one of them exists. ACME is never set.
	Certificate Certificate

	nameserver.Settings
}

// The parts of DNS, and of the zones that are exchanged with other servers.
type (
	Chaos     = nameserver.Chaos     // what is told about the server itself
	RateLimit = nameserver.RateLimit // response rate limiting
	Cookies   = nameserver.Cookies   // DNS cookies
	QueryLog  = nameserver.QueryLog  // a line for each query
	Tap       = nameserver.Tap       // a frame for each message
	Key       = nameserver.Key       // a TSIG key
	ZoneFiles = nameserver.ZoneFiles // a folder of zones
	Secret    = nameserver.Secret    // bytes that print as stars
	Peer      = zones.Peer           // another server for a zone
	Transfer  = zones.Transfer       // who may have a whole zone
	Update    = zones.Update         // who may change a zone
)

// Accelerator forwards TCP and UDP flows to endpoint groups. Parsed and validated; this version does not serve it.
type Accelerator struct {
	Name      string
	Affinity  string // none (default) or source-ip
	Listeners []AcceleratorListener
	Groups    []Group
	Line      int
}

// AcceleratorListener is one address with port ranges.
type AcceleratorListener struct {
	Protocol string // tcp or udp
	Address  netip.Addr
	Ports    []PortRange
}

// PortRange is inclusive.
type PortRange struct{ From, To uint16 }

// Group is an endpoint group of an accelerator.
type Group struct {
	Region    string
	Dial      float64 // percent, default 100
	Check     string  // name of a Check, inline ones included
	Endpoints []GroupEndpoint
	Passive   Passive // how flows judge endpoints, as those of a Pool; zero: they do not
}

// GroupEndpoint is one target of a group.
type GroupEndpoint struct {
	Address netip.Addr
	Weight  int               // 0-255, default 128
	Ports   map[uint16]uint16 // listener port -> endpoint port; absent: the same port
}
