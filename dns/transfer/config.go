package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/dns/transfer/tsig"
	"github.com/meridian-edge/meridian/dns/zone"
)

// Peer is another server.
type Peer struct {
	Addr netip.AddrPort
	Key  string // name of the key that signs what goes there and must sign what comes back; empty: nothing is signed
}

// Rule lets somebody in. The zero Rule lets nobody in.
type Rule struct {
	Prefixes []netip.Prefix // the sender's address; empty: any, and then Key must be set
	Key      string         // the key that must have signed; empty: none need have
}

func (r *Rule) allows(from netip.Addr, key string) bool {
	if r.Key == "" && len(r.Prefixes) == 0 || r.Key != "" && canonical(r.Key) != key {
		return false
	}
	return len(r.Prefixes) == 0 || slices.ContainsFunc(r.Prefixes, func(p netip.Prefix) bool { return p.Contains(from) })
}

// canonical is a name as chains report it.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) + "." }

func allowed(rules []Rule, from netip.Addr, key string) bool {
	return slices.ContainsFunc(rules, func(r Rule) bool { return r.allows(from, key) })
}

// Grant lets a key change records by dynamic update.
type Grant struct {
	Rule // Key must be set
	// Names are patterns of absolute names: a first label * stands for one or more labels, any other * for exactly one. Empty: all.
	Names []string
	Types []uint16 // empty: all
}

// Zone is what is to happen with one zone.
type Zone struct {
	Name string
	// Base is what the zone file or the configuration says, for a zone that is ours; nil for a secondary zone and for one whose data comes
	// through Offer.
	Base      *zone.Data
	Primaries []Peer // where a secondary zone comes from, tried in this order
	Catalog   bool   // a secondary zone that is a catalog (RFC 9432): its members become secondary zones like it
	Notify    []Peer // whom to tell of a change
	Transfer  []Rule // who may transfer the zone away
	// NotifyFrom are those that may send NOTIFY, next to the primaries themselves.
	NotifyFrom []Rule
	Update     []Grant
	// MinRefresh and MaxRefresh bound the times of a secondary's SOA record, and JournalBytes its journal; 0: as Limits has them.
	MinRefresh, MaxRefresh time.Duration
	JournalBytes           int
}

// Config is everything a Store is to do.
type Config struct {
	Keys  []tsig.Key
	Zones []Zone
}

// Change is a new state of a zone.
type Change struct {
	Name []byte     // wire form, lower case
	Data *zone.Data // nil when Expired or Removed
	// Added and Removed are what dynamic updates have made of the base, for a zone whose base is more than records: to be laid over it.
	Added, Removed []zone.Record
	Expired        bool // no primary has been reached for as long as the SOA allows: SERVFAIL until the next change
	Gone           bool // a member that its catalog no longer has
}

// Options are what a Store works with.
type Options struct {
	// Dir is the state folder, which must exist; empty: nothing survives a restart, and dynamic updates are refused.
	Dir string
	// Publish hands on what has changed, before a change is acknowledged to whoever sent it. It is called for one zone at a time, from
	// several goroutines, and must not call the Store. nil: nobody is told.
	Publish func([]Change)
	// Dial opens connections to other servers; network is udp or tcp. nil: a net.Dialer.
	Dial       func(ctx context.Context, network, addr string) (net.Conn, error)
	Limits     Limits
	Log        *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: metrics are kept but not registered
}

// Limits bound what other servers can make a Store do. A zero field is its default.
type Limits struct {
	Outgoing      int           // transfers out at a time; 32
	Incoming      int           // transfers in at a time; 8
	Records       int           // in a zone that is fetched or updated; 10,000,000
	Bytes         int64         // of one transfer in; 4 GiB
	TransferTime  time.Duration // of one transfer; 1 h
	JournalDiffs  int           // differences kept for IXFR; 128
	JournalBytes  int           // and their octets; 4 MiB
	MinRefresh    time.Duration // between two checks of a primary; 10 s
	MaxRefresh    time.Duration // 28 days
	OfferInterval time.Duration // least time between two versions through Offer; 1 s
}

func (l *Limits) fill() {
	def(&l.Outgoing, 32)
	def(&l.Incoming, 8)
	def(&l.Records, 10_000_000)
	def(&l.Bytes, 4<<30)
	def(&l.TransferTime, time.Hour)
	def(&l.JournalDiffs, 128)
	def(&l.JournalBytes, 4<<20)
	def(&l.MinRefresh, 10*time.Second)
	def(&l.MaxRefresh, 28*24*time.Hour)
	def(&l.OfferInterval, time.Second)
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// What waits for others, and for how long.
const (
	queryTimeout   = 5 * time.Second  // for the reply to an SOA query or a NOTIFY
	dialTimeout    = 10 * time.Second // for a TCP connection
	messageTimeout = 30 * time.Second // between two messages of a transfer
	queryTries     = 2                // over UDP, before TCP
	notifyTries    = 6                // with growing pauses, about two minutes in all
	firstRetry     = 10 * time.Second // of a zone that was never fetched; doubles up to maxFirstRetry
	maxFirstRetry  = 10 * time.Minute
	streamMessage  = 32 << 10 // octets of a message of a transfer out
	maxUDP         = 1232     // octets of a reply over UDP
)

// check reports what is wrong with a configuration, all of it.
func (c *Config) check(ring *tsig.Ring) error {
	var errs []error
	seen := map[string]bool{}
	for i := range c.Zones {
		z := &c.Zones[i]
		bad := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("zone %q: "+format, append([]any{z.Name}, args...)...))
		}
		name, err := wireName(z.Name)
		switch {
		case err != nil:
			bad("%w", err)
			continue
		case seen[string(name)]:
			bad("given twice")
		case z.Base != nil && string(z.Base.Origin()) != string(name):
			bad("its data is that of %s", textName(z.Base.Origin()))
		case z.Base != nil && len(z.Primaries) > 0:
			bad("it has primaries and data of its own")
		case z.Catalog && len(z.Primaries) == 0:
			bad("a catalog needs primaries")
		case len(z.Update) > 0 && len(z.Primaries) > 0:
			bad("a secondary zone takes no updates; send them to its primary")
		}
		seen[string(name)] = true
		var keys []string
		for _, p := range slices.Concat(z.Primaries, z.Notify) {
			keys = append(keys, p.Key)
		}
		for _, r := range slices.Concat(z.Transfer, z.NotifyFrom) {
			keys = append(keys, r.Key)
		}
		for _, g := range z.Update {
			if keys = append(keys, g.Key); g.Key == "" {
				bad("an update policy without a key")
			}
		}
		for _, k := range keys {
			if k != "" && !ring.Has(k) {
				bad("no key %q", k)
			}
		}
	}
	return errors.Join(errs...)
}
