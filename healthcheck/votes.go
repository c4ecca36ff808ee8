package healthcheck

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/healthcheck/quorum"
	"github.com/meridian-edge/meridian/steer"
)

// RuleOf is the rule of a configuration. A mode that is not known is local.
func RuleOf(q config.Quorum) quorum.Rule {
	mode, err := quorum.ParseMode(q.Mode)
	if err != nil {
		mode = quorum.Local
	}
	return quorum.Rule{
		Mode: mode, HealthyAbove: q.HealthyAbove, MinVoters: q.MinVoters, HoldLast: q.HoldLast,
		Period: q.Period, Dwell: q.Dwell,
	}
}

// Publisher tells the other nodes what this one votes. Publish is called from one goroutine, once in each period of the rule,
// with the whole table, always as long as there are targets. It must not block for long, and must not keep the slice.
type Publisher interface {
	Publish(votes []quorum.Vote)
}

// FleetOptions are what a Fleet needs.
type FleetOptions struct {
	Board     *Board       // required; one Fleet writes its fleet opinions
	Rule      quorum.Rule  // how votes become an opinion
	Voter     string       // this node, unique in the fleet
	Region    string       // where it stands
	Publisher Publisher    // nil: nobody is told, and nobody else votes
	Log       *slog.Logger // nil: no log
	// References are names of checks whose targets are known to be up, so that their loss says something of this node.
	References []string
	Registerer prometheus.Registerer // nil: no metrics
}

// Fleet is the second opinion on a Board: it votes with what this node found out, counts the votes of all nodes, and sets what
// Alive says. Where the votes of others come from is not its business: somebody calls Take. As long as there is no quorum
// Alive follows Reach, at once and without a Fleet's doing.
type Fleet struct {
	board     *Board
	publisher Publisher
	log       *slog.Logger
	metrics   *fleetMetrics
	voter     string
	region    string

	mu sync.Mutex // guards the fields below; taken before Board.mu

	references []string
	council    *quorum.Council
	seq        uint64
	doubt      string // why this node abstains; empty: it does not
}

// NewFleet returns a Fleet without votes. It starts nothing.
func NewFleet(o FleetOptions) *Fleet {
	if o.Board == nil {
		panic("BUG: healthcheck: fleet without a board")
	}
	f := &Fleet{
		board: o.Board, publisher: o.Publisher, log: cmp.Or(o.Log, slog.New(slog.DiscardHandler)), references: o.References,
		voter: o.Voter, region: o.Region, council: quorum.New(o.Rule),
	}
	f.metrics = newFleetMetrics(o.Registerer, f)
	return f
}

// SetRule puts another rule and other references in force, for the next round.
func (f *Fleet) SetRule(rule quorum.Rule, references ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.council.SetRule(rule)
	f.references = references
}

// Take counts votes that arrived now from another node, at the next round. It returns how many of them are of use; votes in
// this node's own name are not, whoever sends them. It may be called from any goroutine.
func (f *Fleet) Take(votes []quorum.Vote) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	taken := 0
	for _, v := range votes {
		if v.Voter != f.voter && f.council.Take(now, v) {
			taken++
		}
	}
	f.metrics.received.WithLabelValues("taken").Add(float64(taken))
	f.metrics.received.WithLabelValues("refused").Add(float64(len(votes) - taken))
	return taken
}

// Doubt says why this node abstains from voting; it is empty when it votes.
func (f *Fleet) Doubt() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.doubt
}

// Run votes and counts once in each period of the rule until ctx is done. It returns nil.
func (f *Fleet) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		timer.Reset(f.round())
	}
}

// round is one period: look, vote, count. The work is the same whatever is up or down. It returns when the next one is due.
func (f *Fleet) round() time.Duration {
	f.mu.Lock()
	list := f.board.polled()
	votes := f.vote(list)
	for i := range list {
		t := &list[i]
		o := f.council.Decide(votes[i].At, quorum.Target(t.key), quorum.State(t.state))
		if o.Basis == quorum.Self {
			o.State = quorum.Unknown // the board has this node's opinion, and newer
		}
		f.board.believe(t.slot, o)
	}
	rule := f.council.Rule()
	f.mu.Unlock()
	if f.publisher != nil && len(votes) > 0 {
		f.publisher.Publish(votes)
	}
	return rule.Expiry() / 3
}

