package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-edge/meridian/dns/transfer/tsig"
	"github.com/meridian-edge/meridian/dns/zone"
)

// Store owns the current version of every zone that is transferred or updated. It outlives reloads. Its methods are safe for concurrent
// use.
type Store struct {
	dir     string
	publish func([]Change)
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	limits  Limits
	log     *slog.Logger
	metrics *metrics
	ring    atomic.Pointer[tsig.Ring]
	sending chan struct{} // a place for each transfer out
	getting chan struct{} // and for each one in
	telling chan struct{} // and for each NOTIFY that waits for its reply

	applying sync.Mutex // one Apply or Close at a time

	mu sync.Mutex // guards the fields below

	zones  map[string]*held
	closed bool
}

// New makes a store without zones. It panics when o.Registerer already has the metrics of another Store.
func New(o Options) *Store {
	o.Limits.fill()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	s := &Store{
		dir: o.Dir, publish: o.Publish, dial: o.Dial, limits: o.Limits, log: o.Log, metrics: newMetrics(o.Registerer),
		sending: make(chan struct{}, o.Limits.Outgoing), getting: make(chan struct{}, o.Limits.Incoming), telling: make(chan struct{}, 64),
		zones: map[string]*held{},
	}
	s.ring.Store(&tsig.Ring{})
	return s
}

// ErrClosed is what Apply and Offer return after Close.
var ErrClosed = errors.New("the store is closed")

