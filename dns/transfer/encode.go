package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/meridian-edge/meridian/dns/zone"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

func encodeCheckpoint(s *saved, gen uint64) []byte {
	b := binary.BigEndian.AppendUint64([]byte(checkMagic), gen)
	b = append(b, bit(s.fetched))
	b = binary.BigEndian.AppendUint64(b, uint64(s.refreshed.Unix()))
	b = append(b, s.base[:]...)
	b = appendRecord(b, &s.soa)
	b = appendDiff(b, &s.overlay)
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.journal)))
	for i := range s.journal {
		b = appendDiff(b, &s.journal[i])
	}
	b = binary.BigEndian.AppendUint32(b, uint32(s.data.Len()))
	for r := range s.data.Records() {
		b = appendRecord(b, &r)
	}
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

var errDamaged = errors.New("the file is damaged; remove it, and the zone starts anew")

func decodeCheckpoint(b, origin []byte) (*saved, uint64, error) {
	head := len(checkMagic)
	if len(b) < head+4 || string(b[:head]) != checkMagic ||
		crc32.ChecksumIEEE(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return nil, 0, errDamaged
	}
	r := reader{b: b[head : len(b)-4]}
	gen := r.uint64()
	s := &saved{fetched: r.byte() == 1}
	s.refreshed = time.Unix(int64(r.uint64()), 0)
	copy(s.base[:], r.take(sha256.Size))
	s.soa = r.record()
	s.overlay = r.diff()
	for range r.uint32() {
		if s.journal = append(s.journal, r.diff()); r.bad {
			break
		}
	}
	builder := zone.NewBuilder(origin)
	n := r.uint32()
	for range n {
		rec := r.record()
		if r.bad {
			break
		}
		if err := builder.Add(rec); err != nil {
			return nil, 0, errDamaged
		}
	}
	if r.bad || len(r.b) > 0 {
		return nil, 0, errDamaged
	}
	if n > 0 {
		var err error
		if s.data, err = builder.Build(); err != nil {
			return nil, 0, err
		}
	}
	return s, gen, nil
}

// fingerprint identifies the records of a version, its serial apart.
func fingerprint(d *zone.Data) (sum [sha256.Size]byte) {
	h := sha256.New()
	var b []byte
	for r := range d.Records() {
		if r.Type == dnswire.TypeSOA {
			r = withSerial(r, 0)
		}
		b = appendRecord(b[:0], &r)
		h.Write(b)
	}
	h.Sum(sum[:0])
	return sum
}

func appendRecord(b []byte, r *zone.Record) []byte {
	b = append(append(b, byte(len(r.Name))), r.Name...)
	b = binary.BigEndian.AppendUint16(b, r.Type)
	b = binary.BigEndian.AppendUint32(b, r.TTL)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(r.RData))), r.RData...)
}

func appendDiff(b []byte, d *diff) []byte {
	b = append(b, bit(d.update))
	b = appendRecord(appendRecord(b, &d.from), &d.to)
	for _, list := range [][]zone.Record{d.removed, d.added} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(list)))
		for i := range list {
			b = appendRecord(b, &list[i])
		}
	}
	return b
}

// reader takes values off a slice; bad is set when it ends too early.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) record() zone.Record {
	name := r.take(int(r.byte()))
	rec := zone.Record{Name: name, Type: r.uint16(), TTL: r.uint32()}
	rec.RData = r.take(int(r.uint16()))
	return rec
}

func (r *reader) diff() diff {
	d := diff{update: r.byte() == 1}
	d.from, d.to = r.record(), r.record()
	for _, list := range []*[]zone.Record{&d.removed, &d.added} {
		for range r.uint32() {
			if *list = append(*list, r.record()); r.bad {
				return d
			}
		}
	}
	if len(d.from.RData) != 0 && len(d.from.RData) < 22 || len(d.to.RData) != 0 && len(d.to.RData) < 22 {
		r.bad = true
	}
	return d
}
