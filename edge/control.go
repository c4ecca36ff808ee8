package edge

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/edge/admin"
	"github.com/meridian-edge/meridian/edge/discover"
	"github.com/meridian-edge/meridian/healthcheck"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy"
)

// Status is the node on one page, as the admin API shows it.
type Status struct {
	Edge        string    `json:"edge"`
	Region      string    `json:"region,omitempty"`
	Version     string    `json:"version"`
	Started     time.Time `json:"started"`
	State       string    `json:"state"` // starting, serving, draining
	Config      string    `json:"config"`
	Generation  uint64    `json:"generation"`
	Loaded      time.Time `json:"loaded"`
	LastError   string    `json:"last_error,omitempty"` // why the last reload was refused
	Listeners   []string  `json:"listeners"`
	ChecksUp    int       `json:"checks_up"`
	ChecksDown  int       `json:"checks_down"`
	CacheBytes  int64     `json:"cache_bytes"`
	CacheCount  int64     `json:"cache_objects"`
	Disk        *Disk     `json:"disk,omitempty"` // nil: the cache has memory only
	Places      string    `json:"places"`         // where places come from
	PlacesBuilt time.Time `json:"places_built"`
	Unserved    []string  `json:"unserved,omitempty"` // configured, and not done by this version

	Abstains string `json:"abstains,omitempty"` // why this node does not vote; empty: it does

	Edits []string `json:"edits,omitempty"` // edited checks that do not decide, and why

	Discovery []discover.Status `json:"discovery,omitempty"` // where endpoints come from
}

// Disk is the disk tier of the cache.
type Disk struct {
	Path    string `json:"path"`
	Objects int    `json:"objects"`
	Bytes   int64  `json:"bytes"`
	Limit   int64  `json:"limit"`
	Queued  int    `json:"queued,omitempty"`  // objects that wait to be written
	Listing bool   `json:"listing,omitempty"` // what the last run left is still being listed: hits are served, nothing is written yet
	Failing string `json:"failing,omitempty"` // why nothing is written now; empty: all is well
}

// diskStatus is nil where the cache has memory only.
func (n *Node) diskStatus() *Disk {
	tier := n.organs.disk
	if tier == nil {
		return nil
	}
	st := tier.Stats()
	d := &Disk{Path: tier.Path(), Objects: st.Objects, Bytes: st.Bytes, Limit: st.Limit, Queued: st.Queued, Listing: !st.Complete}
	if st.Failing != nil {
		d.Failing = st.Failing.Error()
	}
	return d
}

// Verdict is one line of the health page: a check at an endpoint or, with Pool, an endpoint of a pool that counts otherwise
// than its check says.
type Verdict struct {
	Endpoint  string    `json:"endpoint,omitempty"`
	Pool      string    `json:"pool,omitempty"` // or accelerator; Checks is then empty
	Checks    []string  `json:"checks"`
	State     string    `json:"state"` // unknown, up, down; with Pool also ejected; with Edit what the edited check says
	Since     time.Time `json:"since"`
	Reason    string    `json:"reason"`
	LatencyMS float64   `json:"latency_ms"`
	Probes    uint64    `json:"probes"`
	Flips     uint64    `json:"flips"`
	Forced    string    `json:"forced,omitempty"` // the operator's word: up, down, drain
	Until     time.Time `json:"until,omitzero"`   // when that, or the ejection, ends; zero: when it is taken back
	Edit      string    `json:"edit,omitempty"`   // of an edited check that does not decide: shadow, refused
	Now       string    `json:"now,omitempty"`    // with Edit: what the check that decides says
	Group     string    `json:"group,omitempty"`  // with Pool, when that is an accelerator: the region of the group
	Alive     string    `json:"alive,omitempty"`  // up, down: how a check counts in the eyes of the fleet; not with Edit or Pool
	Votes     *Votes    `json:"votes,omitempty"`  // what the fleet's opinion is made of; nil: nothing is probed
}

