package probe

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"
)

const day = 24 * time.Hour

// certificate judges what the handshake has agreed on: the protocol, and how long the server's own certificate is good for.
// Others of its chain are for verification, where an expired cross-signature does no harm.
func (t *attempt) certificate() Result {
	state := t.conn.(*tls.Conn).ConnectionState()
	if len(t.alpn) > 0 && !slices.Contains(t.alpn, state.NegotiatedProtocol) {
		return t.not(KindTLS, "tls: the server chose no protocol, want "+strings.Join(t.alpn, " or "))
	}
	leaf := state.PeerCertificates[0] // there is always one (RFC 8446 section 4.4.2.4, RFC 5246 section 7.4.2)
	now := time.Now()
	left := leaf.NotAfter.Sub(now)
	switch {
	case now.Before(leaf.NotBefore):
		return t.not(KindTLS, "tls: certificate is not valid before "+leaf.NotBefore.UTC().Format(time.RFC3339))
	case left < 0:
		return t.not(KindTLS, "tls: certificate expired "+days(-left)+" ago, on "+leaf.NotAfter.UTC().Format(time.DateOnly))
	case left < time.Duration(t.minDays)*day:
		return t.not(KindTLS, fmt.Sprintf("tls: certificate expires in %s, want at least %d", days(left), t.minDays))
	}
	what := tls.VersionName(state.Version)
	if state.NegotiatedProtocol != "" {
		what += " " + state.NegotiatedProtocol
	}
	what += ", " + days(left) + " to expiry"
	if len(t.send) == 0 && len(t.reply) == 0 {
		return t.ok(what + ",")
	}
	r := t.converse(what)
	if r.OK {
		r.Reason = Clean(what + ", " + r.Reason)
	}
	return r
}

// days writes whole days.
func days(d time.Duration) string {
	if n := int(d / day); n != 1 {
		return fmt.Sprintf("%d days", n)
	}
	return "1 day"
}