// vote makes this node's table and counts it. The caller holds mu.
func (f *Fleet) vote(list []poll) []quorum.Vote {
	now := time.Now()
	f.seq = max(f.seq+1, uint64(now.UnixNano())) // over restarts, too
	f.examine(list)
	targets := make([]quorum.Target, len(list))
	votes := make([]quorum.Vote, len(list))
	for i, t := range list {
		targets[i] = quorum.Target(t.key)
		votes[i] = quorum.Vote{Voter: f.voter, Region: f.region, Target: targets[i], State: quorum.State(t.state), Seq: f.seq, At: now}
		if f.doubt != "" {
			votes[i].State = quorum.Abstained
		}
	}
	f.council.Watch(targets)
	for i := range votes {
		f.council.Take(now, votes[i])
	}
	return votes
}

// examine decides whether this node believes itself. The caller holds mu.
func (f *Fleet) examine(list []poll) {
	seen := make([]quorum.Seen, 0, len(list))
	for i := range list {
		if t := &list[i]; t.probed {
			seen = append(seen, quorum.Seen{Fate: fate(t.key.Endpoint), Reference: f.isReference(t.names), OK: t.ok})
		}
	}
	_, doubt := quorum.SelfTest(seen)
	switch {
	case f.publisher == nil: // nobody misses them
	case doubt != "" && f.doubt == "":
		f.log.Warn("health votes withheld", "reason", doubt)
	case doubt == "" && f.doubt != "":
		f.log.Info("health votes cast again")
	}
	f.doubt = doubt
}

// isReference reports whether one of the checks that probe a target is a reference.
func (f *Fleet) isReference(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(f.references, name) })
}

// fate is what an endpoint fails together with: its host.
func fate(endpoint string) string {
	if host, _, err := net.SplitHostPort(endpoint); err == nil {
		return host
	}
	return endpoint
}

// poll is what a Fleet has to know of a target.
type poll struct {
	key    Key
	names  []string // of the checks that use it; read only
	slot   steer.Slot
	state  State
	probed bool // there was a result
	ok     bool // the last one was a success
}

// votedOn reports whether a row is of a target that is probed now: what is disabled, calculated or inverted follows from
// something else.
func (r *row) votedOn() bool {
	return r.used() && r.base == nil && r.calc == nil && r.key.Check != disabledCheck
}

// polled lists the targets there are votes on.
func (b *Board) polled() []poll {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []poll
	for _, r := range b.rows {
		if !r.votedOn() {
			if r.fleet.State != quorum.Unknown { // it has left the plan, and nobody counts for it any more
				r.fleet = quorum.Opinion{}
				b.publish(r, r.pack(r.machine.state), nil)
			}
			continue
		}
		list = append(list, poll{
			key: r.key, names: r.allNames(), slot: r.slot, state: r.machine.state, probed: r.probes > 0, ok: r.probes > 0 && r.machine.failures == 0,
		})
	}
	return list
}

// allNames are the checks that use the result of a row, inverted ones included. What adopt sets is never written to.
func (r *row) allNames() []string {
	if r.inverse == nil || len(r.inverse.names) == 0 {
		return r.names
	}
	all := slices.Concat(r.names, r.inverse.names)
	slices.Sort(all)
	return all
}

// believe sets what the fleet says of a slot; an Unknown state means that it has nothing to say.
func (b *Board) believe(s steer.Slot, o quorum.Opinion) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rows[s]
	r.fleet = o
	b.publish(r, r.pack(r.machine.state), nil)
}

// Opinion is what the fleet believes of a target.
type Opinion struct {
	Key   Key
	Names []string // of the checks that use it, inverted ones included; sorted, read only
	Reach State    // what this node found out itself
	Alive State    // what the fleet believes: as Reach, while it has no opinion
	Votes quorum.Opinion
	// Voices is what every voter said last, this node included; nil in what Board.Opinions returns.
	Voices []quorum.Voice
}

// Opinions returns both opinions about every target that is probed, by endpoint and check.
func (b *Board) Opinions() []Opinion {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []Opinion
	for _, r := range b.rows {
		if !r.votedOn() {
			continue
		}
		o := Opinion{Key: r.key, Names: r.allNames(), Reach: r.machine.state, Alive: r.machine.state, Votes: r.fleet}
		if r.fleet.State != quorum.Unknown {
			o.Alive = State(r.fleet.State)
		}
		list = append(list, o)
	}
	slices.SortFunc(list, func(x, y Opinion) int {
		return cmp.Or(strings.Compare(x.Key.Endpoint, y.Key.Endpoint), strings.Compare(x.Key.Check, y.Key.Check))
	})
	return list
}

// fleetReason is reason as the fleet sees it.
func (b *Board) fleetReason(s steer.Slot) string {
	own := b.reason(s)
	b.mu.Lock()
	defer b.mu.Unlock()
	if s < 0 || int(s) >= len(b.rows) {
		return own
	}
	r := b.rows[s]
	if r.base != nil {
		r = r.base
	}
	if r.fleet.State == quorum.Unknown {
		return own
	}
	return r.fleet.String() + "; here " + own
}
