package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Kind is how a probe ended, a value of a metric's label.
type Kind string

// The kinds of results.
const (
	KindSuccess  Kind = "success"
	KindTimeout  Kind = "timeout"  // in any phase
	KindResolve  Kind = "resolve"  // no address
	KindConnect  Kind = "connect"  // no connection
	KindTLS      Kind = "tls"      // no handshake, or a certificate or protocol that is not wanted
	KindResponse Kind = "response" // broken off, malformed or too large
	KindStatus   Kind = "status"   // a well-formed answer with a status that is not wanted
	KindContent  Kind = "content"  // a well-formed answer without what is wanted in it
)

// phase is how far a probe has come.
type phase struct {
	name string
	kind Kind // of a failure in it that is no timeout
}

var (
	resolving  = phase{"resolve", KindResolve}
	connecting = phase{"connect", KindConnect}
	handshake  = phase{"tls", KindTLS}
	exchanging = phase{"response", KindResponse}
	reading    = phase{"body", KindResponse}
)

// fail puts an error into a result, in words an operator reads at night.
func (t *attempt) fail(in phase, err error) Result {
	res := Result{Latency: time.Since(t.began)}
	if unresolved, ok := errors.AsType[*net.DNSError](err); ok {
		in = resolving
		if !unresolved.Timeout() {
			err = errors.New(unresolved.Err)
		}
	}
	if timedOut(err) {
		res.Kind = KindTimeout
		res.Reason = "timeout after " + t.limit.String() + " (" + in.name + ")"
		return res
	}
	res.Kind = in.kind
	res.Reason = Clean(in.name + ": " + cause(err))
	return res
}

func timedOut(err error) bool {
	if errors.Is(err, syscall.ETIMEDOUT) {
		return false // the peer's stack gave up, not our clock
	}
	netErr, ok := errors.AsType[net.Error](err)
	return ok && netErr.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// cause is the end of an error's chain that says something, without addresses and operations the reader already knows.
func cause(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return "connection closed"
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno.Error()
	}
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return strings.TrimPrefix(record.Msg, "tls: ")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		err = op.Err
	}
	return strings.TrimPrefix(err.Error(), "tls: ")
}

// Clean makes text from elsewhere fit for a reason: one line of printable ASCII, at most 160 bytes long.
func Clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if len(s) > maxReason {
		return s[:maxReason-3] + "..."
	}
	return s
}

// quote writes the beginning of what an endpoint sent.
func quote(b []byte) string {
	if len(b) > maxQuote {
		return strconv.QuoteToASCII(string(b[:maxQuote])) + "..."
	}
	return strconv.QuoteToASCII(string(b))
}

// short writes a duration with at most three digits that matter: 840µs, 1.2ms, 314ms.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		d = d.Round(10 * time.Microsecond)
	case d < 100*time.Millisecond:
		d = d.Round(100 * time.Microsecond)
	default:
		d = d.Round(time.Millisecond)
	}
	return d.String()
}
