package probe

import (
	"testing"
)

// What an agent took away only it gives back, by the word of the same sort (HAProxy configuration manual, agent-check).
func TestAgentWordsOfASortReplaceEachOther(t *testing.T) {
	for _, c := range []struct {
		lines    []string
		up       bool
		draining bool
		weight   int
		limit    int
		kept     string
	}{
		{[]string{"75%"}, true, false, 75, 0, ""},
		{[]string{"75%", "maxconn:30"}, true, false, 75, 30, ""},
		{[]string{"75% maxconn:30", "100% maxconn:0"}, true, false, 100, 0, ""},
		{[]string{"drain"}, false, true, 0, 0, ""},
		{[]string{"drain", "up"}, false, true, 0, 0, "drain"},    // up is the other sort
		{[]string{"drain", "ready"}, true, false, 0, 0, ""},      // ready cancels drain
		{[]string{"maint", "50%"}, false, false, 50, 0, "maint"}, // the weight is noted
		{[]string{"maint", "drain"}, false, true, 0, 0, ""},      // one administrative state at a time
		{[]string{"down", "ready"}, false, false, 0, 0, "down"},  // ready does not bring up
		{[]string{"down", "75%"}, false, false, 75, 0, "down"},   //
		{[]string{"fail", "up"}, true, false, 0, 0, ""},          //
		{[]string{"stopped drain", "up"}, false, true, 0, 0, "drain"},
		{[]string{"stopped drain", "ready"}, false, false, 0, 0, "stopped"},
		{[]string{"0%"}, false, true, 0, 0, ""},                     // as drain
		{[]string{"0%", "up ready"}, false, true, 0, 0, "0%"},       // the weight is neither
		{[]string{"0%", "1%"}, true, false, 1, 0, ""},               //
		{[]string{"99999999%"}, true, false, MaxAgentWeight, 0, ""}, //
		{[]string{"maxconn:2000000000"}, true, false, 0, MaxAgentLimit, ""},
	} {
		var s AgentState
		var l AgentLine
		for _, text := range c.lines {
			l = AgentLine{parseAgent([]byte(text))}
			s.Take(&l)
		}
		if s.Up() != c.up || s.Draining() != c.draining || s.Weight != c.weight || s.Limit != c.limit || s.Kept(&l) != c.kept || !s.Valid() {
			t.Errorf("%q: up %v, draining %v, kept by %q, %+v; want %+v", c.lines, s.Up(), s.Draining(), s.Kept(&l), s, c)
		}
	}
}

func TestOnlyWordsOfStateDecide(t *testing.T) {
	for line, want := range map[string]bool{"up": true, "ready": true, "drain": true, "0%": true, "75%": false, "maxconn:3": false, "maxconn:0 1%": false} {
		if l := (AgentLine{parseAgent([]byte(line))}); l.Decides() != want {
			t.Errorf("%q decides: %v", line, !want)
		}
	}
}
