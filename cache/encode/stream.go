package encode

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
)

// What the encoders are set to. Windows are small, because memory is held by everybody whose response streams: 1 MiB for
// each encoder, 2 for Brotli, and MaxActive of them.
const (
	gzipLevel    = 6
	brotliLevel  = 5
	brotliWindow = 18 // bits: 256 KiB
	zstdLevel    = zstd.SpeedDefault
	zstdWindow   = 256 << 10 // bytes; RFC 9659 allows 8 MiB

	// MaxActive is how many bodies are encoded at once; further ones go out as they are.
	MaxActive = 256
)

// Encoders makes streams. Its writers are pooled, and how many run at once is bounded.
type Encoders struct {
	pools   [codingCount]sync.Pool
	active  atomic.Int64
	metrics *metrics
}

// New makes an Encoders. It panics when the registerer already has one's metrics; nil: they are not exported.
func New(r prometheus.Registerer) *Encoders {
	e := &Encoders{}
	e.metrics = newMetrics(e, r)
	return e
}

// Stream encodes one body. To comes first; exactly one of End and Abort is the last call.
type Stream struct {
	encoders *Encoders
	coding   Coding
	enc      encoder
	out      counter
	in       int64
	dirty    bool // something is written and not flushed
}

// encoder is what the three libraries have in common.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(w io.Writer)
}

// counter counts what an encoder writes.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Start takes an encoder. nil: MaxActive bodies are being encoded, or c is Identity.
func (e *Encoders) Start(c Coding) *Stream {
	if c == Identity || c >= codingCount {
		return nil
	}
	if e.active.Add(1) > MaxActive {
		e.active.Add(-1)
		e.metrics.refused.Inc()
		return nil
	}
	s := &Stream{encoders: e, coding: c}
	if pooled, ok := e.pools[c].Get().(encoder); ok {
		s.enc = pooled
		s.enc.Reset(&s.out)
	} else {
		s.enc = newEncoder(c, &s.out)
	}
	return s
}

// To says where the encoded bytes go.
func (s *Stream) To(w io.Writer) { s.out.w = w }

// newEncoder makes a writer of a coding.
func newEncoder(c Coding, w io.Writer) encoder {
	var enc encoder
	var err error
	switch c {
	case Gzip:
		enc, err = gzip.NewWriterLevel(w, gzipLevel)
	case Zstd:
		// With a concurrency of one the encoder has no goroutines.
		enc, err = zstd.NewWriter(w, zstd.WithEncoderLevel(zstdLevel), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstdWindow),
			zstd.WithLowerEncoderMem(true))
	default:
		enc = brotli.NewWriterOptions(w, brotli.WriterOptions{Quality: brotliLevel, LGWin: brotliWindow})
	}
	if err != nil {
		panic(fmt.Sprintf("BUG: settings of %v: %v", c, err))
	}
	return enc
}

// Write encodes p. What comes of it may stay in the encoder until Flush or End.
func (s *Stream) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.in == 0 {
		s.encoders.metrics.runs[s.coding].Inc()
	}
	n, err := s.enc.Write(p)
	s.in += int64(n)
	s.dirty = true
	return n, err
}

// Flush writes out what has been encoded so far, so that the other side can decode all of it. It costs some bytes.
func (s *Stream) Flush() error {
	if !s.dirty {
		return nil
	}
	s.dirty = false
	return s.enc.Flush()
}

// End writes the end of the encoded body.
func (s *Stream) End() error {
	err := s.enc.Close()
	s.Abort()
	return err
}

// Abort gives the encoder back; what it still holds is lost.
func (s *Stream) Abort() {
	s.encoders.metrics.input[s.coding].Add(float64(s.in))
	s.encoders.metrics.output[s.coding].Add(float64(s.out.n))
	s.enc.Reset(io.Discard) // the pool must not keep the writer alive
	s.encoders.pools[s.coding].Put(s.enc)
	s.enc = nil
	s.encoders.active.Add(-1)
}
