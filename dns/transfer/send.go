package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"slices"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/zone"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// send answers AXFR (RFC 5936) and IXFR (RFC 1995).
func (s *Store) send(ctx context.Context, r *request) {
	kind := "axfr"
	if r.typ == dnswire.TypeIXFR {
		kind = "ixfr"
	}
	no := func(result string, rcode int) {
		s.metrics.transfers.WithLabelValues("out", kind, result).Inc()
		r.refuse(rcode)
	}
	h := s.find(r.name)
	if h == nil || !allowed(h.conf.Load().Transfer, r.From.Addr().Unmap(), r.key) {
		no("refused", mdns.RcodeRefused) // the same for a zone that is not here: who may not transfer need not know
		return
	}
	st := h.state.Load()
	switch {
	case r.class != dnswire.ClassIN:
		no("refused", mdns.RcodeRefused)
		return
	case st.data == nil:
		no("no-data", mdns.RcodeServerFailure)
		return
	case kind == "axfr" && !r.Stream:
		no("udp", mdns.RcodeFormatError) // RFC 5936 section 4.2: AXFR over UDP is not defined
		return
	}
	records, kind, err := s.choose(r, st)
	if err != nil {
		no("formerr", mdns.RcodeFormatError)
		return
	}
	if !r.Stream {
		s.sendUDP(r, st, records, kind)
		return
	}
	select {
	case s.sending <- struct{}{}:
	default:
		s.log.Warn("zone transfer out refused: as many as may be are under way", "zone", h.label, "client", r.From.String(), "limit", s.limits.Outgoing)
		no("limit", mdns.RcodeRefused)
		return
	}
	defer func() { <-s.sending }()
	s.stream(ctx, r, h, transferOut{records: records, kind: kind, serial: st.data.Serial()})
}

// transferOut is one transfer on its way.
type transferOut struct {
	records iter.Seq[zone.Record]
	kind    string
	serial  uint32
}

// choose finds what a client gets, and what that is called: everything, a difference, or the SOA alone when it is up to date.
func (s *Store) choose(r *request, st *state) (iter.Seq[zone.Record], string, error) {
	soa := soaOf(st.data)
	everything := func(yield func(zone.Record) bool) {
		if !yield(soa) {
			return
		}
		for rec := range st.data.Records() {
			if rec.Type != dnswire.TypeSOA && !yield(rec) {
				return
			}
		}
		yield(soa)
	}
	if r.typ == dnswire.TypeAXFR {
		return everything, "axfr", nil
	}
	have, err := r.serial()
	if err != nil {
		return nil, "", err
	}
	if !later(serialOf(soa), have) {
		return slices.Values([]zone.Record{soa}), "soa", nil
	}
	from := slices.IndexFunc(st.journal, func(d diff) bool { return serialOf(d.from) == have })
	if from < 0 {
		return everything, "axfr", nil
	}
	steps := condense(st.journal[from:])
	size := 0
	for i := range steps {
		size += steps[i].size()
	}
	if size > st.data.Size() {
		return everything, "axfr", nil
	}
	return func(yield func(zone.Record) bool) {
		if !yield(soa) {
			return
		}
		for i := range steps {
			d := &steps[i]
			for _, list := range [][]zone.Record{{d.from}, d.removed, {d.to}, d.added} {
				for _, rec := range list {
					if !yield(rec) {
						return
					}
				}
			}
		}
		yield(soa)
	}, "ixfr", nil
}

// condense makes one difference of many where that is shorter (RFC 1995 section 5).
func condense(steps []diff) []diff {
	if len(steps) < 2 {
		return steps
	}
	one, size := steps[0], steps[0].size()
	for i := range steps[1:] {
		one = compose(one, steps[i+1])
		size += steps[i+1].size()
	}
	if one.size() < size {
		return []diff{one}
	}
	return steps
}

var errNoSerial = errors.New("no SOA in the authority section")

// serial is what the client of an IXFR has (RFC 1995 section 3).
func (r *request) serial() (uint32, error) {
	var m mdns.Msg
	if err := m.Unpack(r.plain); err != nil {
		return 0, err
	}
	if len(m.Ns) != 1 {
		return 0, errNoSerial
	}
	soa, ok := m.Ns[0].(*mdns.SOA)
	if !ok {
		return 0, errNoSerial
	}
	return soa.Serial, nil
}

// sendUDP answers IXFR in one message: with the SOA alone when the difference does not fit, so that the client comes back over TCP (RFC 1995
// section 2).
func (s *Store) sendUDP(r *request, st *state, records iter.Seq[zone.Record], kind string) {
	w := writer{limit: r.room()}
	question := r.plain[dnswire.HeaderLen:r.end]
	w.start(binary.BigEndian.Uint16(r.plain), flags(r.plain), question, r.name)
	fits := kind != "axfr"
	if fits {
		for rec := range records {
			if fits = w.add(rec); !fits {
				break
			}
		}
	}
	if !fits {
		kind = "soa"
		w.start(binary.BigEndian.Uint16(r.plain), flags(r.plain), question, r.name)
		w.add(soaOf(st.data))
	}
	s.metrics.transfers.WithLabelValues("out", kind, "ok").Inc()
	s.metrics.bytes.WithLabelValues("out").Add(float64(len(w.msg)))
	r.reply(w.msg)
}

// stream sends a transfer as as many messages as it takes. Each is sent before the next is made, so a slow client costs one message.
func (s *Store) stream(ctx context.Context, r *request, h *held, out transferOut) {
	began := time.Now()
	active := s.metrics.active.WithLabelValues("out")
	active.Inc()
	defer active.Dec()
	s.log.Debug("zone transfer out started", "zone", h.label, "client", r.From.String(), "kind", out.kind, "serial", out.serial)
	ctx, cancel := context.WithTimeout(ctx, s.limits.TransferTime)
	defer cancel()
	room := r.room()
	w := writer{limit: min(streamMessage, room)}
	id := binary.BigEndian.Uint16(r.plain)
	w.start(id, flags(r.plain), r.plain[dnswire.HeaderLen:r.end], r.name)
	total, messages := 0, 0
	flush := func() error {
		total, messages = total+len(w.msg), messages+1
		err := r.reply(w.msg)
		if err == nil {
			err = ctx.Err()
		}
		w.start(id, flags(r.plain), nil, nil)
		w.limit = min(streamMessage, room)
		return err
	}
	var err error
	for rec := range out.records {
		if w.add(rec) {
			continue
		}
		if !w.empty() {
			if err = flush(); err != nil {
				break
			}
		}
		if w.limit = room; !w.add(rec) { // a record as large as a message
			err = errors.New("a record is larger than a message")
			break
		}
		w.limit = min(streamMessage, room)
	}
	if err == nil {
		err = flush()
	}
	result := "ok"
	args := []any{"zone", h.label, "client", r.From.String(), "kind", out.kind, "serial", out.serial, "bytes", total, "messages", messages, "took", time.Since(began)}
	if err != nil {
		result = "failed"
		s.log.Warn("zone transfer out broken off", append(args, "err", err)...)
	} else {
		s.log.Info("zone transfer out ended", args...)
	}
	s.metrics.transfers.WithLabelValues("out", out.kind, result).Inc()
	s.metrics.bytes.WithLabelValues("out").Add(float64(total))
}
