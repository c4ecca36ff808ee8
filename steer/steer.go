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
// freely. Health fails open: a group in which nothing is healthy is used as if everything were. Trees are safe for
// concurrent use; a Client belongs to one call at a time.
package steer

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/meridian-edge/meridian/steer/geo"
)

// Policy is how a group orders its members.
type Policy uint8

// The policies.
const (
	Simple       Policy = iota // random, all alike
	Weighted                   // random by weight; weight 0 only when nothing else is healthy
	Latency                    // nearest first
	Failover                   // in order of listing, primary first
	Geolocation                // subdivision, then country, continent, default
	Geoproximity               // nearest after bias
	CIDR                       // longest block that contains the client, then shorter ones, then default
	Multivalue                 // random, up to MultivalueAnswers together
)

var policyNames = [...]string{"simple", "weighted", "latency", "failover", "geolocation", "geoproximity", "cidr", "multivalue"}

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

// Client is who asks, as far as it is known. The zero value is a client nothing is known about.
type Client struct {
	Addr   netip.Addr // zero: unknown
	Bits   int        // how much of Addr is known; 0 with a valid Addr: all of it
	Place  geo.Place
	From   geo.Point // where distance is measured from; unknown: nearness orders by listing
	Random uint64    // the draw for random policies; equal draws give equal choices
}

// Group is a policy over members, as the caller describes it to Compile.
type Group struct {
	Name    string // for traces
	Policy  Policy
	Members []Member
}

// Member is one choice of a group: a leaf, or an alias to another group.
type Member struct {
	ID   string
	Slot Slot
	Leaf int // the caller's own number for the leaf, returned in Pick; unused with Alias

	Alias                *Group // may be shared between members
	EvaluateTargetHealth bool   // an alias is healthy only while something below it is

	Weight      uint8          // Weighted
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
}

// Tree is a compiled policy tree.
type Tree struct {
	root     *node
	byClient bool
}

// node is a Group with its aliases resolved.
type node struct {
	group   *Group
	members []member
}

type member struct {
	*Member
	target *node // nil for a leaf
}

// ErrGroup is wrapped by every error of Compile.
var ErrGroup = errors.New("invalid group")

// Compile checks a group and everything below it and makes a Tree of it. The groups belong to the tree afterwards. It
// refuses empty and oversized groups, alias loops, and trees deeper than MaxDepth.
func Compile(root *Group) (*Tree, error) {
	c := compiler{done: map[*Group]*node{}}
	n, err := c.compile(root, 1)
	if err != nil {
		return nil, err
	}
	return &Tree{root: n, byClient: c.byClient}, nil
}

type compiler struct {
	done     map[*Group]*node // nil while a group is being compiled
	byClient bool
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
	c.byClient = c.byClient || g.Policy.byClient()
	n := &node{group: g, members: make([]member, len(g.Members))}
	for i := range g.Members {
		m := member{Member: &g.Members[i]}
		if m.Alias != nil {
			target, err := c.compile(m.Alias, depth+1)
			if err != nil {
				return nil, err
			}
			m.target = target
		}
		n.members[i] = m
	}
	c.done[g] = n
	return n, nil
}

// ByClient reports whether different clients can get different candidates. When it is false a DNS answer has scope 0
// (RFC 7871 section 7.2.1).
func (t *Tree) ByClient() bool { return t.byClient }
