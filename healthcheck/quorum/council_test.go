package quorum_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meridian-edge/meridian/healthcheck/quorum"
)

func newCouncil(mode quorum.Mode) *quorum.Council {
	c := quorum.New(rule(mode))
	c.Watch([]quorum.Target{target})
	return c
}

func vote(voter string, s quorum.State, seq uint64, at time.Time) quorum.Vote {
	return quorum.Vote{Voter: voter, Target: target, State: s, Seq: seq, At: at}
}

var start = time.Unix(1_000_000, 0)

func TestOldNewsChangesNothing(t *testing.T) {
	c := newCouncil(quorum.R53)
	take := func(after time.Duration, seq uint64, want bool) {
		t.Helper()
		if got := c.Take(start.Add(after), vote("a", quorum.Up, seq, time.Time{})); got != want {
			t.Errorf("seq %d after %v: taken %t, want %t", seq, after, got, want)
		}
	}
	take(0, 10, true)
	take(0, 10, false)            // sent twice
	take(time.Second, 9, false)   // overtaken
	take(2*time.Second, 11, true) //
	take(7*time.Second, 5, false) // 11 is still fresh
	take(8*time.Second, 5, true)  // it has expired: whoever lost his count begins anew
	take(9*time.Second, 6, true)  //
	take(9*time.Second, 6, false) //
}

func TestVotesBeyondLimitsAreRefused(t *testing.T) {
	c := newCouncil(quorum.R53)
	long := strings.Repeat("x", quorum.MaxName+1)
	for name, v := range map[string]quorum.Vote{
		"no voter":     vote("", quorum.Up, 1, start),
		"long voter":   vote(long, quorum.Up, 1, start),
		"long region":  {Voter: "a", Region: long, Target: target, State: quorum.Up, Seq: 1},
		"other target": {Voter: "a", Target: quorum.Target{Endpoint: "192.0.2.9:80"}, State: quorum.Up, Seq: 1},
		"no state":     vote("a", quorum.Abstained+1, 1, start),
	} {
		if c.Take(start, v) {
			t.Errorf("%s: taken", name)
		}
	}
	for i := range quorum.MaxVoters {
		if !c.Take(start, vote(fmt.Sprint(i), quorum.Up, 1, start)) {
			t.Fatalf("voter %d is refused", i)
		}
	}
	if c.Take(start, vote("more", quorum.Up, 1, start)) {
		t.Error("one more voter than may be was taken")
	}
	if !c.Take(start, vote("7", quorum.Down, 2, start)) {
		t.Error("a voter that is known was refused")
	}
	if later := start.Add(time.Hour); !c.Take(later, vote("more", quorum.Up, 1, later)) {
		t.Error("those who are long gone keep others out")
	}
}

// A vote held up on its way is as old as it is, whatever its voter's clock shows.
func TestLateVotesAreOld(t *testing.T) {
	for _, skew := range []time.Duration{0, time.Hour, -time.Hour} {
		c := newCouncil(quorum.R53)
		sent := func(seconds int) time.Time { return start.Add(time.Duration(seconds)*time.Second + skew) }
		arrive := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
		c.Take(arrive(0), vote("a", quorum.Up, 1, sent(0)))
		c.Take(arrive(2), vote("a", quorum.Up, 2, sent(2)))
		if c.Take(arrive(8), vote("a", quorum.Down, 3, sent(2))) {
			t.Errorf("%v: a vote six seconds late was taken", skew)
		}
		c.Take(arrive(8), vote("a", quorum.Down, 4, sent(5))) // three seconds late: three seconds left
		if o := c.Decide(arrive(10), target, quorum.Up); o.Down != 1 {
			t.Errorf("%v: %v", skew, o)
		}
		if o := c.Decide(arrive(11), target, quorum.Up); o.Down != 0 || o.Expired != 1 {
			t.Errorf("%v: %v", skew, o)
		}
	}
}

// A clock that jumps is believed again, at once when it jumps ahead, and after a minute when it jumps back.
func TestClocksThatJump(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		c := newCouncil(quorum.R53)
		fresh := -1
		for i := range 60 {
			now := start.Add(time.Duration(2*i) * time.Second)
			at := now
			if i >= 5 {
				at = now.Add(jump)
			}
			c.Take(now, vote("a", quorum.Up, uint64(i+1), at))
			if o := c.Decide(now, target, quorum.Up); i >= 5 && o.Up == 1 && fresh < 0 {
				fresh = i
			}
			if o := c.Decide(now, target, quorum.Up); i > 36 && o.Up != 1 {
				t.Errorf("jump %v: at %d %v", jump, i, o)
			}
		}
		if fresh < 0 {
			t.Errorf("jump %v: never believed again", jump)
		}
	}
}

// What others have voted before this node watched a target, or of one it no longer watches, is not kept.
func TestWatchKeepsAndForgets(t *testing.T) {
	c := newCouncil(quorum.R53)
	castAll(c, start, "eu", 3, quorum.Down)
	other := quorum.Target{Endpoint: "192.0.2.2:80", Check: "tcp"}
	c.Watch([]quorum.Target{target, other})
	if o := c.Decide(start, target, quorum.Up); o.State != quorum.Down || o.Basis != quorum.Quorum {
		t.Errorf("what is watched still was forgotten: %v", o)
	}
	c.Watch([]quorum.Target{other})
	c.Watch([]quorum.Target{target})
	if o := c.Decide(start, target, quorum.Up); o.Basis != quorum.Self || o.Down != 0 {
		t.Errorf("what was not watched is remembered: %v", o)
	}
	if o := c.Decide(start, other, quorum.Down); o.State != quorum.Down || o.Basis != quorum.Self {
		t.Errorf("of a target nobody watches it thinks %v", o)
	}
}

