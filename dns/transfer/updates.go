package transfer

import (
	"slices"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/meridian-edge/meridian/dns/transfer/update"
	"github.com/meridian-edge/meridian/internal/dnswire"
)

// update deals with a dynamic update (RFC 2136). It is on the disk before it is acknowledged.
func (s *Store) update(r *request) {
	rcode := s.decide(r)
	s.metrics.updates.WithLabelValues(strings.ToLower(mdns.RcodeToString[rcode])).Inc()
	r.refuse(rcode)
}

func (s *Store) decide(r *request) int {
	var m mdns.Msg
	if r.end == 0 || r.typ != dnswire.TypeSOA || m.Unpack(r.plain) != nil { // RFC 2136 section 3.1.1
		return mdns.RcodeFormatError
	}
	h := s.find(r.name)
	if h == nil || r.class != dnswire.ClassIN {
		return mdns.RcodeNotAuth
	}
	conf := h.conf.Load()
	from := r.From.Addr().Unmap()
	grants := slices.DeleteFunc(slices.Clone(conf.Update), func(g Grant) bool { return g.Key == "" || !g.allows(from, r.key) })
	if len(grants) == 0 { // nothing is forwarded to a primary either (section 6 leaves that open)
		return mdns.RcodeRefused
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.data()
	switch {
	case h.closed || old == nil:
		return mdns.RcodeServerFailure
	case h.disk == nil:
		s.log.Warn("update refused: there is no state folder to keep it in; set state_dir", "zone", h.label, "key", r.key)
		return mdns.RcodeRefused
	}
	result := update.Decide(old, &m, func(name []byte, typ uint16) bool {
		return slices.ContainsFunc(grants, func(g Grant) bool { return g.covers(name, typ) })
	})
	if result.RCode != mdns.RcodeSuccess || !result.Changed {
		s.log.Debug("update changes nothing", "zone", h.label, "key", r.key, "client", r.From.String(), "rcode", mdns.RcodeToString[result.RCode])
		return result.RCode
	}
	if old.Len()+len(result.Added)-len(result.Removed) > s.limits.Records {
		s.log.Warn("update refused: the zone would be too large", "zone", h.label, "key", r.key, "limit", s.limits.Records)
		return mdns.RcodeRefused
	}
	d := diff{from: soaOf(old), to: result.SOA, removed: result.Removed, added: result.Added, update: true}
	data, err := d.apply(old, true)
	if err == nil {
		err = h.commit(d, data)
	}
	if err != nil {
		s.log.Error("update not made", "zone", h.label, "key", r.key, "err", err)
		return mdns.RcodeServerFailure
	}
	s.log.Info("zone updated", "zone", h.label, "key", r.key, "client", r.From.String(), "serial", data.Serial(),
		"added", len(d.added), "removed", len(d.removed))
	return mdns.RcodeSuccess
}

// covers reports whether a grant is for a name, in lower-case wire form, and a type.
func (g *Grant) covers(name []byte, typ uint16) bool {
	if len(g.Types) > 0 && !slices.Contains(g.Types, typ) {
		return false
	}
	return len(g.Names) == 0 || slices.ContainsFunc(g.Names, func(pattern string) bool { return matches(pattern, name) })
}

// matches compares a name with a pattern of Grant.Names.
func matches(pattern string, name []byte) bool {
	labels := mdns.SplitDomainName(strings.ToLower(pattern))
	have := mdns.SplitDomainName(textName(name))
	below := len(labels) > 0 && labels[0] == "*"
	if len(have) < len(labels) || len(have) > len(labels) && !below {
		return false
	}
	have = have[len(have)-len(labels):]
	for i, label := range labels {
		if label != "*" && label != have[i] {
			return false
		}
	}
	return true
}
