package edge_test

import (
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/edge"
)

// A restart remembers what was down, and what an operator said.
func TestRestartKeepsVerdictsAndOrders(t *testing.T) {
	eu, us := newOrigin(t, "eu", nil), newOrigin(t, "us", nil)
	yaml := strings.Replace(fill(fullNode, eu, us), "version: 1", "version: 1\nstate_dir: "+t.TempDir(), 1)
	n := start(t, yaml)
	lines := func(n *node) map[string]edge.Verdict {
		out := map[string]edge.Verdict{}
		for _, v := range n.Status("health").([]edge.Verdict) { //nolint:forcetypeassert // it makes no other
			out[v.Endpoint] = v
		}
		return out
	}
	waitFor(t, "both are up", func() bool { return lines(n)[eu.addr()].State == "up" && lines(n)[us.addr()].State == "up" })
	if _, err := n.Force(eu.addr(), "drain", 0); err != nil {
		t.Fatal(err)
	}
	probes := lines(n)[us.addr()].Probes
	n.stop()
	again := start(t, yaml)
	after := lines(again)
	if v := after[eu.addr()]; v.State != "down" || v.Forced != "drain" {
		t.Errorf("drained before the restart: %+v", v)
	}
	if v := after[us.addr()]; v.State != "up" || v.Probes < probes {
		t.Errorf("%d probes before the restart: %+v", probes, v)
	}
}
