package origin

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"
)

// peerKey is everything that makes connections interchangeable.
type peerKey struct {
	addr           netip.AddrPort
	host           string
	port           uint16
	tls            bool
	serverName     string
	skipVerify     bool
	connectTimeout time.Duration
}

func keyOf(t *Target, e *Endpoint) peerKey {
	key := peerKey{addr: e.Addr, tls: e.TLS, connectTimeout: t.ConnectTimeout}
	if !e.Addr.IsValid() {
		key.host, key.port = e.Host, e.Port
	}
	if key.connectTimeout <= 0 {
		key.connectTimeout = defaultConnectTimeout
	}
	if e.TLS {
		key.skipVerify, key.serverName = t.SkipVerify, serverName(t, e)
	}
	return key
}

// serverName is the name the origin's certificate must have.
func serverName(t *Target, e *Endpoint) string {
	switch {
	case t.ServerName != "":
		return t.ServerName
	case t.HostHeader != "":
		if host, _, err := net.SplitHostPort(t.HostHeader); err == nil {
			return host
		}
		return t.HostHeader
	case e.Addr.IsValid():
		return e.Addr.Addr().String()
	}
	return e.Host
}

// peer is one endpoint reached in one way, with its connections. It lives as long as some snapshot names it.
type peer struct {
	transport *Transport
	key       peerKey
	address   string // host:port as dialled
	tls       *tls.Config
	http      *http.Transport
	inFlight  atomic.Int64
	meter     meter
}

func newPeer(t *Transport, key peerKey) *peer {
	p := &peer{transport: t, key: key}
	if key.addr.IsValid() {
		p.address = key.addr.String()
	} else {
		p.address = net.JoinHostPort(key.host, strconv.Itoa(int(key.port)))
	}
	if key.tls {
		p.tls = &tls.Config{
			MinVersion: tls.VersionTLS12, ServerName: key.serverName, InsecureSkipVerify: key.skipVerify,
			NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(4),
		}
	}
	// The guard enforces the limit of a head; net/http's is there for nothing to depend on one of the two.
	p.http = &http.Transport{
		Proxy: nil, DialContext: p.connect,
		DisableCompression: true, MaxIdleConnsPerHost: maxIdlePerEndpoint, IdleConnTimeout: idleTimeout,
		MaxResponseHeaderBytes: 2 * maxHeadBytes, ReadBufferSize: 16 << 10,
	}
	return p
}

func (p *peer) endpoint() Endpoint {
	return Endpoint{Addr: p.key.addr, Host: p.key.host, Port: p.key.port, TLS: p.key.tls}
}

// enter takes one of limit places; leave gives it back.
func (p *peer) enter(limit int) bool {
	if p.inFlight.Add(1) > int64(limit) {
		p.inFlight.Add(-1)
		return false
	}
	return true
}

func (p *peer) leave() { p.inFlight.Add(-1) }