func TestRuleMayChange(t *testing.T) {
	c := newCouncil(quorum.Any)
	castOne(c, start, "eu", "a", quorum.Up)
	castAll(c, start, "us", 4, quorum.Down)
	if o := c.Decide(start, target, quorum.Down); o.State != quorum.Up {
		t.Errorf("any: %v", o)
	}
	c.SetRule(rule(quorum.All))
	if o := c.Decide(start.Add(time.Second), target, quorum.Down); o.State != quorum.Up || o.Basis != quorum.Dwelling {
		t.Errorf("all, at once: %v", o)
	}
	c.SetRule(rule(quorum.Local))
	if o := c.Decide(start.Add(time.Second), target, quorum.Down); o.State != quorum.Down || o.Basis != quorum.Self {
		t.Errorf("local: %v", o)
	}
}

func TestOpinionInWords(t *testing.T) {
	o := quorum.Opinion{State: quorum.Up, Basis: quorum.Quorum, Up: 4, Down: 8, Abstained: 1, Unsure: 3, Expired: 2}
	if got, want := o.String(), "quorum: 4 of 12 up, 1 abstained, 3 without a result, 2 expired"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Whatever comes in, an opinion turns at most once in a dwell as long as there is a quorum, and the order in which one round of
// votes arrives makes no difference.
func TestOpinionsDwellWhateverComesIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRule(t)
		r.MinVoters = 1
		c, d := quorum.New(r), quorum.New(r)
		c.Watch([]quorum.Target{target})
		d.Watch([]quorum.Target{target})
		now := start
		var turned time.Time
		last := quorum.Unknown
		for round := range 30 {
			now = now.Add(time.Duration(rapid.IntRange(1, 3000).Draw(t, "step")) * time.Millisecond)
			list := drawBallots(t)
			for i, b := range list {
				v := vote(fmt.Sprint(i), b.State, uint64(round+1), time.Time{})
				v.Region = b.Region
				c.Take(now, v)
			}
			for i := len(list) - 1; i >= 0; i-- {
				v := vote(fmt.Sprint(i), list[i].State, uint64(round+1), time.Time{})
				v.Region = list[i].Region
				d.Take(now, v)
			}
			o := c.Decide(now, target, quorum.Up)
			if other := d.Decide(now, target, quorum.Up); o != other {
				t.Fatalf("in another order: %v, %v", o, other)
			}
			if o.Basis == quorum.Self {
				last, turned = quorum.Unknown, time.Time{}
				continue
			}
			if last != quorum.Unknown && o.State != last && now.Sub(turned) < r.Dwell {
				t.Fatalf("turned after %v", now.Sub(turned))
			}
			if o.State != last {
				last, turned = o.State, now
			}
		}
	})
}

// FuzzTake feeds votes as they could come from anybody: the council stays within its limits and never loses its head.
func FuzzTake(f *testing.F) {
	f.Add("a", "eu", uint8(1), uint64(1), int64(0), int64(0))
	f.Add("b", "", uint8(9), uint64(1)<<63, int64(1)<<62, int64(-1)<<62)
	f.Fuzz(func(t *testing.T, voter, region string, state uint8, seq uint64, at, then int64) {
		c := newCouncil(quorum.Regions)
		for i, sent := range []int64{at, then, 0} {
			now := start.Add(time.Duration(i) * time.Second)
			c.Take(now, quorum.Vote{
				Voter: voter, Region: region, Target: target, State: quorum.State(state), Seq: seq + uint64(i), At: time.Unix(0, sent),
			})
			o := c.Decide(now, target, quorum.Up)
			if o.State != quorum.Up || o.Basis != quorum.Self || o.Up+o.Down+o.Abstained+o.Unsure+o.Expired > 1 {
				t.Fatalf("one voter of three made %+v", o)
			}
		}
	})
}

// BenchmarkDecide is the cost of one round for 1,000 targets with nine voters each: the same with all up and all down.
func BenchmarkDecide(b *testing.B) {
	for _, state := range []quorum.State{quorum.Up, quorum.Down} {
		b.Run(state.String(), func(b *testing.B) {
			c := quorum.New(rule(quorum.R53))
			list := make([]quorum.Target, 1000)
			for i := range list {
				list[i] = quorum.Target{Endpoint: fmt.Sprintf("192.0.2.1:%d", i), Check: "tcp"}
			}
			c.Watch(list)
			now := start
			b.ReportAllocs()
			for seq := uint64(1); b.Loop(); seq++ {
				now = now.Add(2 * time.Second)
				for _, t := range list {
					for _, name := range [...]string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
						c.Take(now, quorum.Vote{Voter: name, Region: name[:1], Target: t, State: state, Seq: seq, At: now})
					}
					c.Decide(now, t, state)
				}
			}
		})
	}
}

func ExampleCouncil() {
	c := quorum.New(quorum.Rule{Mode: quorum.R53, HealthyAbove: 0.18, MinVoters: 3, HoldLast: 5 * time.Minute})
	web := quorum.Target{Endpoint: "192.0.2.1:80", Check: "tcp"}
	c.Watch([]quorum.Target{web})
	now := time.Unix(1_000_000, 0)
	for i, state := range []quorum.State{quorum.Up, quorum.Down, quorum.Down, quorum.Down} {
		c.Take(now, quorum.Vote{Voter: fmt.Sprint("edge", i), Target: web, State: state, Seq: 1})
	}
	o := c.Decide(now, web, quorum.Down)
	fmt.Println(o.State, "by", o)
	// Output: up by quorum: 1 of 4 up
}
