package discover

import "time"

const (
	// lookTimeout bounds one look at a source, with all its questions.
	lookTimeout = 10 * time.Second
	// askTimeout bounds one question to one resolver.
	askTimeout = 2 * time.Second
	// maxDocument is the largest file or response that is read, in bytes.
	maxDocument = 1 << 20
	// maxEndpoints is the most endpoints of a pool, those of the configuration included: as many as a steering group takes.
	maxEndpoints = 256
	// maxTargets is the most targets of SRV records whose addresses are looked up.
	maxTargets = 64
	// maxChain is the longest chain of CNAME records that is followed.
	maxChain = 8
	// maxRedirects is how often a URL may send us on, and never to another host.
	maxRedirects = 3
	// holdLooks is how many looks in a row must agree that too much of a pool has vanished before it goes.
	holdLooks = 5
	// tooOld is the age beyond which endpoints in use are not trusted silently.
	tooOld = 24 * time.Hour
	// saveSoon and saveStale are how soon the file is written after endpoints changed, and after a source only confirmed them.
	saveSoon  = 5 * time.Second
	saveStale = time.Minute
	// maxSaved is the largest file of saved endpoints that is read, in bytes.
	maxSaved = 16 << 20
	// floor and slowest are how soon a source that failed is looked at again, at first and at last.
	floor   = 5 * time.Second
	slowest = time.Minute
)
