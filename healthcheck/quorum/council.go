package quorum

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits of what voters can make a Council keep.
const (
	MaxName   = 255  // bytes of the name of a voter or a region; longer ones are refused
	MaxVoters = 1024 // for one target; the votes of more are refused until others have been forgotten
)

// relearn is for how long none of a voter's votes has to be countable before its clock is met anew.
const relearn = time.Minute

// forgetAfter is how long the vote of a voter that has gone is kept to be shown as expired.
const forgetAfter = 10 * time.Minute

// Council keeps the votes about the targets it watches and turns them into opinions. Its users see to it that only one of
// them uses it at a time.
type Council struct {
	rule    Rule
	seats   map[Target]*seat
	voters  map[string]*voter
	scratch []Ballot // of one count
}

// seat is one target.
type seat struct {
	votes   map[string]*cast // by voter
	verdict State            // the last that a quorum came to; Unknown: there was none, or it was held too long
	since   time.Time        // when verdict began
	quorum  time.Time        // when there last was a quorum
}

// cast is a vote that came in.
type cast struct {
	region string
	state  State
	seq    uint64
	// at is when it arrived, or would have without the time it was on its way longer than others of its voter.
	at time.Time
}

// voter is what is known of a voter's clock.
type voter struct {
	ahead time.Duration // the least that our clock was ahead of a vote's At: their difference, and the shortest way
	last  time.Time     // when we last heard of it
}

// New returns a Council that watches nothing.
func New(rule Rule) *Council {
	return &Council{rule: rule, seats: map[Target]*seat{}, voters: map[string]*voter{}}
}

// Rule returns the rule in force.
func (c *Council) Rule() Rule { return c.rule }

// SetRule puts another rule in force. Votes stay; opinions follow at the next Decide, after their dwell.
func (c *Council) SetRule(rule Rule) { c.rule = rule }

// Watch makes targets what there are opinions about. What is known of a target that was watched before stays, the rest is
// forgotten. Votes on other targets are refused, so that nobody can fill the memory with them.
func (c *Council) Watch(targets []Target) {
	seats := make(map[Target]*seat, len(targets))
	for _, t := range targets {
		if seats[t] = c.seats[t]; seats[t] == nil {
			seats[t] = &seat{votes: map[string]*cast{}}
		}
	}
	c.seats = seats
}

// Take puts a vote that arrived now in the place of the voter's last one on the target. It reports whether it did: votes on
// targets nobody watches, old ones, and those beyond a limit are refused.
func (c *Council) Take(now time.Time, v Vote) bool {
	s := c.seats[v.Target]
	if s == nil || v.State > Abstained || v.Voter == "" || len(v.Voter) > MaxName || len(v.Region) > MaxName {
		return false
	}
	at := c.effective(now, &v)
	last := s.votes[v.Voter]
	switch {
	case last == nil && len(s.votes) >= MaxVoters && !s.forget(now):
		return false
	case now.Sub(at) >= c.rule.Expiry(): // old by its own voter's clock: it was held up somewhere
		return false
	case last != nil && v.Seq <= last.seq && now.Sub(last.at) < c.rule.Expiry():
		return false
	}
	if last == nil {
		last = new(cast)
		s.votes[v.Voter] = last
	}
	*last = cast{region: v.Region, state: v.State, seq: v.Seq, at: at}
	return true
}

// effective is when a vote counts from: now, less what it was on its way longer than the quickest of its voter. The voter's
// clock may be wrong by any constant. A clock that is put forward is followed at once; one that is put back looks like votes
// that are late, until the voter has had no countable vote for so long that its clock is met anew.
func (c *Council) effective(now time.Time, v *Vote) time.Time {
	if v.At.IsZero() {
		return now
	}
	ahead := now.Sub(v.At)
	w := c.voters[v.Voter]
	if w == nil || now.Sub(w.last) >= relearn {
		if w == nil && len(c.voters) >= MaxVoters && !c.forgetVoters(now) {
			return now
		}
		w = &voter{ahead: ahead, last: now}
		c.voters[v.Voter] = w
	}
	w.ahead = min(w.ahead, ahead)
	late := ahead - w.ahead
	if late < c.rule.Expiry() {
		w.last = now
	}
	return now.Add(-late)
}

func (c *Council) forgetVoters(now time.Time) bool {
	for name, w := range c.voters {
		if now.Sub(w.last) >= forgetAfter {
			delete(c.voters, name)
		}
	}
	return len(c.voters) < MaxVoters
}

// forget drops votes that expired long ago, and reports whether there is room again.
func (s *seat) forget(now time.Time) bool {
	for name, v := range s.votes {
		if now.Sub(v.at) >= forgetAfter {
			delete(s.votes, name)
		}
	}
	return len(s.votes) < MaxVoters
}

