// Package steer decides which endpoint or answer serves a client, and in which order the others would.
//
// A Tree is compiled once from Groups and never changes. Its two questions are pure functions of (tree, client, health):
//
//	for pick := range tree.Candidates(&client, board.Reach()) {
//		if dial(endpoints[pick.Leaf]) == nil { break } // the caller's loop is the failover
//	}
//	trace := tree.Explain(&client, board.Reach())
//
// The policies are Route 53's (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy.html) and nest
// freely; the balancers (round-robin, least-outstanding, hash, least-latency) go by what the caller says about its requests
// in Client, so they are pure as well. An Accelerator chooses for flows as AWS Global Accelerator does. Health fails open: a group in which nothing is healthy is used as if everything were. Trees are safe for
// concurrent use; a Client belongs to one call at a time.
package steer

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/meridian-edge/meridian/steer/geo"
)

// Policy is how a group orders its members.
type Policy uint8

// The policies.
const (
	Simple           Policy = iota // random, all alike
	Weighted                       // random by weight; weight 0 only when nothing else is healthy
	Latency                        // nearest first
	Failover                       // in order of listing, primary first
	Geolocation                    // subdivision, then country, continent, default
	Geoproximity                   // nearest after bias
	CIDR                           // longest block that contains the client, then shorter ones, then default
	Multivalue                     // random, up to MultivalueAnswers together
	RoundRobin                     // in turn, by Client.Turn
	LeastOutstanding               // fewest outstanding requests for its weight, by Client.Load
	Hash                           // weighted rendezvous hash of Client.Hash: the same member as long as it is there
	LeastLatency                   // the better of two drawn at random, by latency and outstanding requests
)

var policyNames = [...]string{"simple", "weighted", "latency", "failover", "geolocation", "geoproximity", "cidr", "multivalue",
	"round-robin", "least-outstanding", "hash", "least-latency"}

func (p Policy) String() string { return policyNames[p] }

// ParsePolicy finds a policy by the name it has in the configuration; "" is Simple.
func ParsePolicy(name string) (Policy, error) {
	if name == "" {
		return Simple, nil
	}
	for i, n := range policyNames {
		if n == name {
			return Policy(i), nil
		}
	}
	return 0, fmt.Errorf("unknown policy %q", name)
}

// ordered reports whether the policy ranks its members the same way for every request of a client, so that what one of them
// cannot take spills over.
func (p Policy) ordered() bool { return p.byClient() || p == Failover }

// byClient reports whether the order depends on who asks.
func (p Policy) byClient() bool {
	return p == Latency || p == Geolocation || p == Geoproximity || p == CIDR
}

// Limits of a tree. Route 53 allows 100 record sets in a group; pools may be larger.
const (
	MaxMembers        = 256 // of one group
	MaxDepth          = 8   // groups below each other
	MultivalueAnswers = 8   // values in one multivalue answer, as Route 53
)

// Slot names one health verdict on a board.
type Slot int32

// Always is the slot of a member without a check: it is healthy whatever happens.
const Always Slot = -1

// Health is the opinion a decision is based on. Up must not block and must be safe for concurrent use; a slot nothing is
// known about counts as up.
type Health interface {
	Up(Slot) bool
}

// Reasoner is a Health that can say why. Explain uses it where it is there. An empty reason means that nothing looks at the
// slot.
type Reasoner interface {
	Reason(Slot) string
}

// Aged is a Health that knows since when. Slow start needs it.
type Aged interface {
	// Since is when the slot came up or went down last; zero when it never changed.
	Since(Slot) time.Time
}

// Load is what the leaves of a tree are busy with while a decision is made. Its methods must not block and must be safe for
// concurrent use.
type Load interface {
	// Outstanding is the number of requests the leaf has not answered yet.
	Outstanding(leaf int) int
	// Latency is what the leaf takes to answer, smoothed by the caller; 0: not known yet.
	Latency(leaf int) time.Duration
}

