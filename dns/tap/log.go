package tap

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"sync"
)

// Format is how a query log's lines look.
type Format uint8

// The formats.
const (
	JSON    Format = iota // one object for each query
	Route53               // the line of Amazon Route 53's public DNS query logging, version 1.0; queries outside our zones have none
)

// LogOptions are what a Log works with.
type LogOptions struct {
	Format Format
	Share  float64 // of the queries, drawn at random; 0 and 1: all
	Edge   string  // this server, as its lines name it; empty: "-" in Route53 lines, left out of JSON
	// ZoneID gives the hosted zone id of a zone, given with the final dot, for Route53 lines. It must not block and must be safe for
	// concurrent use. nil: the zone's name without the final dot.
	ZoneID  func(zone string) string
	Log     *slog.Logger // nil: nothing is logged
	Metrics *Metrics     // nil: nobody looks at them
}

// queue is how many lines or frames may wait for their writer.
const queue = 8192

// Log writes one line for every query, or for a share of them.
type Log struct {
	o     LogOptions
	share share
	out   io.Writer
	lines chan *[]byte
	pool  sync.Pool
}

// NewLog makes a log that writes to out, to which only Run writes. The writer may open its file again at any time.
func NewLog(out io.Writer, o LogOptions) *Log {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	return &Log{o: o, share: newShare(o.Share), out: out, lines: make(chan *[]byte, queue), pool: buffers()}
}

func buffers() sync.Pool {
	return sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}
}

// Observe queues the line of a query.
func (l *Log) Observe(e Event) {
	if l.o.Format == Route53 && (e.Zone == "" || len(e.Name) == 0 || e.Dropped != "") || l.share.skips() {
		return
	}
	buf, _ := l.pool.Get().(*[]byte)
	if l.o.Format == Route53 {
		*buf = l.route53((*buf)[:0], &e)
	} else {
		*buf = l.json((*buf)[:0], &e)
	}
	select {
	case l.lines <- buf:
		l.o.Metrics.lines.Inc()
	default:
		l.o.Metrics.lost.Inc()
		l.pool.Put(buf)
	}
}

// Run writes lines until ctx is done, and then those still waiting. Errors of the writer are logged, once for each spell of them, and
// only the last one is returned.
func (l *Log) Run(ctx context.Context) error {
	w := &lineWriter{log: l, buf: bufio.NewWriterSize(l.out, 64<<10)}
	for {
		select {
		case line := <-l.lines:
			w.put(line)
		case <-ctx.Done():
			for {
				select {
				case line := <-l.lines:
					w.put(line)
				default:
					return w.flush()
				}
			}
		}
	}
}

// lineWriter batches lines, and knows how many are lost when writing them fails.
type lineWriter struct {
	log     *Log
	buf     *bufio.Writer
	held    int // lines in buf
	failing bool
}

func (w *lineWriter) put(line *[]byte) {
	if w.buf.Available() < len(*line) {
		w.flush() // whole lines only: what fails is lost line by line
	}
	w.buf.Write(*line)
	w.held++
	w.log.pool.Put(line)
	if len(w.log.lines) == 0 {
		w.flush() // nobody is waiting: what is written is seen
	}
}

func (w *lineWriter) flush() error {
	err := w.buf.Flush()
	if err != nil {
		w.buf.Reset(w.log.out) // a bufio.Writer keeps its first error for ever
		w.log.o.Metrics.lost.Add(float64(w.held))
		if !w.failing {
			w.log.o.Log.Warn("query log not written", "err", err)
		}
	}
	w.failing, w.held = err != nil, 0
	return err
}
