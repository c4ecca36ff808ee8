package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meridian-edge/meridian/dns/zone"
)

// state is what transfers out read: one version and how to get there. It never changes.
type state struct {
	data    *zone.Data // nil: none yet, or expired
	journal []diff     // each one's from is the one before's to; the last leads to data
}

// held is one zone.
type held struct {
	store   *Store
	name    []byte
	label   string
	catalog string // the catalog it is a member of, empty: it is configured
	member  string // its unique label there

	state atomic.Pointer[state]
	conf  atomic.Pointer[Zone]
	kick  chan kick // NOTIFY has come; refresh takes one at a time
	wg    sync.WaitGroup

	mu sync.Mutex // serialises changes; guards the fields below

	cancel    context.CancelFunc
	disk      *disk
	baseHash  [sha256.Size]byte // of a zone of ours
	overlay   diff              // what updates have made of the base
	refreshed time.Time
	last      *zone.Data // the version that has expired, for IXFR
	expired   bool       // it is out of service for that
	offered   *zone.Data // waits for its turn
	offerAt   time.Time  // when the last one was taken
	offerWait *time.Timer
	told      []chan struct{} // wakes those that send NOTIFY
	closed    bool
}

// data is the current version, nil for none.
func (h *held) data() *zone.Data { return h.state.Load().data }

func (h *held) secondary() bool { return len(h.conf.Load().Primaries) > 0 }

