// Package disk keeps objects in files: the second tier of a cache, which survives a restart. It knows keys, metadata and bodies, and
// nothing of what they mean.
//
//	tier, err := disk.Open(disk.Options{Path: "/var/cache/meridian", Size: 100 << 30, Identity: journal})
//	go tier.Run(ctx)
//	tier.Put(disk.Item{Key: key, Variant: 7, Meta: head, Size: n, Body: blocks, Done: release})
//	...
//	objects, _ := tier.Find(key)
//	objects[0].WriteRange(w, 0, objects[0].Size())
//	objects[0].Close()
//
// # Files
//
// Each object is a file of its own in one of 256 directories. Its name is made of hashes of its URL and its key, its variant and its
// size: a listing is enough to know what there is. Head, metadata, and every 64 KiB of the body have checksums, and nothing that was not
// checked leaves this package. Files are written under another name and renamed; they are not synced, for a file that a crash has torn
// does not match its checksums, which makes it a miss. All access is through os.Root; links are not followed.
//
// # Start
//
// Open reads one small file. A directory is listed when it is first asked for, and Run lists the others meanwhile, so the first hit
// does not wait for a million names. Nothing is written before all are listed, because the size of what there is is not known earlier.
// When the folder was written under another Identity, all of it is put aside in one step and removed by Run.
//
// # Faults
//
// A write that fails, for lack of room or because the disk is broken, stops writes for a second, then two, up to a minute; each time the
// next Put is the trial. Reads go on. When the queue is full Put says so, and nobody waits. When the folder is removed or replaced there are
// misses; it is made anew. What is found damaged is removed. A file system that does not answer a read holds up the reader, as the kernel has
// no time limit for it; the number of such readers is bounded by that of open files.
//
// The checksums are no protection from somebody who may write to the folder: keep it to the user that the process runs as.
//
// A Tier is safe for concurrent use.
package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options configure a Tier. Path and Size must be set.
type Options struct {
	Path string // of the folder, which is made if it is not there; nobody else may use it
	Size int64  // bytes on disk that are not exceeded; each file is counted in multiples of 4 KiB
	// Identity names the record of what was purged: a folder that was written under another one is emptied, because a purge may have
	// been missed.
	Identity string
	// MaxOpen is how many objects may be open at one time; 0: 4096, or a quarter of the process's limit of open files if that is less. The tier
	// has 262 files open beside them.
	MaxOpen int

	Log        *slog.Logger          // nil: nothing is logged
	Registerer prometheus.Registerer // nil: metrics are registered nowhere
}

// Tier is an open folder. Make one with Open.
type Tier struct {
	path, identity string
	maxOpen        int
	log            *slog.Logger
	metrics        *metrics
	buffers        sync.Pool     // of *[blockSize]byte
	wake           chan struct{} // has a token when the writer should look around
	rescan         chan struct{} // the same for the lister
	create         creator       // os, but for tests

	mu sync.Mutex // guards the fields below. A directory's lock is taken before it, never after

	folder     *folder // nil: closed, or there is none just now
	index      *index
	size       int64
	lives      map[name]*live
	ring       [maxIdle]*live // those not open, oldest at next
	next       int
	opened     int
	lingering  int64             // bytes of files that were removed and are still open
	writing    int64             // bytes of the file that is being written
	trash      map[name]struct{} // to be unlinked
	trashBytes int64
	complete   bool // the folder: every directory is listed, what was put aside is gone
	queue      queue
	metas      map[version]*[]byte // metadata that wait to be written
	failing    error               // why nothing is written just now
	backoff    time.Duration
	retry      time.Time
	complained time.Time
	closed     bool
}

// Stats is what a Tier holds at one moment.
type Stats struct {
	Objects    int
	Bytes      int64 // on disk, removed files that are still open included
	Limit      int64
	Queued     int // writes
	QueueBytes int64
	Memory     int64 // bytes that the index takes
	Open       int   // objects
	Listed     int   // of 256 directories
	Complete   bool  // all are listed and nothing is left to be cleared: writes are done
	Failing    error // why nothing is written; nil: all is well
}

// Open opens a folder, or makes it, with mode 0700. It does not look at what is stored. It fails with ErrInUse when another process has
// the folder. Run must be called for anything to be written.
func Open(o Options) (*Tier, error) {
	if o.Path == "" || o.Size <= 0 {
		return nil, errors.New("open disk cache: no path or no size")
	}
	t := &Tier{
		path: o.Path, identity: o.Identity, maxOpen: o.MaxOpen, log: o.Log, size: o.Size,
		wake: make(chan struct{}, 1), rescan: make(chan struct{}, 1), create: createFile,
		index: newIndex(), lives: map[name]*live{}, trash: map[name]struct{}{}, metas: map[version]*[]byte{},
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if t.maxOpen <= 0 {
		t.maxOpen = int(min(maxOpenFiles, openLimit()/4))
	}
	t.buffers.New = func() any { return new([blockSize]byte) }
	t.queue.by = map[name]*write{}
	var err error
	if t.folder, err = openFolder(o.Path, o.Identity); err != nil {
		return nil, fmt.Errorf("open disk cache %s: %w", o.Path, err)
	}
	if t.folder.dropped {
		t.log.Warn("the disk cache is emptied: it was written under another record of purges", "path", o.Path)
	}
	t.metrics = newMetrics(t, o.Registerer)
	return t, nil
}

// Close gives the folder up. Call it when Run has returned. Objects that are open stay readable. Everything else finds nothing from now on.
func (t *Tier) Close() error {
	t.mu.Lock()
	f := t.folder
	t.folder, t.closed = nil, true
	dropped := t.queue.clear()
	t.mu.Unlock()
	finish(dropped)
	if f != nil {
		f.close()
	}
	return nil
}

// SetSize changes the ceiling, in bytes. When there is more, the writer removes objects.
func (t *Tier) SetSize(size int64) {
	t.mu.Lock()
	t.size = max(size, 0)
	t.mu.Unlock()
	t.poke()
}

// Stats returns what there is.
func (t *Tier) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Stats{
		Objects: t.index.len(), Bytes: t.used(), Limit: t.size, Queued: t.queue.len(), QueueBytes: t.queue.bytes, Memory: t.index.memory(),
		Open: t.opened, Complete: t.complete, Failing: t.failing,
	}
	if t.folder != nil {
		for i := range t.folder.dirs {
			if t.folder.dirs[i].listed.Load() {
				s.Listed++
			}
		}
	}
	return s
}

// used is the bytes on disk. t.mu is held.
func (t *Tier) used() int64 { return t.index.bytes() + t.trashBytes + t.lingering + t.writing }

// poke has the writer look around.
func (t *Tier) poke() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}
