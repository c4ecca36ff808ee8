package origin_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/proxy/origin"
	"github.com/meridian-edge/meridian/steer"
)

// answers is an origin that answers with a status and its name.
func answers(t testing.TB, status int, text string) *rawOrigin {
	return raw(t, says(fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s", status, len(text), text)))
}

func TestRefusedConnectionGoesToTheNextEndpoint(t *testing.T) {
	good := answers(t, 200, "good")
	for _, method := range []string{"GET", "POST"} {
		r := request(method, "/", nil, 0)
		if method == "POST" {
			r.Body, r.Length = strings.NewReader("abc"), 3
		}
		response, report, err := newTransport(t, origin.Options{}).Do(t.Context(), target(t, refused(t), refused(t), good.addr), r)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := read(t, response); got != "good" {
			t.Errorf("%s: %q", method, got)
		}
		if len(report.Attempts) != 3 || code(report.Attempts[0].Err) != fault.Connect || !report.Attempts[0].Err.Retry {
			t.Errorf("%s: %+v", method, report.Attempts)
		}
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	good := answers(t, 200, "good")
	goal := target(t, refused(t), refused(t), good.addr)
	goal.Attempts = 2
	_, report, err := newTransport(t, origin.Options{}).Do(t.Context(), goal, get("/"))
	if code(err) != fault.Connect || len(report.Attempts) != 2 {
		t.Errorf("%v after %d attempts", err, len(report.Attempts))
	}
}

func TestUnhealthyEndpointsAreTheLastResort(t *testing.T) {
	down, good := answers(t, 200, "down"), answers(t, 200, "good")
	goal := target(t, down.addr, good.addr)
	group := &steer.Group{Name: "g", Policy: steer.Failover, Members: []steer.Member{
		{ID: "down", Slot: 0, Leaf: 0}, {ID: "good", Slot: steer.Always, Leaf: 1},
	}}
	goal.Tree, _ = steer.Compile(group)
	goal.Health = allDown{}
	transport := newTransport(t, origin.Options{})
	response, _, err := transport.Do(t.Context(), goal, get("/"))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := read(t, response); got != "good" {
		t.Errorf("healthy first: %q", got)
	}
	goal.Endpoints[1].Addr = refused(t)
	if response, _, err = transport.Do(t.Context(), goal, get("/")); err != nil {
		t.Fatal(err)
	}
	if got, _ := read(t, response); got != "down" {
		t.Errorf("then the last resort: %q", got)
	}
}

type allDown struct{}

func (allDown) Up(steer.Slot) bool { return false }

func TestSafeRequestsSurviveALostEndpoint(t *testing.T) {
	dies := raw(t, func(net.Conn, int, int) bool { return false })
	good := answers(t, 200, "good")
	goal := target(t, dies.addr, good.addr)
	transport := newTransport(t, origin.Options{})
	for _, method := range []string{"GET", "OPTIONS", "HEAD"} { // HEAD last: this origin answers it with a body, which ends the connection
		response, report, err := transport.Do(t.Context(), goal, request(method, "/", nil, 0))
		if err != nil {
			t.Fatal(err)
		}
		read(t, response)
		if len(report.Attempts) != 2 || code(report.Attempts[0].Err) != fault.OriginAborted {
			t.Errorf("%s: %+v", method, report.Attempts)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		before := dies.requests.Load()
		_, report, err := transport.Do(t.Context(), goal, request(method, "/", nil, 0))
		if code(err) != fault.OriginAborted || len(report.Attempts) != 1 || dies.requests.Load() != before+1 {
			t.Errorf("%s: %v after %+v", method, err, report.Attempts)
		}
	}
}

func TestGatewayErrorsAreTriedElsewhere(t *testing.T) {
	f := func(method string, statuses []int, want int, attempts int) {
		t.Helper()
		goal := &origin.Target{Name: "pool"}
		for _, status := range statuses {
			o := answers(t, status, fmt.Sprint(status))
			goal.Endpoints = append(goal.Endpoints, origin.Endpoint{ID: o.addr.String(), Addr: o.addr})
		}
		group := &steer.Group{Name: "g", Policy: steer.Failover}
		for i := range statuses {
			group.Members = append(group.Members, steer.Member{ID: fmt.Sprint(i), Slot: steer.Always, Leaf: i})
		}
		goal.Tree, _ = steer.Compile(group)
		response, report, err := newTransport(t, origin.Options{}).Do(t.Context(), goal, request(method, "/", nil, 0))
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(t, response)
		if response.Status != want || got != fmt.Sprint(want) || err != nil || len(report.Attempts) != attempts {
			t.Errorf("%s %v: %d %q, %v after %d attempts; want %d after %d", method, statuses, response.Status, got, err,
				len(report.Attempts), want, attempts)
		}
	}
	f("GET", []int{503, 200}, 200, 2)
	f("GET", []int{502, 504, 200}, 200, 3)
	f("GET", []int{503, 502}, 502, 2)
	f("GET", []int{503}, 503, 1)
	f("GET", []int{500, 200}, 500, 1)
	f("POST", []int{503, 200}, 503, 1)
}

func TestGatewayErrorIsBetterThanNone(t *testing.T) {
	o := answers(t, 503, "busy")
	goal := target(t, o.addr, refused(t))
	response, report, err := newTransport(t, origin.Options{}).Do(t.Context(), goal, get("/"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := read(t, response); response.Status != 503 || got != "busy" || err != nil || len(report.Attempts) != 2 {
		t.Errorf("%d %q, %v after %d attempts", response.Status, got, err, len(report.Attempts))
	}
}

// TestDeadIdleConnection: an origin that closes idle connections costs nothing, with one endpoint and without the budget's
// help from net/http.
func TestDeadIdleConnection(t *testing.T) {
	served := make(chan net.Conn, 10)
	o := raw(t, func(c net.Conn, conn, n int) bool {
		if n == 2 {
			return false // takes the request and dies
		}
		io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		served <- c
		return true
	})
	transport := newTransport(t, origin.Options{})
	goal := target(t, o.addr)
	if _, _, err := transport.Do(t.Context(), goal, get("/")); err != nil {
		t.Fatal(err)
	}
	_, report, err := transport.Do(t.Context(), goal, get("/"))
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Attempts) != 2 || !report.Attempts[0].Reused || report.Attempts[1].Reused {
		t.Errorf("%+v: want a reused connection, then a fresh one", report.Attempts)
	}
	_, report, err = transport.Do(t.Context(), goal, request("DELETE", "/", nil, 0))
	if code(err) != fault.OriginAborted || len(report.Attempts) != 1 {
		t.Errorf("DELETE: %v after %+v", err, report.Attempts)
	}
	if n := o.requests.Load(); n != 4 {
		t.Errorf("%d requests arrived, want 4: nothing but the GET is sent twice", n)
	}
}

func TestClosedIdleConnectionTakesNothingAlong(t *testing.T) {
	closed := make(chan struct{}, 1)
	o := raw(t, func(c net.Conn, conn, n int) bool {
		io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		closed <- struct{}{}
		return false // at once, with the connection idle on our side
	})
	transport := newTransport(t, origin.Options{})
	goal := target(t, o.addr)
	for i := range 20 {
		r := request("POST", "/", strings.NewReader("abc"), 3)
		if _, report, err := transport.Do(t.Context(), goal, r); err != nil {
			// The end may cross the request on the wire; then nobody can know, and it must not be sent again.
			if code(err) != fault.OriginAborted {
				t.Fatalf("request %d: %v after %+v", i, err, report.Attempts)
			}
			continue
		}
		<-closed
	}
}

func TestRetryBudgetIsABound(t *testing.T) {
	bad, good := answers(t, 503, "bad"), answers(t, 200, "good")
	goal := target(t, bad.addr, good.addr)
	registry := prometheus.NewPedanticRegistry()
	transport := newTransport(t, origin.Options{Registerer: registry})
	passed := 0
	for range 700 {
		response, _, err := transport.Do(t.Context(), goal, get("/"))
		if err != nil {
			t.Fatal(err)
		}
		read(t, response)
		if response.Status == 503 {
			passed++
		}
	}
	// 512 in reserve, 70 from requests, 10 for each second of the test.
	if passed == 0 || passed > 700-512-60 {
		t.Errorf("%d of 700 were not tried again", passed)
	}
	if n := good.requests.Load(); int(n) != 700-passed {
		t.Errorf("%d retries, want %d", n, 700-passed)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
}

func TestBusyEndpointIsPassedOver(t *testing.T) {
	release := make(chan struct{})
	slow := server(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		<-release
	})
	good := answers(t, 200, "good")
	goal := target(t, slow, good.addr)
	goal.MaxConns = 1
	transport := newTransport(t, origin.Options{})
	first, _, err := transport.Do(t.Context(), goal, get("/"))
	if err != nil {
		t.Fatal(err)
	}
	second, report, err := transport.Do(t.Context(), goal, request("POST", "/", nil, 0))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := read(t, second); got != "good" || code(report.Attempts[0].Err) != fault.OriginBusy {
		t.Errorf("%q after %+v", got, report.Attempts)
	}
	goal.Endpoints = goal.Endpoints[:1]
	goal.Tree = target(t, slow).Tree
	if _, _, err := transport.Do(t.Context(), goal, get("/")); code(err) != fault.OriginBusy {
		t.Error(err)
	}
	close(release)
	read(t, first)
	if third, _, err := transport.Do(t.Context(), goal, get("/")); err != nil {
		t.Errorf("the place was not given back: %v", err)
	} else {
		read(t, third)
	}
}

func TestTimedOutGetIsTriedElsewhere(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	silent := raw(t, func(net.Conn, int, int) bool { <-release; return false })
	good := answers(t, 200, "good")
	goal := target(t, silent.addr, good.addr)
	goal.ReadTimeout = 50 * time.Millisecond
	response, report, err := newTransport(t, origin.Options{}).Do(t.Context(), goal, get("/"))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := read(t, response); got != "good" || code(report.Attempts[0].Err) != fault.OriginTimeout {
		t.Errorf("%q after %+v", got, report.Attempts)
	}
}

// TestSlowIsNotDead: a connection that times out was not dead, so its endpoint gets no second chance.
func TestSlowIsNotDead(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	slow := raw(t, func(c net.Conn, _, n int) bool {
		if n > 1 {
			<-release
			return false
		}
		io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		return true
	})
	good := answers(t, 200, "good")
	goal := target(t, slow.addr, good.addr)
	goal.ReadTimeout = 50 * time.Millisecond
	transport := newTransport(t, origin.Options{})
	for i := range 2 {
		response, report, err := transport.Do(t.Context(), goal, get("/"))
		if err != nil {
			t.Fatal(err)
		}
		read(t, response)
		if len(report.Attempts) != i+1 || i == 1 && !report.Attempts[0].Reused {
			t.Errorf("%+v", report.Attempts)
		}
	}
}
