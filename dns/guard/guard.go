// Package guard keeps a DNS server from being used as a weapon: it limits the rate of equal responses to one network, and it tells
// clients that have shown where they are (DNS cookies, RFC 7873 and RFC 9018) from addresses that anybody may have written on a packet.
//
//	g, err := guard.New(guard.Options{Rate: 50, Cookies: true}, log, registerer)
//	state := g.Cookie(&cookie, option, client, now) // before the answer
//	switch g.Limit(now, client, guard.Answer{Class: guard.NXDomain, Zone: 7}, draw) { // after it
//	case guard.Slip: // send it empty, with TC
//	case guard.Drop: // say nothing
//	}
//
// Its memory is allocated once and never grows, whoever asks for whatever. Nothing on the way of a packet takes a lock or allocates.
// A Guard is safe for concurrent use.
package guard

import (
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options say what to defend against. The zero Options do nothing.
type Options struct {
	// Rate is how many responses of one kind a second one network gets over UDP before it is limited; 0: as many as it asks for.
	// At most MaxRate. What is of one kind is said at Class.
	Rate int
	// Rates holds the rates of single classes: 0 means Rate, a negative one no limit. It has no effect while Rate is 0.
	Rates [Classes]int
	// Total is how many responses of all kinds together a second one network gets; 0: as many as its kinds allow. It has no effect
	// while Rate is 0.
	Total int
	// Window is how much of its rate a quiet network saves up: it may get Rate times Window at once. 0: one second. At most MaxWindow.
	Window time.Duration
	// Slip is which of the limited responses are sent empty with TC, so that a client at a forged address can come back over TCP:
	// on average every so manieth. 0: every second; 1: all of them; negative: none.
	Slip int
	// PrefixV4 and PrefixV6 are how many bits of an address make a network. 0: 24 and 56. At most 32 and 64.
	PrefixV4, PrefixV6 int
	// Exempt holds networks that are never limited. It is searched only for responses that would be.
	Exempt []netip.Prefix
	// Entries is how many kinds of responses to networks are watched at a time, 8 octets each; rounded up to a power of two.
	// 0: 131,072. At most MaxEntries.
	Entries int
	// LogOnly counts and logs what would be limited, and sends it.
	LogOnly bool

	// Cookies answers COOKIE options. Clients with a valid cookie are exempt from every limit here.
	Cookies bool
	// Secrets are what server cookies are made from, the same on all servers that share an address. New cookies are made with the
	// first; the others are accepted. None: a random one is made here, and another every Rotate.
	Secrets []Secret
	// Rotate is how long a secret made here is in use; it is accepted for as long again. 0: a day. At least MinRotate.
	Rotate time.Duration
	// BadCookie answers queries over UDP that have a COOKIE option, but no valid server cookie in it, with BADCOOKIE and a cookie
	// to come back with (RFC 7873 section 5.2.3), instead of the answer.
	BadCookie bool
	// NoCookieSize is how many octets a response over UDP may have for a client without a valid cookie; longer ones are truncated.
	// 0: no other limit than for all. At least 512, or all of EDNS would be in vain.
	NoCookieSize int
	// NoCookieRate is how many queries without a valid cookie a second the server gets over UDP before NoCookieSize is applied.
	// 0: it always is.
	NoCookieRate int
}

// Limits of Options.
const (
	MaxRate    = 100_000
	MaxWindow  = 5 * time.Minute
	MaxEntries = 1 << 24
	MinRotate  = 2 * time.Hour // a cookie lives for one hour and is accepted as long as its secret or the one after it is in use
	MaxSecrets = 8

	minNoCookieSize = 512
)

const (
	defaultWindow  = time.Second
	defaultSlip    = 2
	defaultEntries = 1 << 17
	defaultRotate  = 24 * time.Hour
)

// Guard holds the limits and what has been used of them.
type Guard struct {
	log     *slog.Logger
	metrics *metrics
	seed    maphash.Seed
	start   time.Time
	salt    [3]uint64     // secret; odd numbers spread best
	quiet   atomic.Uint64 // until when limiting is not logged again, microseconds since start
	now     atomic.Pointer[settings]
	made    atomic.Pointer[ring] // the secrets made here
	load    load
}

// settings are Options in the form they are used in.
type settings struct {
	Options
	exempt4  []network4 // of Exempt
	table    *table
	window   uint64          // microseconds
	interval [Classes]uint64 // microseconds between responses; 0: no limit
	total    uint64
	ring     *ring // of the configured secrets; nil: those made here
}

// New makes a Guard. log may be nil; so may reg, and nothing is registered then. It returns an error when o is out of its limits,
// and panics when reg already has the metrics of another Guard.
func New(o Options, log *slog.Logger, reg prometheus.Registerer) (*Guard, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	g := &Guard{log: log, seed: maphash.MakeSeed(), start: time.Now()}
	for i := range g.salt {
		g.salt[i] = rand.Uint64() | 1
	}
	if err := g.Update(o); err != nil {
		return nil, err
	}
	g.metrics = newMetrics(reg)
	return g, nil
}

// Update puts other Options in force, for a reload. What networks have used of their rates is kept unless Entries changes, and so
// are the secrets made here. It returns an error and changes nothing when o is out of its limits. One call at a time.
func (g *Guard) Update(o Options) error {
	if err := o.check(); err != nil {
		return err
	}
	o.Exempt, o.Secrets = slices.Clone(o.Exempt), slices.Clone(o.Secrets)
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	if o.Slip == 0 {
		o.Slip = defaultSlip
	}
	if o.PrefixV4 == 0 {
		o.PrefixV4 = 24
	}
	if o.PrefixV6 == 0 {
		o.PrefixV6 = 56
	}
	if o.Entries == 0 {
		o.Entries = defaultEntries
	}
	if o.Rotate == 0 {
		o.Rotate = defaultRotate
	}
	s := &settings{Options: o, window: uint64(o.Window.Microseconds()), exempt4: networks4(o.Exempt)}
	if o.Rate > 0 {
		s.rates()
		if old := g.now.Load(); old != nil && old.table != nil && old.Entries == o.Entries {
			s.table = old.table
		} else {
			s.table = newTable(o.Entries)
		}
	}
	if len(o.Secrets) > 0 {
		s.ring = &ring{secrets: o.Secrets}
	} else if o.Cookies && g.made.Load() == nil {
		g.made.Store(newRing(nil, time.Now().Add(o.Rotate)))
	}
	g.now.Store(s)
	return nil
}

// Idle reports that nothing is limited and no cookie answered: nothing here need be asked.
func (g *Guard) Idle() bool {
	s := g.now.Load()
	return s.table == nil && !s.Cookies && s.NoCookieSize == 0
}

// rates sets the intervals.
func (s *settings) rates() {
	for class := range s.interval {
		rate := s.Rates[class]
		if rate == 0 {
			rate = s.Rate
		}
		if rate > 0 {
			s.interval[class] = interval(rate)
		}
	}
	if s.Total > 0 {
		s.total = interval(s.Total)
	}
}

func interval(rate int) uint64 { return uint64(second / rate) }

// second is one in microseconds, which is how time is counted here.
const second = 1_000_000

// check says what is out of its limits.
func (o *Options) check() error {
	for _, n := range []struct {
		name            string
		is, least, most int
	}{
		{"rate", o.Rate, 0, MaxRate},
		{"total", o.Total, 0, MaxRate},
		{"bits of an IPv4 network", o.PrefixV4, 0, 32},
		{"bits of an IPv6 network", o.PrefixV6, 0, 64},
		{"entries", o.Entries, 0, MaxEntries},
		{"secrets", len(o.Secrets), 0, MaxSecrets},
		{"octets without a cookie", o.NoCookieSize, 0, 65535},
		{"rate without a cookie", o.NoCookieRate, 0, 100 * MaxRate},
	} {
		if n.is < n.least || n.is > n.most {
			return fmt.Errorf("%s: %d is not within %d and %d", n.name, n.is, n.least, n.most)
		}
	}
	for class, rate := range o.Rates {
		if rate > MaxRate {
			return fmt.Errorf("rate of %s: %d is above %d", Class(class), rate, MaxRate)
		}
	}
	switch {
	case o.Window < 0 || o.Window > MaxWindow:
		return fmt.Errorf("window: %s is not within 0 and %s", o.Window, MaxWindow)
	case o.Rotate != 0 && o.Rotate < MinRotate:
		return fmt.Errorf("rotation of secrets: %s is under %s", o.Rotate, MinRotate)
	case o.NoCookieSize != 0 && o.NoCookieSize < minNoCookieSize:
		return fmt.Errorf("octets without a cookie: %d is under %d", o.NoCookieSize, minNoCookieSize)
	}
	return nil
}
