package cache

import (
	"context"
	"slices"
	"strings"

	"github.com/meridian-edge/meridian/cache/purge"
)

// Order carries out a purge of any kind. When it returns, the order is durable, and no later request is served what it hit; the
// receipt counts what that was, memory given back included. An error means that the order is not in force, unless it is ctx's,
// which only ends the counting.
func (s *Store) Order(ctx context.Context, o purge.Order) (Receipt, error) {
	o, err := s.book.Add(o)
	if err != nil {
		return Receipt{}, err
	}
	r, err := s.sweep(ctx, &o, !o.Soft)
	r.ID = o.ID
	return r, err
}

// Preview counts what an order would hit, and changes nothing.
func (s *Store) Preview(ctx context.Context, o purge.Order) (Receipt, error) {
	return s.sweep(ctx, &o, false)
}

// Undo takes a soft purge back; see purge.Book.UndoAll.
func (s *Store) Undo(id uint64) (purge.Order, error) { return s.book.UndoAll(id) }

// Orders are the purges that are remembered, newest first, at most n of them.
func (s *Store) Orders(n int) []purge.Order { return s.book.Orders(n) }

// sweepStep is how many keys a sweep looks at before it lets others have the shard.
const sweepStep = 256

// sweep counts what an order hits, and removes it if so told. Lookups do not wait for it: they know the order by its mark.
func (s *Store) sweep(ctx context.Context, o *purge.Order, remove bool) (Receipt, error) {
	var r Receipt
	hits := func(subject *purge.Subject) bool { return o.Hits(subject) && (o.ID == 0 || subject.Born < o.ID) }
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		groups := make([]*group, 0, len(sh.groups))
		for _, g := range sh.groups {
			groups = append(groups, g)
		}
		sh.mu.Unlock()
		for some := range slices.Chunk(groups, sweepStep) {
			if ctx.Err() != nil {
				return r, ctx.Err()
			}
			sh.mu.Lock()
			for _, g := range some {
				before := r.Objects
				g.count(&r, hits)
				if remove && r.Objects > before {
					sh.removeHit(g, hits)
				}
			}
			sh.mu.Unlock()
		}
		if err := sh.sweepPacked(ctx, &r, hits, remove); err != nil {
			return r, err
		}
	}
	if err := s.sweepDisk(ctx, &r, hits, remove); err != nil {
		return r, err
	}
	if remove {
		s.metrics.purged.Add(float64(r.Objects))
	}
	return r, nil
}

// removeHit takes the entries of a group out that a purge has hit, with the lock held.
func (sh *shard) removeHit(g *group, hits func(*purge.Subject) bool) {
	for _, e := range slices.Clone(g.entries) {
		if subject := g.subject(e.head.born, e.head.tags); hits(&subject) {
			e.dead.Store(true)
			if len(e.head.tags) > 0 {
				e.store().purged.Add(g.key, e.head.tags)
			}
			sh.remove(e)
		}
	}
	sh.tidy(g)
}

// sweepPacked is sweep for what is at rest in a shard.
func (sh *shard) sweepPacked(ctx context.Context, r *Receipt, hits func(*purge.Subject) bool, remove bool) error {
	for next := uint32(1); next != 0; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		sh.mu.Lock()
		last := next + sweepStep
		for next = sh.packed.From(next); next != 0 && next < last; next = sh.packed.From(next + 1) {
			p := sh.packed.At(next)
			if p.entry != 0 || !sh.countPacked(r, next, hits) || !remove {
				continue
			}
			if v := sh.view(p); len(v.Tags()) > 0 {
				sh.store.purged.Add(strings.Clone(v.Key()), cloneAll(v.Tags()))
			}
			sh.removePacked(next)
		}
		sh.mu.Unlock()
	}
	return nil
}

func cloneAll(list []string) []string {
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = strings.Clone(s)
	}
	return all
}
