// Package purge remembers what was purged, so that a lookup can tell in O(1) whether a stored response may still answer. Nothing
// is ever searched for: an order is a mark with a number, and a stored response knows the number that was current when its fetch
// began.
//
//	book, err := purge.Open(purge.Options{Dir: stateDir})
//	born := book.Current()                       // when a fetch begins
//	order, err := book.Add(purge.Order{Kind: purge.Tag, Value: "news"}) // durable when it returns
//	verdict := book.Judge(&purge.Subject{Host: "www.example.org", Path: "/a", Tags: tags, Born: born})
//
// A Book is safe for concurrent use. Judge takes no lock that an Add holds while it writes to disk.
package purge

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is what an order is about.
type Kind uint8

// The kinds.
const (
	URL    Kind = iota // one URL with all its variants: host and path, with the query as the key has it
	Prefix             // every URL of a host whose path starts with the value
	Tag                // every response that carries the tag; case does not matter
	Host               // every URL of a host
	All                // everything of a site, or of all sites
	kinds
)

var kindNames = [kinds]string{"url", "prefix", "tag", "host", "all"}

func (k Kind) String() string {
	if k >= kinds {
		return "unknown"
	}
	return kindNames[k]
}

// MarshalText writes the kind's word.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kindNames {
		if name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("unknown kind of purge %q", text)
}

// Order is one purge.
type Order struct {
	ID    uint64    `json:"id"`             // rises; 0 before Add
	Time  time.Time `json:"time"`           // when it was given
	Kind  Kind      `json:"kind"`           //
	Site  string    `json:"site,omitempty"` // empty: every site
	Host  string    `json:"host,omitempty"` // URL, Prefix and Host: lower case, with the port when it is not the scheme's own
	Value string    `json:"value,omitempty"`
	// Soft means stale instead of gone: the response may still stand in while it is validated, or when the origin fails.
	Soft   bool `json:"soft,omitempty"`
	Undone bool `json:"undone,omitempty"`
	// With is an earlier order that is one purge with this one: an undo of this one takes both back. 0: there is none.
	With uint64 `json:"with,omitempty"`
}

func (o *Order) String() string {
	s := o.Kind.String()
	if subject := o.Host + o.Value; subject != "" {
		s += " " + subject
	}
	if o.Site != "" {
		s += " of " + o.Site
	}
	if o.Soft {
		s += ", soft"
	}
	return fmt.Sprintf("purge %d (%s)", o.ID, s)
}

// Subject is a stored response as orders see it.
type Subject struct {
	Site string
	Host string // as in Order
	Path string // canonical, without the query
	URL  string // path and keyed query
	Tags []string
	Born uint64 // Book.Current when its fetch began
}

// Verdict says what the orders since a response's fetch mean for it. The zero Verdict is: nothing.
type Verdict struct {
	Dead bool      // it must never be served again
	Soft bool      // it is stale since Since
	ID   uint64    // of the order that decided; 0: none, or one that is no longer remembered
	Time time.Time // of that order; zero: as ID
}

// Limits of a Book.
const (
	maxValue  = 4096 // octets of a path or tag
	maxSofts  = 8    // soft orders remembered for one subject; the oldest two become one
	maxOrders = 100_000
	maxID     = 1 << 62 // no order gets that far; a file that says so is damaged
	// DefaultRetention is how long an order can be undone, and is remembered by its own name.
	DefaultRetention = 7 * 24 * time.Hour
)

// ErrUnknown is returned for an order that is not, or no longer, remembered.
var ErrUnknown = errors.New("no such purge, or it is too long ago")

// Options say where a Book keeps its orders.
type Options struct {
	Dir       string        // folder of the journal; empty: orders are forgotten with the process
	Retention time.Duration // 0: DefaultRetention
}

