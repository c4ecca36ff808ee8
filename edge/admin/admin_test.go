package admin_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meridian-edge/meridian/edge/admin"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy"
)

// slowNode is a node whose prefetches take a while.
type slowNode struct {
	admin.Node // nothing else is asked
	takes      time.Duration
	ended      chan error // why one ended early
}

func (n *slowNode) Prefetch(ctx context.Context, url string, _ httpwire.Fields) (any, error) {
	select {
	case <-ctx.Done():
		n.ended <- context.Cause(ctx)
		return nil, context.Cause(ctx)
	case <-time.After(n.takes):
		return proxy.Prefetched{URL: url, Stored: true}, nil
	}
}

// pipes is a listener of connections in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error {
	close(p)
	return nil
}

func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }

// prefetch begins a prefetch at a server, and returns the client's end.
func prefetch(t *testing.T, n *slowNode) net.Conn {
	t.Helper()
	server, listener := admin.NewServer(n), make(pipes, 1)
	done := make(chan error)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	ours, theirs := net.Pipe()
	listener <- theirs
	if _, err := io.WriteString(ours, "POST /v1/prefetch?url=http://a/ HTTP/1.1\r\nHost: meridian\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return ours
}

// A large object from a slow origin takes longer than any other answer may.
func TestPrefetchMayTakeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &slowNode{takes: 2 * time.Hour, ended: make(chan error, 1)}
		conn := prefetch(t, n)
		defer conn.Close()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != 200 {
			t.Errorf("%d, %s, %v", response.StatusCode, body, err)
		}
	})
}

// When nobody waits for it any more it ends.
func TestPrefetchEndsWithItsClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &slowNode{takes: time.Hour, ended: make(chan error, 1)}
		conn := prefetch(t, n)
		synctest.Wait()
		conn.Close()
		began := time.Now()
		if err := <-n.ended; !errors.Is(err, context.Canceled) || time.Since(began) > time.Second {
			t.Errorf("%v, after %v", err, time.Since(began))
		}
	})
}
