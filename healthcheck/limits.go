package healthcheck

import "time"

// Limits of the schedule; those of one probe are in the room probe.
const (
	// maxProbes is how many probes are under way at once. 10,000 endpoints at an interval of 10 s that all run into a
	// timeout of 2 s need 2,000; above the limit probes start late, none is left out.
	maxProbes = 2048

	// keepVerdict is how long a verdict that no configuration uses any more is still believed when its key comes back.
	keepVerdict = 5 * time.Minute

	// firstAtOnce is how many new targets are probed in the same instant; more are spread evenly over firstWindow, or over
	// the interval when that is shorter.
	firstAtOnce = 32
	firstWindow = time.Second

	// maxTick is the grid of due times: probes that are due in the same tick share one wake-up of the schedule, which at
	// 1,000 probes a second costs more than the probes. The tick of a target is never more than 1 % of its interval.
	maxTick = 10 * time.Millisecond

	minFastGap = 100 * time.Millisecond // between probes of an endpoint that has not answered yet
)

// Defaults for settings a hand-made configuration leaves at zero; config.Load fills them in.
const (
	defaultInterval = 10 * time.Second
	defaultTimeout  = 2 * time.Second
	defaultRise     = 2
	defaultFall     = 3
	defaultMaxFlip  = 50 // percent
)

// manualCheck begins the fingerprint of a check that is set by people: it never passes by itself.
const manualCheck = "manual"

// Limits of the trial of an edited check. It takes as many probes as a verdict needs; what has no verdict when it is over
// counts as lost.
const (
	leastTrial = 5 * time.Second
	mostTrial  = 5 * time.Minute
	maxEdits   = 1000 // read from a file
)

// Limits of what an operator and requests can leave behind.
const (
	maxOrders       = 1000 // in force at once
	maxShownTargets = 20   // named in the error about an unknown one
	maxEvents       = 4096 // kept for the log; each is a change, and there are never more than the schedule can take
	maxEjections    = 1000 // counted of one endpoint
)

// Limits of the file that keeps verdicts over a restart.
const (
	maxSavedBytes  = 64 << 20
	maxSavedChecks = 100_000 // and as many ejections
	maxSavedFlaps  = 1e6

	saveUrgent = 5 * time.Second // after a state, an order or an ejection changed
	saveStale  = time.Minute     // after anything changed
)