// restore brings back what the disk has. A damaged file is reported, and the zone starts anew.
func (h *held) restore(now time.Time) error {
	if h.disk == nil {
		return nil
	}
	s, log, err := h.disk.load(h.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.fetched != h.secondary() {
		return nil // it was another kind of zone: nothing of that is of use
	}
	h.refreshed = s.refreshed
	h.overlay, h.baseHash = s.overlay, s.base
	soa, data := s.soa, s.data
	for i := range log {
		soa = log[i].to
		if log[i].update {
			h.overlay = compose(h.overlay, log[i])
		}
	}
	if len(log) > 0 && data != nil {
		all := log[0]
		for i := range log[1:] {
			all = compose(all, log[i+1])
		}
		if data, err = all.apply(data, true); err != nil {
			return fmt.Errorf("apply the journal: %w", err)
		}
	}
	h.overlay = h.overlay.own()
	journal := h.trim(append(s.journal, log...), data.Size())
	for i := range journal {
		journal[i] = journal[i].own()
	}
	if s.fetched {
		if data != nil && now.Before(h.refreshed.Add(seconds(timer(soa, 3)))) {
			h.state.Store(&state{data: data, journal: journal})
		} else {
			h.last = data
			h.setExpired(data != nil)
		}
		return nil
	}
	// The records come with the base; until then the serial is what must not go back.
	h.overlay.to = cloned(soa)
	h.state.Store(&state{journal: journal})
	return nil
}

func seconds(n uint32) time.Duration { return time.Duration(n) * time.Second }

// trim forgets the oldest differences beyond the limits. A journal much larger than the zone is of no use.
func (h *held) trim(journal []diff, size int) []diff {
	limit, n, from := h.conf.Load().JournalBytes, 0, len(journal)
	def(&limit, h.store.limits.JournalBytes)
	if size > 0 {
		limit = min(limit, max(size, 1<<16))
	}
	for from > 0 && len(journal)-from < h.store.limits.JournalDiffs {
		if n += journal[from-1].size(); n > limit {
			break
		}
		from--
	}
	for i := len(journal) - 1; i > from; i-- {
		if serialOf(journal[i-1].to) != serialOf(journal[i].from) {
			from = i
			break
		}
	}
	return slices.Clone(journal[from:])
}

// rebase lays the updates over a base that is new, or changed. The lock is held.
//
// The rule: the base is what the operator wrote, the updates live beside it and are made again on a changed base, and the serial never goes
// back: it is the base's when that is higher, and one more than before otherwise.
func (h *held) rebase(base *zone.Data) error {
	hash := fingerprint(base)
	before := h.state.Load()
	prior := h.overlay.to // SOA served before, of this run or the last
	soa := soaOf(base)
	same := hash == h.baseHash
	if len(prior.RData) > 0 && !later(serialOf(soa), serialOf(prior)) {
		if same {
			soa = prior // with what an update has made of it
		} else {
			soa = withSerial(soa, serialOf(prior)+1)
		}
	}
	over := h.overlay
	over.to = soa
	data, err := over.apply(base, false)
	if err != nil {
		return fmt.Errorf("lay the updates over it: %w", err)
	}
	journal := before.journal
	switch {
	case before.data != nil:
		if d := compare(before.data, data); later(serialOf(d.to), serialOf(d.from)) {
			journal = h.trim(append(slices.Clone(journal), d.own()), data.Size())
		}
	case len(journal) > 0 && serialOf(journal[len(journal)-1].to) != serialOf(soa):
		journal = nil // the base changed while nobody looked: the difference is not known
	}
	unchanged := same && serialOf(soa) == serialOf(prior) // as after a restart: the disk has it
	priorHash, priorOverlay := h.baseHash, h.overlay
	h.baseHash, h.overlay = hash, over.own()
	if !unchanged {
		if err := h.save(&state{data: data, journal: journal}); err != nil {
			h.baseHash, h.overlay = priorHash, priorOverlay
			return err
		}
	}
	h.publish(&state{data: data, journal: journal})
	return nil
}

// save writes a checkpoint of a state.
func (h *held) save(st *state) error {
	if h.disk == nil {
		return nil
	}
	s := &saved{fetched: h.secondary(), refreshed: h.refreshed, base: h.baseHash, overlay: h.overlay, journal: st.journal}
	if st.data != nil {
		s.soa = soaOf(st.data)
	}
	if s.fetched {
		s.data = st.data
	}
	if err := h.disk.checkpoint(s); err != nil {
		return fmt.Errorf("write the state of the zone; check the disk and the state folder: %w", err)
	}
	return nil
}

// publish makes a state the current one and tells everybody. The lock is held.
func (h *held) publish(st *state) {
	old := h.state.Swap(st)
	c := Change{Name: h.name, Data: st.data, Added: h.overlay.added, Removed: h.overlay.removed, Expired: st.data == nil}
	if h.store.publish != nil {
		h.store.publish([]Change{c})
	}
	if st.data != nil && (old.data == nil || old.data.Serial() != st.data.Serial()) {
		for _, ch := range h.told {
			select {
			case ch <- struct{}{}:
			default: // it has not yet sent the one before, and will send this one
			}
		}
	}
}

// commit makes a difference the newest, after it is on the disk. The lock is held.
func (h *held) commit(d diff, data *zone.Data) error {
	d = d.own()
	full, err := h.disk.append(&d)
	if err != nil && !full {
		return err
	}
	before := h.state.Load()
	overlay := h.overlay
	if d.update {
		overlay = compose(overlay, d)
	}
	overlay.to = d.to
	st := &state{data: data, journal: h.trim(append(slices.Clone(before.journal), d), data.Size())}
	prior := h.overlay
	h.overlay = overlay
	if full {
		if saveErr := h.save(st); saveErr != nil && err != nil { // neither the log nor a checkpoint could be written
			h.overlay = prior
			return saveErr
		}
	}
	h.publish(st)
	return nil
}

// offer takes the next version of a zone whose base is made elsewhere, at most one in each interval.
func (h *held) offer(data *zone.Data) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	if wait := time.Until(h.offerAt.Add(h.store.limits.OfferInterval)); wait > 0 && !h.offerAt.IsZero() {
		if h.offered = data; h.offerWait == nil {
			h.offerWait = time.AfterFunc(wait, h.offerLate)
		}
		return nil
	}
	h.offerAt = time.Now()
	return h.take(data)
}

func (h *held) offerLate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offerWait = nil
	if data := h.offered; data != nil && !h.closed {
		h.offered, h.offerAt = nil, time.Now()
		if err := h.take(data); err != nil {
			h.store.log.Error("zone not changed", "zone", h.label, "err", err)
		}
	}
}

// take is rebase for a base that may be what it was.
func (h *held) take(data *zone.Data) error {
	if h.data() != nil && fingerprint(data) == h.baseHash && !later(data.Serial(), h.data().Serial()) {
		return nil
	}
	return h.rebase(data)
}

// stop ends what runs for the zone, for good.
func (h *held) stop() {
	h.mu.Lock()
	h.closed = true
	cancel := h.cancel
	h.mu.Unlock()
	cancel()
	h.wg.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.offerWait != nil {
		h.offerWait.Stop()
	}
	h.setExpired(false)
	h.disk.close()
}
