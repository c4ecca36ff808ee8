package origin_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/proxy/origin"
)

// observer notes what it is told: "endpoint status".
type observer struct {
	mu   sync.Mutex
	told []string
}

func (o *observer) Attempted(endpoint, status int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told = append(o.told, fmt.Sprint(endpoint, " ", status))
}

func (o *observer) want(t *testing.T, want ...string) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Equal(o.told, want) {
		t.Errorf("told %q, want %q", o.told, want)
	}
	o.told = nil
}

func TestObserverHearsWhatEndpointsDid(t *testing.T) {
	transport := newTransport(t, origin.Options{})
	seen := &observer{}
	goal := target(t, refused(t), answers(t, 503, "").addr, answers(t, 200, "good").addr)
	goal.Observer = seen
	goal.RetryPercent = 100
	response, _, err := transport.Do(t.Context(), goal, get("/"))
	if err != nil {
		t.Fatal(err)
	}
	read(t, response)
	seen.want(t, "0 0", "1 503", "2 200")
}

func TestObserverIsNotToldWhatIsNobodysFault(t *testing.T) {
	transport := newTransport(t, origin.Options{})
	seen := &observer{}

	// An idle connection that the endpoint had given up: only the fresh one counts.
	o := raw(t, func(c net.Conn, conn, n int) bool {
		if n == 2 {
			return false
		}
		io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		return true
	})
	goal := target(t, o.addr)
	goal.Observer = seen
	for range 2 {
		if _, _, err := transport.Do(t.Context(), goal, get("/")); err != nil {
			t.Fatal(err)
		}
	}
	seen.want(t, "0 204", "0 204")

	// A client that went away while the endpoint thought.
	ctx, cancel := context.WithCancel(t.Context())
	thinking := raw(t, func(c net.Conn, conn, n int) bool {
		cancel()
		_, _ = c.Read(make([]byte, 1))
		return false
	})
	goal = target(t, thinking.addr)
	goal.Observer = seen
	if _, _, err := transport.Do(ctx, goal, get("/")); err == nil {
		t.Error("an answer to a client that is gone")
	}
	seen.want(t)

	// An endpoint that does not answer in time is to blame.
	silent := raw(t, func(c net.Conn, conn, n int) bool {
		_, _ = c.Read(make([]byte, 1))
		return false
	})
	goal = target(t, silent.addr)
	goal.Observer, goal.ReadTimeout = seen, 20*time.Millisecond
	if _, _, err := transport.Do(t.Context(), goal, get("/")); err == nil {
		t.Error("an answer from nowhere")
	}
	seen.want(t, "0 0")
}

func TestATruncatedResponseIsAFailure(t *testing.T) {
	transport := newTransport(t, origin.Options{})
	seen := &observer{}
	broken := raw(t, func(c net.Conn, conn, n int) bool {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		return false
	})
	goal := target(t, broken.addr)
	goal.Observer = seen
	response, _, err := transport.Do(t.Context(), goal, get("/"))
	if err != nil {
		t.Fatal(err)
	}
	seen.want(t) // not yet
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("half a response was whole")
	}
	_ = response.Body.Close()
	seen.want(t, "0 0")

	// One that nobody reads to its end is no failure, and is told once.
	goal = target(t, answers(t, 200, "more than was wanted").addr)
	goal.Observer = seen
	response, _, err = transport.Do(t.Context(), goal, get("/"))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	_ = response.Body.Close()
	seen.want(t, "0 200")
}
