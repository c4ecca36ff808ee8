package packed

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// The file is a gzip stream (whose checksum finds damage) of
//
//	magic
//	source            one byte of length, text
//	time of the data  varint, Unix seconds
//	labels            uvarint count, then each as a byte of length and text
//	IPv4 starts       uvarint count, then the distance from one to the next as uvarint
//	IPv4 labels       as many bytes
//	IPv6 starts       the leading 64 bits of each, as for IPv4
//	IPv6 labels       as many bytes
//	IPv6 lower halves uvarint count, then pairs of uvarint: how many starts further on,
//	                  and the trailing 64 bits of that start; all others have zero there
const magic = "meridian/geo 1\n"

const (
	// maxText is the longest text, in bytes.
	maxText = math.MaxUint8
	// maxSize is the most that a file may expand to, in bytes. The countries of the whole
	// internet take 1 MiB.
	maxSize = 8 << 20
)

// column says how distances between starts are written: as numbers of so many bits,
// turned right by a usual network size, which makes most of them small.
type column struct{ width, shift int }

// Networks announced to the internet are seldom smaller than /24 and /48.
var (
	column4 = column{width: 32, shift: 8}
	column6 = column{width: 64, shift: 16}
)

func (c column) mask() uint64 { return math.MaxUint64 >> (64 - c.width) }

func (c column) rotate(d uint64) uint64 {
	return (d>>c.shift | d<<(c.width-c.shift)) & c.mask()
}

func (c column) rotateBack(d uint64) uint64 {
	return (d<<c.shift | d>>(c.width-c.shift)) & c.mask()
}

// errFormat is what a file that Encode did not write gives.
var errFormat = errors.New("malformed packed file")

// Decode expands a packed file. It refuses a damaged one and one whose lookups would
// go wrong, and never panics. It takes some 15 ms for the whole internet.
func Decode(data []byte) (*Table, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("packed file: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(z, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("packed file: %w", err)
	}
	if len(raw) > maxSize {
		return nil, fmt.Errorf("packed file is longer than %d bytes", maxSize)
	}
	return parse(raw)
}

// parse reads an uncompressed file.
func parse(raw []byte) (*Table, error) {
	r := reader{rest: raw}
	if string(r.bytes(len(magic))) != magic {
		return nil, errFormat
	}
	t := new(Table)
	t.Source = r.text()
	t.Built = time.Unix(r.varint(), 0).UTC()
	t.labels = r.labels()

	starts, labels := r.columns(column4, len(t.labels))
	t.v4.starts = make([]uint32, len(starts))
	for i, s := range starts {
		t.v4.starts[i] = uint32(s)
	}
	t.v4.labels = labels
	t.v6.high, t.v6.labels = r.columns(column6, len(t.labels))
	t.v6.low = r.lowerHalves(len(t.v6.high))
	if r.failed || len(r.rest) > 0 || !t.ordered() {
		return nil, errFormat
	}
	t.v4.top = level(len(t.v4.starts), t.v4.start, buckets{1 << topBits4, bucket4, bucket4First})
	t.v6.top = level(len(t.v6.high), t.v6.start, buckets{1<<topBits6 + 2, bucket6, bucket6First})
	return t, nil
}

// ordered reports whether starts begin at zero and go up, which lookups rely on.
func (t *Table) ordered() bool {
	if t.v4.starts[0] != 0 || t.v6.start(0) != (uint128{}) {
		return false
	}
	for i := range t.v4.starts[1:] {
		if t.v4.starts[i] >= t.v4.starts[i+1] || t.v4.labels[i] == t.v4.labels[i+1] {
			return false
		}
	}
	for i := range t.v6.high[1:] {
		a, b := t.v6.start(uint32(i)), t.v6.start(uint32(i+1))
		if !a.less(b) || t.v6.labels[i] == t.v6.labels[i+1] {
			return false
		}
	}
	return true
}

// level builds the first level of a table of n ranges, whose first addresses start
// gives.
func level(n int, start func(uint32) uint128, b buckets) []uint32 {
	top := make([]uint32, b.n+1)
	k := uint64(0)
	for i := range uint32(n - 1) {
		next := start(i + 1)
		end := b.of(next.high)
		if next != (uint128{high: b.first(end)}) {
			end++ // the next range starts inside the bucket
		}
		for ; k < end; k++ {
			top[k] = i
		}
	}
	for ; k <= b.n; k++ {
		top[k] = uint32(n - 1)
	}
	return top
}

// reader takes values off the front of a file. After a value that is not there it has
// failed, and gives zeros and empty lists from then on.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) fail() {
	r.failed = true
	r.rest = nil
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.rest) {
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) text() string {
	if n := r.bytes(1); n != nil {
		return string(r.bytes(int(n[0])))
	}
	return ""
}

// count reads how many values of at least one byte follow.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) labels() []string {
	n := r.count()
	if n > math.MaxUint8 {
		r.fail()
		return nil
	}
	labels := make([]string, 1, n+1)
	for range n {
		labels = append(labels, r.text())
	}
	return labels
}

// columns reads the starts and the labels of one family; there is at least one range.
func (r *reader) columns(c column, labels int) ([]uint64, []uint8) {
	n := r.count()
	if n == 0 {
		r.fail()
		return []uint64{0}, []uint8{Unknown}
	}
	starts := make([]uint64, n)
	sum := uint64(0)
	for i := range starts {
		sum += c.rotateBack(r.uvarint() & c.mask())
		starts[i] = sum
	}
	column := bytes.Clone(r.bytes(n))
	for _, label := range column {
		if int(label) >= labels {
			r.fail()
		}
	}
	// ordered checks the starts as they are kept, so a sum must not have wrapped.
	if sum > c.mask() || len(column) != n {
		r.fail()
		return []uint64{0}, []uint8{Unknown}
	}
	return starts, column
}

// lowerHalves reads the trailing halves of n starts, nil when all are zero.
func (r *reader) lowerHalves(n int) []uint64 {
	count := r.count()
	if count == 0 {
		return nil
	}
	low := make([]uint64, n)
	at := uint64(0)
	for range count {
		at += r.uvarint()
		value := r.uvarint()
		if at >= uint64(n) {
			r.fail()
			return nil
		}
		low[at] = value
	}
	return low
}
