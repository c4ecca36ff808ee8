package cache

import (
	"time"

	"github.com/meridian-edge/meridian/cache/quota"
)

// Limits of the store (everything that grows has one).
const (
	shardCount     = quota.Shards     // a power of two; each has one lock
	maxVariants    = 16               // of one key (attack row C12); the oldest goes
	maxPasses      = 4096             // keys remembered as not shareable
	maxPurged      = 4096             // keys whose tags are remembered after a purge
	minObjectLimit = 1 << 20          // an object of this size may be stored however small the memory, if it fits
	maxPage        = 256 << 10        // bytes; of records of small responses
	minPage        = 4 << 10          // with less memory than such pages fit there are none
	pagesOfLimit   = 1024             // how many pages there should be, where maxPage allows
	packPart       = 4                // a record may take one such part of a page
	maxCompactions = 4                // pages emptied at one time
	recallWhole    = 128 << 10        // bytes; a body up to this size comes into memory when it is found on the disk
	clockSlack     = 5 * time.Second  // a response on the disk may be so much newer than the clock says
	maxWaiters     = 20_000           // requests that wait for one fetch, where a policy does not say
	waitTimeout    = 30 * time.Second // how long one waits, where a policy does not say
	maxJoins       = 3                // fills one request waits for before it fetches for itself
	maxIdleReads   = 100              // reads without a byte or an error before a body counts as broken
	passTTL        = 5 * time.Second  // how long a key is remembered as not shareable
	errorPassTTL   = time.Second      // the same after an error status, which an attacker can provoke
	rangePassTTL   = time.Minute      // how long a key is remembered as one whose parts cannot be stored
	sliceAbove     = 8 << 20          // bytes above which a body that comes whole is cut into slices, or maxObject if that is less
	refreshBackoff = time.Second      // between background refreshes of one object that fail
)
