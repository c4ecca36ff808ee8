package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"

	"github.com/meridian-edge/meridian/config"
	"github.com/meridian-edge/meridian/dns"
	"github.com/meridian-edge/meridian/edge"
	"github.com/meridian-edge/meridian/edge/admin"
)

// node is one edge of the demo: a complete edge.Node that can be killed and started again. What it thinks is asked through its
// admin socket, as `meridian status` does.
type node struct {
	at      location
	cfg     *config.Config
	version string
	log     *slog.Logger
	access  io.Writer
	admin   *admin.Client

	mu      sync.Mutex // guards the field below
	running *running   // nil while the node is dead
}

// running is one life of a node.
type running struct {
	edge   *edge.Node
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned
	err    error         // of Run; read after done
}

var errDead = errors.New("the edge is dead")

// start serves, and returns when the node is ready.
func (n *node) start(ctx context.Context) error {
	e, err := edge.New(edge.Options{Config: n.cfg, Log: n.log, AccessLog: n.access, Version: n.version})
	if err != nil {
		return fmt.Errorf("edge %s: %w", n.at.Name, err)
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // the demo stops its parts in its own order
	r := &running{edge: e, cancel: cancel, done: make(chan struct{})}
	go func() { // ended by stop or kill, which wait for it
		defer close(r.done)
		r.err = e.Run(runCtx)
	}()
	n.mu.Lock()
	n.running = r
	n.mu.Unlock()
	select {
	case <-e.Ready():
		return nil
	case <-r.done:
		return fmt.Errorf("edge %s stopped: %w", n.at.Name, errors.Join(r.err, errDead))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take returns the life that runs and leaves the node dead.
func (n *node) take() *running {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.running
	n.running = nil
	return r
}

func (n *node) alive() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.running != nil
}

// kill ends the node as a crash would.
func (n *node) kill() {
	if r := n.take(); r != nil {
		r.edge.Kill()
		<-r.done
		r.cancel()
	}
}

// stop drains the node.
func (n *node) stop() error {
	r := n.take()
	if r == nil {
		return nil
	}
	r.cancel()
	<-r.done
	if r.err != nil {
		return fmt.Errorf("edge %s: %w", n.at.Name, r.err)
	}
	return nil
}

// health asks the node for its verdicts.
func (n *node) health(ctx context.Context) ([]edge.Verdict, error) {
	if !n.alive() {
		return nil, errDead
	}
	var list []edge.Verdict
	err := n.admin.Call(ctx, http.MethodGet, "/v1/health", nil, &list)
	return list, err
}

// explain asks the node how it would answer a client that wants the address of the site.
func (n *node) explain(ctx context.Context, client netip.Addr) (*dns.Explanation, error) {
	if !n.alive() {
		return nil, errDead
	}
	var e dns.Explanation
	err := n.admin.Call(ctx, http.MethodGet, "/v1/explain", url.Values{
		"name": {host}, "type": {"A"}, "client": {client.String()},
	}, &e)
	return &e, err
}
