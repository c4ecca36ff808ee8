package arch

import (
	"path"
	"strings"
)

// floors places every room. A room may import rooms on lower floors and its own sub-rooms; nothing else of this module.
// The pattern may hold path.Match wildcards. A folder called internal inside a room belongs to that room.
var floors = []struct {
	floor   int
	pattern string
}{
	{0, "config"},
	{0, "config/nameserver"},
	{0, "config/zones"},
	{0, "internal/arch"},
	{0, "internal/arena"},
	{0, "internal/deploytest"},
	{0, "internal/dnswire"},
	{0, "internal/fault"},
	{0, "internal/httpwire"},
	{0, "internal/memlimit"},
	{0, "internal/need"},
	{0, "internal/netio"},
	{0, "internal/proxyproto"},
	{0, "internal/script"},
	{0, "internal/yamldoc"},
	{1, "steer"},
	{1, "steer/geo"},
	{1, "cache/rules"},
	{1, "cache/evict"},
	{1, "cache/slots"},
	{1, "cache/pages"},
	{1, "cache/quota"},
	{1, "cache/encode"},
	{2, "cache"},
	{2, "cache/body"},
	{2, "cache/record"},
	{2, "cache/reply"},
	{2, "cache/key"},
	{2, "cache/disk"},
	{2, "cache/purge"},
	{2, "cache/byteranges"},
	{2, "cache/slice"},
	{2, "healthcheck"},
	{2, "healthcheck/probe"},
	{2, "healthcheck/quorum"},
	{2, "healthcheck/rtt"},
	{2, "healthcheck/statefile"},
	{2, "dns/zone"},
	{2, "dns/delegation"},
	{2, "dns/guard"},
	{2, "dns/message"},
	{2, "dns/tap"},
	{2, "dns/transport"},
	{3, "dns/transfer"},
	{3, "dns/transfer/tsig"},
	{3, "dns/transfer/update"},
	{3, "dns/transfer/catalog"},
	{3, "dns"},
	{3, "proxy"},
	{3, "proxy/std"},
	{3, "proxy/h1"},
	{3, "proxy/h2"},
	{3, "proxy/h3"},
	{3, "proxy/origin"},
	{3, "proxy/l4"},
	{4, "edge"},
	{4, "edge/admin"},
	{4, "edge/authority"},
	{4, "edge/cert"},
	{4, "edge/discover"},
	{5, "bench/traces"},
	{5, "cmd/meridian"},
	{5, "cmd/meridian/*"},
	{5, "internal/doctest"}, // reads the pages about all of it
}

// ground is the order within a floor, where rooms are not equal: machinery that knows no product lies under the
// configuration, the wire of HTTP is none of the configuration's business, and what the cache answers with is made of what it stores. A pair
// that is not here is a breach.
var ground = map[string][]string{
	"config":            {"internal/dnswire", "internal/fault", "internal/yamldoc"},
	"config/nameserver": {"config/zones", "internal/yamldoc"},
	"config/zones":      {"internal/yamldoc"},
	"internal/httpwire": {"internal/fault"},
	"internal/dnswire":  {"internal/fault"},
	"internal/netio":    {"internal/fault"},
	"cache/reply":       {"cache/body", "cache/byteranges", "cache/record"},
}

// kits are packages that exist for tests. Any _test file may import them, on whatever floor, and nothing else may.
var kits = map[string]bool{
	"internal/arch":       true,
	"internal/deploytest": true,
	"internal/doctest":    true,
	"internal/need":       true,
	"internal/script":     true,
	"bench/traces":        true,
}

// tools are commands that `go generate` and make run. They are in no program we ship, so they stand on no floor.
var tools = map[string]bool{
	"steer/geo/gen": true,
	"bench/dns":     true, // of make bench-dns
}

// unsafeAllowed lists the packages that may import unsafe, each with its reason in its own package comment.
var unsafeAllowed = map[string]bool{
	"cache/record":   true, // strings that are views into a record (decision D1)
	"internal/netio": true, // recvmmsg and sendmmsg take arrays of pointers
	"bench/dns":      true, // so does the client that must cost less than any server
}

// contextAllowed lists the types that may hold a context, as folder.Type. The only good reason is an io.Reader, whose Read
// takes none: such a type lives no longer than the call that made it.
var contextAllowed = map[string]bool{
	"cache/body.Reader":         true,
	"cache/slice.Body":          true,
	"proxy/origin.responseBody": true,
	"proxy/origin.call":         true, // one Do on its way through its steps, as http.Request is one request
}

// larger gives a package its own most lines where it holds one idea that does need more; say here which and why.
var larger = map[string]int{}

// place returns the floor of the package at p, and the room that it belongs to: p itself, or the placed room around a
// folder called internal. ok is false if nobody has placed it.
func place(p string) (floor int, owner string, ok bool) {
	for _, f := range floors {
		if m, err := path.Match(f.pattern, p); err == nil && m {
			return f.floor, p, true
		}
	}
	if i := strings.LastIndex(p, "/internal/"); i > 0 {
		return place(p[:i])
	}
	return 0, "", false
}

// inside says whether p is a sub-room of q.
func inside(p, q string) bool { return strings.HasPrefix(p, q+"/") }
