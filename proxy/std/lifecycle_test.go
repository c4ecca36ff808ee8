package std_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"testing"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/internal/httpwire"
)

func TestClientThatGoesEndsTheContext(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		done := make(chan error, 1)
		f := start(t, func(ctx context.Context, x *httpwire.Exchange) *httpwire.Response {
			first := true
			b := newBody(func(p []byte) (int, error) {
				if first {
					first = false
					return copy(p, "begun"), nil
				}
				<-ctx.Done()
				return 0, fault.New(fault.ClientGone, ctx.Err())
			})
			return &httpwire.Response{Status: 200, Length: -1, Body: b, Done: func(n int64, err error) {
				<-b.closed
				done <- err
			}}
		}, nil)
		response, err := f.client(t, proto).do(t, "GET", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(response.Body, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if err := <-done; fault.As(err).Code != fault.ClientGone {
			t.Errorf("Done with %v", err)
		}
	})
}

// TestBodyIsOverWithTheExchange: a reader that outlives the exchange, as net/http's transport can be one, gets an error and
// touches nothing.
func TestBodyIsOverWithTheExchange(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		ended := make(chan error, 2)
		f := start(t, func(_ context.Context, x *httpwire.Exchange) *httpwire.Response {
			body, first := x.Body, make(chan struct{})
			go func() {
				b := make([]byte, 10)
				_, err := body.Read(b)
				close(first)
				for err == nil {
					_, err = body.Read(b)
				}
				ended <- err
			}()
			<-first
			r := text(200, "early")
			r.Done = func(int64, error) {
				_, err := body.Read(make([]byte, 1))
				ended <- err
			}
			return r
		}, nil)
		in, out := io.Pipe()
		defer out.Close()
		go io.WriteString(out, "x")
		response, err := f.client(t, proto).do(t, "POST", "/", in)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(response.Body); string(b) != "early" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		response.Body.Close()
		for range 2 {
			if err := <-ended; fault.As(err).Code != fault.ClientGone {
				t.Errorf("read after the end: %v", err)
			}
		}
	})
}

func TestInformationalResponses(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		var after error
		f := start(t, func(_ context.Context, x *httpwire.Exchange) *httpwire.Response {
			var fields httpwire.Fields
			fields.AddName("Link", "</a.css>; rel=preload")
			if err := x.Inform(103, fields); err != nil {
				t.Error(err)
			}
			for _, status := range []int{99, 100, 101, 200} {
				if x.Inform(status, nil) == nil {
					t.Errorf("%d was sent", status)
				}
			}
			r := text(200, "hi")
			r.Done = func(int64, error) { after = x.Inform(103, nil) }
			return r
		}, nil)
		var hints []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(status int, h textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(status, " ", h.Get("Link")))
				return nil
			},
		})
		c := f.client(t, proto)
		r, _ := http.NewRequestWithContext(ctx, "GET", c.base, nil)
		response, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if !slices.Equal(hints, []string{"103 </a.css>; rel=preload"}) {
			t.Errorf("hints %q", hints)
		}
		if response.Header.Get("Link") != "" {
			t.Error("the hint's field is in the response too")
		}
		f.Close()
		f.served.Wait()
		if after == nil {
			t.Error("a hint after the response")
		}
	})
}

func TestShutdownFinishesRequests(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		arrived, release := make(chan struct{}), make(chan struct{})
		f := start(t, func(context.Context, *httpwire.Exchange) *httpwire.Response {
			close(arrived)
			<-release
			return text(200, "slow but sure")
		}, nil)
		c := f.client(t, proto)
		type result struct {
			text string
			err  error
		}
		got := make(chan result)
		go func() {
			response, err := c.do(t, "GET", "/", nil)
			if err != nil {
				got <- result{err: err}
				return
			}
			b, err := io.ReadAll(response.Body)
			response.Body.Close()
			got <- result{string(b), err}
		}()
		<-arrived
		down := make(chan error)
		go func() { down <- f.Shutdown(t.Context()) }()
		close(release)
		if r := <-got; r.text != "slow but sure" || r.err != nil {
			t.Errorf("%q, %v", r.text, r.err)
		}
		if err := <-down; err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		arrived, gone := make(chan struct{}), make(chan struct{})
		f := start(t, func(ctx context.Context, _ *httpwire.Exchange) *httpwire.Response {
			close(arrived)
			<-ctx.Done()
			close(gone)
			return text(200, "never")
		}, nil)
		c := f.client(t, proto)
		got := make(chan error)
		go func() {
			_, err := c.do(t, "GET", "/", nil)
			got <- err
		}()
		<-arrived
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("shutdown: %v", err)
		}
		<-gone
		if err := <-got; err == nil {
			t.Error("the request was answered")
		}
	})
}

func TestCloseDoesNotWait(t *testing.T) {
	each(t, func(t *testing.T, proto httpwire.Proto) {
		arrived, release := make(chan struct{}), make(chan struct{})
		f := start(t, func(context.Context, *httpwire.Exchange) *httpwire.Response {
			close(arrived)
			<-release
			return text(200, "late")
		}, nil)
		got := make(chan error)
		c := f.client(t, proto)
		go func() {
			_, err := c.do(t, "GET", "/", nil)
			got <- err
		}()
		<-arrived
		f.Close()
		if err := <-got; err == nil {
			t.Error("the request was answered")
		}
		close(release)
	})
}
