package demo

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// ErrObjectives is wrapped by the error of a run that worked and missed an objective.
var ErrObjectives = errors.New("objectives not met")

// Report is what a run measured. Its JSON form is the output of `meridian demo --json`.
type Report struct {
	DurationS       float64            `json:"duration_s"` // of traffic
	Requests        int                `json:"requests"`
	DNSQueries      int                `json:"dns_queries"`
	FailedRequests  int                `json:"failed_requests"`
	RetriedRequests int                `json:"retried_requests"` // ended well after more than one attempt of their client
	HitRatio        float64            `json:"hit_ratio"`        // good answers from an edge's cache
	P50MS           float64            `json:"p50_ms"`           // of good answers, retries included
	P99MS           float64            `json:"p99_ms"`
	FailoverMS      float64            `json:"failover_ms"` // the longer of the two below; -1 when nothing was lost
	Failover        map[string]float64 `json:"failover"`    // by what was lost: from the kill until its last client was served another way
	ByProtocol      map[string]int     `json:"by_protocol"`
	ByEdge          map[string]int     `json:"by_edge"`
	ByOrigin        map[string]int     `json:"by_origin"` // requests that an edge went to an origin for
	ByCountry       map[string]int     `json:"by_country"`
	Losses          []Loss             `json:"losses"`
	Events          []Event            `json:"events"`
	Failures        []string           `json:"failures,omitempty"` // the first ones, in words
	Objectives      []Objective        `json:"objectives"`
	SLOMet          bool               `json:"slo_met"`
	Folder          string             `json:"folder,omitempty"` // left behind on request
}

// Loss is what killing one thing did.
type Loss struct {
	Kind        string  `json:"kind"` // origin or edge
	Name        string  `json:"name"`
	Clients     int     `json:"clients"`     // that it served
	Waiting     int     `json:"waiting"`     // of them without an answer by another way in the end
	FailoverMS  float64 `json:"failover_ms"` // until the last of them had one
	HealthMS    float64 `json:"health_ms"`   // until every living edge knew; -1: never
	Good        int     `json:"good"`        // requests of all clients from the kill until things settled
	Retried     int     `json:"retried"`     // of them
	Failed      int     `json:"failed"`
	DNSNamed    int     `json:"dns_named,omitempty"`        // edge: answers that still led to it
	DNSNamedFor float64 `json:"dns_named_for_ms,omitempty"` // edge: until the last of them was asked for
	AfterS      float64 `json:"after_s"`                    // from the start of traffic to the kill
}

// Event is something that happened, when it did.
type Event struct {
	AtS  float64 `json:"at_s"` // seconds since the start of traffic
	Kind string  `json:"kind"` // step, health, traffic, dns, problem
	Text string  `json:"text"`
}

// The kinds of events.
const (
	eventStep    = "step"    // what the demo does
	eventHealth  = "health"  // what an edge found out
	eventTraffic = "traffic" // what the clients saw
	eventDNS     = "dns"     // what resolvers were told
	eventProblem = "problem" // what should not be
)

// Objective is one promise and whether it held.
type Objective struct {
	Name string `json:"name"`
	Want string `json:"want"`
	Got  string `json:"got"`
	Met  bool   `json:"met"`
}

const (
	maxFailover = 5 * time.Second
	minHitRatio = 0.5 // a fifth of all requests may not be cached at all
)

// outcome is everything a report is made of.
type outcome struct {
	seen
	Losses   []Loss
	Events   []Event
	Prepared bool // checks were up and caches warm before the first kill
	Complete bool // losses were due: a run with an end must have had both
	Folder   string
}

