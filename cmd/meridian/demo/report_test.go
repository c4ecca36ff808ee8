package demo

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// goodOutcome is a run in which everything held.
func goodOutcome() *outcome {
	return &outcome{
		seen: seen{
			Elapsed: 20 * time.Second, Requests: 1000, Hits: 700, Queries: 90, Retried: 4, P50: time.Millisecond, P99: 90 * time.Millisecond,
			ByProtocol: map[string]int{"h1": 334, "h2": 333, "h3": 333}, ByEdge: map[string]int{"eu": 1000}, ByOrigin: map[string]int{"lon": 300},
			ByCountry: map[string]countryStats{"GB": {Requests: 1000}},
		},
		Losses: []Loss{
			{Kind: lossOrigin, Name: "lon", Clients: 8, FailoverMS: 640, HealthMS: 900, Good: 500},
			{Kind: lossEdge, Name: "eu", Clients: 8, FailoverMS: 1300, HealthMS: 950, Good: 400, Retried: 4},
		},
		Prepared: true, Complete: true,
	}
}

func TestReportOfAGoodRun(t *testing.T) {
	r := newReport(goodOutcome())
	if !r.SLOMet || r.err() != nil {
		t.Errorf("%v", r.err())
	}
	if r.FailoverMS != 1300 || r.Failover[lossOrigin] != 640 || r.HitRatio != 0.7 || r.P99MS != 90 || r.ByCountry["GB"] != 1000 {
		t.Errorf("%+v", r)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		"requests", "dns_queries", "failed_requests", "retried_requests", "hit_ratio", "p50_ms", "p99_ms", "failover_ms",
		"by_protocol", "by_edge", "by_country", "events", "slo_met", "objectives",
	} {
		if _, found := m[key]; !found {
			t.Errorf("no %q in the report", key)
		}
	}
}

func TestEachObjectiveCanBeMissed(t *testing.T) {
	f := func(objective string, spoil func(o *outcome)) {
		t.Helper()
		o := goodOutcome()
		spoil(o)
		r := newReport(o)
		err := r.err()
		if r.SLOMet || !errors.Is(err, ErrObjectives) || !strings.Contains(err.Error(), objective+":") {
			t.Errorf("%s: %v", objective, err)
		}
	}
	f("failed_requests", func(o *outcome) { o.Failed = 1 })
	f("failed_requests", func(o *outcome) { o.Requests = 0 })
	f("protocols", func(o *outcome) { o.ByProtocol["h3"] = 0 })
	f("hit_ratio", func(o *outcome) { o.Hits = 500 })
	f("prepared", func(o *outcome) { o.Prepared = false })
	f("survived_origin_loss", func(o *outcome) { o.Losses = o.Losses[1:] })
	f("survived_origin_loss", func(o *outcome) { o.Losses[0].Waiting = 1 })
	f("survived_origin_loss", func(o *outcome) { o.Losses[0].Clients = 0 })
	f("survived_edge_loss", func(o *outcome) { o.Losses[1].FailoverMS = 5000 })
	f("survived_edge_loss", func(o *outcome) { o.Losses[1].HealthMS = -1 })
	f("survived_edge_loss", func(o *outcome) { o.Losses[1].Failed = 1 })
	f("survived_edge_loss", func(o *outcome) { // one bad round among good ones
		bad := o.Losses[1]
		bad.Waiting = 2
		o.Losses = append(o.Losses, bad, o.Losses[1])
	})
	f("dns_avoids_dead_edge", func(o *outcome) { o.Named = 1 })
}

func TestRunThatTheReaderEndedIsNotBlamedForWhatDidNotHappen(t *testing.T) {
	o := goodOutcome()
	o.Losses, o.Complete, o.Prepared = nil, false, false
	r := newReport(o)
	if r.err() != nil || r.FailoverMS != -1 {
		t.Errorf("%v, failover %v", r.err(), r.FailoverMS)
	}
}
