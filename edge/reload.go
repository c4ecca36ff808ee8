package edge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/edge/cert"
	"github.com/meridian-edge/meridian/healthcheck"
)

// ErrUnchanged is returned by Reload and ReloadZone when the file, and the certificates, places and zone files it names, are what is served already.
var ErrUnchanged = errors.New("the configuration is unchanged")

// Reload reads the configuration file again and puts it in service. On any error the generation that serves keeps serving;
// the error, with every mistake of the file, is also logged once and shown in meridian_config_last_reload_successful. Reloads at
// the same time wait for each other. A place database that has changed is read too, and what discovery holds back because too
// much of a pool vanished is accepted.
func (n *Node) Reload() error {
	if n.options.Path == "" {
		return errors.New("this node has no configuration file to reload")
	}
	n.reloading.Lock()
	defer n.reloading.Unlock()
	n.look()
	cfg, warnings, err := config.Load(n.options.Path)
	if err == nil {
		n.organs.discover.Accept()
		for _, w := range warnings {
			n.log.Warn("configuration warning", "warning", w.Error(), "hint", w.Hint)
		}
		err = n.Apply(cfg)
	} else {
		n.failed(err)
	}
	return err
}

// ReloadZone reads the file of one zone again and puts it in service; the configuration and all other files are not looked at. It returns
// ErrUnchanged when the file is what is served already, and why not when it cannot be served.
func (n *Node) ReloadZone(name string) error {
	changed, err := n.organs.authority.LookAt(context.Background(), name)
	if err == nil && !changed {
		return ErrUnchanged
	}
	return err
}

// Apply puts a configuration in service, or returns why it cannot be and changes nothing.
func (n *Node) Apply(cfg *config.Config) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.draining.Load() {
		return errors.New("this node is stopping")
	}
	if n.Config().Sum == cfg.Sum && cfg.Sum != "" {
		same, err := n.sameFiles(cfg)
		if err != nil {
			n.failedLocked(err)
			return err
		}
		if same {
			if n.lastError != nil {
				n.log.Info("configuration is the one that serves again")
			}
			n.lastError = nil
			n.metrics.successful.Set(1)
			changed, err := n.organs.authority.Look(context.Background())
			if err != nil {
				n.failedLocked(err)
				return err
			}
			if n.organs.places.changed() || n.snapshot.Load().found != n.organs.discover.Version() {
				return n.rebuildLocked()
			}
			if changed > 0 {
				return nil
			}
			return ErrUnchanged
		}
	}
	n.notifyReloading()
	err := n.install(cfg)
	n.notify("READY=1")
	if err != nil {
		n.failedLocked(err)
	}
	return err
}

// sameFiles reports whether the certificates that cfg names are those that serve: they are renewed under their names.
func (n *Node) sameFiles(cfg *config.Config) (bool, error) {
	serving := n.snapshot.Load().certs
	certs, err := cert.Build(cfg, serving)
	if err != nil {
		return false, fmt.Errorf("certificates: %w", err)
	}
	return certs.Equal(serving), nil
}

// install takes a configuration through build, prepare, swap and settle. The caller holds mu.
func (n *Node) install(cfg *config.Config) error {
	began := time.Now()
	old := n.snapshot.Load()
	next, err := n.build(cfg, old)
	if err != nil {
		return err
	}
	opened, err := n.prepare(cfg)
	if err != nil {
		return err
	}
	n.snapshot.Store(next) // the swap: from here on every new request and query sees the new generation
	n.settle(old, next, opened)
	n.lastError = nil
	n.metrics.reloaded(next)
	if old != nil {
		n.log.Info("configuration loaded", "generation", next.generation, "file", cfg.File,
			"took", time.Since(began).Round(time.Millisecond).String())
	}
	return nil
}

// rebuild makes a new generation of the configuration that serves, because something it is built from has changed: places, or
// the endpoints of a pool. It logs why it could not.
func (n *Node) rebuild() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.renewLocked()
}

// renewLocked is rebuild for callers that hold mu.
func (n *Node) renewLocked() {
	if n.draining.Load() {
		return
	}
	if err := n.rebuildLocked(); err != nil {
		n.log.Error("cannot build the next generation, the last one keeps serving", "error", err)
	}
}

// rebuildLocked is renewLocked for callers that want to know why it could not. The sockets stay as they are.
func (n *Node) rebuildLocked() error {
	old := n.snapshot.Load()
	next, err := n.build(old.cfg, old)
	if err != nil {
		return err
	}
	n.snapshot.Store(next)
	n.settle(old, next, nil)
	n.metrics.generation.Set(float64(next.generation))
	return nil
}

