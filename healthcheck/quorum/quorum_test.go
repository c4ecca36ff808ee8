package quorum_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/healthcheck/quorum"
)

var target = quorum.Target{Endpoint: "192.0.2.1:80", Check: "tcp"}

// rule is the default of the configuration.
func rule(mode quorum.Mode) quorum.Rule {
	return quorum.Rule{
		Mode: mode, HealthyAbove: 0.18, MinVoters: 3, HoldLast: 5 * time.Minute,
		Period: quorum.DefaultPeriod, Dwell: quorum.DefaultDwell,
	}
}

func ballots(up, down int) []quorum.Ballot {
	var list []quorum.Ballot
	for i := range up + down {
		state := quorum.Down
		if i < up {
			state = quorum.Up
		}
		list = append(list, quorum.Ballot{State: state})
	}
	return list
}

// Route 53: "if more than 18% of health checkers report that an endpoint is healthy, Route 53 considers it healthy. If 18% of
// health checkers or fewer report that an endpoint is healthy, Route 53 considers it unhealthy."
func TestR53IsExactAtEighteenPercent(t *testing.T) {
	r := rule(quorum.R53)
	for all := 3; all <= 1000; all++ {
		for _, up := range []int{0, all * 18 / 100, all*18/100 + 1, all} {
			want := quorum.Down
			if 100*up > 18*all {
				want = quorum.Up
			}
			if got := r.Count(ballots(up, all-up)); got != want {
				t.Errorf("%d of %d: %v, want %v", up, all, got, want)
			}
		}
	}
}

func TestTiesAreHealthy(t *testing.T) {
	r := rule(quorum.Regions)
	r.MinVoters = 2
	for text, want := range map[string]quorum.State{
		"a+ a-": quorum.Up, "a- a- b+ b+": quorum.Up, "a- b- c+": quorum.Down, "a- a- a- b+ c+": quorum.Up,
		"a+ a- b- b-": quorum.Up, "a+ a- a- b-": quorum.Down, "a-": quorum.Unknown,
	} {
		var list []quorum.Ballot
		for _, word := range strings.Fields(text) {
			state := map[byte]quorum.State{'+': quorum.Up, '-': quorum.Down}[word[1]]
			list = append(list, quorum.Ballot{Region: word[:1], State: state})
		}
		if got := r.Count(list); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func drawBallots(t *rapid.T) []quorum.Ballot {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) quorum.Ballot {
		return quorum.Ballot{
			Region: rapid.SampledFrom([]string{"", "eu", "us", "ap"}).Draw(t, "region"),
			State:  quorum.State(rapid.IntRange(0, 3).Draw(t, "state")),
		}
	}), 0, 30).Draw(t, "ballots")
}

func drawRule(t *rapid.T) quorum.Rule {
	return quorum.Rule{
		Mode:         quorum.Mode(rapid.IntRange(0, 4).Draw(t, "mode")),
		HealthyAbove: float64(rapid.IntRange(0, 99).Draw(t, "percent")) / 100,
		MinVoters:    rapid.IntRange(0, 5).Draw(t, "min"),
		HoldLast:     time.Duration(rapid.IntRange(0, 60).Draw(t, "hold")) * time.Second,
		Dwell:        time.Duration(rapid.IntRange(0, 20).Draw(t, "dwell")) * time.Second,
	}
}

// A vote that turns from down to up never makes a target unhealthy, and neither does one more healthy vote of a region that
// votes already.
func TestCountIsMonotoneInHealthyVotes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, list := drawRule(t), drawBallots(t)
		before := r.Count(list)
		for i := range list {
			if list[i].State != quorum.Down {
				continue
			}
			list[i].State = quorum.Up
			if after := r.Count(list); before == quorum.Up && after != quorum.Up {
				t.Fatalf("one more healthy vote of %v turned up into %v", list, after)
			}
			list[i].State = quorum.Down
			more := append(list[:len(list):len(list)], quorum.Ballot{Region: list[i].Region, State: quorum.Up})
			if after := r.Count(more); before == quorum.Up && after != quorum.Up {
				t.Fatalf("a healthy vote beside %v turned up into %v", list, after)
			}
		}
	})
}

