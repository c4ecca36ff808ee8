package probe

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

var errAgentLine = errors.New("agent line above 512 bytes")

// agent reads the line of an HAProxy agent: "up 75% maxconn:30", "down # disk full". Of one line alone, anything that wants new
// traffic to stay away is a failure; what lines before it said is remembered by an AgentState.
func (t *attempt) agent() Result {
	if len(t.send) > 0 {
		if _, err := t.conn.Write([]byte(t.send)); err != nil {
			return t.fail(exchanging, err)
		}
	}
	line, err := readLine(t.conn)
	if err != nil {
		return t.fail(exchanging, err)
	}
	w := parseAgent(line)
	if !w.known() {
		return t.not(KindResponse, "agent: no word is known in "+quote(line))
	}
	r := t.ok("agent: " + w.String())
	if !w.healthy() {
		r = t.not(KindContent, "agent: "+w.String())
	}
	r.Agent = &AgentLine{w}
	return r
}

// readLine reads up to the end of the line or of the connection.
func readLine(r io.Reader) ([]byte, error) {
	buf := make([]byte, 0, maxAgentLine)
	for len(buf) < maxAgentLine {
		n, err := r.Read(buf[len(buf):maxAgentLine])
		buf = buf[:len(buf)+n]
		if end := bytes.IndexAny(buf, "\r\n"); end >= 0 {
			return buf[:end], nil
		}
		if errors.Is(err, io.EOF) && len(buf) > 0 {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, errAgentLine
}

// agentWord is what an agent said. Of several words of one sort the last counts, as in HAProxy.
type agentWord struct {
	operation string // up, down, stopped, fail; empty: not said
	admin     string // ready, drain, maint; empty: not said
	weight    int    // percent; negative: not said
	maxconn   int    // negative: not said
	note      string // after #
}

// parseAgent reads a line. Words are separated by blanks and commas, in any case; those that nobody knows are skipped
// (HAProxy configuration manual, agent-check).
func parseAgent(line []byte) agentWord {
	w := agentWord{weight: -1, maxconn: -1}
	text, note, _ := strings.Cut(string(line), "#")
	w.note = strings.TrimSpace(note)
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r == ' ' || r == '\t' || r == ',' })
	for _, word := range words {
		switch word {
		case "up", "down", "stopped", "fail":
			w.operation = word
			continue
		case "ready", "drain", "maint":
			w.admin = word
			continue
		}
		if n, found := strings.CutSuffix(strings.TrimPrefix(word, "weight:"), "%"); found {
			w.weight = agentNumber(n, w.weight)
		} else if n, found := strings.CutPrefix(word, "maxconn:"); found {
			w.maxconn = agentNumber(n, w.maxconn)
		}
	}
	return w
}

// agentNumber reads a whole number, or keeps the one there was.
func agentNumber(s string, old int) int {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return int(n)
	}
	return old
}

func (w *agentWord) known() bool {
	return w.operation != "" || w.admin != "" || w.weight >= 0 || w.maxconn >= 0
}

// healthy reports whether new traffic is welcome. A weight of 0 % drains (as in HAProxy).
func (w *agentWord) healthy() bool {
	return (w.operation == "" || w.operation == "up") && (w.admin == "" || w.admin == "ready") && w.weight != 0
}

// String writes what was understood.
func (w *agentWord) String() string {
	var said []string
	for _, s := range []string{w.operation, w.admin} {
		if s != "" {
			said = append(said, s)
		}
	}
	if w.weight >= 0 {
		said = append(said, strconv.Itoa(w.weight)+"%")
	}
	if w.maxconn >= 0 {
		said = append(said, "maxconn "+strconv.Itoa(w.maxconn))
	}
	text := strings.Join(said, " ")
	if w.note != "" {
		text += " (" + w.note + ")"
	}
	return text
}