func newReport(o *outcome) *Report {
	r := &Report{
		DurationS: round(o.Elapsed.Seconds()), Requests: o.Requests, DNSQueries: o.Queries, FailedRequests: o.Failed,
		RetriedRequests: o.Retried, HitRatio: math.Round(o.hitRatio()*1e4) / 1e4, P50MS: toMillis(o.P50), P99MS: toMillis(o.P99),
		FailoverMS: -1, Failover: map[string]float64{}, ByProtocol: o.ByProtocol, ByEdge: o.ByEdge, ByOrigin: o.ByOrigin,
		ByCountry: map[string]int{}, Losses: o.Losses, Events: o.Events, Failures: o.Failures, Folder: o.Folder,
	}
	for code, c := range o.ByCountry {
		r.ByCountry[code] = c.Requests
	}
	for _, l := range o.Losses {
		r.Failover[l.Kind] = max(r.Failover[l.Kind], l.FailoverMS)
		r.FailoverMS = max(r.FailoverMS, l.FailoverMS)
	}
	r.judge(o)
	return r
}

// judge fills in the objectives. Those about losses are left out of a run that was ended before its losses and had no end
// of its own.
func (r *Report) judge(o *outcome) {
	r.objective("failed_requests", r.FailedRequests == 0 && r.Requests > 0, "0 of at least one", "%d of %d", r.FailedRequests, r.Requests)
	var unused []string
	for _, p := range protocols() {
		if r.ByProtocol[p] == 0 {
			unused = append(unused, p)
		}
	}
	r.objective("protocols", len(unused) == 0, "h1, h2 and h3 used", "h1 %d, h2 %d, h3 %d", r.ByProtocol[protoH1], r.ByProtocol[protoH2], r.ByProtocol[protoH3])
	r.objective("hit_ratio", r.HitRatio > minHitRatio, fmt.Sprintf("above %.2f", minHitRatio), "%.4f", r.HitRatio)
	if o.Complete || len(o.Losses) > 0 {
		r.objective("prepared", o.Prepared, "all checks up and caches warm before the first kill", "%t", o.Prepared)
	}
	for _, kind := range []string{lossOrigin, lossEdge} {
		r.judgeLoss(o, kind)
	}
	r.objective("dns_avoids_dead_edge", o.Named == 0, "0 answers that name an edge its server knows to be down", "%d", o.Named)
	r.SLOMet = true
	for _, objective := range r.Objectives {
		r.SLOMet = r.SLOMet && objective.Met
	}
}

// judgeLoss asks whether every loss of a kind was survived: somebody depended on what was lost, and all of them got answers
// another way, in time, and every edge knew.
func (r *Report) judgeLoss(o *outcome, kind string) {
	want := fmt.Sprintf("all clients served another way within %s", maxFailover)
	held, worst := true, Loss{}
	found := false
	for _, l := range o.Losses {
		if l.Kind != kind {
			continue
		}
		met := l.Clients > 0 && l.Waiting == 0 && l.Good > 0 && l.Failed == 0 && l.HealthMS >= 0 &&
			l.FailoverMS < toMillis(maxFailover)
		if !found || held && !met || l.FailoverMS > worst.FailoverMS && held == met {
			worst = l
		}
		held, found = held && met, true
	}
	if !found && !o.Complete {
		return
	}
	if !found {
		r.objective("survived_"+kind+"_loss", false, want, "nothing was lost")
		return
	}
	r.objective("survived_"+kind+"_loss", held, want, "%s: %d clients moved in %.0f ms, %d waiting, health known in %.0f ms, %d good answers, %d retried, %d failed",
		worst.Name, worst.Clients-worst.Waiting, worst.FailoverMS, worst.Waiting, worst.HealthMS, worst.Good, worst.Retried, worst.Failed)
}

func (r *Report) objective(name string, met bool, want, got string, args ...any) {
	r.Objectives = append(r.Objectives, Objective{Name: name, Want: want, Got: fmt.Sprintf(got, args...), Met: met})
}

// err is nil when every objective was met.
func (r *Report) err() error {
	if r.SLOMet {
		return nil
	}
	var missed []string
	for _, o := range r.Objectives {
		if !o.Met {
			missed = append(missed, fmt.Sprintf("%s: want %s, got %s", o.Name, o.Want, o.Got))
		}
	}
	return fmt.Errorf("%w: %s", ErrObjectives, strings.Join(missed, "; "))
}

// toMillis and round keep three digits: more is noise.
func toMillis(d time.Duration) float64 { return round(float64(d) / float64(time.Millisecond)) }
func round(v float64) float64          { return math.Round(v*1e3) / 1e3 }
