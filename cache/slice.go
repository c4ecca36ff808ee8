package cache

import (
	"strings"
	"time"

	"github.com/meridian-edge/meridian/cache/body"
	"github.com/meridian-edge/meridian/cache/reply"
	"github.com/meridian-edge/meridian/cache/rules"
	"github.com/meridian-edge/meridian/cache/slice"
	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

// Large objects are kept in slices. The base is an entry under the ordinary key: the head, with the length of the whole, and no body. Each slice is
// an entry whose key is the base's and more: what tells the version and a number. So slices of two versions never meet, purges hit them as they
// hit everything with that URL, and they are evicted one by one. They are used only by way of a base that may be used; their own freshness does
// not count.
//
// A response comes to be kept so in two ways. A range is asked for of what is not stored: the origin is asked for the slice that holds its first
// byte, and what it says of the whole makes the base. Or a whole comes that is large and whose origin takes ranges: it is cut up as it comes.
// What is missing of the slices that a request wants is fetched one by one, once for all who want it.

// ask is the part of an object that a fill asks for: one slice.
type ask struct {
	index int64
	of    *whole // nil: nothing is known of the object yet, or it is to be validated
	value string // the client's Range; empty: it has none
	plain bool   // and it has no If-Range
}

// newAsk is what a fill for a request asks for: of what is in slices, and of what is not stored when a range of it is wanted, the slice that
// holds the first byte that is wanted. nil: all.
func newAsk(req *Request, w *wish, e *entry) *ask {
	size, known := int64(-1), false
	if e != nil {
		size, known = e.head.length(e.object), e.head.total > 0
	}
	if req.Policy.NoSlices || !known && !(w.Ranged && (e == nil || size > slice.Size)) {
		return nil
	}
	a := &ask{plain: !req.Head.Fields.Has(httpwire.IfRange)}
	if w.Ranged {
		value, _ := req.Head.Fields.Get(httpwire.Range)
		a.value = strings.Clone(value)
		a.index = rules.FirstWanted(value, size) / slice.Size
	}
	return a
}

// write adds to a request what makes it one for the part.
func (a *ask) write(fields *httpwire.Fields) {
	if a.of != nil {
		a.of.version.Ask(fields, a.index)
		return
	}
	slice.Ask(fields, a.index)
}

// ofRanges is added to a passKey for what is known of ranges alone.
const ofRanges = "r"

// fetchesParts reports whether a range of what is not stored is asked for in order to be stored.
func (s *Store) fetchesParts(p *config.CachePolicy, key []byte, w *wish, now time.Time) bool {
	marked, ok := s.passes.Peek(passKey(key, w.Auth) + ofRanges)
	return !p.NoSlices && !(ok && now.Before(marked.until))
}

// partial looks at what came of asking for a part of an object that nothing was known of. It makes a 206 the 200 that it is a part of, to be
// judged as that. It reports true when nothing is left to judge.
func (f *fill) partial(in *arrival) (done bool) {
	switch in.status {
	case 200: // the origin has no ranges
		return false
	case 206:
		if total, ok := slice.PartOf(in.resp, f.ask.index); ok {
			slice.Strip(in.resp, f.ask.index, total)
			in.total = total
			return false
		}
	case 416:
		if f.ask.plain && slice.Beyond(in.resp, f.ask.value) { // else the client's own range may be another matter
			f.hand(*in, ReasonRange)
			return true
		}
	default:
		// Never what a plain GET would get (attack row C15).
		f.markRanges(ReasonRange, errorPassTTL)
		f.hand(*in, ReasonRange)
		return true
	}
	f.passOn(*in, ReasonRange)
	return true
}

// passOn gives up a part that cannot be kept: the leader sends its own request, and so do for a while all who want a range of the key.
func (f *fill) passOn(in arrival, reason string) {
	f.store.metrics.fills.WithLabelValues(fillNotStored).Inc()
	f.supersede(in.status)
	f.markRanges(reason, rangePassTTL)
	f.cancel()
	reply.Discard(in.resp)
	f.publish(answer{status: in.status, reason: reason, passed: true})
}

func (f *fill) markRanges(reason string, ttl time.Duration) {
	f.store.passes.Add(passKey([]byte(f.group.key), f.auth)+ofRanges, pass{until: time.Now().Add(ttl), reason: reason})
}

// cut decides whether a response is kept in slices, and returns the length of the whole then, else 0.
func (f *fill) cut(in *arrival) int64 {
	total, above := in.total, int64(slice.Size)
	if total == 0 {
		total, above = in.resp.Length, max(slice.Size, min(sliceAbove, f.store.maxObject()))
		if f.ask != nil || !rules.AcceptsRanges(in.resp.Fields) || in.resp.Body == nil {
			return 0
		}
	}
	if f.policy.NoSlices || in.resp.Status != 200 || total <= above || f.policy.MaxObject > 0 && total > f.policy.MaxObject ||
		rules.Strong(in.resp.Fields, in.received) == "" {
		return 0
	}
	return total
}

// room is admit for what may have slices: of those only the base is admitted. A part of what cannot be kept in slices is refused.
func (f *fill) room(in *arrival, h *head, cost int64) (*body.Object, string) {
	switch {
	case h.total > 0:
		return f.store.sliceRoom(f.tenant, cost, 0)
	case in.total > max(in.resp.Length, 0) && f.policy.MaxObject > 0 && in.total > f.policy.MaxObject:
		return nil, ReasonSize
	case in.total > max(in.resp.Length, 0):
		return nil, ReasonRange
	}
	return f.admit(in.resp, cost)
}

// sliceRoom reserves memory for a base or a slice of this length.
func (s *Store) sliceRoom(t *tenant, cost, length int64) (*body.Object, string) {
	need := cost
	if length > 0 {
		need += body.Need(length)
	}
	if !t.Reserve(need) {
		return nil, ReasonMemory
	}
	return body.New(body.Options{Space: t, Maker: s.maker, Total: length, Most: length, Charge: need, Base: cost}), ""
}

// length is the size of the response body, o being the entry's object; -1: unknown.
func (h *head) length(o *body.Object) int64 {
	if h.total > 0 {
		return h.total
	}
	return o.Length()
}
