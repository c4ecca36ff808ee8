// Package key makes the keys that responses are stored under, and what is sent to an origin: what is keyed is what is forwarded.
//
//	r := key.Request{Site: "web", Head: &x.Head, Canon: &x.Canon, Policy: policy}
//	k, url := r.Append(nil)      // the first url bytes are the URL's part
//	head := r.Fetch()            // what a fetch for the store sends
//
// Everything is a pure function of its arguments.
package key

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// A key is a sequence of netstrings: each part with its length before it, so that no part can be read as two (attack row C04),
// and still printable. The first six are the URL's: site, scheme, host, port, path, query. Further ones tell apart what
// differs for one URL: the profile and the policy's extra fields, where a word that is no field's name starts with a colon. The index compares
// keys whole.

// URLParts is how many parts a URL has in a key.
const URLParts = 6

// Request is what of a request is keyed. It is valid as long as what it points at.
type Request struct {
	Site   string              // distribution name: tenants never share entries
	Head   *httpwire.Head      // its fields are what would be forwarded
	Canon  *httpwire.Canonical // host, path and query
	Policy *config.CachePolicy // never nil
}

// Append appends the key of a request to dst and returns the length of its URL part.
func (req *Request) Append(dst []byte) ([]byte, int) {
	start := len(dst)
	dst = AppendURL(dst, req.Site, req.Head.Scheme, req.Canon, req.Policy)
	url := len(dst) - start
	if rules.CloudFront(req.Policy) {
		dst = AppendPart(dst, ":"+req.Policy.Profile) // its entries do not heed Vary: the other profile must not find them
		var buf [32]byte
		value, _ := rules.AppendCodings(buf[:0], req.Head.Fields, codings(req.Policy))
		dst = AppendPart(dst, value) // a body is never in a coding that was not asked for
	}
	if Cookies(req.Policy) {
		dst = AppendPart(AppendPart(dst, ":cookies"), selectCookies(req.Head.Fields, req.Policy.KeyCookies))
	}
	for _, name := range req.Policy.KeyHeaders {
		var buf [256]byte
		value, present := req.appendValue(buf[:0], name)
		dst = AppendPart(dst, name)
		if present {
			dst = strconv.AppendInt(dst, int64(len(value))+1, 10)
			dst = append(dst, ":="...)
			dst = append(append(dst, value...), ',')
		} else {
			dst = AppendPart(dst, "")
		}
	}
	return dst, url
}

// appendValue appends the value of a field as it is keyed, and says whether there is one: of codings, those that are forwarded.
func (req *Request) appendValue(dst []byte, name string) ([]byte, bool) {
	id := httpwire.Identify(name)
	if id == httpwire.AcceptEncoding {
		return rules.AppendCodings(dst, req.Head.Fields, codings(req.Policy))
	}
	return rules.AppendValue(dst, req.Head.Fields, id, name)
}

// AppendURL appends the URL part of a key. A port that is the scheme's default is empty.
func AppendURL(dst []byte, site, scheme string, c *httpwire.Canonical, p *config.CachePolicy) []byte {
	dst = AppendPart(dst, site)
	dst = AppendPart(dst, scheme)
	dst = AppendPart(dst, c.Host)
	if c.Port == 0 || scheme == "https" && c.Port == 443 || scheme != "https" && c.Port == 80 {
		dst = AppendPart(dst, "")
	} else {
		var port [5]byte
		digits := strconv.AppendUint(port[:0], uint64(c.Port), 10)
		dst = append(dst, byte('0'+len(digits)), ':')
		dst = append(append(dst, digits...), ',')
	}
	dst = AppendPart(dst, c.Path)
	query, has := selectQuery(c, &p.KeyQuery)
	if !has {
		return AppendPart(dst, "")
	}
	dst = strconv.AppendInt(dst, int64(len(query))+1, 10)
	dst = append(dst, ":?"...)
	return append(append(dst, query...), ',')
}

// AppendPart appends one more part to a key.
func AppendPart[T string | []byte](dst []byte, part T) []byte {
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

// OfURL are the URL parts that a purge of this URL covers: both schemes, and the default port of each when the URL has a
// default port.
func OfURL(site string, c *httpwire.Canonical, p *config.CachePolicy) []string {
	ports := []uint16{c.Port}
	if c.Port == 80 || c.Port == 443 {
		ports = append(ports, 0)
	}
	var keys []string
	for _, scheme := range schemes {
		for _, port := range ports {
			at := *c
			at.Port = port
			key := string(AppendURL(nil, site, scheme, &at, p))
			if !named(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// Cut takes the first part off a key.
func Cut(key string) (part, rest string) {
	n := 0
	for i := range len(key) {
		if key[i] == ':' {
			return key[i+1 : i+1+n], key[i+n+2:]
		}
		n = n*10 + int(key[i]-'0')
	}
	return "", ""
}

// SameOrigin resolves a reference against a request's URL, and reports whether it has the same scheme, host and port.
func (req *Request) SameOrigin(reference string) (httpwire.Canonical, bool) {
	ref, err := url.Parse(reference)
	if err != nil {
		return httpwire.Canonical{}, false
	}
	base, err := url.Parse(req.Head.Scheme + "://" + req.Canon.HostPort(req.Head.Scheme) + req.Canon.Target())
	if err != nil {
		return httpwire.Canonical{}, false
	}
	target := base.ResolveReference(ref)
	c, err := httpwire.Canonicalize(&httpwire.Head{
		Method: "GET", Target: target.RequestURI(), Scheme: req.Head.Scheme, Authority: target.Host,
	})
	return c, err == nil && target.Scheme == req.Head.Scheme && c.Host == req.Canon.Host && c.Port == req.Canon.Port
}
