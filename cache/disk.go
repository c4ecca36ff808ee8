package cache

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/disk"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/cache/record"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// The disk is the second tier. Whatever is stored is written to it too, in the background, and stays there when it is evicted from memory. A
// request that finds nothing in memory looks there (Store.recall), and what it finds is an entry like any other: small ones come into memory,
// large ones are read where they are. What is removed for another reason than room is removed from the disk first, or in the same step; so
// the two never tell different things.
//
// How old a response is follows from the machine's clock across a restart. One that seems to come from the future is stale.

// diskEpoch is what times on the disk count from.
var diskEpoch = time.Unix(0, 0)

// diskKey is the key of a group on the disk.
func (g *group) diskKey() disk.Key { return disk.Key{Text: g.key, URL: g.url} }

// meta is an entry's head as it is on the disk.
func (e *entry) meta() []byte {
	r := e.recorded()
	return record.Append(nil, &r, diskEpoch, true)
}

// keep hands an entry to the disk, with the shard's lock held and the caller holding the object besides the index. Nobody waits for the disk:
// when it is busy, the entry is in memory only.
func (e *entry) keep() {
	d := e.store().disk
	if d == nil {
		return
	}
	o := e.object
	o.Hold()
	if !d.Put(disk.Item{Key: e.group.diskKey(), Variant: rules.VariantID(e.variant), Meta: e.meta(), Size: o.Size(), Body: o.From, Done: o.Release}) {
		o.Release()
	}
}

// forgetKept takes an entry from the disk too, with the shard's lock held, and sees that nobody who is just reading it there brings it back.
func (e *entry) forgetKept() {
	if d := e.store().disk; d != nil {
		if r := e.group.shard.recalling[e.group.key]; r != nil {
			r.outdated = true
		}
		d.Forget(e.group.diskKey(), rules.VariantID(e.variant))
	}
}

// dropKept takes all of a URL from the disk, for good. What of it is just being read there is not brought back.
func (s *Store) dropKept(url string) (n int, bytes int64) {
	if s.disk == nil {
		return 0, 0
	}
	n, bytes = s.disk.RemoveURL(url)
	sh := s.shard([]byte(url))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for k, r := range sh.recalling {
		if strings.HasPrefix(k, url) {
			r.outdated = true
		}
	}
	return n, bytes
}

// countKept counts what dropKept would take.
func (s *Store) countKept(url string) (n int, bytes int64) {
	if s.disk == nil {
		return 0, 0
	}
	return s.disk.Count(url)
}

// rewriteKept gives the disk an entry's new head, with the shard's lock held. was is the variant that it had.
func (e *entry) rewriteKept(was rules.Variant) {
	d := e.store().disk
	if d == nil {
		return
	}
	id := rules.VariantID(e.variant)
	if old := rules.VariantID(was); old != id {
		d.Forget(e.group.diskKey(), old)
		return
	}
	d.SetMeta(e.group.diskKey(), id, 0, e.meta()) // no stamps: under the shard's lock, what is about one variant comes in order
}

// recalled is a look at the disk that is under way.
type recalled struct {
	done     chan struct{} // closed at its end
	outdated bool          // something of the key was removed meanwhile; guarded by the shard's lock
}

// recall brings what the disk has for a key into memory, if nothing there answers the request, and reports whether it has brought anything.
// One request looks, the others that want the key wait for it.
func (s *Store) recall(ctx context.Context, req *Request, k []byte, url int) bool {
	if s.disk == nil {
		return false
	}
	sh, at := s.shard(k[:url]), disk.Key{Text: string(k), URL: url}
	sh.mu.Lock()
	if g := sh.live(k, url); g != nil && g.find(req.Head.Fields) != nil {
		sh.mu.Unlock()
		return false
	}
	if other := sh.recalling[at.Text]; other != nil {
		sh.mu.Unlock()
		select {
		case <-other.done:
			return true
		case <-ctx.Done():
			return false
		}
	}
	look := &recalled{done: make(chan struct{})}
	sh.recalling[at.Text] = look
	sh.mu.Unlock()
	defer func() {
		sh.mu.Lock()
		delete(sh.recalling, at.Text)
		sh.mu.Unlock()
		close(look.done)
	}()
	if !s.disk.Has(at) {
		return false
	}
	found, err := s.disk.Find(at)
	if err != nil {
		s.log.Debug("the disk could not be read", "key", at.Text, "err", err)
	}
	brought := false
	for _, f := range found {
		brought = s.bring(sh, req.Site, req.Policy.Pin, f, look) || brought
	}
	return brought
}

