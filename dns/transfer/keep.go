package transfer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/meridian-edge/meridian/dns/transfer/catalog"
)

// kick asks a secondary zone to refresh now. from is the primary that sent the NOTIFY, and is asked first.
type kick struct{ from netip.Addr }

// wake passes a kick on. One that waits already is enough.
func (h *held) wake(k kick) {
	select {
	case h.kick <- k:
	default:
	}
}

// leastPause is the least time between two refreshes, however many NOTIFY messages come.
const leastPause = time.Second

// keep refreshes a secondary zone by its timers (RFC 1034 section 4.3.5) until ctx is done.
func (h *held) keep(ctx context.Context) {
	if h.data() != nil && h.conf.Load().Catalog {
		h.store.members(ctx, h)
	}
	next := time.Now() // whatever the disk had is asked about at once
	retry := firstRetry
	var first netip.Addr
	for {
		wait := time.Until(next)
		if at, ok := h.expiry(); ok {
			wait = min(wait, time.Until(at))
		}
		timer := time.NewTimer(max(wait, 0))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case k := <-h.kick:
			timer.Stop()
			first = k.from
			next = time.Now()
		case <-timer.C:
		}
		h.expireIfDue()
		if time.Now().Before(next) {
			continue
		}
		began := time.Now()
		soa, err := h.refreshWatched(ctx, first)
		first = netip.Addr{}
		limits, conf := h.store.limits, *h.conf.Load()
		def(&conf.MinRefresh, limits.MinRefresh)
		def(&conf.MaxRefresh, limits.MaxRefresh)
		clamp := func(d time.Duration) time.Duration { return min(max(d, conf.MinRefresh), conf.MaxRefresh) }
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			retry = firstRetry
			next = began.Add(jitter(clamp(seconds(soa[1]))))
		case soa[2] > 0:
			next = time.Now().Add(jitter(clamp(seconds(soa[2]))))
		default: // never fetched
			next = time.Now().Add(jitter(retry))
			retry = min(2*retry, maxFirstRetry)
		}
		if err != nil {
			h.store.log.Warn("zone not refreshed", "zone", h.label, "err", err, "again_in", time.Until(next).Round(time.Second))
		}
		if !pause(ctx, leastPause) {
			return
		}
	}
}

