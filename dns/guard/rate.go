package guard

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"
)

// Class says what kind of response is being counted, and with it which responses to one network are of one kind. Names that can be
// made up without end must not be told apart: those a wildcard makes exist and those that do not exist count by their zone.
type Class uint8

// The classes.
const (
	Positive Class = iota // one name and type
	NoData                // all of a zone
	NXDomain              // all of a zone
	Referral              // one delegation
	Wildcard              // all of a zone
	Failure               // REFUSED, FORMERR and their like: all there are

	Classes = 6
)

func (c Class) String() string {
	return [...]string{"positive", "nodata", "nxdomain", "referral", "wildcard", "error"}[c]
}

// Answer is a response as far as limits go.
type Answer struct {
	Class Class
	Zone  int    // the zone's number; any, as long as it is the same for the same zone
	Name  []byte // Positive: the question's name in lower case; Referral: the delegation's. Ignored for the others. Not kept
	Type  uint16 // Positive: of the question. Ignored for the others
}

// Action is what to do with a response.
type Action uint8

// The actions.
const (
	Send Action = iota
	Slip        // empty and with TC; a Failure, which TC makes no sense for, as it is
	Drop
)

// Limit counts a response over UDP against the rates of the client's network, and says what to do with it. draw is random. It must
// not be called for clients whose address is proven, by a valid cookie or by a connection.
func (g *Guard) Limit(now time.Time, client netip.Addr, a Answer, draw uint64) Action {
	s := g.now.Load()
	if s.table == nil || !client.IsValid() || s.exempts(client) { // who is exempt must not use up what its neighbours have
		return Send
	}
	at := uint64(now.Sub(g.start).Microseconds())
	network, family := s.network(client)
	// Both are counted even when the first is used up: a network that floods has used up its total too.
	over := s.interval[a.Class] != 0 && !s.table.take(g.key(network, family, &a), s.interval[a.Class], s.window, at)
	if s.total != 0 && !s.table.take(g.hash(network, uint64(family)<<8|Classes, 0), s.total, s.window, at) {
		over = true
	}
	if !over {
		return Send
	}
	g.tell(s, client, a.Class, at)
	return g.limited(s, a.Class, draw)
}

func (s *settings) exempts(client netip.Addr) bool {
	if client = client.Unmap(); client.Is4() {
		octets := client.As4()
		bits := binary.BigEndian.Uint32(octets[:])
		for _, n := range s.exempt4 {
			if bits&n.mask == n.bits {
				return true
			}
		}
		return false
	}
	for i := range s.Exempt {
		if s.Exempt[i].Contains(client) {
			return true
		}
	}
	return false
}

// network4 is an IPv4 network, in a form that takes one comparison.
type network4 struct{ bits, mask uint32 }

func networks4(all []netip.Prefix) (list []network4) {
	for _, p := range all {
		if !p.IsValid() || !p.Addr().Is4() {
			continue
		}
		octets, mask := p.Addr().As4(), ^uint32(0)<<(32-p.Bits())
		list = append(list, network4{binary.BigEndian.Uint32(octets[:]) & mask, mask})
	}
	return list
}

// limited decides about a response above its rate.
func (g *Guard) limited(s *settings, class Class, draw uint64) Action {
	switch {
	case s.LogOnly:
		g.metrics.limited[class][logged].Inc()
		return Send
	case s.Slip > 0 && draw%uint64(s.Slip) == 0:
		g.metrics.limited[class][slipped].Inc()
		return Slip
	}
	g.metrics.limited[class][dropped].Inc()
	return Drop
}

// logPause is how often limiting is logged at most: who floods a server shall not flood its log.
const logPause = 10 * time.Second

// tell logs what is going on.
func (g *Guard) tell(s *settings, client netip.Addr, class Class, at uint64) {
	quiet := g.quiet.Load()
	if at < quiet || !g.quiet.CompareAndSwap(quiet, at+uint64(logPause.Microseconds())) {
		return
	}
	bits := s.PrefixV6
	if client.Is4() {
		bits = s.PrefixV4
	}
	network, _ := client.Prefix(bits)
	g.log.Warn("dns responses limited", "network", network.String(), "class", class.String(), "log_only", s.LogOnly)
}

// network is the bits of an address that count.
func (s *settings) network(a netip.Addr) (bits uint64, family uint8) {
	if a.Is4() || a.Is4In6() {
		octets := a.As4()
		return uint64(binary.BigEndian.Uint32(octets[:]) >> (32 - s.PrefixV4)), 4
	}
	octets := a.As16()
	return binary.BigEndian.Uint64(octets[:]) >> (64 - s.PrefixV6), 6
}

// key is what a response is counted under.
func (g *Guard) key(network uint64, family uint8, a *Answer) uint64 {
	what := uint64(family)<<8 | uint64(a.Class)
	switch a.Class {
	case Positive, Referral:
		if a.Class == Positive {
			what |= uint64(a.Type) << 16
		}
		return g.hash(network, what, maphash.Bytes(g.seed, a.Name))
	case Failure:
		return g.hash(network, what, 0)
	}
	return g.hash(network, what, uint64(a.Zone))
}

// hash mixes with secret multipliers (as wyhash does): nobody can make networks share a place on purpose.
func (g *Guard) hash(network, what, which uint64) uint64 {
	return mix(mix(network^g.salt[0], what^g.salt[1])^which, g.salt[2])
}

func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// table remembers what has been used of rates. Each key has a word in one of the eight places of its set, which share a cache
// line: 24 bits that tell it from the others there, and the instant, in microseconds modulo 2^40, when all that it has used will
// have been paid back (the generic cell rate algorithm). A set that is full forgets whoever has used least.
type table struct {
	sets []set
	mask uint64
}

const (
	ways     = 8
	tickBits = 40
	tickMask = 1<<tickBits - 1
)

type set [ways]atomic.Uint64

func newTable(entries int) *table {
	sets := 1
	for sets*ways < entries {
		sets *= 2
	}
	return &table{sets: make([]set, sets), mask: uint64(sets - 1)}
}

// take uses up one response and reports whether there was one left.
func (t *table) take(key, interval, window, now uint64) bool {
	s := &t.sets[key&t.mask]
	tag := key >> tickBits
	if tag == 0 {
		tag = 1 // a word of zero is a place that nobody has
	}
	window = max(window, interval)
	for range ways { // others may be at work on this set; whoever loses as often as that goes free
		place, word, debt := s.find(tag, window, now)
		if debt+interval > window {
			return false
		}
		if s[place].CompareAndSwap(word, tag<<tickBits|(now+debt+interval)&tickMask) {
			return true
		}
	}
	return true
}

// find returns the place of a tag, what is there, and what that has yet to pay back; for a tag that has none, the place that may be
// taken for it.
func (s *set) find(tag, window, now uint64) (place int, word, debt uint64) {
	least := ^uint64(0)
	for i := range s {
		w := s[i].Load()
		d := (w - now) & tickMask
		if w == 0 || d > window+second { // paid back, or so long ago that the clock has been round. Other workers' clocks are close
			d = 0
		}
		if w>>tickBits == tag {
			return i, w, d
		}
		if d < least {
			place, word, least = i, w, d
		}
	}
	return place, word, 0
}
