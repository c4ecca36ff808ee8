package origin_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/meridian-edge/meridian/internal/fault"
	"github.com/meridian-edge/meridian/proxy/origin"
	"github.com/meridian-edge/meridian/steer"
)

// telling is a board on which slot 0 has told a limit.
type telling int

func (telling) Up(s steer.Slot) bool { return s != 9 }
func (telling) Advised() bool        { return true }
func (l telling) Advice(s steer.Slot) steer.Advice {
	if s == 0 {
		return steer.Advice{Limit: int(l)}
	}
	return steer.Advice{}
}

// What an endpoint tells as its limit holds: others are asked first, and nobody gets beyond it.
func TestToldLimitIsKept(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	slow := raw(t, func(c net.Conn, _, _ int) bool {
		entered <- struct{}{}
		<-leave
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
		return false
	})
	spare := answers(t, 200, "spare")
	goal := target(t, slow.addr, spare.addr)
	compile := func(n int) *steer.Tree {
		members := []steer.Member{{ID: "slow", Slot: 0, Leaf: 0}, {ID: "spare", Slot: steer.Always, Leaf: 1}}
		tree, err := steer.Compile(&steer.Group{Name: "g", Policy: steer.Failover, Members: members[:n]})
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	goal.Tree = compile(2)
	goal.Health = telling(1)
	registry := prometheus.NewPedanticRegistry()
	transport := newTransport(t, origin.Options{Registerer: registry})
	first := make(chan string)
	go func() {
		response, _, err := transport.Do(t.Context(), goal, get("/"))
		if err != nil {
			first <- err.Error()
			return
		}
		text, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		first <- string(text)
	}()
	<-entered
	response, _, err := transport.Do(t.Context(), goal, get("/"))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := read(t, response); got != "spare" {
		t.Errorf("the second request got %q, want the spare", got)
	}
	alone := *goal
	alone.Tree = compile(1)
	if _, _, err := transport.Do(t.Context(), &alone, get("/")); code(err) != fault.OriginBusy {
		t.Errorf("alone: %v, want %s", err, fault.OriginBusy)
	}
	leave <- struct{}{}
	if got := <-first; got != "slow" {
		t.Errorf("the first request got %q", got)
	}
	err = testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP meridian_origin_picks_total Requests whose first choice of an endpoint had another cause than the policy alone: spill (the one whose turn it was is full), panic (health is ignored), sticky (it served the client before), fail_open (nothing is healthy).
# TYPE meridian_origin_picks_total counter
meridian_origin_picks_total{cause="spill",pool="`+goal.Name+`"} 1
`), "meridian_origin_picks_total")
	if err != nil {
		t.Error(err)
	}
}

// Every cause beside the policy is counted once for a request.
func TestCausesOfPicksAreCounted(t *testing.T) {
	good := answers(t, 200, "good")
	goal := target(t, good.addr, good.addr, good.addr)
	registry := prometheus.NewPedanticRegistry()
	transport := newTransport(t, origin.Options{Registerer: registry})
	for _, c := range []struct {
		panic  int
		slots  []steer.Slot // 9 is down
		prefer int
	}{
		{0, []steer.Slot{1, 2, 3}, 2}, {0, []steer.Slot{9, 9, 9}, 0}, {100, []steer.Slot{1, 9, 9}, 0}, {0, []steer.Slot{1, 9, 9}, 0},
	} {
		group := &steer.Group{Name: "g", Policy: steer.Failover, Panic: c.panic}
		for i, s := range c.slots {
			group.Members = append(group.Members, steer.Member{Slot: s, Leaf: i})
		}
		each := *goal
		var err error
		if each.Tree, err = steer.Compile(group); err != nil {
			t.Fatal(err)
		}
		each.Health = telling(0)
		r := get("/")
		r.Prefer = c.prefer
		response, _, err := transport.Do(t.Context(), &each, r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = read(t, response)
	}
	for cause, want := range map[string]string{"sticky": "1", "fail_open": "1", "panic": "1", "spill": ""} {
		got := ""
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "meridian_origin_picks_total" && m.GetLabel()[0].GetValue() == cause {
					got = m.GetCounter().String()
				}
			}
		}
		if (want == "") != (got == "") || want != "" && !strings.Contains(got, "value:1 ") && !strings.HasSuffix(got, "value:1") {
			t.Errorf("%s: %q, want %q", cause, got, want)
		}
	}
}