// Client is who asks, as far as it is known. The zero value is a client nothing is known about.
type Client struct {
	Addr   netip.Addr // zero: unknown
	Bits   int        // how much of Addr is known; 0 with a valid Addr: all of it
	Place  geo.Place
	From   geo.Point // where distance is measured from; unknown: nearness orders by listing
	Random uint64    // the draw for random policies; equal draws give equal choices
	Hash   uint64    // Hash: what stays together; see HashString
	Turn   uint64    // RoundRobin: the number of the request, counted by the caller
	Now    time.Time // slow start: the time of the decision; zero: no slow start
	Load   Load      // what the leaves are busy with; nil: they are idle
	// Prefer is the leaf that served this client before, plus one: it comes first as long as it is healthy and has room. 0: none.
	Prefer int
}

// Group is a policy over members, as the caller describes it to Compile.
type Group struct {
	Name    string // for traces, and hashed with the members: groups of different names divide the same keys differently
	Policy  Policy
	Members []Member

	// SlowStart is how long the share of a member grows after it has come up; 0: it has its whole share at once.
	SlowStart time.Duration
	// Panic is the share of healthy members, in percent, below which health is ignored; 0: only when none is healthy.
	Panic int
	// MinHealthy is the number of healthy members below which health is ignored; 0: as 1.
	MinHealthy int
	// MaxOutstanding is how many requests a leaf may have outstanding before others are preferred to it; 0: any number.
	MaxOutstanding int
	// Measured makes Latency order members by the connect times an Adviser knows, and by their distance as long as it lacks one of a member that is up:
	// for groups whose members are connected to from where the decision is made.
	Measured bool
}

// Member is one choice of a group: a leaf, or an alias to another group.
type Member struct {
	ID   string
	Slot Slot
	Leaf int // the caller's own number for the leaf, returned in Pick; unused with Alias

	Alias                *Group // may be shared between members
	EvaluateTargetHealth bool   // an alias is healthy only while something below it is

	Weight      uint8          // Weighted and the balancers; 0 only when nothing else is healthy
	Capacity    int            // in place of the group's MaxOutstanding when above 0
	Point       geo.Point      // Latency, Geoproximity
	Bias        int            // Geoproximity: -99 to 99
	Country     string         // Geolocation
	Continent   string         // Geolocation
	Subdivision string         // Geolocation, with Country
	CIDRs       []netip.Prefix // CIDR, masked
	Default     bool           // Geolocation, CIDR
}

// Pick is one candidate.
type Pick struct {
	Leaf  int
	Group *Group // the group the leaf is a member of; read only
	ID    string // of the member
	// LastResort marks a candidate that is not healthy: it is offered because nothing better is left (fail open).
	LastResort bool
	// Limit is how many requests the leaf itself wants to have outstanding at most (Advice); 0: it does not say.
	Limit int
	// Causes says what else than the policy made it a candidate here.
	Causes Cause
}

// Cause is a set of reasons beside the policy.
type Cause uint8

// The causes.
const (
	Spilled  Cause = 1 << iota // the one whose turn it was is full
	Panicked                   // so few are healthy that health is ignored, Group.Panic and MinHealthy
	Stuck                      // it served this client before, Client.Prefer
)

// Tree is a compiled policy tree.
type Tree struct {
	root     *node
	byClient bool
	byLoad   bool // some policy or limit asks Client.Load
	measured bool // some group goes by connect times
	plain    bool // nothing in the tree goes by load, age or thresholds: Pick has a fast lane
}

// node is a Group with its aliases resolved.
type node struct {
	group   *Group
	members []member
	some    bool // some members may not apply to a client
	guarded bool // health is ignored below a threshold
	limited bool // some members have a limit of outstanding requests
	zeros   bool // some members have weight 0
	steady  bool // healthy whatever the board says
}

// member has beside its Member what every decision reads.
type member struct {
	*Member
	target *node  // nil for a leaf
	salt   uint64 // Hash: of the names of group and member
	slot   Slot
	weight uint8
	below  bool // healthy only while something in target is
}

