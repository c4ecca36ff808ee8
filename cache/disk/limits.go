package disk

import "time"

// Limits of the tier (everything that grows has one).
const (
	pageSize  = 4 << 10  // bytes; files are counted in these
	blockSize = 64 << 10 // bytes of a body under one checksum

	maxKey      = 64 << 10 // bytes
	maxMeta     = 1 << 20  // bytes
	maxBody     = 1 << 40  // bytes
	maxVariants = 16       // of one key (attack row C12)

	maxQueue      = 1024     // writes waiting
	maxQueueBytes = 64 << 20 // of bodies; one object may be larger when nothing else waits
	maxDoomed     = 4096     // names remembered for a directory that is not listed yet; beyond it all of the directory goes

	maxOpenFiles = 4096 // objects open at one time, or a quarter of the process's limit if that is less (attack row R18)
	maxIdle      = 256  // closed files whose verified blocks are remembered
	maxIdleTable = 4096 // blocks of such a file

	trustFor  = time.Minute // a verified block is not read again to check it
	listStep  = 512         // names taken in at a time
	writeStep = 1 << 20     // bytes written between looks at whether it is still wanted
	sendLeast = 32 << 10    // bytes: for fewer, copying costs less than giving the file away
	sendStep  = 16 << 20    // bytes given to the kernel before that is looked at again

	firstBackoff  = time.Second // after a write that failed
	lastBackoff   = time.Minute
	lookEvery     = 2 * time.Second // is the folder still where it was
	complainEvery = time.Minute     // log lines about damaged files
	drainFor      = 5 * time.Second // for queued writes when the tier ends
)
