package nameserver

import (
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/miekg/dns"

	"github.com/meridian-edge/meridian/config/zones"
	"github.com/meridian-edge/meridian/internal/yamldoc"
)

// The generic halves of reading, under the names that this package's own code has for them.
type (
	cursor = yamldoc.Cursor
	object = yamldoc.Object
)

const (
	longestText   = 128 // bytes of what clients are told about the server
	longestSocket = 107 // the room that sun_path has, less its final zero byte (unix(7))
)

// Read reads the section under the key dns of a file. It also returns the section itself, whose certificate it leaves to its
// caller.
func Read(top yamldoc.Object) (Settings, yamldoc.Object) {
	s := Settings{RateLimit: defaultRateLimit(), Cookies: defaultCookies()}
	c, found := top.Get("dns")
	if !found {
		return s, object{}
	}
	o := c.Object("certificate", "nsid", "chaos", "proxy_protocol", "rate_limit", "cookies", "query_log", "dnstap",
		"keys", "zone_files")
	yamldoc.Set(o, "nsid", &s.NSID, readShort)
	readChaos(o, &s.Chaos)
	if list, found := o.Get("proxy_protocol"); found {
		s.ProxyProtocol, _ = list.Prefixes()
	}
	s.RateLimit = readRateLimit(o)
	s.Cookies = readCookies(o)
	s.QueryLog = readQueryLog(o)
	s.Tap = readTap(o)
	s.Keys = readKeys(o)
	s.ZoneFiles = readZoneFiles(o)
	return s, o
}

// readShort reads a text that goes out to clients.
func readShort(c cursor) (string, bool) {
	s, ok := c.Text()
	if ok && len(s) > longestText {
		c.Errorf("%d bytes are more than %d", len(s), longestText)
		return "", false
	}
	return s, ok
}

func readChaos(o object, into *Chaos) {
	c, found := section(o, "chaos")
	if !found {
		return
	}
	co := c.Object("version", "hostname")
	yamldoc.Set(co, "version", &into.Version, readShort)
	yamldoc.Set(co, "hostname", &into.Hostname, readShort)
}

// switched reads a section that may be off, or on with its defaults. It returns whether it is on, and its cursor if it is a
// mapping.
func switched(o object, key string, byDefault bool) (c cursor, mapping, on bool) {
	c, found := o.Get(key)
	if !found {
		return c, false, byDefault
	}
	if on, plain := c.PlainSwitch(); plain {
		return c, false, on
	}
	if c.Single() {
		_, _ = c.Enum("on", "off") // says that it is neither
		return c, false, byDefault
	}
	return c, true, true
}

// section is switched for what cannot be on without its keys.
func section(o object, key string) (cursor, bool) {
	c, mapping, on := switched(o, key, false)
	if on && !mapping {
		c.Errorf("must be off or a mapping (key: value)")
	}
	return c, mapping
}

func defaultRateLimit() *RateLimit {
	const rate = 50
	return &RateLimit{
		Responses: rate, Errors: rate, NXDomains: rate, Window: time.Second, Slip: 2, IPv4Prefix: 24, IPv6Prefix: 56,
		TableSize: 1 << 17,
		Exempt:    Loopback(),
	}
}

// Loopback are the networks that only this host can send from, whose clients are never limited unless the file says otherwise.
func Loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
}

func readRateLimit(o object) *RateLimit {
	const fastest = 100_000
	c, mapping, on := switched(o, "rate_limit", true)
	if !on {
		return nil
	}
	r := defaultRateLimit()
	if !mapping {
		return r
	}
	ro := c.Object("responses_per_second", "errors_per_second", "nxdomains_per_second", "window", "slip", "ipv4_prefix",
		"ipv6_prefix", "exempt", "log_only", "table_size")
	if ro.Integer("responses_per_second", &r.Responses, 0, fastest) {
		r.Errors, r.NXDomains = r.Responses, r.Responses
	}
	ro.Integer("errors_per_second", &r.Errors, 0, fastest)
	ro.Integer("nxdomains_per_second", &r.NXDomains, 0, fastest)
	ro.Duration("window", &r.Window, time.Second, 5*time.Minute)
	ro.Integer("slip", &r.Slip, 0, 10)
	ro.Integer("ipv4_prefix", &r.IPv4Prefix, 8, 32)
	ro.Integer("ipv6_prefix", &r.IPv6Prefix, 16, 64)
	if list, found := ro.Get("exempt"); found {
		r.Exempt, _ = list.Prefixes()
	}
	ro.Boolean("log_only", &r.LogOnly)
	ro.Integer("table_size", &r.TableSize, 1<<10, 1<<24)
	if r.Responses == 0 && r.Errors == 0 && r.NXDomains == 0 {
		c.Warnf("every rate is 0, so nothing is limited").Hint("write rate_limit: off if that is meant")
	}
	return r
}

