package healthcheck

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// Kinds of results, the values of a metric's label. The name of a phase is the kind of a failure in it that is no timeout.
const (
	kindSuccess = "success"
	kindTimeout = "timeout"
	kindStatus  = "status" // a well-formed response, but not one that is wanted
)

// failure puts an error into a result, in words an operator reads at night.
func failure(in phase, err error, began time.Time, timeout time.Duration) result {
	res := result{latency: time.Since(began)}
	if unresolved, ok := errors.AsType[*net.DNSError](err); ok {
		in = resolving
		if !unresolved.Timeout() {
			err = errors.New(unresolved.Err)
		}
	}
	if timedOut(err) {
		res.kind = kindTimeout
		res.reason = "timeout after " + timeout.String() + " (" + string(in) + ")"
		return res
	}
	res.kind = string(in)
	res.reason = clean(string(in) + ": " + cause(err))
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

// clean makes text of an endpoint's making safe and short enough for logs.
func clean(s string) string {
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
