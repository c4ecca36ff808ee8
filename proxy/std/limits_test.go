package std_test

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
	"github.com/meridian-edge/meridian/proxy/std"
)

// TestClientThatDoesNotReadIsCutOff is attack row R03.
func TestClientThatDoesNotReadIsCutOff(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		done := make(chan error, 1)
		f := startWith(t, func(_ context.Context, x *httpwire.Exchange) *httpwire.Response {
			return &httpwire.Response{
				Status: 200, Length: -1, Body: newBody(func(p []byte) (int, error) { return len(p), nil }),
				Done: func(_ int64, err error) { done <- err },
			}
		}, nil, func(s *std.Server) { std.SetTimes(s, 100*time.Millisecond, time.Minute) })
		response, err := f.client(t, proto).do(t, "GET", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := <-done; fault.As(err).Code != fault.ClientGone {
			t.Errorf("Done with %v", err)
		}
		response.Body.Close()
	})
}

// TestBodyThatPausesIsNotCutOff: the origin may be slow for longer than a client may.
func TestBodyThatPausesIsNotCutOff(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		f := startWith(t, func(context.Context, *httpwire.Exchange) *httpwire.Response {
			n := 0
			return &httpwire.Response{Status: 200, Length: -1, Body: newBody(func(p []byte) (int, error) {
				if n++; n > 3 {
					return 0, io.EOF
				}
				if n > 1 {
					<-time.After(80 * time.Millisecond)
				}
				return copy(p, "part "), nil
			})}
		}, nil, func(s *std.Server) { std.SetTimes(s, 40*time.Millisecond, time.Minute) })
		if _, got := f.client(t, proto).must(t, "GET", "/", nil); got != "part part part " {
			t.Errorf("%q", got)
		}
	})
}

// TestBodyThatStandsStillIsCutOff is attack row R02.
func TestBodyThatStandsStillIsCutOff(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		got := make(chan error, 1)
		f := startWith(t, func(_ context.Context, x *httpwire.Exchange) *httpwire.Response {
			_, err := io.Copy(io.Discard, x.Body)
			got <- err
			return text(408, "")
		}, nil, func(s *std.Server) { std.SetTimes(s, time.Minute, 50*time.Millisecond) })
		in, out := io.Pipe()
		go io.WriteString(out, "begun")
		c := f.client(t, proto)
		r, err := http.NewRequestWithContext(t.Context(), "POST", c.base, in)
		if err != nil {
			t.Fatal(err)
		}
		response, err := c.Do(r)
		if err := <-got; fault.As(err).Code != fault.ClientGone {
			t.Errorf("read: %v", err)
		}
		if err == nil {
			response.Body.Close()
		}
		out.Close()
	})
}

func TestOneClientIsAnAddressOrA64(t *testing.T) {
	f := func(a, want string) {
		t.Helper()
		if got := std.ClientOf(netip.MustParseAddr(a)); got != netip.MustParseAddr(want) {
			t.Errorf("%s: %s, want %s", a, got, want)
		}
	}
	f("192.0.2.1", "192.0.2.1")
	f("::ffff:192.0.2.1", "192.0.2.1")
	f("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")
	f("fe80::1%eth0", "fe80::")
}

func TestRequestIDs(t *testing.T) {
	seen := map[string]bool{}
	last := ""
	for range 1000 {
		id := std.NewID()
		if len(id) != 26 || seen[id] || strings.Trim(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != "" {
			t.Fatalf("%q", id)
		}
		if id[:10] < last {
			t.Fatalf("%q after %q", id, last)
		}
		seen[id], last = true, id[:10]
	}
}