// The modes are ordered: what all calls healthy, regions does, and what that does, any does; a threshold of nothing is any.
func TestModesAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, list := drawRule(t), drawBallots(t)
		count := func(m quorum.Mode, above float64) quorum.State {
			r.Mode, r.HealthyAbove = m, above
			return r.Count(list)
		}
		all, regions, anyone := count(quorum.All, 0), count(quorum.Regions, 0), count(quorum.Any, 0)
		if all == quorum.Up && regions != quorum.Up {
			t.Fatalf("%v: all is up, regions %v", list, regions)
		}
		if r53 := count(quorum.R53, 0); r53 != anyone {
			t.Fatalf("%v: more than 0 %% is %v, any %v", list, r53, anyone)
		}
		if all == quorum.Up && anyone != quorum.Up {
			t.Fatalf("%v: all is up, any %v", list, anyone)
		}
	})
}

// Votes of voters that abstain or know nothing are as if they were not there.
func TestAbstentionsAreNotInTheDenominator(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, list := drawRule(t), drawBallots(t)
		var counted []quorum.Ballot
		for _, b := range list {
			if b.State == quorum.Up || b.State == quorum.Down {
				counted = append(counted, b)
			}
		}
		if with, without := r.Count(list), r.Count(counted); with != without {
			t.Fatalf("%v: %v with them, %v without", list, with, without)
		}
	})
}

// With no vote coming in, an opinion changes only when the rule says otherwise of the votes that are left, when the dwell is
// over, or when nothing may be held any longer; and then to what the rule or this node itself says.
func TestNothingFlipsOnExpiryAloneWithoutTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRule(t)
		c := quorum.New(r)
		c.Watch([]quorum.Target{target})
		now := time.Unix(1000, 0)
		arrived := map[int]time.Time{}
		given := drawBallots(t)
		for i, b := range given {
			now = now.Add(time.Duration(rapid.IntRange(0, 1000).Draw(t, "later")) * time.Millisecond)
			c.Take(now, quorum.Vote{Voter: strconv.Itoa(i), Region: b.Region, Target: target, State: b.State, Seq: 1})
			arrived[i] = now
			c.Decide(now, target, quorum.Up)
		}
		self := quorum.State(rapid.IntRange(0, 2).Draw(t, "self"))
		last := c.Decide(now, target, self)
		quorate := now
		for range 60 {
			now = now.Add(time.Duration(rapid.IntRange(1, 2000).Draw(t, "step")) * time.Millisecond)
			var left []quorum.Ballot
			for i, b := range given {
				if now.Sub(arrived[i]) < r.Expiry() {
					left = append(left, b)
				}
			}
			counted := r.Count(left)
			if counted != quorum.Unknown {
				quorate = now
			}
			o := c.Decide(now, target, self)
			switch o.Basis {
			case quorum.Quorum:
				if o.State != counted {
					t.Fatalf("a quorum for %v, but the rule says %v", o.State, counted)
				}
			case quorum.Held:
				if o.State != last.State || counted != quorum.Unknown || now.Sub(quorate) >= r.HoldLast {
					t.Fatalf("%v held after %v, %v ago", o.State, last.State, now.Sub(quorate))
				}
			case quorum.Dwelling:
				if o.State != last.State || counted == o.State || now.Sub(o.Since) >= r.Dwell {
					t.Fatalf("%v dwells since %v", o.State, now.Sub(o.Since))
				}
			case quorum.Self:
				if o.State != self || counted != quorum.Unknown {
					t.Fatalf("its own opinion is %v, want %v", o.State, self)
				}
			}
			if o.Basis != quorum.Self && o.State != last.State && o.Basis != quorum.Quorum {
				t.Fatalf("%v became %v on %v", last.State, o.State, o.Basis)
			}
			last = o
		}
		if last = c.Decide(now.Add(time.Hour), target, self); last.Basis != quorum.Self {
			t.Fatalf("after an hour without votes the opinion still is %v", last)
		}
	})
}