func defaultCookies() *Cookies { return &Cookies{MaxPlainResponse: 512} }

func readCookies(o object) *Cookies {
	c, mapping, on := switched(o, "cookies", true)
	if !on {
		return nil
	}
	k := defaultCookies()
	if !mapping {
		return k
	}
	ko := c.Object("secrets", "require", "max_plain_response")
	if list, found := ko.Get("secrets"); found {
		k.Secrets = readCookieSecrets(list)
	}
	ko.Boolean("require", &k.Require)
	yamldoc.Set(ko, "max_plain_response", &k.MaxPlainResponse, func(c cursor) (int, bool) {
		n, ok := c.Integer(0, 4096)
		if ok && n != 0 && n < 512 {
			c.Errorf("%d octets are fewer than every client can take", n).Hint("512 to 4096, or 0 for no limit of its own")
			return 0, false
		}
		return n, ok
	})
	return k
}

func readQueryLog(o object) *QueryLog {
	c, found := section(o, "query_log")
	if !found {
		return nil
	}
	l := &QueryLog{Format: "json", Sample: 1}
	lo := c.Object("to", "format", "sample")
	lo.Need("to")
	yamldoc.Set(lo, "to", &l.File, func(c cursor) (string, bool) {
		if s, ok := c.Text(); !ok || s == "stdout" {
			return "", ok
		}
		return c.FilePath()
	})
	lo.Enum("format", &l.Format, "json", "route53")
	if lo.Number("sample", &l.Sample, 0, 1) && l.Sample == 0 {
		c.Warnf("a sample of 0 logs nothing").Hint("write query_log: off if that is meant")
	}
	return l
}

func readTap(o object) *Tap {
	c, found := section(o, "dnstap")
	if !found {
		return nil
	}
	t := &Tap{Queries: true, Responses: true}
	to := c.Object("socket", "identity", "queries", "responses")
	to.Need("socket")
	yamldoc.Set(to, "socket", &t.Socket, readSocket)
	yamldoc.Set(to, "identity", &t.Identity, readShort)
	to.Boolean("queries", &t.Queries)
	to.Boolean("responses", &t.Responses)
	if !t.Queries && !t.Responses {
		c.Warnf("neither queries nor responses are sent").Hint("write dnstap: off if that is meant")
	}
	return t
}

// readSocket reads the path of a unix socket that somebody else listens on.
func readSocket(c cursor) (string, bool) {
	if s, ok := c.Text(); ok && strings.HasPrefix(s, "unix:") {
		c.Errorf("%s is not a path", c.Shown()).Hint("write the path alone, without unix:")
		return "", false
	}
	path, ok := c.FilePath()
	if ok && len(path) > longestSocket {
		c.Errorf("the absolute path of this socket has %d bytes; the system allows %d", len(path), longestSocket).
			Hint("use a shorter folder, such as one below /run")
		return "", false
	}
	return path, ok
}

func readZoneFiles(o object) *ZoneFiles {
	c, found := section(o, "zone_files")
	if !found {
		return nil
	}
	z := &ZoneFiles{Pattern: "*.zone", Journal: zones.DefaultJournal}
	zo := c.Object("directory", "pattern", "notify", "transfer", "journal")
	yamldoc.Set(zo, "notify", &z.Notify, zones.ReadPeers)
	if transfer, found := zo.Get("transfer"); found {
		z.Transfer = zones.ReadTransfer(transfer)
	}
	zones.ReadJournal(zo, &z.Journal)
	zo.Need("directory")
	zo.File("directory", &z.Directory)
	yamldoc.Set(zo, "pattern", &z.Pattern, func(c cursor) (string, bool) {
		s, ok := c.Text()
		if ok && (strings.Count(s, "*") != 1 || strings.ContainsAny(s, "/?[]\\")) {
			c.Errorf("%s is not a file name with one *", c.Shown()).Hint("* stands for the name of the zone, as in *.zone")
			return "", false
		}
		return s, ok
	})
	return z
}

// domain returns the canonical form of a domain name, other than the root's, without characters that would need quoting.
func domain(s string) (string, bool) {
	if _, ok := dns.IsDomainName(s); !ok || strings.Trim(s, ".") == "" || strings.HasPrefix(s, "*") ||
		strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII || r <= ' ' || strings.ContainsRune(`"();$@\`, r) }) {
		return "", false
	}
	return dns.CanonicalName(s), true
}
