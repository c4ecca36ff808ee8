package record_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/cache/record"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// FuzzParse: bytes from a disk are refused, or all of them can be read, and written again they say the same.
func FuzzParse(f *testing.F) {
	epoch := time.Unix(0, 0)
	small := ordinary(epoch)
	small.Body[0] = []byte("body")
	for _, portable := range []bool{false, true} {
		f.Add(record.Append(nil, small, epoch, portable))
		f.Add(record.Append(nil, &record.Response{Status: 204, Body: [record.Bodies][]byte{{}}}, epoch, portable))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		readable(t, b)
		readable(t, mended(b))
	})
}

// mended has the numbers that chance never gets right as they should be, so that what follows them is looked at: a status, the length of the
// head, and no bodies.
func mended(b []byte) []byte {
	if len(b) < 92 {
		return nil
	}
	b = slices.Clone(b)
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	b[12], b[13], b[15] = 200, 0, 0
	clear(b[72:88])
	return b
}

// readable checks one input.
func readable(t *testing.T, b []byte) {
	epoch := time.Unix(0, 0)
	v, err := record.Parse(b)
	if err != nil {
		return
	}
	r := read(v, epoch)
	if r.Fresh.Lifetime < 0 || r.Fresh.InitialAge < 0 || r.Total < 0 || len(v.Head()) > len(b) {
		t.Errorf("%+v", r)
	}
	if now := epoch.Add(rules.MaxDuration); r.Fresh.Age(now) < r.Fresh.InitialAge {
		t.Errorf("of age %v at first, %v later", r.Fresh.InitialAge, r.Fresh.Age(now))
	}
	for _, after := range []time.Duration{0, time.Since(epoch), rules.MaxDuration} {
		if d := ages(v, epoch, after); d != "" {
			t.Error(d)
		}
	}
	for _, request := range []httpwire.Fields{nil, asks} {
		if v.Match(request) != r.Variant.Match(request) {
			t.Errorf("%s does not match at rest as in use", r.Variant)
		}
	}
	for _, portable := range []bool{false, true} {
		again, err := record.Parse(record.Append(nil, r, epoch, portable))
		if err != nil {
			t.Fatalf("%+v: written again: %v", r, err)
		}
		if d := differ(read(again, epoch), r); d != "" {
			t.Errorf("written again: %s", d)
		}
	}
}
