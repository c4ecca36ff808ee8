package edge

import (
	"strings"
	"time"

	"github.com/meridian-edge/meridian/healthcheck"
)

// Votes is what the fleet believes of what one check asks of one endpoint, and who said what.
type Votes struct {
	Reach  string    `json:"reach"` // what this node found out: unknown, up, down
	Alive  string    `json:"alive"` // what the fleet believes; as Reach while there is no quorum and nothing to hold
	Basis  string    `json:"basis"` // of Alive: quorum, held, dwelling, or self
	Since  time.Time `json:"since,omitzero"`
	Count  string    `json:"count"` // "quorum: 4 of 12 up, 1 abstained, 2 expired"
	Voters []Voter   `json:"voters"`
}

// Voter is what one node last said.
type Voter struct {
	Voter   string  `json:"voter"`
	Region  string  `json:"region,omitempty"`
	State   string  `json:"state"` // unknown, up, down, abstained
	AgeS    float64 `json:"age_s"`
	Expired bool    `json:"expired,omitempty"` // it is not counted any more
}

// votes are the fleet's opinions by what they are about.
func (n *Node) votes() map[healthcheck.Key]*Votes {
	all := map[healthcheck.Key]*Votes{}
	for _, o := range n.organs.fleet.Opinions() {
		v := &Votes{
			Reach: o.Reach.String(), Alive: o.Alive.String(), Basis: o.Votes.Basis.String(), Since: o.Votes.Since, Count: o.Votes.String(),
			Voters: make([]Voter, 0, len(o.Voices)),
		}
		for _, voice := range o.Voices {
			v.Voters = append(v.Voters, Voter{
				Voter: voice.Voter, Region: voice.Region, State: voice.State.String(), AgeS: voice.Age.Seconds(), Expired: voice.Expired,
			})
		}
		all[o.Key] = v
	}
	return all
}

// votesOf finds the votes a verdict depends on: an inverted check's are those of what it is the opposite of.
func votesOf(all map[healthcheck.Key]*Votes, k healthcheck.Key) *Votes {
	k.Check = strings.TrimPrefix(k.Check, "!")
	return all[k]
}

func upOrDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}
