package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// mode is how a run is shown.
type mode uint8

const (
	silent mode = iota // nothing: a JSON report follows
	plain              // lines, one after the other
	live               // events scroll, below them a table that is drawn again and again
)

const (
	defaultWidth = 100
	plainEvery   = 5 * time.Second        // between two status lines
	plainStable  = 4                      // refreshes without a change before a table is printed: not every step on the way
	liveEvery    = 250 * time.Millisecond // between two drawings
)

// screen shows a run. It is safe for concurrent use. Nobody can be told when writing fails, so errors of out are ignored.
type screen struct {
	out   io.Writer
	mode  mode
	color bool
	width int // columns of the terminal; 0: ask it

	mu     sync.Mutex // guards the fields below
	drawn  []string   // lines of the live table on the screen
	table  string     // plain: the table last printed
	latest string     // plain: the table as it is now
	stable int        // plain: for how many refreshes it has been so
	status time.Time  // plain: when the last status line was printed
}

func newScreen(out io.Writer, m mode, color bool, width int) *screen {
	return &screen{out: out, mode: m, color: color && m == live, width: width, status: time.Now()}
}

// The styles, as SGR parameters (ECMA-48 section 8.3.117).
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (s *screen) paint(style, text string) string {
	if !s.color || style == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// print writes lines that stay.
func (s *screen) print(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.write(lines...)
	s.draw()
}

// event writes one line of the log.
func (s *screen) event(e Event) {
	if s.mode == silent {
		return
	}
	style := map[string]string{eventStep: bold, eventHealth: yellow, eventTraffic: green, eventDNS: cyan, eventProblem: red}[e.Kind]
	mark := map[string]string{eventStep: "▶", eventProblem: "✗"}[e.Kind]
	s.print(fmt.Sprintf("%s %s %s %s", pad(mark, 1), clock(e.AtS), s.paint(style, pad(e.Kind, 7)), s.paint(style, e.Text)))
}

// refresh shows the state of things: the table drawn anew, or, on paper, a line from time to time and the table when it has
// changed.
func (s *screen) refresh(now *seen, rows []row) {
	status := statusLine(now)
	switch s.mode {
	case live:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.erase()
		s.drawn = append([]string{"", "  " + status}, tableLines(rows)...)
		s.draw()
	case plain:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.report(status, tableLines(rows))
	}
}

// report prints on paper: the table when it has changed and settled, a status line from time to time.
func (s *screen) report(status string, table []string) {
	text := strings.Join(table, "\n")
	if text != s.latest {
		s.latest, s.stable = text, 0
	}
	if s.stable++; s.stable == plainStable && text != s.table {
		s.table = text
		s.write(table...)
	}
	if time.Since(s.status) >= plainEvery {
		s.status = time.Now()
		s.write("  " + status)
	}
}

// finish leaves the last table where it is.
func (s *screen) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn = nil
}

// erase takes the live table away: up as many lines as it has, then clear to the end.
func (s *screen) erase() {
	if len(s.drawn) > 0 && s.mode == live {
		_, _ = fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", len(s.drawn))
	}
}

func (s *screen) draw() {
	if s.mode != live {
		return
	}
	width := s.columns()
	for _, line := range s.drawn {
		s.write(cut(line, width))
	}
}

// columns is how wide the terminal is now.
func (s *screen) columns() int {
	if s.width > 0 {
		return s.width
	}
	if f, ok := s.out.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col)
		}
	}
	return defaultWidth
}

func (s *screen) write(lines ...string) {
	if len(lines) > 0 {
		_, _ = io.WriteString(s.out, strings.Join(lines, "\n")+"\n")
	}
}

func statusLine(now *seen) string {
	return fmt.Sprintf("%s  %s requests · %s dns · %.1f %% cached · p50 %s p99 %s · %d failed · %d retried",
		clock(now.Elapsed.Seconds()), thousands(now.Requests), thousands(now.Queries), 100*now.hitRatio(),
		short(now.P50), short(now.P99), now.Failed, now.Retried)
}

// row is one line of the table: countries that are served alike.
type row struct {
	Countries []string
	Edge      string // measured: the last answer of each came from there
	Why       string // the edges' own explanation; empty when it speaks of another edge
	Origin    string // where that edge last went for what it had not cached
}

// tableRows groups the countries in the order given.
func tableRows(order []country, now *seen, reasons map[string]reason) []row {
	var rows []row
	for _, c := range order {
		got, known := now.ByCountry[c.Code]
		if !known {
			continue
		}
		r := row{Edge: got.Edge, Origin: got.Origin}
		km := ""
		if why := reasons[c.Code]; why.Edge == got.Edge {
			r.Why, km = why.Text, why.Distance
		}
		label := c.Code
		if km != "" {
			label += " " + km
		}
		found := false
		for i := range rows {
			if rows[i].Edge == r.Edge && rows[i].Origin == r.Origin && rows[i].Why == r.Why {
				rows[i].Countries = append(rows[i].Countries, label)
				found = true
				break
			}
		}
		if !found {
			r.Countries = []string{label}
			rows = append(rows, r)
		}
	}
	return rows
}

func tableLines(rows []row) []string {
	if len(rows) == 0 {
		return nil
	}
	lines := []string{fmt.Sprintf("  %s  %s  %s  %s", pad("clients in (km to the edge)", 44), pad("answered by", 11), pad("misses from", 11), "why")}
	for _, r := range rows {
		lines = append(lines, strings.TrimRight(fmt.Sprintf("  %s  %s  %s  %s", pad(strings.Join(r.Countries, ", "), 44), pad(r.Edge, 11), pad(r.Origin, 11), r.Why), " "))
	}
	return lines
}

// pad fills text with spaces to a number of columns.
func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(columns-utf8.RuneCountInString(text), 0))
}

// cut shortens a line without styles to what fits: a wrapped line would break the count of lines to erase.
func cut(line string, columns int) string {
	runes := []rune(line)
	if len(runes) <= columns {
		return line
	}
	return string(runes[:max(columns-1, 0)]) + "…"
}

// clock shows seconds as m:ss.t.
func clock(seconds float64) string {
	tenths := int(seconds * 10)
	return fmt.Sprintf("%d:%02d.%d", tenths/600, tenths/10%60, tenths%10)
}

// short shows a duration with two digits at least.
func short(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms >= 10:
		return fmt.Sprintf("%.0f ms", ms)
	default:
		return fmt.Sprintf("%.1f ms", ms)
	}
}
