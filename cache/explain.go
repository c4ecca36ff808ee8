package cache

import (
	"context"
	"fmt"
	"time"

	"github.com/meridian-edge/meridian/cache/encode"
	"github.com/meridian-edge/meridian/cache/key"
)

// Explanation is the decision about a request in words, for `meridian explain` and for tests. Taking it changes nothing.
type Explanation struct {
	Key      string        `json:"key,omitempty"`      // as in Result; empty when the store has no say
	Parts    []key.Part    `json:"parts,omitempty"`    // of the key
	Decision string        `json:"decision"`           // what Serve would do now
	Outcome  Outcome       `json:"outcome"`            // what it would report, as far as that is known before the origin has answered
	Reason   string        `json:"reason,omitempty"`   // as in Result
	Stored   bool          `json:"stored"`             // a response that the request selects is stored
	Variants int           `json:"variants,omitempty"` // stored for the key
	Variant  string        `json:"variant,omitempty"`  // of the selected response: the fields and values it was stored for
	Status   int           `json:"status,omitempty"`   // of the selected response
	Bytes    int64         `json:"bytes,omitempty"`    // of its body
	Codings  []string      `json:"codings,omitempty"`  // in which it is stored besides
	Encode   string        `json:"encode,omitempty"`   // whether the selected response is encoded, or why not; empty: compression is off
	Words    []string      `json:"words,omitempty"`    // the freshness arithmetic
	Age      time.Duration `json:"age_ns,omitempty"`
	TTL      time.Duration `json:"ttl_ns,omitempty"`
	Filling  int           `json:"filling,omitempty"`  // fetches in flight for the key
	Purge    string        `json:"purge,omitempty"`    // the order that made the response stale, or the last that removed what would have been it
	Unshared string        `json:"unshared,omitempty"` // why the key's responses could not be shared a moment ago; empty: they could, or nothing is known
}

// Explain takes the decision that Serve would take, with the same code, and says what it is. It may bring a response from the disk into memory.
func (s *Store) Explain(req *Request) Explanation {
	w, reason := readWish(req)
	if reason != "" {
		return Explanation{Outcome: Bypass, Reason: reason, Decision: "send to the origin; the store has no say"}
	}
	keyed := req.keyed()
	k, url := keyed.Append(nil)
	s.recall(context.Background(), req, k, url) // what is on the disk counts as what is in memory
	now := time.Now()
	x := Explanation{Key: string(k), Parts: key.Parts(string(k))}
	if p, ok := s.passes.Peek(passKey(k, w.Auth)); ok && now.Before(p.until) {
		if x.Unshared = p.reason; p.solo {
			x.Unshared = "validated on every use"
		}
	}
	sh := s.shard(k[:url])
	sh.mu.Lock()
	g := sh.live(k, url)
	if g != nil {
		defer s.rest(g) // after the lock
	}
	defer sh.mu.Unlock()
	d := s.decide(g, k, req, &w, now)
	x.Reason = d.reason
	x.Decision, x.Outcome = d.words()
	if g != nil {
		x.Variants, x.Filling = len(g.entries), len(g.fills)
	}
	if e := d.entry; e != nil {
		x.Stored, x.Variant, x.Status, x.Bytes = true, e.variant.String(), e.head.status, e.head.length(e.object)
		x.Age, x.TTL = e.freshness().Age(now), e.freshness().TTL(now)
		x.Codings = e.object.Codings()
		if req.Encode.On {
			x.Encode = encode.Describe(encode.Judge(e.head.status, e.head.fields, e.head.length(e.object)))
		}
		x.Words = e.freshness().Words(now)
	}
	x.Purge = s.killer(g, k, d.entry)
	return x
}

// killer names the order behind an entry's absence or staleness, with the shard's lock held; g may be nil.
func (s *Store) killer(g *group, k []byte, e *entry) string {
	tags, _ := s.purged.Peek(string(k))
	about := (&group{key: string(k)}).subject(0, tags)
	if e != nil {
		if !e.soft.Soft {
			return ""
		}
		about = g.subject(e.head.born, e.head.tags)
	}
	o, ok := s.book.Last(&about)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%s at %s", &o, o.Time.UTC().Format(time.RFC3339))
}

// words says what a decision is, and which outcome it leads to.
func (d *decision) words() (string, Outcome) {
	fetched := Miss
	if d.entry != nil {
		fetched = Expired
	}
	switch d.act {
	case actHit:
		return "answer from the store", Hit
	case actStale:
		if d.refresh {
			return "answer stale from the store and refresh it in the background", Stale
		}
		return "answer stale from the store; a refresh is under way or was just tried", Stale
	case actJoin:
		return "wait for the fetch in flight", Collapsed
	case actRefuse:
		return "answer 504: only a stored response was asked for", Miss
	case actPass:
		if d.bypass {
			return "send to the origin, not to be stored", Bypass
		}
		return "send to the origin, not to be stored", Miss
	case actSolo:
		return "fetch for this request alone, with the stored validators if there are any", fetched
	}
	return "fetch from the origin, with the stored validators if there are any; others may join", fetched
}