// refreshWatched is refresh, which may take long: a zone expires meanwhile if its time has come.
func (h *held) refreshWatched(ctx context.Context, first netip.Addr) ([4]uint32, error) {
	if at, ok := h.expiry(); ok {
		watch := time.AfterFunc(time.Until(at), h.expireIfDue)
		defer watch.Stop()
	}
	return h.refresh(ctx, first)
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// expiry is when the current version must not be served any more; ok is false when there is none.
func (h *held) expiry() (at time.Time, ok bool) {
	data := h.data()
	if data == nil {
		return at, false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refreshed.Add(seconds(timer(soaOf(data), 3))), true
}

// expireIfDue takes a zone out of service that no primary has confirmed for too long.
func (h *held) expireIfDue() {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := h.state.Load()
	if st.data == nil || h.closed || time.Now().Before(h.refreshed.Add(seconds(timer(soaOf(st.data), 3)))) {
		return
	}
	h.last = st.data
	h.setExpired(true)
	h.publish(&state{journal: st.journal})
	h.store.log.Error("zone expired: no primary has answered for as long as its SOA allows; check that they are up and let this server transfer",
		"zone", h.label, "since", h.refreshed)
}

// refresh asks the primaries in turn until one has confirmed or replaced the zone. It returns the timers of what there is now.
func (h *held) refresh(ctx context.Context, first netip.Addr) (soa [4]uint32, err error) {
	defer func() {
		data := h.data()
		if data == nil {
			h.mu.Lock()
			data = h.last
			h.mu.Unlock()
		}
		if data != nil {
			for i := range soa {
				soa[i] = timer(soaOf(data), i)
			}
		}
	}()
	primaries := slices.Clone(h.conf.Load().Primaries)
	slices.SortStableFunc(primaries, func(a, b Peer) int {
		return int(bit(b.Addr.Addr().Unmap() == first)) - int(bit(a.Addr.Addr().Unmap() == first))
	})
	var errs []error
	for _, p := range primaries {
		err := h.refreshFrom(ctx, p)
		if err == nil {
			return soa, nil
		}
		if ctx.Err() != nil {
			return soa, ctx.Err()
		}
		errs = append(errs, fmt.Errorf("primary %s: %w", p.Addr, err))
	}
	return soa, errors.Join(errs...)
}

// refreshFrom asks one primary, and installs what it has if that is newer.
func (h *held) refreshFrom(ctx context.Context, p Peer) error {
	s := h.store
	h.mu.Lock()
	have := h.data()
	if have == nil {
		have = h.last
	}
	h.mu.Unlock()
	f := &fetch{store: s, peer: p, name: h.name}
	if have != nil {
		serial, err := f.serial(ctx)
		switch {
		case err != nil:
			return err
		case serial == have.Serial():
			h.confirm()
			s.metrics.transfers.WithLabelValues("in", "soa", "ok").Inc()
			return nil
		case !later(serial, have.Serial()):
			return fmt.Errorf("its serial is %d, older than ours, %d; raise it there", serial, have.Serial())
		}
	}
	select {
	case s.getting <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.getting }()
	active := s.metrics.active.WithLabelValues("in")
	active.Inc()
	defer active.Dec()
	began := time.Now()
	s.log.Debug("zone transfer in started", "zone", h.label, "primary", p.Addr.String())
	got, err := f.transfer(ctx, have)
	s.metrics.bytes.WithLabelValues("in").Add(float64(f.bytes))
	if err == nil {
		err = h.install(ctx, got)
	}
	if err != nil {
		s.metrics.transfers.WithLabelValues("in", f.kind, "failed").Inc()
		return err
	}
	s.metrics.transfers.WithLabelValues("in", f.kind, "ok").Inc()
	s.log.Info("zone transfer in ended", "zone", h.label, "primary", p.Addr.String(), "kind", f.kind, "serial", h.data().Serial(),
		"records", h.data().Len(), "bytes", f.bytes, "took", time.Since(began))
	return nil
}

// confirm notes that the version we have is current; an expired one comes back into service.
func (h *held) confirm() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refreshed = time.Now()
	h.disk.touch(h.refreshed)
	if st := h.state.Load(); st.data == nil && h.last != nil {
		h.setExpired(false)
		h.publish(&state{data: h.last, journal: st.journal})
	}
	h.last = nil
}

func (h *held) setExpired(v bool) {
	if v == h.expired {
		return
	}
	if h.expired = v; v {
		h.store.metrics.expired.Inc()
	} else {
		h.store.metrics.expired.Dec()
	}
}

// install makes what was fetched the current version.
func (h *held) install(ctx context.Context, got fetched) error {
	if got.data == nil {
		h.confirm()
		return nil
	}
	h.mu.Lock()
	h.refreshed = time.Now()
	h.setExpired(false)
	h.installLocked(got)
	h.mu.Unlock()
	if h.conf.Load().Catalog {
		h.store.members(ctx, h)
	}
	return nil
}

// installLocked saves and publishes what was fetched. What cannot be saved is served all the same, until the next restart.
func (h *held) installLocked(got fetched) {
	before := h.state.Load()
	journal, saved := slices.Clone(before.journal), false
	switch {
	case got.steps != nil:
		journal = append(journal, got.steps...)
		saved = before.data != nil && h.log(got.steps)
	case before.data != nil: // a whole zone came, and our own secondaries need not have it whole
		d := compare(before.data, got.data)
		journal = append(journal, d.own())
	default:
		journal = nil
	}
	h.last = nil
	st := &state{data: got.data, journal: h.trim(journal, got.data.Size())}
	if !saved {
		if err := h.save(st); err != nil {
			h.store.log.Error("zone not saved", "zone", h.label, "err", err)
		}
	}
	h.disk.touch(h.refreshed)
	h.publish(st)
}

// log appends differences to the log on the disk, and reports whether a checkpoint is not needed.
func (h *held) log(steps []diff) bool {
	for i := range steps {
		if full, err := h.disk.append(&steps[i]); full || err != nil {
			return false
		}
	}
	return true
}

// members brings the zones of a catalog in line with it. A catalog that is broken leaves them as they are (RFC 9432 section 5.1).
func (s *Store) members(ctx context.Context, c *held) {
	members, err := catalog.Read(c.data())
	if err != nil {
		s.log.Error("catalog not followed; correct it at its primary", "zone", c.label, "err", err)
		return
	}
	wanted := map[string]catalog.Member{}
	for _, m := range members {
		wanted[string(m.Zone)] = m
	}
	conf := *c.conf.Load()
	conf.Catalog = false
	for _, h := range s.each() {
		if h.catalog != string(c.name) {
			continue
		}
		if m, ok := wanted[string(h.name)]; ok && m.ID == h.member {
			delete(wanted, string(h.name))
			z := conf
			if z.Name = h.label; !reflect.DeepEqual(z, *h.conf.Load()) {
				h.restart(ctx, z)
			}
			continue
		}
		s.forget(h, true)
		s.log.Info("zone removed by its catalog", "zone", h.label, "catalog", c.label)
		if s.publish != nil {
			s.publish([]Change{{Name: h.name, Gone: true}})
		}
	}
	for name, m := range wanted {
		if s.find([]byte(name)) != nil {
			s.log.Error("member of a catalog not served: the zone is configured, or in another catalog", "zone", textName(m.Zone), "catalog", c.label)
			continue
		}
		z := conf
		z.Name = textName(m.Zone)
		h, err := s.create(m.Zone, z)
		if err != nil {
			s.log.Error("zone state not read", "zone", h.label, "err", err)
		}
		h.catalog, h.member = string(c.name), m.ID
		s.adopt(ctx, h)
	}
}
