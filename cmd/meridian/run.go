package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/edge"
	"github.com/meridian-edge/meridian/internal/memlimit"
)

// errConfig marks configurations that cannot be used although each value in them is right.
var errConfig = errors.New("configuration refused")

func newRun() *cobra.Command {
	var watch time.Duration
	c := &cobra.Command{
		Use:   "run",
		Short: "Serve until told to stop",
		Long: `Run one edge node with a configuration file.

Only the addresses the file names are bound. SIGHUP, a change of the file, or ` + "`meridian reload`" + ` put a new
configuration in service without losing a request; one with mistakes is refused and the last good one keeps serving.
SIGTERM drains. Under systemd, readiness, reloads and the watchdog are reported (Type=notify).`,
		Example: "  meridian run -c meridian.yaml\n  meridian run -c meridian.yaml --watch 0     reload on SIGHUP only",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			signals := make(chan os.Signal, 2)
			// From the start: one that comes too early must not end the process.
			signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR1)
			defer signal.Stop(signals)
			cfg, warnings, err := loadConfig(c)
			if err != nil {
				return err
			}
			log := newLogger(os.Stderr, cfg.Log)
			for _, w := range warnings {
				log.Warn("configuration warning", "warning", w.Error(), "hint", w.Hint)
			}
			spareProcessor(cfg)
			return serve(c.Context(), signals, edge.Options{Config: cfg, Path: cfg.File, Watch: watch, Log: log, Version: version()})
		},
	}
	c.Flags().DurationVar(&watch, "watch", 2*time.Second, "how often to look for a changed file; 0 never")
	return c
}

// spareProcessor gives a node that answers DNS on a single core a second one in Go's sense, for the thread that waits for queries keeps one
// (package netio). An operator's GOMAXPROCS stands. From here on Go no longer follows changes of a container's CPU limit.
func spareProcessor(cfg *config.Config) {
	if len(cfg.Listeners.DNS) > 0 && runtime.GOMAXPROCS(0) == 1 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2)
	}
}

// serve runs a node until ctx is done. SIGHUP reloads it, SIGUSR1 opens its access log again.
func serve(ctx context.Context, signals <-chan os.Signal, o edge.Options) error {
	if o.Watch == 0 {
		o.Watch = -1
	}
	node, err := edge.New(o)
	if err != nil {
		return buildError(err)
	}
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case s := <-signals:
				obey(node, s, o.Log)
			case <-over:
				return
			}
		}
	})
	limited, cancel := context.WithCancel(context.WithoutCancel(ctx)) // also while the node drains
	wg.Go(func() { memlimit.Keep(limited, node.CacheMemory) })
	err = node.Run(ctx)
	cancel()
	close(over)
	wg.Wait()
	return err
}

// obey carries out what a signal asks for.
func obey(node *edge.Node, s os.Signal, log *slog.Logger) {
	if s == syscall.SIGUSR1 {
		if err := node.ReopenLogs(); err != nil {
			log.Error("access log not opened again, the old file is still written", "error", err)
		}
		return
	}
	if err := node.Reload(); errors.Is(err, edge.ErrUnchanged) { // what else it says it has logged
		log.Info("configuration unchanged")
	}
}

// buildError tells what the configuration causes from what the machine causes.
func buildError(err error) error {
	if errors.Is(err, edge.ErrListen) {
		return err
	}
	return fmt.Errorf("%w: %w", errConfig, err)
}

// loadConfig loads the file that --config, the environment or custom names.
func loadConfig(c *cobra.Command) (*config.Config, config.Warnings, error) {
	path, err := configPath(c)
	if err != nil {
		return nil, nil, err
	}
	return config.Load(path)
}

func configPath(c *cobra.Command) (string, error) {
	if path, _ := c.Flags().GetString("config"); path != "" {
		return path, nil
	}
	if path := os.Getenv("MERIDIAN_CONFIG"); path != "" {
		return path, nil
	}
	for _, path := range []string{"meridian.yaml", "/etc/meridian/meridian.yaml"} {
		if _, err := os.Stat(path); err == nil {
			return filepath.Clean(path), nil
		}
	}
	return "", usageError{errors.New("no configuration: give one with -c FILE, or write meridian.yaml here (`meridian demo` needs none)")}
}