// bring makes an entry of what was found on the disk, unless it was purged, or removed since it was looked for. The object is used up.
func (s *Store) bring(sh *shard, site string, pin bool, f *disk.Object, look *recalled) bool {
	v, err := record.Parse(f.Meta())
	if err != nil || v.Key() != f.Key().Text {
		s.disk.Remove(f.Key(), f.Variant()) // of another version of this program
		f.Close()
		return false
	}
	h := &head{status: v.Status(), fields: v.AppendFields(nil).Clone(), fresh: v.Fresh(diskEpoch), aged: v.Aged(), born: v.Born(), tags: cloneAll(v.Tags()), total: v.Total()}
	h.fresh.Source = strings.Clone(h.fresh.Source)
	if now := time.Now(); h.fresh.Received.After(now.Add(clockSlack)) {
		h.fresh.InitialAge = max(h.fresh.InitialAge, h.fresh.Lifetime) // the clock was set back: nobody knows how old it is
	}
	e := &entry{tenant: s.memory.Of(site), head: h, variant: v.Variant()}
	if e.object = s.fromDisk(e, f, h.cost(f.Key().Text, e.variant)); e.object == nil {
		return false
	}
	subject := subjectOf(f.Key().Text, h.born, h.tags)
	verdict := s.book.Judge(&subject)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if verdict.Dead || h.born > s.book.Current() || look.outdated {
		defer e.object.Release()
		if verdict.Dead {
			s.disk.Forget(f.Key(), f.Variant())
		}
		return false
	}
	e.group = sh.group([]byte(f.Key().Text), f.Key().URL)
	if slices.ContainsFunc(e.group.entries, func(o *entry) bool { return rules.VariantID(o.variant) == f.Variant() }) || len(e.group.entries) == maxVariants {
		defer e.object.Release()
		return false
	}
	e.group.entries = append(e.group.entries, e)
	sh.place(e, pin)
	return true
}

// fromDisk is the object of an entry that was found there: in memory if it is small, else where it is. base is what the head takes. nil: there is no
// memory for it, or it is damaged.
func (s *Store) fromDisk(e *entry, f *disk.Object, base int64) *body.Object {
	size := f.Size()
	options := body.Options{Space: e.tenant, Maker: s.maker, Total: size, Most: size, Base: base}
	if size > recallWhole {
		if !e.tenant.Reserve(base) {
			f.Close()
			return nil
		}
		options.Charge = base
		return body.NewFile(options, f, size)
	}
	defer f.Close()
	if options.Charge = base + body.Need(size); !e.tenant.Reserve(options.Charge) {
		return nil
	}
	o := body.New(options)
	for o.Size() < size {
		p, err := o.Tail(context.Background())
		if err == nil {
			_, err = f.ReadAt(p, o.Size())
		}
		if err != nil {
			o.Finish(httpwire.ErrTruncated)
			o.Release()
			return nil
		}
		o.Grew(len(p))
	}
	o.Finish(nil)
	return o
}

// Broken implements body.Owner: what is on the disk cannot be read, so the entry is none.
func (e *entry) Broken() { e.store().forget(e) }

// sweepDisk is sweep for what is on the disk and not in memory.
func (s *Store) sweepDisk(ctx context.Context, r *Receipt, hits func(*purge.Subject) bool, remove bool) error {
	if s.disk == nil {
		return nil
	}
	return s.disk.Walk(ctx, func(k disk.Key, variant uint64, meta []byte, size int64) bool {
		v, err := record.Parse(meta)
		if err != nil {
			return remove
		}
		subject := subjectOf(v.Key(), v.Born(), v.Tags())
		if !hits(&subject) {
			return false
		}
		if !s.inMemory(k, variant) {
			r.Objects++
			r.Bytes += size
		}
		return remove
	})
}

// inMemory reports whether an object that is on the disk is in memory too.
func (s *Store) inMemory(k disk.Key, variant uint64) bool {
	sh := s.shard([]byte(k.Text[:k.URL]))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if g := sh.groups[k.Text]; g != nil {
		return slices.ContainsFunc(g.entries, func(e *entry) bool { return rules.VariantID(e.variant) == variant })
	}
	for id := sh.packed.First(s.hash([]byte(k.Text))); id != 0; id = sh.packed.Next(id) {
		if v := sh.view(sh.packed.At(id)); v.Key() == k.Text && rules.VariantID(v.Variant()) == variant {
			return true
		}
	}
	return false
}