// ErrGroup is wrapped by every error of Compile.
var ErrGroup = errors.New("invalid group")

// Compile checks a group and everything below it and makes a Tree of it. The groups belong to the tree afterwards. It
// refuses empty and oversized groups, alias loops, and trees deeper than MaxDepth.
func Compile(root *Group) (*Tree, error) {
	c := compiler{done: map[*Group]*node{}, tree: Tree{plain: true}}
	n, err := c.compile(root, 1)
	if err != nil {
		return nil, err
	}
	c.tree.root = n
	return &c.tree, nil
}

type compiler struct {
	done map[*Group]*node // nil while a group is being compiled
	tree Tree
}

func (c *compiler) compile(g *Group, depth int) (*node, error) {
	if n, seen := c.done[g]; seen && n == nil {
		return nil, fmt.Errorf("%w: %s: alias loop", ErrGroup, g.Name)
	}
	switch {
	case depth > MaxDepth:
		return nil, fmt.Errorf("%w: %s: more than %d groups below each other", ErrGroup, g.Name, MaxDepth)
	case len(g.Members) == 0:
		return nil, fmt.Errorf("%w: %s: no members", ErrGroup, g.Name)
	case len(g.Members) > MaxMembers:
		return nil, fmt.Errorf("%w: %s: %d members, at most %d", ErrGroup, g.Name, len(g.Members), MaxMembers)
	}
	c.done[g] = nil
	n := &node{group: g, members: make([]member, len(g.Members))}
	again := map[string]int{} // members of one ID must not have one hash
	for i := range g.Members {
		m := member{Member: &g.Members[i], slot: g.Members[i].Slot, weight: g.Members[i].Weight}
		m.salt = mix(salt("member", g.Name, m.ID) + uint64(again[m.ID]))
		again[m.ID]++
		if m.Alias != nil {
			target, err := c.compile(m.Alias, depth+1)
			if err != nil {
				return nil, err
			}
			m.target = target
			m.below = m.EvaluateTargetHealth && !target.steady
		}
		n.members[i] = m
	}
	n.describe()
	c.note(n)
	c.done[g] = n
	return n, nil
}

// describe fills in what follows from the members.
func (n *node) describe() {
	g := n.group
	n.some = g.Policy == Geolocation || g.Policy == CIDR
	n.guarded = g.Panic > 0 || g.MinHealthy > 1
	for i := range n.members {
		m := &n.members[i]
		n.zeros = n.zeros || m.Weight == 0
		n.limited = n.limited || m.target == nil && n.capacity(m) > 0
		n.steady = n.steady || m.slot == Always && !m.below
	}
}

// note adds what a group needs to what the tree needs.
func (c *compiler) note(n *node) {
	p := n.group.Policy
	c.tree.byClient = c.tree.byClient || p.byClient()
	c.tree.byLoad = c.tree.byLoad || n.limited || p == LeastOutstanding || p == LeastLatency
	c.tree.measured = c.tree.measured || n.measured()
	c.tree.plain = c.tree.plain && p <= Multivalue && !n.limited && !n.guarded && !n.measured() && n.group.SlowStart == 0
}

// measured reports whether the group goes by connect times.
func (n *node) measured() bool { return n.group.Measured && n.group.Policy == Latency }

// capacity is the limit of outstanding requests of a leaf; 0: none.
func (n *node) capacity(m *member) int {
	if m.Capacity > 0 {
		return m.Capacity
	}
	return n.group.MaxOutstanding
}

// ByLoad reports whether decisions depend on Client.Load, so that a caller need not provide it otherwise.
func (t *Tree) ByLoad() bool { return t.byLoad }

// ByClient reports whether different clients can get different candidates. When it is false a DNS answer has scope 0
// (RFC 7871 section 7.2.1).
func (t *Tree) ByClient() bool { return t.byClient }
