package transport

import "github.com/prometheus/client_golang/prometheus"

// closeReason says why a connection ended.
type closeReason uint8

const (
	closedClient    closeReason = iota // by the client
	closedIdle                         // no query came in time
	closedSlow                         // a query or a reply took too long
	closedMalformed                    // a length no query has, or a breach of DoQ's rules
	closedQueries                      // enough queries on one connection
	closedEvicted                      // idle longest when room was needed
	closedPeer                         // refused: the peer has enough connections
	closedProxy                        // a listed proxy sent no header that can be believed
	closedHandshake                    // TLS or QUIC was not agreed on in time
	closedStopping

	closeReasons = 10
)

func (r closeReason) String() string {
	return [...]string{
		"client", "idle", "slow", "malformed", "queries", "evicted", "peer_limit", "proxy_header", "handshake", "stopping",
	}[r]
}

// refusal says why a request was refused that did not cost its connection.
type refusal uint8

const (
	refusedMalformed refusal = iota // no DNS message
	refusedPath                     // of HTTP
	refusedMethod
	refusedMedia
	refusedTooLong
	refusedVersion
	refusedSlow      // not complete in time
	refusedCancelled // by the client
	refusedEmpty     // the answer was silence, which this transport cannot say

	refusals = 9
)

func (r refusal) String() string {
	return [...]string{"malformed", "path", "method", "media_type", "too_long", "version", "slow", "cancelled", "no_answer"}[r]
}

// metrics are the room's series. Labels come from small enums only.
type metrics struct{ kinds [kinds]kindMetrics }

// kindMetrics are those of one transport.
type kindMetrics struct {
	open    prometheus.Gauge
	closed  [closeReasons]prometheus.Counter
	refused [refusals]prometheus.Counter
	handed  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	open := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "meridian_dns_connections", Help: "Connections open now, by transport.",
	}, []string{"proto"})
	closed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_dns_connections_closed_total", Help: "Connections closed, by transport and reason.",
	}, []string{"proto", "reason"})
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_dns_requests_refused_total", Help: "Requests over HTTPS and QUIC that were refused, by transport and reason.",
	}, []string{"proto", "reason"})
	handed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "meridian_dns_messages_total", Help: "Messages other than plain queries (transfers, updates, signed ones), by transport.",
	}, []string{"proto"})
	if reg != nil {
		reg.MustRegister(open, closed, refused, handed)
	}
	m := &metrics{}
	for k := range Kind(kinds) {
		of := &m.kinds[k]
		of.open, of.handed = open.WithLabelValues(k.String()), handed.WithLabelValues(k.String())
		for r := range closeReason(closeReasons) {
			of.closed[r] = closed.WithLabelValues(k.String(), r.String())
		}
		if k != HTTPS && k != QUIC {
			continue
		}
		for r := range refusal(refusals) {
			of.refused[r] = refused.WithLabelValues(k.String(), r.String())
		}
	}
	return m
}
