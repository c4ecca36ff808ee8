package discover

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/meridian-edge/meridian/config"
)

// savedFile is the name of the file in the state folder.
const savedFile = "discovery.json"

// savedFormat is the version of the file. A file of another one is not read.
const savedFormat = 1

// savedSets is what a Watcher leaves behind for the next process.
type savedSets struct {
	Format int        `json:"format"`
	Sets   []savedSet `json:"sets"`
}

// savedSet is the endpoints of one source in use. The source is a hash: a url may hold a password.
type savedSet struct {
	Pool      string            `json:"pool"`
	Source    string            `json:"source"`
	Good      time.Time         `json:"good"`
	Endpoints []config.Endpoint `json:"endpoints"`
}

var errForeign = errors.New("not a discovery file of this version")

// hashed is the key as a file has it.
func (k feedKey) hashed() feedKey {
	sum := sha256.Sum256([]byte(k.source))
	return feedKey{pool: k.pool, source: hex.EncodeToString(sum[:16])}
}

// Load reads what an earlier process has found from the folder of Options.Dir: sources of the first configuration begin with it. It is to be
// called before Fill and Apply. A file that is missing, damaged, of another version or not a plain file changes nothing; all but the
// first are logged, once.
func (w *Watcher) Load() {
	if w.dir == "" {
		return
	}
	sets, err := readSets(w.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		w.log.Warn("saved endpoints not used, sources begin anew", "dir", w.dir, "error", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range sets {
		s := &sets[i]
		w.saved[feedKey{pool: s.Pool, source: s.Source}] = s
	}
	w.log.Info("saved endpoints restored", "sources", len(sets))
}

func readSets(dir string) ([]savedSet, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Lstat(savedFile)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSaved {
		return nil, fmt.Errorf("%w: %s of %d bytes", errForeign, info.Mode(), info.Size())
	}
	f, err := root.Open(savedFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSaved))
	if err != nil {
		return nil, err
	}
	return parseSets(text)
}

// parseSets takes nothing of a text that Watcher has not written.
func parseSets(text []byte) ([]savedSet, error) {
	var all savedSets
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%w: %w", errForeign, err)
	}
	if all.Format != savedFormat {
		return nil, fmt.Errorf("%w: format %d, want %d", errForeign, all.Format, savedFormat)
	}
	for i := range all.Sets {
		s := &all.Sets[i]
		if s.Pool == "" || s.Source == "" || s.Good.IsZero() || len(s.Endpoints) == 0 || len(s.Endpoints) > maxEndpoints {
			return nil, fmt.Errorf("%w: set %d", errForeign, i)
		}
		for j := range s.Endpoints {
			e := &s.Endpoints[j]
			read, err := config.ParseEndpoint(e.ID)
			if err != nil || target(read) != target(*e) || e.Weight < 0 || e.Weight > 255 || e.Capacity < 0 {
				return nil, fmt.Errorf("%w: set %d: endpoint %d", errForeign, i, j)
			}
		}
	}
	return all.Sets, nil
}

// remembered is what an earlier process has found at a source; nil: nothing. The caller holds mu.
func (w *Watcher) remembered(k feedKey) *savedSet { return w.saved[k.hashed()] }

// remember gives a new feed what an earlier process has found. The caller holds mu.
func (w *Watcher) remember(f *feed) {
	s := w.remembered(f.key)
	if s == nil {
		return
	}
	delete(w.saved, f.key.hashed())
	f.set, f.latest, f.good, f.restored = s.Endpoints, s.Endpoints, s.Good, true
	w.metrics.good.WithLabelValues(f.key.pool, f.name).Set(float64(f.good.UnixMilli()) / 1000)
	w.age(f, time.Now())
}

// age says, once, that a set in use is older than can be trusted silently. It stays in use: endpoints that may be gone are better than none,
// and their checks say which are. The caller holds mu.
func (w *Watcher) age(f *feed, now time.Time) {
	old := len(f.set) > 0 && !f.good.IsZero() && now.Sub(f.good) > tooOld
	if old && !f.old {
		w.log.Error("endpoints in use are older than a day: their source has named none since", "pool", f.key.pool, "source", f.name,
			"endpoints", len(f.set), "last_good", f.good.UTC().Format(time.RFC3339))
	}
	f.old = old
}

// keep looks after ages, and writes what has been found: soon after it changed, every minute while sources only confirm it, and when ctx is
// done.
func (w *Watcher) keep(ctx context.Context) {
	tick := time.NewTicker(saveSoon)
	defer tick.Stop()
	written, failed := time.Now(), false
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		text, urgent := w.unsaved()
		if text == nil || !urgent && ctx.Err() == nil && time.Since(written) < saveStale {
			continue
		}
		written = time.Now()
		err := replace(w.dir, text)
		if err != nil && !failed {
			w.log.Warn("endpoints not saved, a restart will begin anew", "dir", w.dir, "error", err)
		}
		if failed = err != nil; !failed {
			w.noteSaved()
		}
	}
}

// unsaved is what the file should hold, nil when it does, and whether endpoints differ.
func (w *Watcher) unsaved() (text []byte, urgent bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for name, p := range w.pools {
		for _, f := range p.feeds {
			w.age(f, now)
		}
		w.metrics.show(name, p)
	}
	if w.dir == "" || w.version == w.savedVersion && !w.confirmed {
		return nil, false
	}
	all := savedSets{Format: savedFormat, Sets: []savedSet{}}
	for k, f := range w.feeds {
		if len(f.set) > 0 && !f.good.IsZero() {
			h := k.hashed()
			all.Sets = append(all.Sets, savedSet{Pool: h.pool, Source: h.source, Good: f.good.UTC(), Endpoints: f.set})
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, false // it is plain data: there is no such error
	}
	w.writing = w.version
	return append(text, '\n'), w.version != w.savedVersion
}

func (w *Watcher) noteSaved() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.savedVersion, w.confirmed = w.writing, false
}

// replace writes the file whole: what is there is always complete, and on the disk before it has the name (fsync, rename, fsync of the
// folder).
func replace(dir string, text []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	const fresh = savedFile + ".new"
	if err := root.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(fresh, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := root.Rename(fresh, savedFile); err != nil {
		return err
	}
	folder, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
