// Package healthcheck probes endpoints on a schedule and keeps one verdict about each on a board that anyone reads without locks.
//
//	board := healthcheck.NewBoard()
//	checker := healthcheck.NewChecker(healthcheck.Options{Board: board, Log: log, Registerer: registry})
//	go checker.Run(ctx)                        // until ctx is done
//	plan := healthcheck.NewPlan(cfg, board)    // part of a snapshot
//	checker.Apply(plan)                        // after the swap
//	tree.Candidates(&client, board.Reach())    // plan.Endpoint("web", 0) is the slot of that endpoint
//
// Board and Checker outlive configurations: a reload brings a new Plan, and every verdict whose Key is in both plans stays,
// with its counters and its place in the schedule. A verdict begins Unknown, which counts as up. The first success makes it
// Up at once; `fall` failures in a row make it Down, and until then the probes follow each other quickly, so that an endpoint
// that was dead from the start is known soon. Afterwards `rise` successes bring it up and `fall` failures take it down, at
// the configured interval, or as config.Counting and config.HoldDown say. An endpoint that was discovered (config.Endpoint.Discovered) has to prove itself: until its first
// success it counts as down.
//
// A Board has two opinions: Reach is what this node found out, Alive what the fleet believes. A Fleet makes the second from
// the votes of all nodes; without any it is the first.
//
// Three more have a say. An operator's Order beats every probe. A Watch hears how requests end and ejects endpoints that fail
// them, for this edge only. A Keeper keeps all of it in a file over a restart:
//
//	board.Order("192.0.2.1:80", healthcheck.Drain, time.Hour)
//	plan.Watch("web").Saw(0, healthcheck.GatewayError)
//	keeper := healthcheck.NewKeeper(board, stateDir, log)
//	keeper.Load()                              // before the first plan
//	go keeper.Run(ctx)
//
// Every type here is safe for concurrent use, but a Keeper's Save.
package healthcheck

import (
	"strings"
	"time"
)

// Key identifies a verdict: what is probed, and how. Health belongs to an endpoint and a check together, never to an address
// alone. Keys are comparable; equal keys share one probe and one slot.
type Key struct {
	Endpoint string // "192.0.2.1:80" or "name:port"; empty for a calculated check
	// Check says in a few printable characters what is asked: type, host, path, expected statuses, verification. How often
	// and how patiently is no part of it, so a changed interval keeps the verdict. A leading "!" means inverted: the slot
	// says the opposite of the one without.
	Check string
}

// State is what is known about a Key.
type State uint8

// The states.
const (
	Unknown State = iota // no sufficient result yet; counts as up, or as down when inverted (as Route 53)
	Up
	Down
)

var stateNames = [...]string{"unknown", "up", "down"}

// String returns unknown, up or down.
func (s State) String() string { return stateNames[s] }

// opposite is the state of an inverted check.
func (s State) opposite() State { return [...]State{Unknown, Down, Up}[s] }

// Verdict is a copy of everything the board holds about one Key.
type Verdict struct {
	Key       Key
	Names     []string // of the checks in the configuration that use it, sorted; never empty, read only
	State     State
	Order     Order         // the operator's word in force; its Force is NoForce when there is none
	HeldUntil time.Time     // until when it stays down because it flaps; zero: it is not held. It may be past
	Since     time.Time     // when State began, or the order was given; zero while Unknown
	Last      time.Time     // when the last probe ended; zero before the first
	Reason    string        // outcome of the last probe, such as "200 in 1.2ms"; empty before the first
	Latency   time.Duration // of the last probe: to the connection, or to the end of the response head
	Successes int           // in a row, of probes (not inverted); 0 after a failure
	Failures  int           // in a row; 0 after a success
	Probes    uint64        // made since the board knows the key
	Flips     uint64        // changes between Up and Down
	Proving   bool          // of a discovered endpoint that is Unknown: counts as down until its first success
	Alive     bool          // it counts as up in the eyes of the fleet
}

// Up reports whether the verdict counts as up: Unknown does, unless the check is inverted or the endpoint has to prove itself.
func (v *Verdict) Up() bool {
	return v.State == Up || v.State == Unknown && !v.Proving && !strings.HasPrefix(v.Key.Check, invertedPrefix)
}

// Fingerprints of Key.Check with a meaning of their own.
const (
	invertedPrefix = "!"
	disabledCheck  = "disabled" // never probed: constantly up, and with invertedPrefix constantly down
)