// Apply makes a configuration the current one. A zone that is as it was keeps going; one whose settings changed keeps its data. Secondary
// zones are served from the state folder at once, where they are there, and refreshed in the background until Close. When the configuration is
// wrong, nothing changes and the error names every mistake; a zone that cannot be brought up keeps its last version, and the error names
// it after the others have been applied. ctx gives the background its values, not its end.
func (s *Store) Apply(ctx context.Context, c Config) error {
	ring, err := tsig.NewRing(c.Keys)
	if err = errors.Join(err, c.check(ring)); err != nil {
		return err
	}
	s.applying.Lock()
	defer s.applying.Unlock()
	if s.isClosed() {
		return ErrClosed
	}
	s.ring.Store(ring)
	wanted := map[string]*Zone{}
	for i := range c.Zones {
		name, _ := wireName(c.Zones[i].Name) // checked above
		wanted[string(name)] = &c.Zones[i]
	}
	s.dropUnwanted(wanted)
	var errs []error
	for name, z := range wanted {
		if err := s.applyZone(ctx, []byte(name), *z); err != nil {
			errs = append(errs, fmt.Errorf("zone %q: %w", z.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// dropUnwanted ends the zones that are not wanted any more, members of catalogs that went included, and those that became another kind.
func (s *Store) dropUnwanted(wanted map[string]*Zone) {
	for _, h := range s.each() {
		z := wanted[string(h.name)]
		if h.catalog != "" && z == nil {
			c := wanted[h.catalog]
			if c != nil && c.Catalog {
				continue
			}
		} else if z != nil && h.catalog == "" && (len(z.Primaries) > 0) == h.secondary() {
			continue
		}
		s.forget(h, true)
	}
}

// forget ends a zone. With files, what the disk has of it goes as well.
func (s *Store) forget(h *held, files bool) {
	s.mu.Lock()
	if s.zones[string(h.name)] == h {
		delete(s.zones, string(h.name))
	}
	s.mu.Unlock()
	h.stop()
	if files {
		if err := h.disk.remove(); err != nil {
			s.log.Warn("zone state not removed", "zone", h.label, "err", err)
		}
	}
}

func (s *Store) applyZone(ctx context.Context, name []byte, z Zone) error {
	h := s.find(name)
	if h != nil {
		old := *h.conf.Load()
		base := z.Base
		old.Base, z.Base = nil, nil
		if !reflect.DeepEqual(old, z) {
			h.restart(ctx, z)
		}
		if base == nil {
			return nil
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.take(base)
	}
	h, err := s.create(name, z)
	if err != nil {
		s.log.Error("zone state not read", "zone", h.label, "err", err)
	}
	if z.Base != nil {
		h.mu.Lock()
		err := h.rebase(z.Base)
		h.mu.Unlock()
		if err != nil {
			h.disk.close()
			return err
		}
	}
	s.adopt(ctx, h)
	return nil
}

// create makes a zone with what the disk has of it. The zone is of use whatever the error.
func (s *Store) create(name []byte, z Zone) (*held, error) {
	h := &held{
		store: s, name: name, label: textName(name), kick: make(chan kick, 1), cancel: func() {},
		disk: openDisk(s.dir, textName(name)),
	}
	h.state.Store(&state{})
	z.Base = nil // kept apart, so that settings can be compared
	h.conf.Store(&z)
	return h, h.restore(time.Now())
}

// adopt makes a zone visible and starts what runs for it.
func (s *Store) adopt(ctx context.Context, h *held) {
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.zones[string(h.name)] = h
	}
	s.mu.Unlock()
	if closed {
		h.disk.close()
		return
	}
	h.start(ctx)
}

// start begins what runs for a zone; stop, or restart, ends it.
func (h *held) start(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	ctx, h.cancel = context.WithCancel(context.WithoutCancel(ctx))
	conf := h.conf.Load()
	h.told = nil
	for _, p := range conf.Notify {
		wake := make(chan struct{}, 1)
		wake <- struct{}{} // what was missed while this server was down, RFC 1996 section 4.1 and 4.2
		h.told = append(h.told, wake)
		h.wg.Go(func() { h.notify(ctx, p, wake) })
	}
	if len(conf.Primaries) > 0 {
		if st := h.state.Load(); st.data != nil || h.last != nil {
			h.publish(st)
		}
		h.wg.Go(func() { h.keep(ctx) })
	}
}

// restart gives a zone other settings.
func (h *held) restart(ctx context.Context, z Zone) {
	h.mu.Lock()
	cancel := h.cancel
	h.mu.Unlock()
	cancel()
	h.wg.Wait()
	h.conf.Store(&z)
	h.start(ctx)
}

func (s *Store) find(name []byte) *held {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.zones[string(name)]
}

// Data are the current versions by name in lower-case wire form; nil for a zone that has none yet or has expired.
func (s *Store) Data() map[string]*zone.Data {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]*zone.Data, len(s.zones))
	for name, h := range s.zones {
		out[name] = h.data()
	}
	return out
}

// Offer gives a zone its next version: the view a plain secondary is to have of a zone whose answers are decided for each client. The difference
// goes to the journal, the serial rises, and secondaries are told; at most one version in each Limits.OfferInterval is taken, the last
// of them late. A version that says the same as the one before changes nothing.
func (s *Store) Offer(name string, data *zone.Data) error {
	w, err := wireName(name)
	if err != nil {
		return err
	}
	h := s.find(w)
	switch {
	case h == nil && s.isClosed():
		return ErrClosed
	case h == nil:
		return fmt.Errorf("offer zone %q: it is not configured", name)
	case h.secondary():
		return fmt.Errorf("offer zone %q: it comes from its primaries", name)
	case string(data.Origin()) != string(w):
		return fmt.Errorf("offer zone %q: the data is that of %s", name, textName(data.Origin()))
	}
	if err := h.offer(data); err != nil {
		return fmt.Errorf("offer zone %q: %w", name, err)
	}
	return nil
}

// Refresh has a secondary zone ask its primaries now, as a NOTIFY would. It reports whether there is such a zone.
func (s *Store) Refresh(name string) bool {
	w, err := wireName(name)
	if err != nil {
		return false
	}
	h := s.find(w)
	if h == nil || !h.secondary() {
		return false
	}
	h.wake(kick{})
	return true
}

func (s *Store) each() []*held {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*held
	for _, h := range s.zones {
		list = append(list, h)
	}
	return list
}

// Close ends everything that runs and waits for it. The files stay.
func (s *Store) Close() {
	s.applying.Lock()
	defer s.applying.Unlock()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for _, h := range s.each() {
		h.stop()
	}
}

// jitter is d less up to a tenth, so that zones with equal timers do not ask all at once.
func jitter(d time.Duration) time.Duration { return d - time.Duration(rand.Int64N(int64(d)/10+1)) }
