// Package demo shows a whole small network on one machine: three origins in three regions, three complete edges, and clients
// in a dozen countries that find an edge through DNS and fetch over HTTP/1.1, HTTP/2 and HTTP/3, while an origin and then an
// edge are killed.
//
//	report, err := demo.Run(ctx, demo.Options{Duration: 20 * time.Second, JSON: true, Out: os.Stdout})
//
// Everything is real: sockets on 127.0.0.0/8, configuration files that `meridian run` takes as they are, clients that check
// every byte. No line is scripted: what is shown comes from what the clients measured and from the edges' admin sockets. Run
// leaves nothing behind, neither files nor goroutines. Several Runs may go on at the same time.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/meridian-edge/meridian/edge/admin"
)

// Options say how long the demo runs and how it is shown. Only Out is required.
type Options struct {
	// Duration is how long traffic lasts, more or less: steps wait for what they need. 0 is one minute or, on a terminal,
	// until ctx is done, round after round.
	Duration time.Duration
	JSON     bool         // nothing on Out but one JSON object at the end
	Keep     bool         // leave the folder behind, with the configurations and the edges' logs, and say where it is
	Out      io.Writer    // what is shown
	Terminal bool         // Out is a terminal: draw a live table; colors unless the variable NO_COLOR is set (https://no-color.org)
	Width    int          // columns of the terminal; 0: asked of Out when that is one, else 100
	Log      *slog.Logger // of the edges; nil: discarded
	Version  string       // shown, and given to the edges
	AnyPorts bool         // take any free ports, not the well-known ones first
}

// defaultDuration is how long a run without a terminal lasts.
const defaultDuration = time.Minute

