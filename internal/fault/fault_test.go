package fault_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/meridian-edge/meridian/internal/fault"
)

func TestEveryCodeIsComplete(t *testing.T) {
	for _, c := range fault.Codes() {
		e := c.Entry()
		if e.Status < 400 || e.Status > 599 || e.Title == "" || e.Remedy == "" || e.Proxy == "" {
			t.Errorf("%s is incomplete: %+v", c, e)
		}
		if found, ok := fault.Lookup(string(c)); !ok || found != c {
			t.Errorf("%s is not found by its name", c)
		}
	}
	if code, ok := fault.Lookup("e-route-nohost"); !ok || code != fault.NoHost {
		t.Error("case matters in Lookup")
	}
}

func TestAsFindsTheErrorInAChain(t *testing.T) {
	inner := fault.Retryable(fault.Connect, io.ErrUnexpectedEOF)
	if got := fault.As(fmt.Errorf("fetch: %w", inner)); got != inner || !got.Retry {
		t.Errorf("got %v", got)
	}
	if got := fault.As(io.EOF); got.Code != fault.Unexpected || !errors.Is(got, io.EOF) || got.Retry {
		t.Errorf("got %v", got)
	}
	if fault.As(nil) != nil {
		t.Error("As(nil) is not nil")
	}
}
