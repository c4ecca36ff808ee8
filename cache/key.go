package cache

import (
	"strconv"
	"strings"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// A key is a sequence of netstrings: each part with its length before it, so that no part can be read as two (attack row C04),
// and still printable. The first six are the URL's: site, scheme, host, port, path, query. Further ones tell apart what
// differs for one URL: the profile and the policy's extra fields. The index compares keys whole.
const urlParts = 6

// appendKey appends the key of a request and returns the length of its URL part.
func appendKey(dst []byte, req *Request) ([]byte, int) {
	start := len(dst)
	dst = appendURL(dst, req.Site, req.Head.Scheme, req.Canon, req.Policy)
	url := len(dst) - start
	if rules.CloudFront(req.Policy) {
		dst = appendPart(dst, req.Policy.Profile) // its entries do not heed Vary: the other profile must not find them
		var buf [32]byte
		value, _ := rules.AppendCodings(buf[:0], req.Head.Fields, codings(req.Policy))
		dst = appendPart(dst, value) // a body is never in a coding that was not asked for
	}
	if keysCookies(req.Policy) {
		dst = appendPart(appendPart(dst, "cookies"), selectCookies(req.Head.Fields, req.Policy.KeyCookies))
	}
	for _, name := range req.Policy.KeyHeaders {
		var buf [256]byte
		value, present := rules.AppendValue(buf[:0], req.Head.Fields, httpwire.Identify(name), name)
		dst = appendPart(dst, name)
		if present {
			dst = strconv.AppendInt(dst, int64(len(value))+1, 10)
			dst = append(dst, ":="...)
			dst = append(append(dst, value...), ',')
		} else {
			dst = appendPart(dst, "")
		}
	}
	return dst, url
}

// appendURL appends the URL part of a key. A port that is the scheme's default is empty.
func appendURL(dst []byte, site, scheme string, c *httpwire.Canonical, p *config.CachePolicy) []byte {
	dst = appendPart(dst, site)
	dst = appendPart(dst, scheme)
	dst = appendPart(dst, c.Host)
	if c.Port == 0 || scheme == "https" && c.Port == 443 || scheme != "https" && c.Port == 80 {
		dst = appendPart(dst, "")
	} else {
		var port [5]byte
		digits := strconv.AppendUint(port[:0], uint64(c.Port), 10)
		dst = append(dst, byte('0'+len(digits)), ':')
		dst = append(append(dst, digits...), ',')
	}
	dst = appendPart(dst, c.Path)
	query, has := selectQuery(c, &p.KeyQuery)
	if !has {
		return appendPart(dst, "")
	}
	dst = strconv.AppendInt(dst, int64(len(query))+1, 10)
	dst = append(dst, ":?"...)
	return append(append(dst, query...), ',')
}

func appendPart[T string | []byte](dst []byte, part T) []byte {
	switch n := len(part); { // most are short, and every request has six
	case n < 10:
		dst = append(dst, byte('0'+n), ':')
	case n < 100:
		dst = append(dst, byte('0'+n/10), byte('0'+n%10), ':')
	default:
		dst = append(strconv.AppendInt(dst, int64(n), 10), ':')
	}
	return append(append(dst, part...), ',')
}

// selectQuery is the part of the query that is keyed, and whether there is a query at all. Selected parameters keep their
// order and bytes. Names are compared as sent: an origin that decodes names may take a%61 for aa, but then it is not keyed
// and, because the cache forwards what it keys, not seen by the origin either (attack row C03).
func selectQuery(c *httpwire.Canonical, part *config.KeyPart) (string, bool) {
	if part.All && len(part.Names) == 0 || !c.HasQuery {
		return c.Query, c.HasQuery
	}
	var b strings.Builder
	for rest, more := c.Query, true; more; {
		var pair string
		pair, rest, more = strings.Cut(rest, "&")
		name, _, _ := strings.Cut(pair, "=")
		if !selects(part, name) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(pair)
	}
	return b.String(), b.Len() > 0
}

func named(names []string, name string) bool {
	for i := range names {
		if names[i] == name {
			return true
		}
	}
	return false
}

// schemes of a URL that one purge covers.
var schemes = [...]string{"http", "https"}

// purgeKeys are the URL parts that a purge of this URL covers: both schemes, and the default port of each when the URL has a
// default port.
func purgeKeys(site string, c *httpwire.Canonical, p *config.CachePolicy) []string {
	ports := []uint16{c.Port}
	if c.Port == 80 || c.Port == 443 {
		ports = append(ports, 0)
	}
	var keys []string
	for _, scheme := range schemes {
		for _, port := range ports {
			at := *c
			at.Port = port
			key := string(appendURL(nil, site, scheme, &at, p))
			if !named(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}
