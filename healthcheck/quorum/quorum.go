// Package quorum makes one opinion about a target out of the votes of many checkers.
//
//	rule := quorum.Rule{Mode: quorum.R53, HealthyAbove: 0.18, MinVoters: 3, HoldLast: 5 * time.Minute}
//	council := quorum.New(rule)
//	council.Watch(targets)                       // what there are opinions about
//	council.Take(now, vote)                      // as votes come in
//	opinion := council.Decide(now, target, own)  // Unknown: nobody knows more than this node itself
//
// Everybody who needs an opinion counts for himself the votes that reach him; there is no leader, and during a partition the
// sides may disagree, by design (Route 53 does the same:
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-problems.html). docs/votes.md lists every case.
//
// Nothing here has a clock, does I/O or starts anything: the time is an argument. A Council is not safe for concurrent use;
// everything else is a value or a pure function.
package quorum

import (
	"fmt"
	"time"
)

// State is what a voter says of a target, or what came out. The first three are those of healthcheck.State.
type State uint8

// The states.
const (
	Unknown   State = iota // the voter has no result; as an outcome: there is none, ask the local opinion
	Up                     // healthy
	Down                   // not healthy
	Abstained              // only in a vote: the voter doubts itself (SelfTest) and wants not to be counted
)

// String returns unknown, up, down or abstained.
func (s State) String() string { return [...]string{"unknown", "up", "down", "abstained"}[s&3] }

// Target is what is voted on: an endpoint, and what is asked of it. It converts to and from healthcheck.Key.
type Target struct {
	Endpoint string
	Check    string
}

// Vote is what one voter says of one target. A voter sends its whole table each Rule.Period, whatever has changed.
type Vote struct {
	Voter  string // unique in the fleet: the edge's name; at most MaxName bytes
	Region string // of the voter, at most MaxName bytes; empty is a region of its own
	Target Target
	State  State
	// Seq rises with each table a voter sends, over its restarts too. A vote that does not exceed the one known is old news
	// and changes nothing, until the known one has expired.
	Seq uint64
	// At is the voter's clock when it sent this. It is compared with other votes of the same voter only, to tell a vote that
	// was long on its way; clocks of different nodes never meet, so they may be wrong. Zero: not known.
	At time.Time
}

// Mode is how votes become one opinion.
type Mode uint8

// The modes.
const (
	Local   Mode = iota // votes are not asked: every node believes itself
	R53                 // healthy while more than HealthyAbove of the voters say healthy
	Regions             // unhealthy once most regions are; a region is once most of its voters say so; a tie is healthy
	All                 // healthy while every voter says healthy
	Any                 // healthy while one voter says healthy
)

var modeNames = [...]string{"local", "r53", "regions", "all", "any"}

// String returns the name a mode has in the configuration.
func (m Mode) String() string { return modeNames[m] }

// ParseMode finds a mode by the name it has in the configuration; "" is Local.
func ParseMode(name string) (Mode, error) {
	if name == "" {
		return Local, nil
	}
	for i, n := range modeNames {
		if n == name {
			return Mode(i), nil
		}
	}
	return 0, fmt.Errorf("unknown quorum mode %q", name)
}

// Rule is how a Council decides. The zero Rule is Local.
type Rule struct {
	Mode         Mode
	HealthyAbove float64       // R53: the share that has to be exceeded
	MinVoters    int           // with fewer countable votes there is no quorum; below 1 means 1
	HoldLast     time.Duration // how long the last opinion of a quorum is held without one; 0: not at all
	// Period is how often voters send their tables; a vote expires after expiryPeriods of them. 0 is DefaultPeriod.
	Period time.Duration
	// Dwell is how long an opinion stays at least before the votes can turn it round. 0: no time.
	Dwell time.Duration
}

// DefaultPeriod is how often voters send their tables, and DefaultDwell how long an opinion stays at least.
const (
	DefaultPeriod = 2 * time.Second
	DefaultDwell  = 10 * time.Second
)

// expiryPeriods is after how many periods without a word a voter leaves the denominator.
const expiryPeriods = 3

// Expiry is how long a vote counts after it has arrived.
func (r *Rule) Expiry() time.Duration {
	if r.Period <= 0 {
		return expiryPeriods * DefaultPeriod
	}
	return expiryPeriods * r.Period
}

// Ballot is a vote as the rule counts it: fresh, of a voter that trusts itself, and either Up or Down.
type Ballot struct {
	Region string
	State  State
}

// Count applies the rule to ballots. It returns Unknown when there is no quorum: fewer than MinVoters ballots that are Up or
// Down, or mode Local.
//
// More healthy ballots never make a target unhealthy.
func (r *Rule) Count(ballots []Ballot) State {
	up, all := 0, 0
	for _, b := range ballots {
		switch b.State {
		case Up:
			up++
			all++
		case Down:
			all++
		case Unknown, Abstained:
		}
	}
	if r.Mode == Local || all < max(r.MinVoters, 1) {
		return Unknown
	}
	healthy := false
	switch r.Mode {
	case R53: // the share itself is not enough: "more than 18 %"
		healthy = float64(up)/float64(all) > r.HealthyAbove
	case Regions:
		healthy = mostRegionsUp(ballots)
	case All:
		healthy = up == all
	case Any:
		healthy = up > 0
	case Local:
	}
	if healthy {
		return Up
	}
	return Down
}

// mostRegionsUp gives each region one voice. Ties are healthy: to take something away needs a majority, of voters in a region
// as of regions in the world (health fails open).
func mostRegionsUp(ballots []Ballot) bool {
	balance := map[string]int{}
	for _, b := range ballots {
		switch b.State {
		case Up:
			balance[b.Region]++
		case Down:
			balance[b.Region]--
		case Unknown, Abstained:
		}
	}
	regions := 0
	for _, votes := range balance {
		if votes >= 0 {
			regions++
		} else {
			regions--
		}
	}
	return regions >= 0
}
