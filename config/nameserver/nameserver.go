// Package nameserver reads the part of a configuration file that says how zones are served: transports, defence, logs and keys.
//
//	settings, section := nameserver.Read(top)   // reports what is wrong in the section dns
//	section.Get("certificate")                  // the one key of it that is the caller's to read
//
// Package config is its only user, and gives the types their public names. The types are plain data that nothing writes to once
// they are read.
package nameserver

import (
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/config/zones"
)

// Settings say how zones are served, whichever they are. Every field has its default.
type Settings struct {
	// NSID is what a query with the option NSID (RFC 5001) is told, at most 128 bytes. Empty: the option is not answered.
	NSID string
	// Chaos is what queries of class CHAOS are told. Zero: they are refused (D19).
	Chaos Chaos
	// ProxyProtocol are the peers whose connections and datagrams begin with a PROXY protocol v2 header, which says who the client
	// is; nobody else's header is read. Empty: nobody's.
	ProxyProtocol []netip.Prefix

	RateLimit *RateLimit // nil: off; by default on
	Cookies   *Cookies   // nil: off; by default on
	QueryLog  *QueryLog  // nil: no log
	Tap       *Tap       // nil: no dnstap
	Keys      []Key      // in the order of the file
	ZoneFiles *ZoneFiles // nil: no folder of zones
}

// Key returns the TSIG key of this name, which must be in its canonical form, in time linear in their number.
func (s *Settings) Key(name string) (*Key, bool) {
	for i := range s.Keys {
		if s.Keys[i].Name == name {
			return &s.Keys[i], true
		}
	}
	return nil, false
}

// Chaos is what is told about the server itself.
type Chaos struct {
	Version  string // version.bind and version.server; empty: refused
	Hostname string // hostname.bind and id.server; empty: refused
}

// RateLimit bounds what one network gets over UDP (D01). A rate counts the answers of one second that are alike for one client
// network; 0 does not limit them. Clients with a valid cookie are not limited.
type RateLimit struct {
	Responses  int            // with data, for one name; default 50
	Errors     int            // other than NXDOMAIN, for one zone; default: as Responses
	NXDomains  int            // NXDOMAIN and NODATA, for one zone, so that random names are one (D06); default: as Responses
	Window     time.Duration  // over which a rate is kept; default 1 s
	Slip       int            // of the answers beyond the rate every nth is sent, truncated (D05); 0: none, 1: all; default 2
	IPv4Prefix int            // bits of a client network; default 24
	IPv6Prefix int            // likewise; default 56
	Exempt     []netip.Prefix // never limited; default: this host's own loopback addresses
	LogOnly    bool           // count and log, but answer
	TableSize  int            // networks and answers that are counted at once; default 131072
}

// Cookies are the DNS cookies of RFC 7873 and 9018.
type Cookies struct {
	// Secrets are 16 octets each, shared by the servers of one address (RFC 9018 §4): the first makes cookies, all of them verify.
	// Empty: this process makes its own and changes them.
	Secrets []Secret
	// Require answers BADCOOKIE to UDP queries without a valid server cookie.
	Require bool
	// MaxPlainResponse is the most octets of a UDP answer to a client without a valid cookie: 0 (as any other) or 512 to 4096;
	// default 512 (D01).
	MaxPlainResponse int
}

// QueryLog is a line for each query.
type QueryLog struct {
	File   string  // absolute; empty: standard output
	Format string  // json (default) or route53
	Sample float64 // share of the queries that are logged, 0 to 1; default 1
}

// Tap sends queries and answers as dnstap frames to a unix socket.
type Tap struct {
	Socket    string // absolute path
	Identity  string // empty: the name of the edge
	Queries   bool   // AUTH_QUERY frames; default true
	Responses bool   // AUTH_RESPONSE frames; default true
}

// Key is a TSIG key (RFC 8945).
type Key struct {
	Name      string // fully qualified, lower case
	Algorithm string // hmac-sha256 (default), hmac-sha1, hmac-sha224, hmac-sha384, hmac-sha512; on the wire a dot follows
	Secret    Secret
	Line      int
}

// ZoneFiles is a folder in which every file that fits the pattern is the text of a zone named after it.
type ZoneFiles struct {
	Directory string // absolute
	Pattern   string // of file names: one *, which stands for the name of the zone; default *.zone

	Notify   []zones.Peer // as those of a zone, for all of them
	Transfer zones.Transfer
	Journal  int64
}

// Zone returns the zone in a file of the folder, complete but for what the file says. It returns false for a file that does not fit
// the pattern or whose name is not that of a zone.
func (z *ZoneFiles) Zone(file string) (zones.Zone, bool) {
	before, after, _ := strings.Cut(z.Pattern, "*")
	if strings.ContainsRune(file, '/') || len(file) <= len(before)+len(after) || !strings.HasPrefix(file, before) || !strings.HasSuffix(file, after) {
		return zones.Zone{}, false
	}
	name, ok := domain(file[len(before) : len(file)-len(after)])
	if !ok {
		return zones.Zone{}, false
	}
	zone := zones.New(name)
	zone.File = filepath.Join(z.Directory, file)
	zone.Notify, zone.Transfer, zone.Journal = z.Notify, z.Transfer, z.Journal
	return zone, true
}