var _ admin.Node = (*Node)(nil)

// Status implements admin.Inspector: the pages are "status" and "health".
func (n *Node) Status(page string) any {
	if page == "health" {
		return n.verdicts()
	}
	return n.status()
}

func (n *Node) status() Status {
	s := n.snapshot.Load()
	stats := n.organs.cache.Stats()
	out := Status{
		Edge: s.cfg.Edge.Name, Region: s.cfg.Edge.Region, Version: n.options.Version, Started: n.started, State: "starting",
		Config: s.cfg.File, Generation: s.generation, Loaded: s.loaded,
		CacheBytes: stats.Bytes, CacheCount: stats.Objects, Disk: n.diskStatus(),
		Places: s.places.Source(), PlacesBuilt: s.places.Built(), Unserved: unserved(s.cfg),
		Discovery: n.organs.discover.Status(), Abstains: n.organs.fleet.Doubt(),
	}
	select {
	case <-n.ready:
		out.State = "serving"
	default:
	}
	if n.draining.Load() {
		out.State = "draining"
	}
	for _, v := range n.organs.board.Verdicts() {
		if !v.Up() {
			out.ChecksDown++
		} else {
			out.ChecksUp++
		}
	}
	for _, e := range n.organs.board.Edits() {
		text := e.Check + " is tried in shadow, until " + e.Until.UTC().Format(time.TimeOnly) + " UTC at the latest"
		if e.State == healthcheck.Refused {
			text = e.Check + " is refused: " + e.Reason
		}
		out.Edits = append(out.Edits, text)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.listeners {
		out.Listeners = append(out.Listeners, l.key)
	}
	slices.Sort(out.Listeners)
	if n.lastError != nil {
		out.LastError = n.lastError.Error()
	}
	return out
}

func (n *Node) verdicts() []Verdict {
	list, votes := n.organs.board.Verdicts(), n.votes()
	out := make([]Verdict, len(list))
	for i, v := range list {
		out[i] = Verdict{
			Endpoint: v.Key.Endpoint, Checks: v.Names, State: v.State.String(), Since: v.Since, Reason: v.Reason,
			LatencyMS: float64(v.Latency.Microseconds()) / 1000, Probes: v.Probes, Flips: v.Flips,
			Alive: upOrDown(v.Alive), Votes: votesOf(votes, v.Key),
		}
		if v.Order.Force != healthcheck.NoForce {
			out[i].Forced, out[i].Until = v.Order.Force.String(), v.Order.Until
		}
	}
	for _, m := range n.organs.board.Members() {
		v := Verdict{Endpoint: m.Endpoint, Pool: m.Scope, Group: m.Group, Checks: []string{}, State: "up", Reason: m.Reason}
		switch {
		case m.Order.Force != healthcheck.NoForce:
			v.Forced, v.Since, v.Until = m.Order.Force.String(), m.Order.Given, m.Order.Until
			if !m.Up {
				v.State = "down"
			}
		case !m.Ejected.IsZero():
			v.State, v.Since, v.Until = "ejected", m.Ejected, m.Until
		default:
			continue // it says what its check says
		}
		out = append(out, v)
	}
	return append(out, n.edits()...)
}

// edits are the lines about edited checks that do not decide, one for each endpoint.
func (n *Node) edits() []Verdict {
	var out []Verdict
	for _, e := range n.organs.board.Edits() {
		for _, end := range e.Ends {
			out = append(out, Verdict{
				Endpoint: end.Endpoint, Pool: end.Scope, Checks: []string{e.Check}, State: end.New.String(), Reason: end.Reason,
				Edit: e.State.String(), Now: end.Old.String(), Until: e.Until,
			})
		}
	}
	return out
}

// AcceptCheck implements admin.Operator. The generation with the edited check follows at once.
func (n *Node) AcceptCheck(name string) (any, error) {
	if err := n.organs.board.Accept(name); err != nil {
		return nil, err
	}
	n.refill()
	return map[string]string{"check": name}, nil
}

// Order is the answer to Force.
type Order struct {
	Target string    `json:"target"`
	State  string    `json:"state"` // up, down, drain, clear
	Until  time.Time `json:"until,omitzero"`
}

// Force implements admin.Operator. Every word is logged: who looks at traffic later will ask who moved it.
func (n *Node) Force(target, state string, d time.Duration) (any, error) {
	force, err := healthcheck.ParseForce(state)
	if err != nil {
		return nil, err
	}
	o, err := n.organs.board.Order(target, force, d)
	if err != nil {
		return nil, err
	}
	attrs := []any{"target", o.Target, "state", o.Force.String()}
	if !o.Until.IsZero() {
		attrs = append(attrs, "until", o.Until.UTC().Format(time.RFC3339))
	}
	n.log.Info("operator's order", attrs...)
	return Order{Target: o.Target, State: o.Force.String(), Until: o.Until}, nil
}

// Explain implements admin.Inspector.
func (n *Node) Explain(q admin.Query) (any, error) {
	if q.URL != "" {
		return n.ExplainURL(q.Method, q.URL, q.Client), nil
	}
	if q.Subnet.IsValid() {
		return n.ExplainSubnet(q.Name, q.Type, q.Subnet)
	}
	return n.ExplainDNS(q.Name, q.Type, q.Client)
}

// ReloadFile implements admin.Operator.
func (n *Node) ReloadFile(zone string) (any, error) {
	err := error(nil)
	if zone != "" {
		err = n.ReloadZone(zone)
	} else {
		err = n.Reload()
	}
	if err != nil {
		return nil, refusal{err}
	}
	return map[string]uint64{"generation": n.snapshot.Load().generation}, nil
}

// refusal is why a reload did not happen, with every mistake of the file in full.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// Items implements admin.Detailed.
func (r refusal) Items() []string {
	var mistakes config.Errors
	if !errors.As(r.error, &mistakes) {
		return nil
	}
	items := make([]string, len(mistakes))
	for i, m := range mistakes {
		items[i] = m.Detail()
	}
	return items
}

// CacheMemory is the size that the configuration gives the cache, and what of it is used, in bytes.
func (n *Node) CacheMemory() (size, used int64) {
	return n.Config().Cache.Memory, n.organs.cache.Stats().Bytes
}

// Purge implements admin.Purger.
func (n *Node) Purge(ctx context.Context, q proxy.PurgeQuery) (any, error) {
	receipt, err := n.snapshot.Load().router.Purge(ctx, q)
	if err != nil {
		return nil, err
	}
	if !q.DryRun {
		n.log.Info("purged", "id", receipt.ID, "url", q.URL, "tag", q.Tag, "host", q.Host, "all", q.All, "distribution", q.Site, "soft", q.Soft,
			"objects", receipt.Objects, "bytes", receipt.Bytes)
	}
	return receipt, nil
}

// Prefetch implements admin.Purger. A list may be long, so each URL is a line of the log at level debug only.
func (n *Node) Prefetch(ctx context.Context, url string, fields httpwire.Fields) (any, error) {
	p, err := n.snapshot.Load().router.Prefetch(ctx, url, fields)
	if err != nil {
		n.log.Debug("not prefetched", "url", url, "error", err)
		return nil, err
	}
	n.log.Debug("prefetched", "url", url, "status", p.Status, "result", p.Result(), "reason", p.Reason, "bytes", p.Bytes)
	return p, nil
}

// UndoPurge implements admin.Purger.
func (n *Node) UndoPurge(id uint64) (any, error) {
	o, err := n.organs.cache.Undo(id)
	if err != nil {
		return nil, err
	}
	n.log.Info("purge undone", "id", id)
	return o, nil
}

// shownPurges is how many orders a list shows.
const shownPurges = 100

// Purges implements admin.Purger.
func (n *Node) Purges() any { return n.organs.cache.Orders(shownPurges) }
