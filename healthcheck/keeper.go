package healthcheck

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/meridian-edge/meridian/healthcheck/statefile"
)

// savedFile is the name of the file in the state folder.
const savedFile = "health.json"

// Keeper keeps what a board knows in a file, so that a restart forgets neither that something is down nor what an operator
// said. It writes 5 s after a state, an order or an ejection changed, a minute after anything did, and when it stops; a crash
// loses what is younger. The file is replaced whole: a crash while writing leaves the old one.
type Keeper struct {
	board  *Board
	file   statefile.File
	log    *slog.Logger
	failed bool // the last write; guarded by being in Run or before it
}

// NewKeeper returns a keeper of health.json in a folder, which is made, for its owner alone, when there is something to
// write. A nil log is no log. It does no I/O.
func NewKeeper(b *Board, dir string, log *slog.Logger) *Keeper {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Keeper{board: b, file: statefile.File{Dir: dir, Name: savedFile}, log: log}
}

// Load reads the file into the board, before any slot is asked for. A file that is missing, damaged, of another version or
// not a plain file changes nothing; all but the first are logged, once.
func (k *Keeper) Load() {
	text, err := k.file.Read(maxSavedBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	verdicts, orders := 0, 0
	if err == nil {
		verdicts, orders, err = k.board.Restore(text)
	}
	if err != nil {
		k.log.Warn("saved health not used, checks begin anew", "dir", k.file.Dir, "error", err)
		return
	}
	k.log.Info("saved health restored", "verdicts", verdicts, "orders", orders)
}

// Run writes until ctx is done, and then once more. It returns nil: a file that cannot be written is logged, once until it
// can be again, and health goes on without it.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(saveUrgent)
	defer tick.Stop()
	written := time.Now()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		urgent, stale := k.board.unsaved()
		if urgent || stale && (ctx.Err() != nil || time.Since(written) >= saveStale) {
			k.Save()
			written = time.Now()
		}
	}
	return nil
}

// unsaved reports what a file does not hold yet.
func (b *Board) unsaved() (urgent, stale bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.doubt.urgent, b.doubt.stale
}

// Save writes the file now. It must not be called while Run runs.
func (k *Keeper) Save() {
	text, err := k.board.Save()
	if err == nil {
		err = k.file.Write(text)
	}
	switch {
	case err == nil:
	case !k.failed:
		k.log.Warn("health not saved, a restart will begin anew", "dir", k.file.Dir, "error", err)
		fallthrough
	default:
		k.board.retry()
	}
	k.failed = err != nil
}

// retry makes the next tick write what could not be written.
func (b *Board) retry() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.doubt.note(true)
}
