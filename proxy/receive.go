package proxy

import (
	"iter"
	"net/netip"
	"strconv"
	"strings"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// maxHops is how many edges a request may have passed (attack row P05).
const maxHops = 10

// receive is the phase that brings a request into its canonical form: from here on nobody looks at the raw target or host.
func (t *transaction) receive() error {
	x := t.x
	canon, err := httpwire.Canonicalize(&x.Head)
	switch err {
	case nil:
	case httpwire.ErrHost:
		return fault.New(fault.BadHost, err)
	default:
		return fault.New(fault.BadTarget, err)
	}
	x.Canon = canon
	for i := range x.Head.Fields {
		f := &x.Head.Fields[i]
		if f.ID == httpwire.Other && strings.IndexByte(f.Name, '_') >= 0 {
			return fault.New(fault.FieldName, nil) // attack row S29
		}
	}
	if t.router.looped(x.Head.Fields) {
		return fault.New(fault.Loop, nil)
	}
	t.client = t.router.clientOf(x)
	return nil
}

// looped reports whether CDN-Loop names this edge, or too many others (RFC 8586).
func (r *Router) looped(fields httpwire.Fields) bool {
	hops := 0
	for member := range hopsOf(fields, httpwire.CDNLoop) {
		id, _, _ := strings.Cut(member, ";")
		if strings.EqualFold(strings.TrimSpace(id), cdnID(r.node)) {
			return true
		}
		hops++
	}
	return hops >= maxHops
}

// hopsOf splits a field that each hop has appended to. Quotes do not keep commas together: one that a client left open would
// hide every hop after it (attack rows P05, P06).
func hopsOf(fields httpwire.Fields, id httpwire.ID) iter.Seq[string] {
	return func(yield func(string) bool) {
		for value := range fields.Values(id) {
			for hop := range strings.SplitSeq(value, ",") {
				if hop = strings.TrimSpace(hop); hop != "" && !yield(hop) {
					return
				}
			}
		}
	}
}

// cdnID is this edge's name in CDN-Loop.
func cdnID(node string) string { return "meridian-" + node }

// Token turns a name into an RFC 9110 token: every other byte becomes a hyphen. The empty name becomes "meridian".
func Token(name string) string {
	if name == "" {
		return "meridian"
	}
	return strings.Map(func(c rune) rune {
		if c < 0x80 && httpwire.IsTokenByte(byte(c)) {
			return c
		}
		return '-'
	}, name)
}

func (r *Router) trusts(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range r.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// clientOf is the address of who asks: the peer, or, behind trusted proxies, the rightmost untrusted address of
// X-Forwarded-For (attack row P06).
func (r *Router) clientOf(x *httpwire.Exchange) netip.Addr {
	client := x.Peer.Addr().Unmap()
	if !r.trusts(client) {
		return client
	}
	var hops []string
	for hop := range hopsOf(x.Head.Fields, httpwire.XForwardedFor) {
		hops = append(hops, hop)
	}
	for i := len(hops) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(hops[i])
		if err != nil {
			break
		}
		if client = a.Unmap(); !r.trusts(client) {
			break
		}
	}
	return client
}

// prepareFetch makes the head that goes upstream. It changes the exchange's head in place: what arrived is not needed again.
func (t *transaction) prepareFetch() {
	x, r := t.x, t.router
	trusted := r.trusts(x.Peer.Addr())
	fields := &x.Head.Fields
	forwards := t.maxForwards()
	x.Head.Target = x.Canon.Target() // what is forwarded is what was routed; the cache may leave parameters out
	removeHopByHop(fields)
	cacheable := !t.behavior.Cache.Off
	fields.Filter(func(f *httpwire.Field) bool {
		switch f.ID {
		case httpwire.Expect, httpwire.MaxForwards:
			return false
		case httpwire.Forwarded, httpwire.XRealIP:
			return trusted
		case httpwire.XForwardedFor, httpwire.XForwardedHost, httpwire.XForwardedPort, httpwire.XForwardedProto:
			return trusted
		case httpwire.Other:
			if !trusted && isForwarded(f.Name) {
				return false
			}
			return !cacheable || !steersOrigins(f.Name) || t.behavior.keyed(f.Name)
		}
		return true
	})
	peer := x.Peer.Addr().Unmap().String()
	if before, ok := fields.Joined(httpwire.XForwardedFor); ok {
		peer = before + ", " + peer
	}
	fields.Set(httpwire.XForwardedFor, peer)
	if !fields.Has(httpwire.XForwardedProto) {
		fields.Set(httpwire.XForwardedProto, x.Head.Scheme)
	}
	if !fields.Has(httpwire.XForwardedHost) {
		fields.Set(httpwire.XForwardedHost, x.Canon.HostPort(x.Head.Scheme))
	}
	if !fields.Has(httpwire.XForwardedPort) {
		fields.Set(httpwire.XForwardedPort, strconv.Itoa(int(x.Local.Port())))
	}
	fields.Set(httpwire.XRequestID, x.ID)
	fields.Add(httpwire.Via, x.Head.Proto.Via()+" "+r.node)
	fields.Add(httpwire.CDNLoop, cdnID(r.node))
	if forwards > 0 {
		fields.Add(httpwire.MaxForwards, strconv.Itoa(forwards-1))
	}
	t.negotiate()
	t.fetch = fetch{router: r, target: t.behavior.target, canon: x.Canon, scheme: x.Head.Scheme, inform: x.Inform}
	t.spreadKeys()
	if m := x.Head.Method; m != "GET" && m != "HEAD" || !cacheable {
		t.fetch.body, t.fetch.length = x.Body, x.Length // a cacheable GET has no body upstream (attack row C02)
	}
}

// maxForwards is how often an OPTIONS request may still be forwarded; -1: nobody says, or the method is another, which may ignore
// the field (RFC 9110 section 7.6.2).
func (t *transaction) maxForwards() int {
	if t.x.Head.Method != "OPTIONS" {
		return -1
	}
	value, ok := t.x.Head.Fields.Joined(httpwire.MaxForwards)
	if !ok {
		return -1
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return -1
	}
	return int(n)
}

// isForwarded reports whether a field is one of those by which proxies tell each other about the client: X-Forwarded-Prefix,
// X-Forwarded-User and whatever else a name may be made of (attack rows P07, P12).
func isForwarded(name string) bool {
	const family = "X-Forwarded-"
	return len(name) > len(family) && strings.EqualFold(name[:len(family)], family)
}

// keyed reports whether a field is part of the cache key.
func (b *behavior) keyed(name string) bool {
	for _, key := range b.Cache.KeyHeaders {
		if strings.EqualFold(key, name) {
			return true
		}
	}
	return false
}

// steersOrigins lists the unregistered fields by which a client could make an origin answer for another URL, host or method
// than the one the response is stored under (attack rows C01, C10).
func steersOrigins(name string) bool {
	switch strings.ToLower(name) {
	case "x-original-url", "x-rewrite-url", "x-original-host", "x-host", "x-forwarded-prefix", "x-forwarded-scheme",
		"x-forwarded-server", "x-http-method-override", "x-http-method", "x-method-override":
		return true
	}
	return false
}

// removeHopByHop drops the fields that belong to one connection (RFC 9110 section 7.6.1). Of the names a Connection field
// lists only unregistered ones are dropped: a client must not be able to delete Authorization or X-Forwarded-For on the way
// (attack row S28).
func removeHopByHop(fields *httpwire.Fields) {
	var named []string
	for name := range fields.List(httpwire.Connection) {
		if httpwire.Identify(name) == httpwire.Other {
			named = append(named, name)
		}
	}
	fields.Filter(func(f *httpwire.Field) bool {
		switch f.ID {
		case httpwire.Connection, httpwire.KeepAlive, httpwire.ProxyConnection, httpwire.TE, httpwire.Trailer,
			httpwire.TransferEncoding, httpwire.Upgrade, httpwire.HTTP2Settings, httpwire.ProxyAuthorization,
			httpwire.ProxyAuthenticate, httpwire.ContentLength:
			return false
		case httpwire.Other:
			for _, name := range named {
				if strings.EqualFold(name, f.Name) {
					return false
				}
			}
		}
		return true
	})
}
