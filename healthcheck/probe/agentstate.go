package probe

// AgentLine is one line of an agent, as it was understood.
type AgentLine struct{ word agentWord }

// Decides reports whether the line says anything about the state of the endpoint, which counts at once: HAProxy needs no second
// line either. A line about weight above 0 or connections alone says that the agent is there, and nothing else.
func (l *AgentLine) Decides() bool {
	return l.word.operation != "" || l.word.admin != "" || l.word.weight == 0
}

// AgentState is what the lines of an agent came to. As in HAProxy there are two states of an endpoint beside its weight and its
// connections, and what a line does not name stays as it was: what an agent took away only the agent can give back, by the word of
// the same sort (HAProxy configuration manual, agent-check). The zero AgentState is that of an agent that has said nothing.
type AgentState struct {
	Operation string `json:"operation,omitempty"` // up, down, fail, stopped
	Admin     string `json:"admin,omitempty"`     // ready, drain, maint
	// Weight is the percentage of its weight the endpoint wants, 1 to MaxAgentWeight; 0: nothing was said about it.
	Weight int `json:"weight,omitempty"`
	// Weightless is true while it wants none of its weight, which is another way to drain.
	Weightless bool `json:"weightless,omitempty"`
	// Limit is how many connections it wants at most, up to MaxAgentLimit; 0: any number.
	Limit int `json:"limit,omitempty"`
}

// Limits of what an agent can ask for.
const (
	MaxAgentWeight = 25_600    // percent: no weight grows beyond 256 times itself
	MaxAgentLimit  = 1_000_000 // connections
)

// Take adds a line.
func (s *AgentState) Take(l *AgentLine) {
	w := &l.word
	if w.operation != "" {
		s.Operation = w.operation
	}
	if w.admin != "" {
		s.Admin = w.admin
	}
	if w.weight >= 0 {
		s.Weight, s.Weightless = min(w.weight, MaxAgentWeight), w.weight == 0
	}
	if w.maxconn >= 0 {
		s.Limit = min(w.maxconn, MaxAgentLimit)
	}
}

// Up reports whether new clients are welcome.
func (s *AgentState) Up() bool {
	return (s.Operation == "" || s.Operation == "up") && (s.Admin == "" || s.Admin == "ready") && !s.Weightless
}

// Draining reports whether the endpoint is closed to new clients and goes on to serve those it has: drain and a weight of 0 do
// that, maint and down do not.
func (s *AgentState) Draining() bool {
	return (s.Operation == "" || s.Operation == "up") && s.Admin != "maint" && !s.Up()
}

// Kept says what holds the endpoint down although the last line does not name it; empty: nothing does.
func (s *AgentState) Kept(l *AgentLine) string {
	switch {
	case s.Operation != "" && s.Operation != "up" && l.word.operation == "":
		return s.Operation
	case s.Admin != "" && s.Admin != "ready" && l.word.admin == "":
		return s.Admin
	case s.Weightless && l.word.weight < 0:
		return "0%"
	}
	return ""
}

// Valid reports whether lines can have come to this, for states that were read from a file.
func (s *AgentState) Valid() bool {
	switch s.Operation {
	case "", "up", "down", "fail", "stopped":
	default:
		return false
	}
	switch s.Admin {
	case "", "ready", "drain", "maint":
	default:
		return false
	}
	return s.Weight >= 0 && s.Weight <= MaxAgentWeight && s.Limit >= 0 && s.Limit <= MaxAgentLimit && (!s.Weightless || s.Weight == 0)
}
