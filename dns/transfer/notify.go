package transfer

import (
	"context"
	"errors"
	"time"

	mdns "github.com/miekg/dns"
)

// notify tells one secondary of each change (RFC 1996) until ctx is done. wake holds one change at most: whoever is told comes for the newest.
func (h *held) notify(ctx context.Context, p Peer, wake <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
		h.tell(ctx, p, wake)
	}
}

// tell sends NOTIFY until it is answered. A change that comes meanwhile starts over.
func (h *held) tell(ctx context.Context, p Peer, wake <-chan struct{}) {
	s := h.store
	delay := 2 * time.Second
	var err error
	for try := 0; try < notifyTries; try++ {
		data := h.data()
		if data == nil {
			return
		}
		if err = h.tellOnce(ctx, p); err == nil {
			s.metrics.notifies.WithLabelValues("out", "ok").Inc()
			s.log.Debug("secondary notified", "zone", h.label, "secondary", p.Addr.String(), "serial", data.Serial())
			return
		}
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-wake:
			timer.Stop()
			try, delay = -1, 2*time.Second
			continue
		case <-timer.C:
		}
		delay *= 2
	}
	s.metrics.notifies.WithLabelValues("out", "failed").Inc()
	s.log.Warn("secondary not notified; it will find the change by its refresh timer. Check that it is up and takes NOTIFY from here",
		"zone", h.label, "secondary", p.Addr.String(), "err", err)
}

func (h *held) tellOnce(ctx context.Context, p Peer) error {
	select {
	case h.store.telling <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-h.store.telling }()
	data := h.data()
	if data == nil {
		return errors.New("the zone is gone")
	}
	m := new(mdns.Msg)
	m.SetNotify(textName(h.name))
	if rr, err := soaOf(data).RR(); err == nil { // a hint; the receiver must ask all the same
		m.Answer = []mdns.RR{rr}
	}
	f := &fetch{store: h.store, peer: p, name: h.name}
	reply, err := f.exchange(ctx, "udp", m)
	if err != nil {
		return err
	}
	if reply.Opcode != mdns.OpcodeNotify {
		return errors.New("the reply is to something else")
	}
	if reply.Rcode != mdns.RcodeSuccess {
		return &rcodeError{reply.Rcode}
	}
	return nil
}

// rcodeError is a reply that says no.
type rcodeError struct{ rcode int }

func (e *rcodeError) Error() string {
	switch e.rcode {
	case mdns.RcodeRefused:
		return "it answered REFUSED; allow this server there"
	case mdns.RcodeNotAuth:
		return "it answered NOTAUTH; check that it has the zone and the key"
	}
	return "it answered " + mdns.RcodeToString[e.rcode]
}