// Run shows the demo and returns what it measured. A run that worked and missed an objective returns both its Report and an
// error that wraps ErrObjectives; any other error means that the demo could not be set up. When ctx ends, Run stops early and
// judges what there was.
func Run(ctx context.Context, o Options) (*Report, error) {
	dir, err := makeFolder()
	if err != nil {
		return nil, err
	}
	if !o.Keep {
		defer os.RemoveAll(dir) //nolint:errcheck // nothing can be done about what cannot be removed
	}
	d := &demo{options: o}
	if d.world, err = newWorld(dir, o.AnyPorts); err != nil {
		return nil, err
	}
	if err := d.assemble(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	err = d.start(ctx)
	if err == nil {
		d.show(ctx)
	}
	if err = errors.Join(err, d.close()); err != nil {
		return nil, err
	}
	return d.finish()
}

// makeFolder makes the only folder the demo writes to. Its path leaves room for a socket's name, which the kernel limits to
// 107 bytes.
func makeFolder() (string, error) {
	const room = 80
	dir, err := os.MkdirTemp("", "meridian-demo-")
	if err == nil && len(dir) > room {
		if err = os.Remove(dir); err == nil {
			dir, err = os.MkdirTemp("/tmp", "meridian-demo-")
		}
	}
	return dir, err
}

// demo is one run.
type demo struct {
	options Options
	world   *world
	origins []*origin
	nodes   []*node
	files   []io.Closer // of the kept folder
	clients []*client
	stats   *stats
	watch   *watcher
	screen  *screen
	script  *script
	bounded bool // the run has an end of its own
	report  *Report
}

// assemble makes every part and starts none.
func (d *demo) assemble() error {
	o, w := &d.options, d.world
	d.bounded = o.Duration > 0 || !o.Terminal || o.JSON
	how := plain
	switch {
	case o.JSON:
		how = silent
	case o.Terminal:
		how = live
	}
	d.screen = newScreen(o.Out, how, os.Getenv("NO_COLOR") == "", o.Width)
	assets := theAssets()
	for _, at := range w.Origins {
		d.origins = append(d.origins, newOrigin(at.Name, netip.AddrPortFrom(at.Addr, w.Ports.Origin), w.delays(at), assets))
	}
	for _, at := range w.Edges {
		n, err := d.newNode(at)
		if err != nil {
			return err
		}
		d.nodes = append(d.nodes, n)
	}
	d.stats = newStats(w)
	d.script = &script{world: w, origins: d.origins, nodes: d.nodes, stats: d.stats, screen: d.screen, events: []Event{}, losses: []Loss{}}
	d.watch = newWatcher(w, d.nodes, d.stats, d.script.note)
	if how != silent {
		d.watch.explain = 3
	}
	d.script.watch = d.watch
	d.clients = newClients(w, d.stats.record, d.stats.asked)
	return nil
}

func (d *demo) newNode(at location) (*node, error) {
	cfg, err := d.world.writeConfig(at)
	if err != nil {
		return nil, err
	}
	n := &node{at: at, cfg: cfg, version: d.options.Version, access: io.Discard, admin: admin.NewClient(d.world.socket(at))}
	var handlers []slog.Handler
	if d.options.Log != nil {
		handlers = append(handlers, d.options.Log.With("node", at.Name).Handler())
	}
	if d.options.Keep {
		f, err := os.Create(filepath.Join(d.world.Dir, at.Name+".log"))
		if err != nil {
			return nil, err
		}
		d.files = append(d.files, f)
		handlers = append(handlers, slog.NewJSONHandler(f, nil))
	}
	n.log = slog.New(slog.NewMultiHandler(handlers...))
	return n, nil
}

// start brings up origins, then all edges at once: they check each other.
func (d *demo) start(ctx context.Context) error {
	for _, o := range d.origins {
		if err := o.start(); err != nil {
			return err
		}
	}
	return together(d.nodes, func(n *node) error { return n.start(ctx) })
}

// together does something to all nodes at the same time.
func together(nodes []*node, do func(*node) error) error {
	var wg sync.WaitGroup
	errs := make([]error, len(nodes))
	for i, n := range nodes {
		wg.Go(func() { errs[i] = do(n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// show runs the clients and the script. It returns when the script is over and every client has its last answer.
func (d *demo) show(ctx context.Context) {
	if d.screen.mode != silent {
		d.screen.print(banner(d.world, d.screen, d.options.Version, d.options.Keep)...)
	}
	d.stats.start = time.Now()
	traffic, stopTraffic := context.WithCancel(ctx)
	defer stopTraffic()
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching()
	var clients, others sync.WaitGroup
	for _, c := range d.clients {
		clients.Go(func() { c.run(traffic) })
	}
	others.Go(func() { d.watch.run(watching) })
	others.Go(func() { d.redraw(watching) })

	d.script.run(ctx, d.length())
	stopTraffic()
	clients.Wait()
	stopWatching()
	others.Wait()

	folder := ""
	if d.options.Keep {
		folder = d.world.Dir
	}
	d.report = newReport(d.script.outcome(d.bounded, folder))
}

// length is how long one pass of the script takes; 0 is until ctx is done.
func (d *demo) length() time.Duration {
	if d.options.Duration == 0 && d.bounded {
		return defaultDuration
	}
	return d.options.Duration
}

// redraw keeps the screen up to date until ctx is done.
func (d *demo) redraw(ctx context.Context) {
	if d.screen.mode == silent {
		return
	}
	t := time.NewTicker(liveEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := d.stats.snapshot()
		d.screen.refresh(&now, tableRows(d.world.Countries, &now, d.watch.reasonsNow()))
	}
}

// close stops what runs: edges first, so that no origin is missed.
func (d *demo) close() error {
	errs := []error{together(d.nodes, (*node).stop)}
	for _, o := range d.origins {
		o.kill()
	}
	for _, f := range d.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// finish shows the report and returns it with its verdict.
func (d *demo) finish() (*Report, error) {
	if d.options.JSON {
		text, err := json.MarshalIndent(d.report, "", "  ")
		if err != nil {
			return nil, err
		}
		if _, err := fmt.Fprintf(d.options.Out, "%s\n", text); err != nil {
			return nil, fmt.Errorf("write the report: %w", err)
		}
	} else {
		d.screen.finish()
		d.screen.print(summary(d.report, d.screen)...)
	}
	return d.report, d.report.err()
}