// settle makes the organs follow the new generation. Nothing here can fail.
func (n *Node) settle(old, next *snapshot, opened []*listener) {
	n.organs.authority.Install(context.Background(), next.zones)
	n.organs.checker.Apply(next.plan)
	n.organs.fleet.SetRule(healthcheck.RuleOf(next.cfg.Quorum), next.cfg.Quorum.References...)
	n.organs.cache.SetMemory(next.cfg.Cache.Memory)
	n.organs.cache.SetQuotas(quotas(next.cfg))
	n.settleDisk(next.cfg.Cache.Disk)
	n.organs.cache.SetTagFields(next.cfg.Cache.TagFields)
	n.organs.origin.Keep(next.router.Targets())
	n.organs.discover.Apply(next.cfg)
	n.organs.places.settle(next.placeData, next.cfg)
	var before *config.Config
	if old != nil {
		before = old.cfg
	}
	n.settleNameserver(before, next.cfg)
	for _, l := range opened {
		n.listeners[l.key] = l
		if n.run != nil {
			n.serve(l)
		}
	}
	wanted := wantedListeners(next.cfg)
	for key, l := range n.listeners {
		if _, keep := wanted[key]; !keep {
			delete(n.listeners, key)
			n.retire(l)
		}
	}
	if old == nil || old.cfg != next.cfg {
		for _, gap := range unserved(next.cfg) {
			n.log.Warn("configured but not served by this version", "section", gap)
		}
	}
	if old != nil && old.cfg.Limits != next.cfg.Limits {
		n.log.Warn("limits of listeners that are open already change at the next start")
	}
	if old != nil && old.cfg.Log != next.cfg.Log {
		n.log.Warn("settings of the logs change at the next start")
	}
}

// settleDisk makes the disk tier follow the new generation, as far as that is possible while it is open.
func (n *Node) settleDisk(next *config.Disk) {
	open := n.organs.disk
	switch {
	case open == nil && next == nil:
	case open == nil || next == nil || open.Path() != next.Path:
		n.log.Warn("cache.disk is opened, closed and moved at the next start only")
	default:
		open.SetSize(next.Size)
	}
}

// unserved names what a valid configuration asks for and this version does not do.
func unserved(cfg *config.Config) []string {
	var gaps []string
	for i := range cfg.Accelerators {
		gaps = append(gaps, "accelerators."+cfg.Accelerators[i].Name)
	}
	return gaps
}

// failed records and logs why a reload did not happen.
func (n *Node) failed(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failedLocked(err)
}

func (n *Node) failedLocked(err error) {
	n.metrics.refused()
	n.lastError = err
	var mistakes config.Errors
	if !errors.As(err, &mistakes) {
		n.log.Error("configuration refused, the last good one keeps serving", "error", err)
		return
	}
	for _, m := range mistakes {
		n.log.Error("configuration mistake", "mistake", m.Error(), "hint", m.Hint)
	}
	n.log.Error("configuration refused, the last good one keeps serving", "mistakes", len(mistakes))
}

// defaultWatch is how often the configuration file is looked at.
const defaultWatch = 2 * time.Second

// watchFile reloads when the file's time or size is another than when it was last read, whoever read it. A file that was
// refused is tried again only when it changes again, so that a mistake is logged once.
func (n *Node) watchFile(ctx context.Context) {
	every := n.options.Watch
	if every == 0 {
		every = defaultWatch
	}
	if every < 0 || n.options.Path == "" {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n.fileChanged() {
			_ = n.Reload() // it has logged what there is to say
		}
	}
}

// look remembers which version of the file is about to be read.
func (n *Node) look() {
	now := stamp(n.options.Path)
	n.seen.Store(&now)
}

// fileChanged reports whether there is another version of the file than the one that was last read.
func (n *Node) fileChanged() bool {
	now := stamp(n.options.Path)
	return now != *n.seen.Load() && now != fileStamp{}
}

// fileStamp tells versions of a file apart; zero: there is no file.
type fileStamp struct {
	modified time.Time
	size     int64
}

func stamp(path string) fileStamp {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.ModTime(), info.Size()}
}

// quotas are the shares of the cache's memory that distributions have to themselves.
func quotas(cfg *config.Config) map[string]int64 {
	shares := map[string]int64{}
	for i := range cfg.Distributions {
		if d := &cfg.Distributions[i]; d.Quota > 0 {
			shares[d.Name] = d.Quota
		}
	}
	return shares
}