// Book holds the orders in force.
type Book struct {
	options Options
	journal *journal // nil: none
	// identity is set once, by Open.
	identity string

	current atomic.Uint64 // id of the newest order
	// version changes with every order and every undo: what was judged under the same version need not be judged again.
	version atomic.Uint64

	writing sync.Mutex // one order at a time; held while the journal is written

	mu      sync.RWMutex // guards the fields below
	floor   uint64       // responses born before are dead: the orders of that time are forgotten
	marks   map[key][]mark
	lengths map[place]map[int]int // lengths of the prefixes there are, with how many of each
	orders  []Order               // in the order of their ids
}

// key is what an order is about, as a map key.
type key struct {
	kind              Kind
	site, host, value string
}

// place is where prefixes are looked for.
type place struct{ site, host string }

// mark is one order in force for a key.
type mark struct {
	id   uint64
	soft bool
	time time.Time
}

// Open reads the orders that are remembered. A journal whose end is torn, because the machine stopped in the middle of an order that
// was never acknowledged, is cut there.
func Open(o Options) (*Book, error) {
	if o.Retention == 0 {
		o.Retention = DefaultRetention
	}
	b := &Book{options: o, marks: map[key][]mark{}, lengths: map[place]map[int]int{}}
	if o.Dir == "" {
		b.identity = rand.Text()
		return b, nil
	}
	var kept []record
	var err error
	if b.journal, kept, err = openJournal(o.Dir); err != nil {
		return nil, fmt.Errorf("open the journal of purges: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range kept {
		b.replay(&kept[i])
	}
	b.forget()
	if b.identity == "" { // a new journal, or one from before they had names
		b.identity = rand.Text()
		if err := b.journal.append(record{Identity: b.identity}); err != nil {
			return nil, fmt.Errorf("name the journal of purges: %w", err)
		}
	}
	if len(kept) > 2*len(b.orders)+1000 {
		if err := b.journal.rewrite(b.identity, b.floor, b.orders); err != nil {
			return nil, fmt.Errorf("rewrite the journal of purges: %w", err)
		}
	}
	return b, nil
}

// Close gives the journal up.
func (b *Book) Close() error {
	if b.journal == nil {
		return nil
	}
	return b.journal.close()
}

// Identity names the journal: as long as it is the same, no order has been lost. What was stored under another identity may have been purged
// since, without anybody knowing. A Book without a folder has one of its own each time.
func (b *Book) Identity() string { return b.identity }

// Current is the number that a fetch which begins now is born with.
func (b *Book) Current() uint64 { return b.current.Load() }

// Version changes whenever Judge may say something else than before.
func (b *Book) Version() uint64 { return b.version.Load() }

// Add puts an order in force. When it returns without an error the order is on disk, and no response born before is served as if it were
// not there. It returns the order with its ID and Time.
func (b *Book) Add(o Order) (Order, error) {
	if err := o.clean(); err != nil {
		return o, err
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	o.ID, o.Time, o.Undone = b.current.Load()+1, time.Now().UTC().Truncate(time.Millisecond), false
	if b.journal != nil {
		if err := b.journal.append(record{Order: &o}); err != nil {
			return o, fmt.Errorf("keep %s: %w", &o, err)
		}
	}
	b.mu.Lock()
	b.take(&o)
	b.forget()
	b.mu.Unlock()
	b.version.Add(1)
	return o, nil
}

// clean brings an order into the form it is compared in.
func (o *Order) clean() error {
	if o.Kind >= kinds {
		return errors.New("unknown kind of purge")
	}
	o.Host = strings.ToLower(o.Host)
	needsHost, needsValue := o.Kind == URL || o.Kind == Prefix || o.Kind == Host, o.Kind == URL || o.Kind == Prefix || o.Kind == Tag
	switch {
	case needsHost && o.Host == "":
		return fmt.Errorf("a purge of kind %s needs a host", o.Kind)
	case needsValue && o.Value == "":
		return fmt.Errorf("a purge of kind %s needs a value", o.Kind)
	case len(o.Value) > maxValue:
		return fmt.Errorf("longer than %d octets", maxValue)
	case o.Kind == Tag:
		o.Value = strings.ToLower(o.Value)
	}
	if !needsHost {
		o.Host = ""
	}
	if !needsValue {
		o.Value = ""
	}
	return nil
}

// take puts an order into the marks, with mu held.
func (b *Book) take(o *Order) {
	b.current.Store(o.ID)
	b.orders = append(b.orders, *o)
	b.mark(o)
}

// mark adds an order to its key.
func (b *Book) mark(o *Order) {
	k := keyOf(o)
	had := len(b.marks[k]) > 0
	b.marks[k] = addMark(b.marks[k], o)
	if o.Kind == Prefix && !had {
		p := place{o.Site, o.Host}
		if b.lengths[p] == nil {
			b.lengths[p] = map[int]int{}
		}
		b.lengths[p][len(o.Value)]++
	}
}

// addMark returns the marks of a key with one more. A hard order makes all before it meaningless: whatever they hit, it hits too.
// So does, of soft ones, the newest; the others only say since when.
func addMark(marks []mark, o *Order) []mark {
	m := mark{id: o.ID, soft: o.Soft, time: o.Time}
	if !o.Soft {
		return []mark{m}
	}
	if len(marks) == maxSofts {
		marks = slices.Delete(slices.Clone(marks), 0, 1)
	}
	return append(marks, m)
}

func keyOf(o *Order) key { return key{kind: o.Kind, site: o.Site, host: o.Host, value: o.Value} }

// Hits reports whether an order is about a response, whenever that was fetched.
func (o *Order) Hits(s *Subject) bool {
	if o.Site != "" && o.Site != s.Site {
		return false
	}
	switch o.Kind {
	case URL:
		return o.Host == s.Host && o.Value == s.URL
	case Prefix:
		return o.Host == s.Host && strings.HasPrefix(s.Path, o.Value)
	case Tag:
		return slices.Contains(s.Tags, strings.ToLower(o.Value))
	case Host:
		return o.Host == s.Host
	}
	return true
}

// Last is the newest order that hits a response, of those given since its fetch began and not undone. It is for explanations: it looks at one
// order after the other.
func (b *Book) Last(s *Subject) (o Order, ok bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, o := range slices.Backward(b.orders) {
		if o.ID <= s.Born {
			break
		}
		if !o.Undone && o.Hits(s) {
			return o, true
		}
	}
	return Order{}, false
}

// Judge weighs the orders given since a response's fetch began.
func (b *Book) Judge(s *Subject) Verdict {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if s.Born < b.floor {
		return Verdict{Dead: true}
	}
	var v Verdict
	for _, site := range [...]string{"", s.Site} {
		b.weigh(&v, s.Born, key{kind: All, site: site})
		b.weigh(&v, s.Born, key{kind: Host, site: site, host: s.Host})
		b.weigh(&v, s.Born, key{kind: URL, site: site, host: s.Host, value: s.URL})
		for length := range b.lengths[place{site, s.Host}] {
			if length <= len(s.Path) {
				b.weigh(&v, s.Born, key{kind: Prefix, site: site, host: s.Host, value: s.Path[:length]})
			}
		}
		for _, tag := range s.Tags {
			b.weigh(&v, s.Born, key{kind: Tag, site: site, value: tag})
		}
		if s.Site == "" {
			break
		}
	}
	return v
}

// weigh adds the marks of one key to a verdict: a hard order beats every soft one, and of soft ones the first counts, which is
// when the response became stale.
func (b *Book) weigh(v *Verdict, born uint64, k key) {
	for _, m := range b.marks[k] {
		switch {
		case m.id <= born:
		case !m.soft && !v.Dead:
			*v = Verdict{Dead: true, ID: m.id, Time: m.time}
		case m.soft && !v.Dead && (!v.Soft || m.id < v.ID):
			*v = Verdict{Soft: true, ID: m.id, Time: m.time}
		}
	}
}
