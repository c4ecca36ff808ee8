package cache

import (
	"github.com/meridian-edge/meridian/cache/key"
	"github.com/meridian-edge/meridian/cache/purge"
	"github.com/meridian-edge/meridian/cache/rules"
)

// subject is how purges see the responses of a group; tags are a response's own.
func (g *group) subject(born uint64, tags []string) purge.Subject {
	return subjectOf(g.key, born, tags)
}

// subjectOf is how purges see a response stored under a key.
func subjectOf(k string, born uint64, tags []string) purge.Subject {
	var part [key.URLParts]string
	rest := k
	for i := range part {
		part[i], rest = key.Cut(rest)
	}
	host := part[2]
	if part[3] != "" {
		host += ":" + part[3]
	}
	return purge.Subject{Site: part[0], Host: host, Path: part[4], URL: part[4] + part[5], Tags: tags, Born: born}
}

// alive reports whether an entry may be used at all, with the shard's lock held. What purges say of it is looked up once after each
// purge; else it costs two loads.
func (e *entry) alive() bool {
	if e.dead.Load() {
		return false
	}
	book := e.store().book
	version := book.Version() + 1 // so that 0 is: never
	if e.judged == version {
		return true
	}
	s := e.group.subject(e.head.born, e.head.tags)
	v := book.Judge(&s)
	if v.Dead {
		e.dead.Store(true)
		return false
	}
	e.judged, e.soft = version, v
	return true
}

// freshness is the entry's, with the shard's lock held: one that a soft purge has hit is stale since then.
func (e *entry) freshness() *rules.Freshness {
	if !e.soft.Soft {
		return &e.head.fresh
	}
	return e.head.fresh.Since(e.soft.Time)
}

// current is the entry's head with the freshness it has now, with the shard's lock held.
func (e *entry) current() *head {
	if !e.soft.Soft {
		return e.head
	}
	h := *e.head
	h.fresh = *e.freshness()
	return &h
}

// gone reports whether an entry was purged since its head was taken, for callers without the shard's lock.
func (e *entry) gone(h *head) bool {
	if e.dead.Load() {
		return true
	}
	s := e.group.subject(h.born, h.tags)
	return e.store().book.Judge(&s).Dead
}

// outdated reports whether a purge of any kind has hit what the fill fetches: nobody may join it any more. Tags are known once
// it has answered.
func (f *fill) outdated() bool {
	if f.purged.Load() {
		return true
	}
	if f.store.book.Version() == f.version {
		return false
	}
	var tags []string
	select {
	case <-f.ready:
		if f.answer.head != nil {
			tags = f.answer.head.tags
		}
	default:
	}
	s := f.group.subject(f.born, tags)
	v := f.store.book.Judge(&s)
	return v.Dead || v.Soft
}
