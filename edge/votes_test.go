package edge_test

import (
	"strings"
	"testing"

	"github.com/meridian-edge/meridian/edge"
)

// The health page shows what the fleet believes, what that stands on, and every voter; alone, a node has only itself.
func TestHealthPageShowsTheVotes(t *testing.T) {
	a := newOrigin(t, "a", nil)
	n := start(t, fill(`
version: 1
edge: {name: fra1, region: eu}
regions: {eu: {lat: 50, lon: 8}}
listeners: {http: ["127.0.0.1:0"], metrics: ["127.0.0.1:0"]}
checks:
  web: {type: http, target: "ORIGIN0", path: /healthz, interval: 1s, timeout: 900ms}
  not: {type: http, target: "ORIGIN0", path: /healthz, interval: 1s, timeout: 900ms, inverted: true}
quorum: {period: 100ms, references: [web]}
distributions: {www: {domains: [www.example.org], origins: {a: {url: "http://ORIGIN0"}}}}
`, a))
	var web, not edge.Verdict
	waitFor(t, "a vote", func() bool {
		for _, v := range n.Status("health").([]edge.Verdict) {
			switch strings.Join(v.Checks, ",") {
			case "web":
				web = v
			case "not":
				not = v
			}
		}
		return web.Votes != nil && len(web.Votes.Voters) == 1 && web.Votes.Voters[0].State == "up"
	})
	v := web.Votes
	if web.Alive != "up" || v.Alive != "up" || v.Reach != "up" || v.Basis != "self" || v.Voters[0].Voter != "fra1" || v.Voters[0].Region != "eu" {
		t.Errorf("web: %+v, %+v", web, v)
	}
	if not.Alive != "down" || not.Votes == nil || not.Votes.Alive != "up" {
		t.Errorf("the inverted check: %+v, votes %+v: want the votes of what it is the opposite of", not, not.Votes)
	}
	if got := n.metric(t, `meridian_votes_voters`); got != "1" {
		t.Errorf("meridian_votes_voters %q", got)
	}
	a.kill()
	waitFor(t, "the self-test to fail", func() bool { return n.Status("status").(edge.Status).Abstains == "1 of 1 reference targets fail" })
	if got := n.metric(t, `meridian_votes_abstaining`); got != "1" {
		t.Errorf("meridian_votes_abstaining %q", got)
	}
}
