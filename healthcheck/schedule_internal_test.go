package healthcheck

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meridian-edge/meridian/config"
)

func TestGapsStayNearTheInterval(t *testing.T) {
	const interval = 10 * time.Second
	low, high := interval, interval
	zero := time.Unix(1000, 0)
	for i := range 200 {
		k := Key{Endpoint: fmt.Sprintf("192.0.2.%d:80", i), Check: "tcp"}
		x := &target{planned: planned{hash: k.hash(), settings: settings{interval: interval, rules: rules{fall: 3}}}, phased: true}
		for x.round = 1; x.round < 200; x.round++ {
			from := zero.Add(time.Duration(i) * time.Millisecond)
			gap := x.onTick(zero, from.Add(x.gap(Up))).Sub(from)
			low, high = min(low, gap), max(high, gap)
		}
	}
	if low < 9500*time.Millisecond || high > 10500*time.Millisecond {
		t.Errorf("gaps between %v and %v, want 9.5s to 10.5s", low, high)
	}
	if low > 9610*time.Millisecond || high < 10480*time.Millisecond {
		t.Errorf("gaps between %v and %v do not use the jitter", low, high)
	}
}

func TestPhasesCoverTheInterval(t *testing.T) {
	const interval, keys, bins = 10 * time.Second, 10000, 10
	var hits [bins]int
	for i := range keys {
		k := Key{Endpoint: fmt.Sprintf("192.0.%d.%d:80", i/250, i%250), Check: "http /"}
		x := &target{planned: planned{hash: k.hash(), settings: settings{interval: interval}}}
		gap := x.gap(Up) - interval/10
		if gap < 0 || gap >= interval {
			t.Fatalf("first gap %v is not between 10%% and 110%% of the interval", gap+interval/10)
		}
		hits[gap*bins/interval]++
		if x.gap(Up) == gap+interval/10 {
			t.Fatal("the phase is taken twice")
		}
	}
	for bin, n := range hits {
		if n < keys/bins*85/100 || n > keys/bins*115/100 {
			t.Errorf("bin %d has %d of %d keys, want about a tenth", bin, n, keys)
		}
	}
}

func TestFastGapWhileNothingIsKnown(t *testing.T) {
	f := func(interval time.Duration, fall int, want time.Duration) {
		t.Helper()
		x := &target{planned: planned{settings: settings{interval: interval, rules: rules{fall: fall}}}}
		if got := x.gap(Unknown); got != want {
			t.Errorf("interval %v fall %d: %v, want %v", interval, fall, got, want)
		}
	}
	f(9*time.Second, 3, 3*time.Second)
	f(200*time.Millisecond, 4, 100*time.Millisecond) // not faster than this
	f(50*time.Millisecond, 4, 50*time.Millisecond)   // nor slower than the interval
	f(10*time.Second, 1, 10*time.Second)
}

func TestFirstProbesOfManyAreSpreadEvenly(t *testing.T) {
	now := time.Unix(1000, 0)
	many := make([]*target, 1000)
	for i := range many {
		k := Key{Endpoint: fmt.Sprint(i)}
		many[i] = &target{planned: planned{hash: k.hash(), settings: settings{interval: 10 * time.Second}}}
	}
	firstTimes(many, now)
	var at []time.Time
	for _, x := range many {
		at = append(at, x.at)
	}
	slices.SortFunc(at, time.Time.Compare)
	for i := range at {
		if want := now.Add(time.Duration(i) * time.Millisecond); !at[i].Equal(want) {
			t.Fatalf("probe %d at %v, want %v", i, at[i], want)
		}
	}
	few := many[:firstAtOnce]
	firstTimes(few, now)
	for _, x := range few {
		if !x.at.Equal(now) {
			t.Fatalf("first probe of few at %v, want at once", x.at)
		}
	}
}

func TestSettingsAlwaysFit(t *testing.T) {
	f := func(interval, timeout, want time.Duration) {
		t.Helper()
		got := newSettings(&config.Check{Interval: interval, Timeout: timeout})
		if got.timeout != want || got.timeout >= got.interval {
			t.Errorf("interval %v, timeout %v: timeout %v, want %v", interval, timeout, got.timeout, want)
		}
		if got.rules.rise != defaultRise || got.rules.fall != defaultFall {
			t.Errorf("rise %d, fall %d, want the defaults", got.rules.rise, got.rules.fall)
		}
	}
	f(10*time.Second, 3*time.Second, 3*time.Second)
	f(time.Second, time.Second, 500*time.Millisecond)
	f(time.Second, time.Hour, 500*time.Millisecond)
	f(time.Second, 0, 500*time.Millisecond)
	f(0, 0, 2*time.Second)
}
