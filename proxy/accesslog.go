package proxy

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/internal/fault"
)

// logQueue is how many access log lines may wait for the writer. At a full queue a line is dropped and counted: no request
// ever waits for a log (fault row F35).
const logQueue = 8192

// AccessLog writes one JSON line for every request. It is an organ: it outlives generations of routes.
type AccessLog struct {
	lines   chan *[]byte
	pool    sync.Pool
	out     io.Writer
	log     *slog.Logger
	metrics *Metrics
}

// NewAccessLog makes a log that writes to out; errors of out go to log, once for each spell of them.
func NewAccessLog(out io.Writer, log *slog.Logger, m *Metrics) *AccessLog {
	return &AccessLog{
		lines: make(chan *[]byte, logQueue), out: out, log: log, metrics: m,
		pool: sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }},
	}
}

// Run writes lines until ctx is done, and then those still waiting.
func (l *AccessLog) Run(ctx context.Context) error {
	w := bufio.NewWriterSize(l.out, 64<<10)
	failing := false
	put := func(line *[]byte) {
		_, err := w.Write(*line)
		l.pool.Put(line)
		if err == nil && len(l.lines) == 0 {
			err = w.Flush() // nobody is waiting: what is written is seen
		}
		if err != nil {
			w.Reset(l.out) // a bufio.Writer keeps its first error for ever
			l.metrics.dropped.Inc()
			if !failing {
				l.log.Warn("access log not written", "error", err)
			}
		}
		failing = err != nil
	}
	for {
		select {
		case line := <-l.lines:
			put(line)
		case <-ctx.Done():
			for {
				select {
				case line := <-l.lines:
					put(line)
				default:
					return w.Flush()
				}
			}
		}
	}
}

// write queues the line of one finished exchange.
func (l *AccessLog) write(t *transaction, status int, written int64, err error) {
	buf, _ := l.pool.Get().(*[]byte)
	*buf = t.appendLine((*buf)[:0], time.Now(), status, written, err)
	select {
	case l.lines <- buf:
	default:
		l.metrics.dropped.Inc()
		l.pool.Put(buf)
	}
}

// appendLine writes the log line. Query strings, cookies and credentials are left out on purpose (secure default 29).
func (t *transaction) appendLine(b []byte, now time.Time, status int, written int64, err error) []byte {
	x := t.x
	b = append(b, `{"time":"`...)
	b = now.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, '"')
	b = text(b, "request_id", x.ID)
	b = text(b, "client", t.client.String())
	b = text(b, "proto", x.Head.Proto.String())
	b = text(b, "scheme", x.Head.Scheme)
	b = text(b, "method", x.Head.Method)
	b = text(b, "host", x.Canon.Host)
	b = text(b, "path", x.Canon.Path)
	b = number(b, "status", int64(status))
	b = number(b, "bytes", written)
	b = append(b, `,"duration_ms":`...)
	b = strconv.AppendFloat(b, float64(now.Sub(x.Start).Microseconds())/1000, 'f', 3, 64)
	b = text(b, "distribution", t.siteName())
	if t.behavior != nil {
		b = text(b, "behavior", t.behavior.Path)
	}
	b = text(b, "cache", t.outcome())
	if t.result.Reason != "" {
		b = text(b, "cache_reason", t.result.Reason)
	}
	if t.coding != encode.Identity {
		b = text(b, "coding", t.coding.String())
	}
	if attempts := t.fetch.attempts(); len(attempts) > 0 {
		b = text(b, "endpoint", attempts[len(attempts)-1].Endpoint)
		b = number(b, "attempts", int64(len(attempts)))
	}
	if t.fault != nil {
		b = text(b, "code", string(t.fault.Code))
		if t.fault.Err != nil {
			b = text(b, "cause", t.fault.Err.Error())
		}
	} else if err != nil {
		b = text(b, "code", string(aborted(err)))
		b = text(b, "cause", err.Error())
	}
	return append(b, '}', '\n')
}

// aborted names the error that ended a response midway: an origin's, or the client's leaving.
func aborted(err error) fault.Code {
	if f := fault.As(err); f.Code != fault.Unexpected {
		return f.Code
	}
	return fault.ClientGone
}

func number(b []byte, key string, n int64) []byte {
	b = append(append(append(b, `,"`...), key...), `":`...)
	return strconv.AppendInt(b, n, 10)
}

// text appends a JSON string member. What clients send is escaped byte by byte: a log line is always one line of valid JSON
// (attack row S31).
func text(b []byte, key, value string) []byte {
	b = append(append(append(b, `,"`...), key...), `":"`...)
	for i := 0; i < len(value); {
		c := value[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c == 0x7f:
			b = append(b, `\u00`...)
			b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRuneInString(value[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(b, `\ufffd`...)
			} else {
				b = append(b, value[i:i+size]...)
			}
			i += size
			continue
		}
		i++
	}
	return append(b, '"')
}
