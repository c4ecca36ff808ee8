package transfer

import (
	"bytes"
	"errors"
	"fmt"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/zone"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// incoming is the records of one transfer in, from one message after another.
type incoming struct {
	*inbound
	name    []byte
	rest    []mdns.RR // of the last message
	records int
}

// record returns the next record.
func (z *incoming) record() (zone.Record, error) {
	for len(z.rest) == 0 {
		m, err := z.next()
		if err != nil {
			return zone.Record{}, err
		}
		if m.Rcode != mdns.RcodeSuccess {
			return zone.Record{}, &rcodeError{m.Rcode}
		}
		if len(m.Answer) == 0 {
			return zone.Record{}, errors.New("a message without records")
		}
		z.rest = m.Answer
	}
	rr := z.rest[0]
	z.rest = z.rest[1:]
	if z.records++; z.records > z.limits.Records {
		return zone.Record{}, fmt.Errorf("more than %d records", z.limits.Records)
	}
	if rr.Header().Class != dnswire.ClassIN {
		return zone.Record{}, fmt.Errorf("%s: a record of class %d", rr.Header().Name, rr.Header().Class)
	}
	r, err := zone.FromRR(rr)
	if err != nil {
		return r, fmt.Errorf("%s: %w", rr.Header().Name, err)
	}
	if !zone.Below(r.Name, z.name) {
		return r, fmt.Errorf("%s: %w", rr.Header().Name, zone.ErrOutside)
	}
	return r, nil
}

func (z *incoming) isSOA(r *zone.Record) bool {
	return r.Type == dnswire.TypeSOA && bytes.Equal(r.Name, z.name) && len(r.RData) >= 22
}

// end checks that nothing comes behind the last record, and that a signature covers it.
func (z *incoming) end() error {
	if len(z.rest) > 0 {
		return errors.New("records behind the last SOA")
	}
	if z.chain != nil && !z.chain.Whole() {
		return errors.New("the last message is not signed")
	}
	return nil
}

// zone reads the whole transfer. have is nil for AXFR.
func (z *incoming) zone(have *zone.Data, f *fetch) (fetched, error) {
	soa, err := z.record()
	if err != nil {
		return fetched{}, err
	}
	if !z.isSOA(&soa) {
		return fetched{}, errors.New("the first record is not the zone's SOA")
	}
	if have == nil {
		return z.whole(soa, nil)
	}
	switch serial := serialOf(soa); {
	case serial == have.Serial():
		return fetched{}, z.end()
	case !later(serial, have.Serial()):
		return fetched{}, fmt.Errorf("its serial is %d, older than ours, %d; raise it there", serial, have.Serial())
	}
	second, err := z.record()
	if err != nil {
		return fetched{}, err
	}
	if !z.isSOA(&second) || serialOf(second) != have.Serial() {
		f.kind = "axfr" // the server sends all of it (RFC 1995 section 4)
		return z.whole(soa, &second)
	}
	return z.difference(soa, second, have)
}

// whole reads a zone up to its second SOA.
func (z *incoming) whole(soa zone.Record, second *zone.Record) (fetched, error) {
	b := zone.NewBuilder(z.name)
	if err := b.Add(soa); err != nil {
		return fetched{}, err
	}
	for {
		var r zone.Record
		if second != nil {
			r, second = *second, nil
		} else {
			var err error
			if r, err = z.record(); err != nil {
				return fetched{}, err
			}
		}
		if r.Type == dnswire.TypeSOA {
			if !z.isSOA(&r) || !bytes.Equal(r.RData, soa.RData) {
				return fetched{}, errors.New("the last SOA is not the first one")
			}
			break
		}
		if err := b.Add(r); err != nil {
			return fetched{}, err
		}
	}
	if err := z.end(); err != nil {
		return fetched{}, err
	}
	data, err := b.Build()
	return fetched{data: data}, err
}

// difference reads the steps of an IXFR (RFC 1995 section 4): each the SOA it starts from, what goes, the SOA it leads to, and what comes.
func (z *incoming) difference(soa, from zone.Record, have *zone.Data) (fetched, error) {
	var steps []diff
	for {
		d := diff{from: from}
		r, err := z.until(&d.removed)
		if err != nil {
			return fetched{}, err
		}
		d.to = r
		if !later(serialOf(d.to), serialOf(d.from)) {
			return fetched{}, fmt.Errorf("a step from serial %d to %d", serialOf(d.from), serialOf(d.to))
		}
		next, err := z.until(&d.added)
		if err != nil {
			return fetched{}, err
		}
		steps = append(steps, d)
		if serialOf(d.to) == serialOf(soa) {
			if !bytes.Equal(next.RData, soa.RData) {
				return fetched{}, errors.New("the last SOA is not the first one")
			}
			break
		}
		if serialOf(next) != serialOf(d.to) || later(serialOf(d.to), serialOf(soa)) {
			return fetched{}, errors.New("a step does not start where the one before ended")
		}
		from = next
	}
	if err := z.end(); err != nil {
		return fetched{}, err
	}
	all := steps[0]
	for _, d := range steps[1:] {
		all = compose(all, d)
	}
	all.to = soa
	data, err := all.apply(have, true)
	if err == nil && data.Len() > z.limits.Records {
		err = fmt.Errorf("more than %d records", z.limits.Records)
	}
	return fetched{data: data, steps: steps}, err
}

// until collects records up to the next SOA, and returns that.
func (z *incoming) until(to *[]zone.Record) (zone.Record, error) {
	for {
		r, err := z.record()
		if err != nil {
			return r, err
		}
		if r.Type == dnswire.TypeSOA {
			if !z.isSOA(&r) {
				return r, errors.New("an SOA of another name")
			}
			return r, nil
		}
		*to = append(*to, r)
	}
}