// TestModeNames: a mode is found by its own name, and the empty one is local.
func TestModeNames(t *testing.T) {
	for m := quorum.Local; m <= quorum.Any; m++ {
		if got, err := quorum.ParseMode(m.String()); got != m || err != nil {
			t.Errorf("%v became %v, %v", m, got, err)
		}
	}
	if m, err := quorum.ParseMode(""); m != quorum.Local || err != nil {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := quorum.ParseMode("most"); err == nil {
		t.Error("an unknown mode was found")
	}
}

// A voter doubts itself when most unrelated things fail, or most of its references, and never because of one thing.
func TestSelfTest(t *testing.T) {
	seen := func(text string) []quorum.Seen { // fate and + or -; "ref" is a reference
		var list []quorum.Seen
		for _, word := range strings.Fields(text) {
			fate := word[:len(word)-1]
			list = append(list, quorum.Seen{Fate: fate, Reference: fate == "ref", OK: strings.HasSuffix(word, "+")})
		}
		return list
	}
	for text, want := range map[string]string{
		"":                           "",
		"a-":                         "", // of one or two things nobody can tell whose fault it is
		"a- b-":                      "",
		"a- b- c-":                   "3 of 3 unrelated targets fail",
		"a- b- c+":                   "2 of 3 unrelated targets fail",
		"a- b- c+ d+":                "", // half is not most
		"a- a- a- a- a- b+ c+":       "", // one fate
		"a- a+ b- b+ c- c+":          "",
		"a+ b+ c+ d+ ref-":           "1 of 1 reference targets fail",
		"a+ b+ c+ d+ ref- ref+":      "",
		"a+ b+ ref- ref- ref+":       "2 of 3 reference targets fail",
		"a- b- c- ref+ ref+ ref+":    "3 of 3 unrelated targets fail",
		"a- a- a+ b- c- d+ e+ f+ g+": "",
	} {
		fit, why := quorum.SelfTest(seen(text))
		if why != want || fit != (want == "") {
			t.Errorf("%q: %t, %q, want %q", text, fit, why, want)
		}
	}
}

// The document lists every case of a partition, and is right: each row of its table is run.
func TestThePublishedTableIsTrue(t *testing.T) {
	page, err := os.ReadFile("../../docs/votes.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 9 || !strings.HasPrefix(line, "| P") {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows++
		t.Run(cells[0], func(t *testing.T) { runRow(t, cells) })
	}
	if rows < 20 {
		t.Errorf("%d rows", rows)
	}
}

// runRow plays one row: what was before, the votes, and what each mode makes of them.
func runRow(t *testing.T, cells []string) {
	before, votes, self := cells[2], cells[3], parseState(t, cells[4])
	for i, mode := range []quorum.Mode{quorum.R53, quorum.Regions, quorum.All, quorum.Any} {
		c := quorum.New(rule(mode))
		c.Watch([]quorum.Target{target})
		now := time.Unix(1_000_000, 0)
		if state, ago, found := strings.Cut(before, " "); found { // a quorum of all, so long ago
			length, err := time.ParseDuration(strings.TrimSuffix(ago, " ago"))
			if err != nil {
				t.Fatal(err)
			}
			castAll(c, now.Add(-length), "x", 3, parseState(t, state))
			c.Decide(now.Add(-length), target, self)
		}
		for _, word := range strings.Fields(votes) {
			region, rest, ok := strings.Cut(word, ":")
			if !ok {
				t.Fatalf("%q is no vote", word)
			}
			for j, kind := range strings.Split(rest, "") {
				name := fmt.Sprintf("%s%d", region, j)
				switch kind {
				case "+":
					castOne(c, now, region, name, quorum.Up)
				case "-":
					castOne(c, now, region, name, quorum.Down)
				case "a":
					castOne(c, now, region, name, quorum.Abstained)
				case "?":
					castOne(c, now, region, name, quorum.Unknown)
				case "x": // it said up, and has not been heard of for three periods
					castOne(c, now.Add(-3*quorum.DefaultPeriod), region, name, quorum.Up)
				default:
					t.Fatalf("%q is no vote", kind)
				}
			}
		}
		o := c.Decide(now, target, self)
		if got := fmt.Sprintf("%v %v", o.State, o.Basis); got != cells[5+i] {
			t.Errorf("%v: %s, the table says %s (%v)", mode, got, cells[5+i], o)
		}
	}
}

func parseState(t *testing.T, name string) quorum.State {
	t.Helper()
	for s := quorum.Unknown; s <= quorum.Down; s++ {
		if s.String() == name {
			return s
		}
	}
	t.Fatalf("%q is no state", name)
	return 0
}

func castOne(c *quorum.Council, now time.Time, region, name string, s quorum.State) {
	c.Take(now, quorum.Vote{Voter: name, Region: region, Target: target, State: s, Seq: uint64(now.UnixNano())})
}

func castAll(c *quorum.Council, now time.Time, region string, n int, s quorum.State) {
	for i := range n {
		castOne(c, now, region, fmt.Sprintf("%s%d", region, i), s)
	}
}