// Basis says what an opinion stands on.
type Basis uint8

// The bases.
const (
	Self     Basis = iota // this node's own opinion: there is no quorum and nothing to hold
	Quorum                // the votes say so
	Held                  // there is no quorum now, but there was within HoldLast
	Dwelling              // the votes say otherwise, but the opinion is younger than Dwell
)

// String returns self, quorum, held or dwelling.
func (b Basis) String() string { return [...]string{"self", "quorum", "held", "dwelling"}[b] }

// Opinion is what a Council thinks of a target.
type Opinion struct {
	State State // with Basis Self the caller's own
	Basis Basis
	Since time.Time // when State began; zero with Basis Self
	// What the opinion was counted from: Up and Down are in the denominator, the others are not. Abstained voters doubt
	// themselves, Unsure ones have no result yet, Expired ones have not been heard of for three periods.
	Up, Down, Abstained, Unsure, Expired int
}

// String is the opinion in a few words, such as "quorum: 4 of 12 up, 1 abstained, 2 expired".
func (o Opinion) String() string {
	text := fmt.Sprintf("%s: %d of %d up", o.Basis, o.Up, o.Up+o.Down)
	for _, n := range []struct {
		count int
		what  string
	}{{o.Abstained, "abstained"}, {o.Unsure, "without a result"}, {o.Expired, "expired"}} {
		if n.count > 0 {
			text += fmt.Sprintf(", %d %s", n.count, n.what)
		}
	}
	return text
}

// Voice is what a voter last said of a target.
type Voice struct {
	Voter   string
	Region  string
	State   State
	Age     time.Duration // since it counts
	Expired bool          // it is not counted any more
}

// Voices returns what every voter that is remembered last said of a target, sorted by region and voter.
func (c *Council) Voices(now time.Time, t Target) []Voice {
	s := c.seats[t]
	if s == nil {
		return nil
	}
	list := make([]Voice, 0, len(s.votes))
	for name, v := range s.votes {
		if age := now.Sub(v.at); age < forgetAfter {
			list = append(list, Voice{Voter: name, Region: v.region, State: v.state, Age: age, Expired: age >= c.rule.Expiry()})
		}
	}
	slices.SortFunc(list, func(x, y Voice) int {
		return cmp.Or(strings.Compare(x.Region, y.Region), strings.Compare(x.Voter, y.Voter))
	})
	return list
}

// Voters is how many voters there are of whom a vote counts or could: expired ones are not among them.
func (c *Council) Voters(now time.Time) int {
	fresh := map[string]bool{}
	for _, s := range c.seats {
		for name, v := range s.votes {
			if now.Sub(v.at) < c.rule.Expiry() {
				fresh[name] = true
			}
		}
	}
	return len(fresh)
}

// Decide counts the votes on a target. self is what this node has found out alone; it is the opinion when there is nothing
// better: no quorum now, and none within HoldLast. Time may not run backwards from call to call. With no vote coming in, an
// opinion changes only for these reasons: votes left the denominator and the rule says otherwise of those that stay; the
// dwell is over; HoldLast is over.
func (c *Council) Decide(now time.Time, t Target, self State) Opinion {
	s := c.seats[t]
	if s == nil {
		return Opinion{State: self}
	}
	o, counted := c.tally(now, s)
	switch {
	case counted != Unknown && (s.verdict == Unknown || s.verdict == counted || now.Sub(s.since) >= c.rule.Dwell):
		if s.verdict != counted {
			s.verdict, s.since = counted, now
		}
		s.quorum = now
		o.Basis = Quorum
	case counted != Unknown:
		s.quorum = now
		o.Basis = Dwelling
	case c.rule.Mode != Local && s.verdict != Unknown && now.Sub(s.quorum) < c.rule.HoldLast:
		o.Basis = Held
	default:
		s.verdict, s.since = Unknown, time.Time{}
		o.State, o.Basis = self, Self
		return o
	}
	o.State, o.Since = s.verdict, s.since
	return o
}

// tally sorts the votes and counts those that may be.
func (c *Council) tally(now time.Time, s *seat) (Opinion, State) {
	var o Opinion
	c.scratch = c.scratch[:0]
	for name, v := range s.votes {
		age := now.Sub(v.at)
		if age >= forgetAfter {
			delete(s.votes, name)
			continue
		}
		switch {
		case age >= c.rule.Expiry():
			o.Expired++
			continue
		case v.state == Up:
			o.Up++
		case v.state == Down:
			o.Down++
		case v.state == Abstained:
			o.Abstained++
		default:
			o.Unsure++
		}
		c.scratch = append(c.scratch, Ballot{v.region, v.state})
	}
	return o, c.rule.Count(c.scratch)
}
